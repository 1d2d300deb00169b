//! Spikes of a batch as sparse events: what flows between data, chip and network.
//!
//! An event may be *graded*, that is, carry a value other than 1: so analog inputs (a sensor's samples) reach a
//! network on the same way. Chips take no graded events.

/// Spikes of a batch on a time grid, sorted by sample, then step, then order of insertion.
///
/// Memory and work are proportional to the number of spikes. Samples are the outer axis because
/// the learning engine walks one sample at a time, forward and backward, while its data are in
/// cache; this is also the order in which a chip returns its trials.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpikeTrains {
    steps: usize,
    units: usize,
    /// `ids[offsets[sample · steps + step] .. offsets[sample · steps + step + 1]]`.
    offsets: Vec<u32>,
    ids: Vec<u16>,
    /// Values of the events, parallel to `ids`; empty if all of them are 1.
    values: Vec<f32>,
}

impl SpikeTrains {
    /// No samples yet, on a grid of `steps` steps and `units` units.
    #[must_use]
    pub fn new(steps: usize, units: usize) -> Self {
        Self { steps, units, offsets: vec![0], ids: Vec::new(), values: Vec::new() }
    }

    /// Forgets the samples and takes a new grid; keeps the memory.
    pub fn reset(&mut self, steps: usize, units: usize) {
        self.steps = steps;
        self.units = units;
        self.offsets.clear();
        self.offsets.push(0);
        self.ids.clear();
        self.values.clear();
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

    /// Replaces the contents by samples `range` of `other`; keeps the memory.
    pub fn copy_range(&mut self, other: &Self, range: std::ops::Range<usize>) {
        self.reset(other.steps, other.units);
        let (first, last) = (range.start * other.steps, range.end * other.steps);
        let base = other.offsets[first];
        let events = base as usize..other.offsets[last] as usize;
        self.ids.extend_from_slice(&other.ids[events.clone()]);
        if other.is_graded() {
            self.values.extend_from_slice(&other.values[events]);
        }
        self.offsets.extend(other.offsets[first + 1..=last].iter().map(|offset| offset - base));
    }

    /// Adds a spike of `unit` to the step that is being filled.
    pub fn push(&mut self, unit: u16) {
        debug_assert!(usize::from(unit) < self.units);
        self.ids.push(unit);
        if self.is_graded() {
            self.values.push(1.0);
        }
    }

    /// Adds an event of `unit` with this value to the step that is being filled.
    pub fn push_graded(&mut self, unit: u16, value: f32) {
        debug_assert!(usize::from(unit) < self.units);
        self.values.resize(self.ids.len(), 1.0);
        self.ids.push(unit);
        self.values.push(value);
    }

    /// Whether events carry values.
    #[must_use]
    pub fn is_graded(&self) -> bool {
        !self.values.is_empty()
    }

    /// Values of the events of `sample`, of all its steps in order; empty if all of them are 1.
    #[must_use]
    pub fn values(&self, sample: usize) -> &[f32] {
        if !self.is_graded() {
            return &[];
        }
        let k = sample * self.steps;
        &self.values[self.offsets[k] as usize..self.offsets[k + self.steps] as usize]
    }

    /// Range of the events of `step` among all events of `sample`.
    #[must_use]
    pub(crate) fn span(&self, sample: usize, step: usize) -> std::ops::Range<usize> {
        let k = sample * self.steps;
        let first = self.offsets[k];
        (self.offsets[k + step] - first) as usize..(self.offsets[k + step + 1] - first) as usize
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

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> SpikeTrains {
        let mut trains = SpikeTrains::new(2, 9);
        for sample in 0..4_u16 {
            for step in 0..2 {
                for unit in 0..=sample {
                    trains.push(unit + step);
                }
                trains.end_step();
            }
        }
        trains
    }

    #[test]
    fn what_was_pushed_comes_back() {
        let trains = example();
        assert_eq!((trains.samples(), trains.total()), (4, 20));
        assert_eq!(trains.at(2, 1), [1, 2, 3]);
        assert_eq!(trains.count(3), 8);
    }

    #[test]
    fn graded_events_keep_their_values() {
        let mut trains = SpikeTrains::new(2, 9);
        trains.push(3);
        trains.push_graded(4, 0.5);
        trains.end_step();
        trains.push(1);
        trains.end_step();
        trains.push_graded(2, -1.5);
        trains.end_step();
        trains.end_step();
        assert_eq!(trains.values(0), [1.0, 0.5, 1.0]);
        assert_eq!(
            (trains.values(1), trains.span(0, 1), trains.span(1, 1)),
            (&[-1.5][..], 2..3, 1..1)
        );
        let mut part = SpikeTrains::default();
        part.copy_range(&trains, 1..2);
        assert_eq!((part.at(0, 0), part.values(0)), (&[2][..], &[-1.5][..]));
        part.reset(2, 9);
        assert!(!part.is_graded());
    }

    #[test]
    fn a_range_is_the_same_samples() {
        let trains = example();
        let mut part = SpikeTrains::new(1, 1);
        part.copy_range(&trains, 1..3);
        assert_eq!(part.samples(), 2);
        for sample in 0..2 {
            for step in 0..2 {
                assert_eq!(part.at(sample, step), trains.at(sample + 1, step));
            }
        }
        part.copy_range(&trains, 4..4);
        assert_eq!((part.samples(), part.total()), (0, 0));
    }
}
