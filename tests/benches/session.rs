//! What the firmware's server, the wire and a link add to the emulator: a batch of 100 images without
//! traces, in process, in memory, over a pseudo-terminal and over TCP; and with the traces of all membranes.
//!
//! 256 inputs, 246 hidden neurons, 10 readouts, 57 input events a trial (MNIST at 16x16), about 22 hidden
//! spikes a trial. Compare the ways within one run: the machine does not matter for the ratio. The batch
//! goes out in four runs of 25 trials, all in flight, as a training behind a link does.
//!
//! **A batch alone** begins with nothing under way and ends with nothing under way, as in a training, in
//! which the weights change between batches: that is the figure that counts. **In a stream** the next
//! batch follows before the last one is back: what is left when nobody waits for the link.
#![allow(clippy::expect_used, reason = "a bench may stop where its own set-up is wrong")]
#![allow(missing_docs, reason = "criterion's macros")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use spikeloop_hal::{Chip, ChipConfig, Observables, SpikeEvent, Stimulus, Ticket};
use spikeloop_tests::boards::{self, Way};
use std::collections::VecDeque;
use std::hint::black_box;

const HIDDEN: usize = 246;
const READOUTS: usize = 10;
const INPUTS: usize = 256;
const TRIALS: usize = 100;
const PERIOD: u32 = 425;

struct Mix(u64);

impl Mix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn code(&mut self, mean: f64, sd: f64) -> i8 {
        let sum: f64 = (0..12).map(|_| self.next() as f64 / u64::MAX as f64).sum();
        (mean + sd * (sum - 6.0)).round().clamp(-63.0, 63.0) as i8
    }
}

fn network(chip: &dyn Chip, traces: bool) -> ChipConfig {
    let mut mix = Mix(4);
    let mut config = ChipConfig::power_up(chip.capabilities());
    config.enabled[..HIDDEN + READOUTS].fill(true);
    config.spiking[..HIDDEN].fill(true);
    for source in 0..INPUTS {
        config.row_mut(source)[..HIDDEN].fill_with(|| mix.code(1.4, 10.0));
    }
    config.recording.spikes = true;
    if traces {
        config.recording.traces = (0..(HIDDEN + READOUTS) as u16).collect();
        config.recording.sample_period = PERIOD;
        config.recording.samples = 20;
    }
    config
}

fn stimuli() -> Vec<Stimulus> {
    let mut mix = Mix(9);
    (0..TRIALS as u64)
        .map(|trial| {
            let mut events: Vec<_> = (0..57)
                .map(|_| {
                    let step = mix.next() % 20;
                    SpikeEvent::new(step as u32 * PERIOD, (mix.next() % INPUTS as u64) as u16)
                })
                .collect();
            events.sort();
            Stimulus { trial, duration: 20 * PERIOD, events }
        })
        .collect()
}

/// The whole batch, as many runs in flight as fit.
fn batch(chip: &mut dyn Chip, stimuli: &[Stimulus], per_run: usize, out: &mut Observables) {
    let depth = usize::from(chip.capabilities().buffers.runs_in_flight);
    let mut waiting = VecDeque::new();
    let mut parts = stimuli.chunks(per_run);
    loop {
        while waiting.len() < depth
            && let Some(part) = parts.next()
        {
            waiting.push_back(chip.submit(part).expect("a run that fits"));
        }
        let Some(ticket) = waiting.pop_front() else { return };
        chip.collect(ticket, out).expect("a run comes back");
        black_box(&out.spikes);
    }
}

/// The whole batch on the heels of the one before: as many runs come back as go out, and `waiting` ones
/// stay under way.
fn stream(
    chip: &mut dyn Chip,
    stimuli: &[Stimulus],
    per_run: usize,
    waiting: &mut VecDeque<Ticket>,
    out: &mut Observables,
) {
    let depth = usize::from(chip.capabilities().buffers.runs_in_flight);
    for part in stimuli.chunks(per_run) {
        if waiting.len() == depth
            && let Some(ticket) = waiting.pop_front()
        {
            chip.collect(ticket, out).expect("a run comes back");
            black_box(&out.spikes);
        }
        waiting.push_back(chip.submit(part).expect("a run that fits"));
    }
}

fn ways(c: &mut Criterion) {
    let stimuli = stimuli();
    for (name, traces, per_run) in [("without traces", false, 25), ("with traces", true, 25)] {
        for threads in [1, 2] {
            let mut group = c.benchmark_group(format!("{name}, {threads} emulator thread(s)"));
            group.throughput(Throughput::Elements(TRIALS as u64)).sample_size(30);
            for way in Way::ALL {
                let (mut chip, bench) = boards::open("emu:preset=bss2-cal,seed=1", way, threads);
                let config = network(chip.as_ref(), traces);
                chip.configure(&config).expect("a configuration that fits");
                let mut out = Observables::default();
                group.bench_function(format!("{way:?}, alone"), |b| {
                    b.iter(|| batch(chip.as_mut(), &stimuli, per_run, &mut out));
                });
                let mut waiting = VecDeque::new();
                group.bench_function(format!("{way:?}, in a stream"), |b| {
                    b.iter(|| stream(chip.as_mut(), &stimuli, per_run, &mut waiting, &mut out));
                });
                drop((chip, bench));
            }
            group.finish();
        }
    }
}

criterion_group!(benches, ways);
criterion_main!(benches);
