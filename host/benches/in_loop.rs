//! Throughput of training with a chip in the loop, in process.
//!
//! The network of Cramer et al., PNAS 2022 (256-246-10, 20 states of 1.7 µs, batch 100, traces of all neurons)
//! on `bss2-cal` with all noise on. Needs the MNIST files (environment variable `SPIKELOOP_DATA`); without them it
//! says so and times the 8x8 digits alone. Each iteration is one batch of a network that has been trained for a
//! while, so that its firing rate is that of real use; the rate is printed. A software batch beside it is what the
//! loop is to be compared with.
#![allow(clippy::expect_used, reason = "a bench may stop where its own set-up is wrong")]
#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::print_stdout, reason = "the firing rate is part of the figure")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use spikeloop::chip_loop::ChipLoop;
use spikeloop::data::{self, Dataset};
use spikeloop::experiment::Experiment;
use spikeloop::trainer::{Step, Trainer};
use spikeloop_hal::emulator::Emulator;

/// Batches learned before the clock starts.
const WARM_UP: usize = 300;

fn trainer<'a>(
    experiment: &'a Experiment,
    data: &'a Dataset,
    chip: bool,
    threads: usize,
) -> Trainer<'a> {
    let mut trainer = Trainer::new(experiment, data).expect("a valid experiment");
    if chip {
        let options = [("preset".to_owned(), "bss2-cal".to_owned())];
        let chip = Emulator::from_options(&options, threads).expect("a shipped preset");
        let observe = experiment.chip.observe;
        let chip = ChipLoop::new(Box::new(chip), &trainer.network, experiment, observe);
        trainer.attach(chip.expect("the network fits"));
    }
    for _ in 0..WARM_UP {
        trainer.step().expect("a batch");
    }
    trainer
}

fn bench(criterion: &mut Criterion) {
    for name in ["mnist16", "digits"] {
        let small = ["learning.epochs=1000000".to_owned()];
        let experiment: Experiment =
            spikeloop::config::load(name, &small).expect("a shipped experiment");
        let data = match data::load(&experiment.task, None) {
            Ok(data) => data,
            Err(error) => {
                println!("{name} skipped: {error}");
                continue;
            }
        };
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(experiment.learning.batch as u64));
        for (label, chip, threads) in [
            ("software/2 threads", false, 2),
            ("in the loop/1 thread", true, 1),
            ("in the loop/2 threads", true, 2),
        ] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.expect("threads");
            let mut trainer = pool.install(|| trainer(&experiment, &data, chip, threads));
            let mut rate = 0.0;
            group.bench_function(label, |b| {
                b.iter(|| {
                    rate = match pool.install(|| trainer.step()).expect("a batch") {
                        Step::EpochEnd(tally) => tally.spikes_per_sample(),
                        Step::Batch => trainer.position.tally.spikes_per_sample(),
                    };
                });
            });
            println!("{name} {label}: {rate:.1} hidden spikes a sample");
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
