//! The membrane converter: channels with their own offset, gain and instant, noise, rails.

use super::compiled::{Channels, Compiled};
use super::lanes::{Lanes, Row, WIDTH};
use super::layout::NOWHERE;
use super::noise::{Noise, NoiseOf, normals};
use super::physics::Block;
use super::run::{Setting, TrialResult};

/// When the samples of a trial were really taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct SampleClock {
    /// For each sample the one whose instant it was taken at.
    taken: Vec<u16>,
    stalled: bool,
}

/// Whether an event of this probability happens, given 32 uniform bits.
fn happens(bits: u32, probability: f64) -> bool {
    f64::from(bits) < probability * 4_294_967_296.0
}

/// The next smaller positive number.
#[inline(always)]
fn below(x: f32) -> f32 {
    f32::from_bits(x.to_bits().saturating_sub(1))
}

impl SampleClock {
    /// Draws the clock of a trial with `samples` samples.
    pub(crate) fn draw(&mut self, setting: Setting<'_>, trial: u64, samples: u32) {
        self.taken.clear();
        self.stalled = false;
        let Some(adc) = setting.chip.profile.adc else { return };
        if samples == 0 {
            return;
        }
        self.taken.extend(0..samples as u16);
        if adc.jitter_probability > 0.0 {
            for (group, four) in self.taken.chunks_mut(4).enumerate() {
                let bits = setting.noise.bits(NoiseOf::SampleClock, trial, 0, group as u32);
                for (k, bits) in four.iter_mut().zip(bits) {
                    // The first sample waits for the trial; no sample comes after the last.
                    if *k > 0 && happens(bits, adc.jitter_probability) {
                        let late = bits & 1 == 1 && u32::from(*k) + 1 < samples;
                        *k = if late { *k + 1 } else { *k - 1 };
                    }
                }
            }
        }
        if adc.stall_probability > 0.0 {
            let bits = setting.noise.bits(NoiseOf::Stall, trial, 0, 0);
            self.stalled = happens(bits[0], adc.stall_probability);
        }
    }

    pub(crate) fn stalled(&self) -> bool {
        self.stalled
    }
}

/// The channels of one part.
pub(crate) struct Converter<'a> {
    blocks: &'a [Block],
    channels: &'a [Channels],
    noise: Noise,
    noise_lsb: f32,
    top: f32,
    /// Channels of the whole recording.
    width: usize,
}

impl<'a> Converter<'a> {
    #[inline(always)]
    pub(crate) fn new(setting: Setting<'a>, part: usize) -> Self {
        let compiled: &Compiled = setting.compiled;
        let part = &compiled.parts[part];
        let range = part.first..part.first + part.blocks;
        let adc = setting.chip.profile.adc;
        Self {
            blocks: &compiled.blocks[range.clone()],
            channels: &compiled.channels[range],
            noise: setting.noise,
            noise_lsb: adc.map_or(0.0, |adc| adc.noise_lsb as f32),
            top: adc.map_or(0.0, |adc| ((1_u32 << adc.bits) - 1) as f32),
            width: compiled.config.recording.traces.len(),
        }
    }

    /// Whether any neuron of the part is recorded.
    #[inline(always)]
    pub(crate) fn records(&self) -> bool {
        self.channels.iter().any(|c| c.mask != 0)
    }

    /// Converts membranes `[sample, block]` into samples `[sample, channel]`.
    #[inline(always)]
    pub(crate) fn convert<L: Lanes>(
        &self,
        trial: u64,
        clock: &SampleClock,
        trace: &[Row],
        samples: &mut [u16],
        result: &mut TrialResult,
    ) {
        let blocks = self.blocks.len();
        for (b, (block, channels)) in self.blocks.iter().zip(self.channels).enumerate() {
            if channels.mask == 0 {
                continue;
            }
            let mut saturated = 0;
            let mut sample = 0;
            // Eight normal numbers a counter: two for each word.
            while sample < clock.taken.len() {
                let words = if self.noise_lsb > 0.0 {
                    let group = (sample / 8) as u32;
                    self.noise.words::<L>(NoiseOf::Sample, trial, &block.neuron, group)
                } else {
                    [L::splat_u(0); 4]
                };
                for word in words {
                    if sample >= clock.taken.len() {
                        break;
                    }
                    let zero = L::splat(0.0);
                    let pair = if self.noise_lsb > 0.0 { normals::<L>(word) } else { (zero, zero) };
                    let v = L::load(&trace[usize::from(clock.taken[sample]) * blocks + b].0);
                    saturated += self.one::<L>(block, channels, v, pair.0, sample, samples);
                    sample += 1;
                    if sample < clock.taken.len() {
                        let v = L::load(&trace[usize::from(clock.taken[sample]) * blocks + b].0);
                        saturated += self.one::<L>(block, channels, v, pair.1, sample, samples);
                        sample += 1;
                    }
                }
            }
            result.saturated += u64::from(saturated);
        }
    }

    /// One sample of sixteen channels; returns how many are at a rail.
    #[inline(always)]
    fn one<L: Lanes>(
        &self,
        block: &Block,
        channels: &Channels,
        v: L::F,
        z: L::F,
        sample: usize,
        samples: &mut [u16],
    ) -> u32 {
        let top = L::splat(self.top);
        // The first sample shows where rest is.
        let floor = if sample == 0 { L::splat(0.0) } else { L::load(&channels.floor.0) };
        let exact = match &channels.reference {
            Some(values) => L::load(&values.0),
            None => L::fma(L::load(&block.adc_gain.0), v, L::load(&block.adc_offset.0)),
        };
        let noisy = L::fma(L::splat(self.noise_lsb), z, exact);
        let rounded = L::add(L::max(L::min(noisy, top), floor), L::splat(0.5));
        let values = L::to_u16(rounded);
        // At a rail: the value below 1, or not below the top one.
        let low = !L::gt(rounded, L::splat(below(1.0)));
        let high = L::gt(rounded, L::splat(below(self.top)));
        let line = &mut samples[sample * self.width..(sample + 1) * self.width];
        if channels.run {
            let first = channels.of[0] as usize;
            if channels.mask == u16::MAX {
                if let Some(into) = line[first..].first_chunk_mut::<WIDTH>() {
                    *into = values;
                }
            } else {
                let count = channels.mask.count_ones() as usize;
                line[first..first + count].copy_from_slice(&values[..count]);
            }
        } else {
            for (channel, value) in channels.of.iter().zip(values) {
                if *channel != NOWHERE {
                    line[*channel as usize] = value;
                }
            }
        }
        ((low | high) & channels.mask).count_ones()
    }
}
