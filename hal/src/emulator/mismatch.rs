//! One chip of a kind: the values of every neuron, drawn from a profile and a seed.
//!
//! `p_n = p_nominal (1 + s_block B_b + s_local ε_n)` for time constants and gains, additive for
//! potentials, with the correlations of the profile between partners. The block and the local part of
//! a pair carry the same correlation.

use super::normal::{Draws, Purpose};
use super::profile::{Profile, Spread};
use serde::{Deserialize, Serialize};

/// Resolution of the gain of a synapse: `gain = 1 + q · 2⁻¹³`.
const SYNAPSE_UNIT: f32 = 1.0 / 8192.0;

/// A bit of one synapse's weight memory that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StuckBit {
    /// Row of the weight matrix.
    pub source: u32,
    /// Column of the weight matrix.
    pub neuron: u16,
    /// Bit of the magnitude.
    pub bit: u8,
    /// What it is stuck at.
    pub high: bool,
}

impl StuckBit {
    /// The code that the synapse realises when `code` is written. A stuck bit of the magnitude
    /// leaves the sign alone; a zero with a bit stuck high becomes positive.
    #[must_use]
    pub fn apply(&self, code: i8) -> i8 {
        let mask = 1_u8 << self.bit;
        let magnitude = code.unsigned_abs();
        let magnitude = if self.high { magnitude | mask } else { magnitude & !mask };
        let magnitude = magnitude.min(127) as i8;
        if code < 0 { -magnitude } else { magnitude }
    }
}

/// The truth about one emulated chip: every drawn value. For tests and reports only.
///
/// All lists are indexed by neuron. Factors multiply the design value at the neuron's code, offsets
/// are added to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnChip {
    /// Version of this file format.
    pub format: u32,
    /// Seed it was drawn from.
    #[serde(with = "super::state::hex_u64")]
    pub seed: u64,
    /// Serial number where it is not the hash of these values: of a chip whose values have changed
    /// since it was made.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "super::state::hex_option")]
    pub identity: Option<u64>,
    /// Factor of the membrane time constant.
    pub tau_mem: Vec<f32>,
    /// Factor of the excitatory synaptic time constant.
    pub tau_syn_exc: Vec<f32>,
    /// Factor of the inhibitory synaptic time constant.
    pub tau_syn_inh: Vec<f32>,
    /// Factor of the excitatory gain.
    pub gain_exc: Vec<f32>,
    /// Factor of the inhibitory gain.
    pub gain_inh: Vec<f32>,
    /// Offset of the leak potential in LSB.
    pub leak_lsb: Vec<f32>,
    /// Offset of the reset potential in LSB.
    pub reset_lsb: Vec<f32>,
    /// Offset of the threshold in LSB (additive and θ-factor parts together).
    pub threshold_lsb: Vec<f32>,
    /// Current offset of the excitatory input in LSB/µs.
    pub offset_exc: Vec<f32>,
    /// Current offset of the inhibitory input in LSB/µs.
    pub offset_inh: Vec<f32>,
    /// Offset of the refractory time in clock steps.
    pub refractory_steps: Vec<i8>,
    /// Offset of the converter channel in LSB.
    pub adc_offset_lsb: Vec<f32>,
    /// Gain of the converter channel.
    pub adc_gain: Vec<f32>,
    /// Shift of the sampling instant of the converter channel in µs.
    pub adc_skew_us: Vec<f32>,
    /// Neurons that never fire.
    pub dead: Vec<u16>,
    /// Neurons that always fire.
    pub stuck: Vec<u16>,
    /// Defects of the weight memory, by row, then column.
    pub stuck_bits: Vec<StuckBit>,
    /// Gain of each synapse `[source, neuron]` as `1 + q · 2⁻¹³`; empty if all are 1.
    #[serde(with = "super::state::hex_i16")]
    pub synapse: Vec<i16>,
    /// The kind of chip.
    pub profile: Profile,
}

/// Correlated block and local deviations of two partner quantities.
struct Pair {
    purpose: Purpose,
    correlation: f64,
}

impl Pair {
    /// Deviations `mean + block · B + local · ε` of both partners, `[neuron]`.
    fn draw(&self, seed: u64, neurons: usize, block: usize, a: Spread, b: Spread) -> [Vec<f64>; 2] {
        let correlation = self.correlation.clamp(-1.0, 1.0);
        let rest = libm::sqrt(1.0 - correlation * correlation);
        let next = |draws: &mut Draws| {
            let (x, y) = (draws.normal(), draws.normal());
            [x, correlation * x + rest * y]
        };
        let mut shared = Draws::new(seed, self.purpose, true);
        let blocks: Vec<_> = (0..neurons.div_ceil(block)).map(|_| next(&mut shared)).collect();
        let mut local = Draws::new(seed, self.purpose, false);
        let mut out = [Vec::with_capacity(neurons), Vec::with_capacity(neurons)];
        for n in 0..neurons {
            let (common, own) = (blocks[n / block], next(&mut local));
            out[0].push(a.mean + a.block * common[0] + a.local * own[0]);
            out[1].push(b.mean + b.block * common[1] + b.local * own[1]);
        }
        out
    }
}

impl DrawnChip {
    /// Version of the file format written by this build.
    pub const FORMAT: u32 = 1;

    /// Draws the chip of `seed`.
    #[must_use]
    pub fn draw(profile: &Profile, seed: u64) -> Self {
        let (neurons, block) = (usize::from(profile.size.neurons), usize::from(profile.size.block));
        let (m, sigma, theta) = (&profile.mismatch, profile.sigma, profile.nominal.theta());
        let scaled = |s: Spread| Spread {
            mean: s.mean * sigma,
            block: s.block * sigma,
            local: s.local * sigma,
        };
        let pair = |purpose, correlation, a, b| {
            Pair { purpose, correlation }.draw(seed, neurons, block, scaled(a), scaled(b))
        };
        let factor = |d: &[f64]| -> Vec<f32> {
            d.iter().map(|x| (1.0 + x).clamp(m.clip_low, m.clip_high) as f32).collect()
        };
        let none = Spread::default();
        let [tau_mem, _] = pair(Purpose::TauMem, 0.0, m.tau_mem, none);
        let [syn_exc, syn_inh] =
            pair(Purpose::TauSyn, m.tau_syn_correlation, m.tau_syn_exc, m.tau_syn_inh);
        let [gain_exc, gain_inh] = pair(Purpose::Gain, m.gain_correlation, m.gain_exc, m.gain_inh);
        // Leak is the common partner of reset and threshold: its stream is drawn twice, alike.
        let [leak, reset] = pair(Purpose::Potential, m.leak_reset_correlation, m.leak, m.reset);
        let threshold = Self::threshold(profile, seed);
        let [offset_exc, offset_inh] = pair(Purpose::Offset, 0.0, m.offset_exc, m.offset_inh);
        let lsb = |d: &[f64]| -> Vec<f32> { d.iter().map(|x| (x * theta) as f32).collect() };
        // A shift of the rest by x θ needs a current of x θ / τ_mem.
        let current = |d: &[f64]| -> Vec<f32> {
            d.iter().map(|x| (x * theta / profile.nominal.tau_mem_us) as f32).collect()
        };
        let mut chip = Self {
            format: Self::FORMAT,
            seed,
            identity: None,
            tau_mem: factor(&tau_mem),
            tau_syn_exc: factor(&syn_exc),
            tau_syn_inh: factor(&syn_inh),
            gain_exc: factor(&gain_exc),
            gain_inh: factor(&gain_inh),
            leak_lsb: lsb(&leak),
            reset_lsb: lsb(&reset),
            threshold_lsb: lsb(&threshold),
            offset_exc: current(&offset_exc),
            offset_inh: current(&offset_inh),
            refractory_steps: Vec::new(),
            adc_offset_lsb: Vec::new(),
            adc_gain: Vec::new(),
            adc_skew_us: Vec::new(),
            dead: Vec::new(),
            stuck: Vec::new(),
            stuck_bits: Vec::new(),
            synapse: Vec::new(),
            profile: profile.clone(),
        };
        chip.draw_refractory();
        chip.draw_converter();
        chip.draw_faults();
        chip.draw_synapses();
        chip
    }

    /// Threshold offsets in θ: correlated with the leak, times the factor on θ.
    fn threshold(profile: &Profile, seed: u64) -> Vec<f64> {
        let (neurons, block) = (usize::from(profile.size.neurons), usize::from(profile.size.block));
        let (m, sigma) = (&profile.mismatch, profile.sigma);
        let rho = m.leak_threshold_correlation.clamp(-1.0, 1.0);
        let rest = libm::sqrt(1.0 - rho * rho);
        let leak = |shared| Draws::new(seed, Purpose::Potential, shared);
        let own = |shared| Draws::new(seed, Purpose::Theta, shared);
        // The first of each pair of the potential stream is the leak's (see `Pair::draw`).
        let next = |leak: &mut Draws, own: &mut Draws| {
            let (x, _) = (leak.normal(), leak.normal());
            let (y, factor) = (own.normal(), own.normal());
            [rho * x + rest * y, factor]
        };
        let (mut leaks, mut owns) = (leak(true), own(true));
        let blocks: Vec<_> =
            (0..neurons.div_ceil(block)).map(|_| next(&mut leaks, &mut owns)).collect();
        let (mut leaks, mut owns) = (leak(false), own(false));
        (0..neurons)
            .map(|n| {
                let (common, local) = (blocks[n / block], next(&mut leaks, &mut owns));
                let t = m.threshold;
                let additive = sigma * (t.mean + t.block * common[0] + t.local * local[0]);
                let f = m.theta;
                let factor = 1.0 + sigma * (f.mean + f.block * common[1] + f.local * local[1]);
                additive + factor.clamp(m.clip_low, m.clip_high) - 1.0
            })
            .collect()
    }

    fn draw_refractory(&mut self) {
        let most = self.profile.mismatch.refractory_steps;
        // A chip without mismatch has none here either.
        let most = if self.profile.sigma > 0.0 { i64::from(most.min(100)) } else { 0 };
        let mut draws = Draws::new(self.seed, Purpose::Refractory, false);
        let choices = (2 * most + 1) as f64;
        self.refractory_steps = (0..self.profile.size.neurons)
            .map(|_| ((draws.uniform() * choices) as i64 - most) as i8)
            .collect();
    }

    fn draw_converter(&mut self) {
        let neurons = usize::from(self.profile.size.neurons);
        let sigma = self.profile.sigma;
        let (offset, gain, skew) =
            self.profile.adc.map_or((0.0, 0.0, 0.0), |adc| (adc.offset_lsb, adc.gain, adc.skew_us));
        let mut draws = Draws::new(self.seed, Purpose::Converter, false);
        for _ in 0..neurons {
            self.adc_offset_lsb.push((sigma * offset * draws.normal()) as f32);
            self.adc_gain.push((1.0 + sigma * gain * draws.normal()).clamp(0.15, 3.0) as f32);
            self.adc_skew_us.push((sigma * skew * draws.normal()) as f32);
        }
    }

    fn draw_faults(&mut self) {
        let faults = self.profile.faults;
        let mut draws = Draws::new(self.seed, Purpose::Fault, false);
        for n in 0..self.profile.size.neurons {
            let (dead, stuck) = (draws.uniform(), draws.uniform());
            if dead < faults.dead {
                self.dead.push(n);
            } else if stuck < faults.stuck {
                self.stuck.push(n);
            }
        }
        if faults.stuck_bit > 0.0 {
            let bits = 8 - self.profile.size.weight_max.leading_zeros();
            let mut draws = Draws::new(self.seed, Purpose::StuckBit, false);
            for source in 0..self.sources() as u32 {
                for neuron in 0..self.profile.size.neurons {
                    if draws.uniform() < faults.stuck_bit {
                        let choice = draws.bits();
                        let bit = ((choice >> 1) % u64::from(bits)) as u8;
                        self.stuck_bits.push(StuckBit {
                            source,
                            neuron,
                            bit,
                            high: choice & 1 == 1,
                        });
                    }
                }
            }
        }
    }

    fn draw_synapses(&mut self) {
        let spread = self.profile.mismatch.synapse * self.profile.sigma;
        if spread == 0.0 {
            return;
        }
        let mut draws = Draws::new(self.seed, Purpose::Synapse, false);
        let low = (self.profile.mismatch.clip_low - 1.0).max(-1.0);
        self.synapse = (0..self.sources() * usize::from(self.profile.size.neurons))
            .map(|_| {
                let deviation = (spread * draws.normal()).clamp(low, 3.9);
                libm::round(deviation / f64::from(SYNAPSE_UNIT)) as i16
            })
            .collect();
    }

    /// Rows of the weight matrix.
    #[must_use]
    pub fn sources(&self) -> usize {
        let size = &self.profile.size;
        usize::from(size.inputs) + if size.recurrent { usize::from(size.neurons) } else { 0 }
    }

    /// Gain of the synapse from row `source` to `neuron`.
    #[must_use]
    pub fn synapse_gain(&self, source: usize, neuron: usize) -> f32 {
        match self.synapse.get(source * usize::from(self.profile.size.neurons) + neuron) {
            Some(q) => 1.0 + f32::from(*q) * SYNAPSE_UNIT,
            None => 1.0,
        }
    }

    /// Seed of the noise that belongs to this chip unless the user names one.
    #[must_use]
    pub fn default_noise_seed(&self) -> u64 {
        Draws::new(self.seed, Purpose::NoiseSeed, false).bits()
    }

    /// The chip's serial number: a hash of everything that was drawn, so that equal serials mean equal
    /// chips, unless the values have changed since ([`identity`](Self::identity)).
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.identity.unwrap_or_else(|| self.hash())
    }

    /// FNV-1a over the saved form.
    fn hash(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        eat(self.profile.name.as_bytes());
        let floats = [
            &self.tau_mem,
            &self.tau_syn_exc,
            &self.tau_syn_inh,
            &self.gain_exc,
            &self.gain_inh,
            &self.leak_lsb,
            &self.reset_lsb,
            &self.threshold_lsb,
            &self.offset_exc,
            &self.offset_inh,
            &self.adc_offset_lsb,
            &self.adc_gain,
            &self.adc_skew_us,
        ];
        for list in floats {
            list.iter().for_each(|x| eat(&x.to_bits().to_le_bytes()));
        }
        self.refractory_steps.iter().for_each(|x| eat(&x.to_le_bytes()));
        for list in [&self.dead, &self.stuck] {
            eat(&(list.len() as u32).to_le_bytes());
            list.iter().for_each(|x| eat(&x.to_le_bytes()));
        }
        for stuck in &self.stuck_bits {
            eat(&stuck.source.to_le_bytes());
            eat(&stuck.neuron.to_le_bytes());
            eat(&[stuck.bit, u8::from(stuck.high)]);
        }
        self.synapse.iter().for_each(|q| eat(&q.to_le_bytes()));
        hash
    }
}
