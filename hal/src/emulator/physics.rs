//! The neuron between two events: exact propagators on a grid of sub-steps.
//!
//! `dV/dt = −(V − V_rest)/τ_m + E + I`, `dE/dt = −E/τ_e`, `dI/dt = −I/τ_i` have the solution
//! `V(t) − V_rest = (V₀ − V_rest) e^{−t/τ_m} + E₀ c_e(t) + I₀ c_i(t)` with
//! `c_s(t) = t e^{−t/τ_m} (1 − e^{−δ})/δ`, `δ = t (1/τ_s − 1/τ_m)`, which is stable at τ_m = τ_s.
//! A constant current moves the rest: `V_rest = V_leak + τ_m · offset`. Potentials are kept relative to
//! it in the kernels.

use super::lanes::{Row, WIDTH};
use super::mismatch::DrawnChip;
use super::values::TrueValues;

/// Parts into which a sub-step is divided for the tables; between them they are interpolated.
pub(crate) const PARTS: usize = 16;

/// Time grid of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grid {
    /// Ticks between two samples (or a span of the same role without recording).
    pub(crate) period: u32,
    /// Sub-steps in a period.
    pub(crate) substeps: u32,
    /// Length of a tick in µs.
    pub(crate) tick_us: f64,
}

impl Grid {
    /// The grid for a recording with samples every `period` ticks (0: none).
    pub(crate) fn new(chip: &DrawnChip, period: u32) -> Self {
        let tick_ns = f64::from(chip.profile.time.tick_ns);
        let longest = chip.profile.time.max_step_ns;
        let period = if period == 0 { ((longest / tick_ns) as u32).max(1) } else { period };
        let substeps = libm::ceil(f64::from(period) * tick_ns / longest - 1e-9).max(1.0) as u32;
        Self { period, substeps, tick_us: tick_ns / 1000.0 }
    }

    /// Length of a sub-step in ticks.
    pub(crate) fn step_ticks(&self) -> f64 {
        f64::from(self.period) / f64::from(self.substeps)
    }

    /// Length of a sub-step in µs.
    pub(crate) fn step_us(&self) -> f64 {
        self.step_ticks() * self.tick_us
    }

    /// Sub-step and position in it (0 ≤ frac < 1) of a tick; exactly 0 on the grid.
    pub(crate) fn locate(&self, tick: u32) -> (u32, f32) {
        let scaled = u64::from(tick) * u64::from(self.substeps);
        let (step, rest) = (scaled / u64::from(self.period), scaled % u64::from(self.period));
        (step as u32, rest as f32 / self.period as f32)
    }

    /// Sub-steps that cover `ticks`.
    pub(crate) fn steps(&self, ticks: u32) -> u32 {
        (u64::from(ticks) * u64::from(self.substeps)).div_ceil(u64::from(self.period)) as u32
    }
}

/// Decays and couplings after `j/16` of a sub-step, `j = 0 ..= 16`.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    pub(crate) mem: [Row; PARTS + 1],
    pub(crate) exc: [Row; PARTS + 1],
    pub(crate) inh: [Row; PARTS + 1],
    pub(crate) couple_exc: [Row; PARTS + 1],
    pub(crate) couple_inh: [Row; PARTS + 1],
}

/// Sixteen neurons.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Decay of the membrane over one sub-step, and so on.
    pub(crate) mem: Row,
    pub(crate) exc: Row,
    pub(crate) inh: Row,
    pub(crate) couple_exc: Row,
    pub(crate) couple_inh: Row,
    /// −1/τ_m in 1/µs.
    pub(crate) leak: Row,
    /// Threshold relative to the rest; infinite where no spikes are possible.
    pub(crate) threshold: Row,
    /// Standard deviation of the threshold from trial to trial.
    pub(crate) threshold_noise: Row,
    /// Reset relative to the rest.
    pub(crate) reset: Row,
    /// Membrane at the start of a trial relative to the rest.
    pub(crate) start: Row,
    /// Converter: sample = gain · v + offset + noise · z, at a time shifted by skew (µs).
    pub(crate) adc_gain: Row,
    pub(crate) adc_offset: Row,
    pub(crate) adc_skew: Row,
    /// Refractory time: whole sub-steps and the rest.
    pub(crate) refractory: [u32; WIDTH],
    pub(crate) refractory_frac: Row,
    /// Gain of positive and negative weight codes, LSB/µs per code.
    pub(crate) gain_exc: Row,
    pub(crate) gain_inh: Row,
    /// Neuron of each lane; lanes without one repeat 0 and have no gain and no threshold.
    pub(crate) neuron: [u32; WIDTH],
    /// Lanes that are neurons.
    pub(crate) used: u16,
    /// Whether all lanes are neurons, with consecutive numbers.
    consecutive: bool,
    pub(crate) tables: Box<Tables>,
}

/// `∫ e^{−(t−s)/τ_m} e^{−s/τ_s} ds` from 0 to t.
fn coupling(t: f64, tau_mem: f64, tau_syn: f64) -> f64 {
    let delta = t * (1.0 / tau_syn - 1.0 / tau_mem);
    let ratio = if delta.abs() < 1e-12 { 1.0 } else { -libm::expm1(-delta) / delta };
    t * libm::exp(-t / tau_mem) * ratio
}

/// What the channel of a neuron makes of a potential, before noise and rails. The gain acts about the
/// nominal leak potential, so that gain and offset spreads are separate quantities.
pub(crate) fn converted(chip: &DrawnChip, neuron: usize, potential: f64) -> f64 {
    let pivot = chip.profile.nominal.leak_lsb;
    let gain = f64::from(chip.adc_gain[neuron]);
    pivot + gain * (potential - pivot) + f64::from(chip.adc_offset_lsb[neuron])
}

impl Block {
    fn empty() -> Self {
        let row = Row::ZERO;
        let table = [Row::ZERO; PARTS + 1];
        Self {
            mem: row,
            exc: row,
            inh: row,
            couple_exc: row,
            couple_inh: row,
            leak: row,
            threshold: Row([f32::INFINITY; WIDTH]),
            threshold_noise: row,
            reset: row,
            start: row,
            adc_gain: row,
            adc_offset: row,
            adc_skew: row,
            refractory: [0; WIDTH],
            refractory_frac: row,
            gain_exc: row,
            gain_inh: row,
            neuron: [0; WIDTH],
            used: 0,
            consecutive: false,
            tables: Box::new(Tables {
                mem: table,
                exc: table,
                inh: table,
                couple_exc: table,
                couple_inh: table,
            }),
        }
    }

    /// Sixteen (or fewer) neurons with their `values`; `spiking` is indexed by neuron.
    pub(crate) fn new(
        chip: &DrawnChip,
        values: impl Fn(usize) -> TrueValues,
        spiking: &[bool],
        grid: Grid,
        neurons: &[u16],
    ) -> Self {
        let mut block = Self::empty();
        for (lane, &n) in neurons.iter().enumerate() {
            let index = usize::from(n);
            block.fill(chip, &values(index), spiking[index], grid, lane, n);
        }
        block.consecutive = neurons.len() == WIDTH && neurons.windows(2).all(|w| w[1] == w[0] + 1);
        block
    }

    /// The sixteen entries of `of` (one for each neuron of the chip) for these lanes.
    #[inline(always)]
    pub(crate) fn pick(&self, of: &[i8]) -> [i8; WIDTH] {
        let first = self.neuron[0] as usize;
        if self.consecutive
            && let Some(codes) = of[first..].first_chunk()
        {
            return *codes;
        }
        core::array::from_fn(|l| of[self.neuron[l] as usize])
    }

    fn fill(
        &mut self,
        chip: &DrawnChip,
        v: &TrueValues,
        spiking: bool,
        grid: Grid,
        lane: usize,
        n: u16,
    ) {
        let h = grid.step_us();
        for part in 0..=PARTS {
            let t = h * part as f64 / PARTS as f64;
            let tables = &mut self.tables;
            tables.mem[part].0[lane] = libm::exp(-t / v.tau_mem_us) as f32;
            tables.exc[part].0[lane] = libm::exp(-t / v.tau_syn_exc_us) as f32;
            tables.inh[part].0[lane] = libm::exp(-t / v.tau_syn_inh_us) as f32;
            tables.couple_exc[part].0[lane] = coupling(t, v.tau_mem_us, v.tau_syn_exc_us) as f32;
            tables.couple_inh[part].0[lane] = coupling(t, v.tau_mem_us, v.tau_syn_inh_us) as f32;
        }
        self.mem.0[lane] = self.tables.mem[PARTS].0[lane];
        self.exc.0[lane] = self.tables.exc[PARTS].0[lane];
        self.inh.0[lane] = self.tables.inh[PARTS].0[lane];
        self.couple_exc.0[lane] = self.tables.couple_exc[PARTS].0[lane];
        self.couple_inh.0[lane] = self.tables.couple_inh[PARTS].0[lane];
        self.leak.0[lane] = (-1.0 / v.tau_mem_us) as f32;
        self.reset.0[lane] = (v.reset_lsb - v.rest_lsb) as f32;
        let index = usize::from(n);
        let dead = chip.dead.contains(&n);
        if spiking && !dead {
            let threshold =
                if chip.stuck.contains(&n) { -1e30 } else { v.threshold_lsb - v.rest_lsb };
            self.threshold.0[lane] = threshold as f32;
            let theta = chip.profile.nominal.theta();
            self.threshold_noise.0[lane] = (chip.profile.noise.threshold_theta * theta) as f32;
            // A trial begins at rest; a neuron that cannot rest begins with a forced reset.
            self.start.0[lane] = if threshold < 0.0 { self.reset.0[lane] } else { 0.0 };
        }
        if !dead {
            self.gain_exc.0[lane] = v.gain_exc as f32;
            self.gain_inh.0[lane] = v.gain_inh as f32;
        }
        self.adc_gain.0[lane] = chip.adc_gain[index];
        self.adc_offset.0[lane] = converted(chip, index, v.rest_lsb) as f32;
        self.adc_skew.0[lane] = chip.adc_skew_us[index];
        let steps = v.refractory_us / h;
        let whole = libm::floor(steps);
        self.refractory[lane] = whole as u32;
        self.refractory_frac.0[lane] = (steps - whole) as f32;
        self.neuron[lane] = u32::from(n);
        self.used |= 1 << lane;
    }
}
