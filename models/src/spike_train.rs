//! Spikes of a batch as sparse events: what flows between data, chip and network.

/// Spikes of a batch on a time grid, sorted by sample, then step, then order of insertion.
///
/// Memory and work are proportional to the number of spikes. Samples are the outer axis because
/// the learning engine walks one sample at a time, forward and backward, while its data are in
/// cache; this is also the order in which a chip returns its trials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpikeTrains {
    steps: usize,
    units: usize,
    /// `ids[offsets[sample · steps + step] .. offsets[sample · steps + step + 1]]`.
    offsets: Vec<u32>,
    ids: Vec<u16>,
}

impl SpikeTrains {
    /// No samples yet, on a grid of `steps` steps and `units` units.
    #[must_use]
    pub fn new(steps: usize, units: usize) -> Self {
        Self { steps, units, offsets: vec![0], ids: Vec::new() }
    }

    /// Forgets the samples and takes a new grid; keeps the memory.
    pub fn reset(&mut self, steps: usize, units: usize) {
        self.steps = steps;
        self.units = units;
        self.offsets.clear();
        self.offsets.push(0);
        self.ids.clear();
    }

    /// Number of time steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Number of units; ids are below it.
    #[must_use]
    pub fn units(&self) -> usize {
        self.units
    }

    /// Number of complete samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        (self.offsets.len() - 1) / self.steps.max(1)
    }

    /// Adds a spike of `unit` to the step that is being filled.
    pub fn push(&mut self, unit: u16) {
        debug_assert!(usize::from(unit) < self.units);
        self.ids.push(unit);
    }

    /// Closes the step that is being filled. After `steps` of them a sample is complete.
    pub fn end_step(&mut self) {
        self.offsets.push(self.ids.len() as u32);
    }

    /// Units that fire in `step` of `sample`.
    #[must_use]
    pub fn at(&self, sample: usize, step: usize) -> &[u16] {
        let k = sample * self.steps + step;
        &self.ids[self.offsets[k] as usize..self.offsets[k + 1] as usize]
    }

    /// Number of spikes in `sample`.
    #[must_use]
    pub fn count(&self, sample: usize) -> usize {
        let k = sample * self.steps;
        (self.offsets[k + self.steps] - self.offsets[k]) as usize
    }

    /// Number of spikes in all samples.
    #[must_use]
    pub fn total(&self) -> usize {
        self.ids.len()
    }
}
