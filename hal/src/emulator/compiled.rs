//! A configuration turned into what the kernels need, kept up to date by differences.

use super::crosstalk::Crosstalk;
use super::kernel::Bundle;
use super::lanes::{Row, WIDTH};
use super::layout::{Group, NOWHERE, groups};
use super::mismatch::DrawnChip;
use super::physics::{Block, Grid, converted};
use super::values::TrueValues;
use crate::caps::Capabilities;
use crate::config::ChipConfig;

/// Blocks that share a time loop.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// First block, and number of blocks: 1, or 4 where no spike returns.
    pub(crate) first: usize,
    pub(crate) blocks: usize,
    /// `[row, block]`.
    weights: Vec<Row>,
    /// Per-synapse gains, same layout; empty if all are 1.
    synapse: Vec<Row>,
    rows: Vec<u64>,
    /// For each row, a bit for each block with a weight that is not zero.
    live: Vec<u8>,
}

/// A group of the layout, as a range of parts.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) parts: core::ops::Range<usize>,
    pub(crate) cyclic: bool,
    /// Whether inputs, and whether neurons, drive this group.
    pub(crate) from_inputs: bool,
    pub(crate) from_neurons: bool,
}

/// Where the samples of a block go.
#[derive(Clone, Debug)]
pub(crate) struct Channels {
    /// Channel of each lane, or [`NOWHERE`].
    pub(crate) of: [u32; WIDTH],
    /// Lanes that are recorded.
    pub(crate) mask: u16,
    /// Whether lane l goes to channel `of[0] + l` for all recorded lanes, which are the first ones.
    pub(crate) run: bool,
    /// What the channels convert instead of membranes, before noise and rails.
    pub(crate) reference: Option<Row>,
    /// Lowest code of each lane after the first sample: the recording's floor where it holds, else 0.
    pub(crate) floor: Row,
}

/// The configuration of a chip, ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) config: ChipConfig,
    /// What the codes of the configuration do to each other.
    crosstalk: Crosstalk,
    pub(crate) grid: Grid,
    pub(crate) blocks: Vec<Block>,
    pub(crate) channels: Vec<Channels>,
    pub(crate) parts: Vec<Part>,
    pub(crate) stages: Vec<Stage>,
    /// Row of the parts' weights for each row of the host.
    compact: Vec<u32>,
    /// Rows of the host that have a compact row.
    sources: Vec<u32>,
    /// Stage of each neuron.
    stage_of: Vec<u32>,
    /// First and last column that can matter.
    columns: core::ops::Range<usize>,
    /// Whether a neuron has ever driven another since these neurons were powered `[source, target]`:
    /// the layout only ever gets less parallel, so it is not rebuilt again and again.
    pattern: Vec<bool>,
}

impl Compiled {
    /// Everything from scratch.
    pub(crate) fn new(chip: &DrawnChip, caps: &Capabilities, config: &ChipConfig) -> Self {
        let squared = config.neurons() * config.neurons();
        Self::with_pattern(
            chip,
            caps,
            config,
            vec![false; if caps.recurrent { squared } else { 0 }],
        )
    }

    fn with_pattern(
        chip: &DrawnChip,
        caps: &Capabilities,
        config: &ChipConfig,
        mut pattern: Vec<bool>,
    ) -> Self {
        let neurons = config.neurons();
        let enabled: Vec<u16> =
            (0..neurons).filter(|n| config.enabled[*n]).map(|n| n as u16).collect();
        let inputs = usize::from(caps.inputs);
        let mut targets = vec![Vec::new(); neurons];
        if caps.recurrent {
            for &n in &enabled {
                let source = inputs + usize::from(n);
                let row = config.row(source);
                for &t in &enabled {
                    let known = &mut pattern[usize::from(n) * neurons + usize::from(t)];
                    *known |= realised(chip, source, usize::from(t), row[usize::from(t)]) != 0;
                    if *known {
                        targets[usize::from(n)].push(t);
                    }
                }
            }
        }
        let layout = groups(&enabled, neurons, &targets);
        let mut compact = vec![NOWHERE; config.sources()];
        let mut sources: Vec<u32> = (0..inputs as u32).collect();
        if caps.recurrent {
            sources.extend(enabled.iter().map(|n| (inputs + usize::from(*n)) as u32));
        }
        for (k, source) in sources.iter().enumerate() {
            compact[*source as usize] = k as u32;
        }
        let first = enabled.first().map_or(0, |n| usize::from(*n));
        let last = enabled.last().map_or(0, |n| usize::from(*n) + 1);
        let mut this = Self {
            config: config.clone(),
            crosstalk: Crosstalk::new(chip, config),
            grid: Grid::new(chip, config.recording.sample_period),
            blocks: Vec::new(),
            channels: Vec::new(),
            parts: Vec::new(),
            stages: Vec::new(),
            compact,
            sources,
            stage_of: vec![NOWHERE; neurons],
            columns: first..last,
            pattern,
        };
        for group in &layout {
            this.add_group(chip, caps, group);
        }
        this.set_channels(chip);
        for k in 0..this.sources.len() {
            this.set_row(chip, k, None);
        }
        this.find_drives(inputs);
        this
    }

    fn add_group(&mut self, chip: &DrawnChip, caps: &Capabilities, group: &Group) {
        let first_part = self.parts.len();
        let rows = self.sources.len();
        let mut left: &[u16] = &group.neurons;
        while !left.is_empty() {
            let wanted = left.len().div_ceil(WIDTH);
            let blocks = if wanted >= 4 && !group.cyclic { 4 } else { 1 };
            let first = self.blocks.len();
            for _ in 0..blocks {
                let (now, rest) = left.split_at(left.len().min(WIDTH));
                self.blocks.push(self.block(chip, caps, now));
                left = rest;
            }
            let synapse = self.gains(chip, first, blocks);
            self.parts.push(Part {
                first,
                blocks,
                weights: vec![Row::ZERO; rows * blocks],
                synapse,
                rows: vec![0; rows.div_ceil(64)],
                live: vec![0; rows],
            });
        }
        for n in &group.neurons {
            self.stage_of[usize::from(*n)] = self.stages.len() as u32;
        }
        self.stages.push(Stage {
            parts: first_part..self.parts.len(),
            cyclic: group.cyclic,
            from_inputs: false,
            from_neurons: false,
        });
    }

    /// Sixteen (or fewer) neurons at their codes.
    fn block(&self, chip: &DrawnChip, caps: &Capabilities, neurons: &[u16]) -> Block {
        let values = |n| TrueValues::of(chip, caps, &self.config, &self.crosstalk, n);
        Block::new(chip, values, &self.config.spiking, self.grid, neurons)
    }

    fn gains(&self, chip: &DrawnChip, first: usize, blocks: usize) -> Vec<Row> {
        if chip.synapse.is_empty() {
            return Vec::new();
        }
        let mut out = Vec::with_capacity(self.sources.len() * blocks);
        for source in &self.sources {
            for block in &self.blocks[first..first + blocks] {
                let mut row = Row::ZERO;
                for (gain, n) in row.0.iter_mut().zip(block.neuron) {
                    *gain = chip.synapse_gain(*source as usize, n as usize);
                }
                out.push(row);
            }
        }
        out
    }

    /// Where samples go, after a change of the recording.
    fn set_channels(&mut self, chip: &DrawnChip) {
        let mut channel_of = vec![NOWHERE; self.config.neurons()];
        if self.config.recording.samples > 0 {
            for (k, n) in self.config.recording.traces.iter().enumerate() {
                channel_of[usize::from(*n)] = k as u32;
            }
        }
        self.channels.clear();
        for block in &self.blocks {
            let (mut of, mut mask) = ([NOWHERE; WIDTH], 0_u16);
            for lane in 0..WIDTH {
                if block.used >> lane & 1 == 1 {
                    of[lane] = channel_of[block.neuron[lane] as usize];
                    mask |= u16::from(of[lane] != NOWHERE) << lane;
                }
            }
            let first_ones = mask & mask.wrapping_add(1) == 0;
            let consecutive =
                (0..mask.count_ones()).all(|l| of[l as usize] == of[0].wrapping_add(l));
            let run = mask != 0 && first_ones && consecutive;
            let reference = self.config.recording.reference.map(|code| {
                let mut row = Row::ZERO;
                for (value, n) in row.0.iter_mut().zip(block.neuron) {
                    *value = converted(chip, n as usize, f64::from(code)) as f32;
                }
                row
            });
            let mut floor = Row::ZERO;
            for (value, n) in floor.0.iter_mut().zip(block.neuron) {
                if !self.config.keeps_all(n as u16) {
                    *value = f32::from(self.config.recording.floor.unwrap_or(0));
                }
            }
            self.channels.push(Channels { of, mask, run, reference, floor });
        }
    }

    /// Recomputes one row of weights, where it differs from `old` codes if these are given.
    #[inline(always)]
    fn set_row_body(&mut self, chip: &DrawnChip, k: usize, old: Option<&[i8]>) {
        let source = self.sources[k] as usize;
        let codes = self.config.row(source);
        let broken = !chip.stuck_bits.is_empty();
        for part in &mut self.parts {
            for b in 0..part.blocks {
                let block = &self.blocks[part.first + b];
                let new = block.pick(codes);
                if old.is_some_and(|old| block.pick(old) == new) {
                    continue;
                }
                let new = if broken { stuck_codes(chip, source, block, new) } else { new };
                let at = k * part.blocks + b;
                let synapse = part.synapse.get(at).map_or(&ONES, |row| &row.0);
                let any = jumps(&mut part.weights[at].0, &new, block, synapse);
                let bit = 1 << b;
                part.live[k] = if any { part.live[k] | bit } else { part.live[k] & !bit };
            }
            let bit = 1_u64 << (k % 64);
            let word = &mut part.rows[k / 64];
            *word = if part.live[k] != 0 { *word | bit } else { *word & !bit };
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn set_row_avx2(&mut self, chip: &DrawnChip, k: usize, old: Option<&[i8]>) {
        self.set_row_body(chip, k, old);
    }

    fn set_row(&mut self, chip: &DrawnChip, k: usize, old: Option<&[i8]>) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the features were just found.
            return unsafe { self.set_row_avx2(chip, k, old) };
        }
        self.set_row_body(chip, k, old);
    }

    /// Whether the layout still holds: spikes go to later stages, or stay in a cyclic one.
    fn layout_holds(&self, inputs: usize) -> bool {
        for (k, source) in self.sources.iter().enumerate().skip(inputs) {
            let own = self.stage_of[*source as usize - inputs] as usize;
            for (s, stage) in self.stages.iter().enumerate() {
                let allowed = s > own || (s == own && stage.cyclic);
                if !allowed && self.parts[stage.parts.clone()].iter().any(|p| p.has(k)) {
                    return false;
                }
            }
        }
        true
    }

    /// What drives each stage.
    fn find_drives(&mut self, inputs: usize) {
        for stage in &mut self.stages {
            let parts = &self.parts[stage.parts.clone()];
            let any =
                |mut rows: core::ops::Range<usize>| rows.any(|k| parts.iter().any(|p| p.has(k)));
            stage.from_inputs = any(0..inputs);
            stage.from_neurons = any(inputs..self.sources.len());
        }
    }

    /// Brings this to `config`, at the cost of what differs.
    pub(crate) fn update(&mut self, chip: &DrawnChip, caps: &Capabilities, config: &ChipConfig) {
        let inputs = usize::from(caps.inputs);
        if config.enabled != self.config.enabled {
            *self = Self::new(chip, caps, config);
            return;
        }
        let same_neurons = config.parameters == self.config.parameters
            && config.spiking == self.config.spiking
            && config.recording.sample_period == self.config.recording.sample_period;
        if !same_neurons {
            self.config.parameters.clone_from(&config.parameters);
            self.config.spiking.clone_from(&config.spiking);
            self.grid = Grid::new(chip, config.recording.sample_period);
            self.crosstalk = Crosstalk::new(chip, config);
            let mut blocks = Vec::with_capacity(self.blocks.len());
            for block in &self.blocks {
                let neurons: Vec<u16> = block
                    .neuron
                    .iter()
                    .take(block.used.count_ones() as usize)
                    .map(|n| *n as u16)
                    .collect();
                blocks.push(self.block(chip, caps, &neurons));
            }
            self.blocks = blocks;
        }
        // The floor holds for neurons that can spike: the flags have changed with `same_neurons`.
        if !same_neurons || config.recording != self.config.recording {
            self.config.recording.clone_from(&config.recording);
            self.set_channels(chip);
        }
        let mut changed = false;
        let mut old = vec![0; config.neurons()];
        let columns = self.columns.clone();
        for k in 0..self.sources.len() {
            let source = self.sources[k] as usize;
            let new = &config.row(source)[columns.clone()];
            if same_neurons && self.config.row(source)[columns.clone()] == *new {
                continue;
            }
            let own = &mut self.config.row_mut(source)[columns.clone()];
            old[columns.clone()].copy_from_slice(own);
            own.copy_from_slice(new);
            self.set_row(chip, k, same_neurons.then_some(&old));
            changed = true;
        }
        if changed {
            if !self.layout_holds(inputs) {
                let pattern = core::mem::take(&mut self.pattern);
                *self = Self::with_pattern(chip, caps, config, pattern);
                return;
            }
            self.find_drives(inputs);
        }
    }

    /// What the kernel needs for one part.
    pub(crate) fn bundle(&self, part: usize) -> Bundle<'_> {
        let part = &self.parts[part];
        Bundle {
            blocks: &self.blocks[part.first..part.first + part.blocks],
            weights: &part.weights,
            rows: &part.rows,
            compact: &self.compact,
            step_us: self.grid.step_us() as f32,
        }
    }
}

impl Part {
    fn has(&self, row: usize) -> bool {
        self.rows[row / 64] >> (row % 64) & 1 == 1
    }
}

const ONES: [f32; WIDTH] = [1.0; WIDTH];

/// Weight codes as they are in broken memory.
fn stuck_codes(chip: &DrawnChip, source: usize, block: &Block, codes: [i8; WIDTH]) -> [i8; WIDTH] {
    core::array::from_fn(|l| realised(chip, source, block.neuron[l] as usize, codes[l]))
}

/// Jumps of the current for weight codes; whether any is not zero.
#[inline(always)]
fn jumps(
    out: &mut [f32; WIDTH],
    codes: &[i8; WIDTH],
    block: &Block,
    synapse: &[f32; WIDTH],
) -> bool {
    let mut any = 0_u32;
    for lane in 0..WIDTH {
        let code = f32::from(codes[lane]);
        let gain = if code > 0.0 { block.gain_exc.0[lane] } else { block.gain_inh.0[lane] };
        let jump = code * gain * synapse[lane];
        out[lane] = jump;
        any |= jump.to_bits() << 1;
    }
    any != 0
}

/// The code that a synapse realises when `code` is written: stuck bits stay as they are.
pub(crate) fn realised(chip: &DrawnChip, source: usize, neuron: usize, code: i8) -> i8 {
    let key = (source as u32, neuron as u16);
    match chip.stuck_bits.binary_search_by_key(&key, |s| (s.source, s.neuron)) {
        Ok(at) => chip.stuck_bits[at].apply(code),
        Err(_) => code,
    }
}
