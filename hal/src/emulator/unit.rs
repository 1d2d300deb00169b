//! What of the kernels is a function of its own for each vector unit: what runs once a trial, and the
//! single lanes of spikes. Inlined into every variant of the time loop it would be most of the code, and of
//! the time to compile it; outside of the vector unit's features every fused multiply-add is a call.

use super::adc::{Converter, SampleClock};
use super::kernel::{Bundle, Fired, Pieces, Stored, Three};
#[cfg(target_arch = "x86_64")]
use super::lanes::Array;
use super::lanes::{Lanes, Portable, Row};
use super::noise::{NoiseOf, normals};
use super::run::{Setting, TrialResult};

/// A vector unit: its lanes, and these functions compiled for it.
pub(crate) trait Unit: Lanes {
    /// Draws the thresholds of a trial and sets the state to its start.
    fn begin(setting: Setting<'_>, bundle: &Bundle<'_>, trial: u64, stored: &mut [Stored]);

    /// See [`Converter::convert`].
    fn convert(
        converter: &Converter<'_>,
        trial: u64,
        clock: &SampleClock,
        trace: &[Row],
        samples: &mut [u16],
        result: &mut TrialResult,
    );

    /// See [`Pieces::run`].
    fn pieces(
        pieces: &Pieces<'_, '_>,
        lanes: u16,
        before: &Three,
        after: &mut Three,
        stored: &mut Stored,
        fired: &mut Vec<Fired>,
    );
}

macro_rules! unit {
    ($lanes:ty $(, $features:literal)?) => {
        impl Unit for $lanes {
            #[inline(always)]
            fn begin(
                setting: Setting<'_>,
                bundle: &Bundle<'_>,
                trial: u64,
                stored: &mut [Stored],
            ) {
                #[inline(never)]
                $(#[target_feature(enable = $features)])?
                fn own(s: Setting<'_>, b: &Bundle<'_>, trial: u64, stored: &mut [Stored]) {
                    begin::<$lanes>(s, b, trial, stored);
                }
                // SAFETY: these lanes are used only after the processor was asked for the features.
                #[allow(unused_unsafe, reason = "portable code needs no features")]
                unsafe {
                    own(setting, bundle, trial, stored)
                }
            }

            #[inline(always)]
            fn convert(
                converter: &Converter<'_>,
                trial: u64,
                clock: &SampleClock,
                trace: &[Row],
                samples: &mut [u16],
                result: &mut TrialResult,
            ) {
                #[inline(never)]
                $(#[target_feature(enable = $features)])?
                fn own(
                    converter: &Converter<'_>,
                    trial: u64,
                    clock: &SampleClock,
                    trace: &[Row],
                    samples: &mut [u16],
                    result: &mut TrialResult,
                ) {
                    converter.convert::<$lanes>(trial, clock, trace, samples, result);
                }
                // SAFETY: as above.
                #[allow(unused_unsafe, reason = "portable code needs no features")]
                unsafe {
                    own(converter, trial, clock, trace, samples, result)
                }
            }

            #[inline(always)]
            fn pieces(
                pieces: &Pieces<'_, '_>,
                lanes: u16,
                before: &Three,
                after: &mut Three,
                stored: &mut Stored,
                fired: &mut Vec<Fired>,
            ) {
                #[inline(never)]
                $(#[target_feature(enable = $features)])?
                fn own(
                    pieces: &Pieces<'_, '_>,
                    lanes: u16,
                    before: &Three,
                    after: &mut Three,
                    stored: &mut Stored,
                    fired: &mut Vec<Fired>,
                ) {
                    pieces.run(lanes, before, after, stored, fired);
                }
                // SAFETY: as above.
                #[allow(unused_unsafe, reason = "portable code needs no features")]
                unsafe {
                    own(pieces, lanes, before, after, stored, fired)
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
unit!(super::lanes::Avx512, "avx512f,avx512bw,avx512dq,avx512vl,fma,avx2,bmi1,bmi2,popcnt,lzcnt");
#[cfg(target_arch = "x86_64")]
unit!(Array, "avx2,fma");
unit!(Portable);

#[inline(always)]
fn begin<L: Unit>(setting: Setting<'_>, bundle: &Bundle<'_>, trial: u64, stored: &mut [Stored]) {
    let noisy = setting.chip.profile.noise.threshold_theta > 0.0;
    for (block, s) in bundle.blocks.iter().zip(stored) {
        s.v = block.start;
        (s.e, s.i, s.held) = (Row::ZERO, Row::ZERO, 0);
        s.threshold = block.threshold;
        if noisy {
            let words = setting.noise.words::<L>(NoiseOf::Threshold, trial, &block.neuron, 0);
            let (z, _) = normals::<L>(words[0]);
            let base = L::load(&block.threshold.0);
            s.threshold = Row(L::store(L::fma(L::load(&block.threshold_noise.0), z, base)));
        }
    }
}
