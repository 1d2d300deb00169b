//! Throughput of the emulated chip on the network of Cramer et al., PNAS 2022.
//!
//! 256 inputs, 246 hidden neurons, 10 readouts; 20 samples of 1.7 µs of all 256 membranes; 57 input
//! events a trial, latency-coded on the grid of samples; `bss2-cal` with all noise on; four runs of 25
//! trials in flight (what the trace memory holds). Each iteration is a batch of 100 trials, in
//! `reconfigured` after a change of all weights. The firing rate is part of the definition and is
//! printed: a spike costs more than anything else.
//!
//! - **trained rate**: about 22 hidden spikes a trial, as the trained network of that publication has
//!   (20). The main figure: 71 200 trials/s with 2 threads (65 000 reconfigured), 40 900 with 1, 56 100 with 1
//!   and no noise, 15 600 with 1 and AVX2.
//! - **busy**: 99.5 hidden spikes a trial: 34 000, 18 500, 22 300 and 10 800.
//!
//! Measured on an idle machine with two cores and AVX-512.
#![allow(clippy::expect_used, reason = "a bench may stop where its own set-up is wrong")]
#![allow(missing_docs, reason = "criterion's macros")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use spikeloop_hal::emulator::{Emulator, Profile, Simd};
use spikeloop_hal::{Chip, ChipConfig, Observables, SpikeEvent, Stimulus};
use std::hint::black_box;

const HIDDEN: usize = 246;
const READOUTS: usize = 10;
const INPUTS: usize = 256;
const TRIALS: usize = 100;
const PER_RUN: usize = 25;
const PERIOD: u32 = 425;

/// A small generator: the bench needs numbers, not statistics.
struct Mix(u64);

impl Mix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Roughly normal with standard deviation `sd`, rounded.
    fn code(&mut self, mean: f64, sd: f64) -> i8 {
        let sum: f64 = (0..12).map(|_| self.next() as f64 / u64::MAX as f64).sum();
        (mean + sd * (sum - 6.0)).round().clamp(-63.0, 63.0) as i8
    }
}

/// How strongly the inputs excite the hidden neurons: mean weight code, which sets the firing rate.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    mean: f64,
}

const TRAINED: Load = Load { name: "trained rate", mean: 1.4 };
const BUSY: Load = Load { name: "busy", mean: 3.0 };

fn network(chip: &Emulator, load: Load, seed: u64) -> ChipConfig {
    let mut mix = Mix(seed);
    let mut config = ChipConfig::power_up(chip.capabilities());
    config.enabled[..HIDDEN + READOUTS].fill(true);
    config.spiking[..HIDDEN].fill(true);
    for input in 0..INPUTS {
        config.row_mut(input)[..HIDDEN].iter_mut().for_each(|w| *w = mix.code(load.mean, 9.0));
    }
    for hidden in 0..HIDDEN {
        let row = &mut config.row_mut(INPUTS + hidden)[HIDDEN..HIDDEN + READOUTS];
        row.iter_mut().for_each(|w| *w = mix.code(0.0, 10.0));
    }
    config.recording.spikes = true;
    config.recording.traces = (0..(HIDDEN + READOUTS) as u16).collect();
    config.recording.sample_period = PERIOD;
    config.recording.samples = 20;
    config
}

fn images(seed: u64) -> Vec<Stimulus> {
    let mut mix = Mix(seed);
    (0..TRIALS as u64)
        .map(|trial| {
            let mut events: Vec<_> = (0..57)
                .map(|_| {
                    let (bin, id) = (mix.next() % 64, mix.next() % INPUTS as u64);
                    // Half of the pixels are bright and come first.
                    let bin = if bin < 32 { 0 } else { (bin - 32) % 20 };
                    SpikeEvent::new(bin as u32 * PERIOD, id as u16)
                })
                .collect();
            events.sort_unstable();
            Stimulus { trial, duration: 20 * PERIOD, events }
        })
        .collect()
}

fn batch(chip: &mut Emulator, stimuli: &[Stimulus], out: &mut Observables) -> usize {
    let tickets: Vec<_> =
        stimuli.chunks(PER_RUN).map(|run| chip.submit(run).expect("within the buffers")).collect();
    let mut spikes = 0;
    for ticket in tickets {
        chip.collect(ticket, out).expect("in order");
        spikes += out.spikes.len();
        black_box(&out.samples);
    }
    spikes
}

fn emulator(c: &mut Criterion) {
    let mut group = c.benchmark_group("emulator");
    group.throughput(Throughput::Elements(TRIALS as u64)).sample_size(20);
    group.measurement_time(std::time::Duration::from_secs(3));
    let mut chip = |load: Load,
                    name: &str,
                    threads: usize,
                    simd: Option<Simd>,
                    quiet: bool,
                    reconfigure: bool| {
        let name = format!("{}, {name}", load.name);
        let profile = Profile::preset("bss2-cal").expect("a preset");
        let profile = if quiet { profile.without_noise() } else { profile };
        let mut chip = Emulator::new(profile, 1, 2, threads).expect("a valid profile");
        if simd.is_some_and(|simd| chip.set_simd(simd).is_err()) {
            return;
        }
        let configs = [network(&chip, load, 1), network(&chip, load, 2)];
        chip.configure(&configs[0]).expect("a valid configuration");
        let stimuli = images(3);
        let mut out = Observables::default();
        let spikes = batch(&mut chip, &stimuli, &mut out);
        eprintln!("{name}: {:.1} hidden spikes a trial", spikes as f64 / TRIALS as f64);
        let mut turn = 0;
        group.bench_function(&name, |b| {
            b.iter(|| {
                if reconfigure {
                    turn ^= 1;
                    chip.configure(&configs[turn]).expect("a valid configuration");
                }
                batch(&mut chip, &stimuli, &mut out)
            });
        });
    };
    for load in [TRAINED, BUSY] {
        chip(load, "2 threads, reconfigured", 2, None, false, true);
        chip(load, "2 threads", 2, None, false, false);
        chip(load, "1 thread", 1, None, false, false);
        chip(load, "1 thread, no noise", 1, None, true, false);
        chip(load, "1 thread, avx2", 1, Some(Simd::Avx2), false, false);
    }
    group.finish();

    let mut group = c.benchmark_group("configure");
    let mut chip =
        Emulator::new(Profile::preset("bss2-cal").expect("a preset"), 1, 2, 1).expect("valid");
    let configs = [network(&chip, TRAINED, 1), network(&chip, TRAINED, 2)];
    let mut turn = 0;
    group.bench_function("all weights of 256-246-10", |b| {
        b.iter(|| {
            turn ^= 1;
            chip.configure(&configs[turn]).expect("a valid configuration");
        });
    });
    group.bench_function("nothing changed", |b| {
        b.iter(|| chip.configure(&configs[turn]).expect("a valid configuration"));
    });
    group.finish();
}

criterion_group!(benches, emulator);
criterion_main!(benches);
