//! Small trainings, and everything of them that must be the same bits.

use crate::boards::{self, Way};
use spikeloop::chip_loop::ChipLoop;
use spikeloop::config;
use spikeloop::data::{self, Dataset};
use spikeloop::experiment::Experiment;
use spikeloop::trainer::{Step, Tally, Trainer};
use spikeloop_calibration::TraceBytes;
use spikeloop_hal::{Chip, Health};

/// A shipped experiment with some of its values replaced, and its data.
///
/// # Panics
/// If the experiment or its data cannot be had.
#[must_use]
pub fn experiment(name: &str, set: &[&str]) -> (Experiment, Dataset) {
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    let experiment: Experiment = config::load(name, &set).unwrap();
    let data = data::load(&experiment.task, None).unwrap();
    (experiment, data)
}

/// Everything that comes out of one epoch, exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Bits of all weights.
    pub weights: Vec<u32>,
    /// Sums of the epoch.
    pub learned: Tally,
    /// Sums of the evaluation after it.
    pub evaluated: Tally,
    /// Predictions on the test set.
    pub predicted: Vec<u16>,
    /// Saturated samples, weights clipped, spikes not used.
    pub counts: [u64; 3],
    /// What the membranes cost on a link: the same in process.
    pub trace_bytes: TraceBytes,
}

/// Learns one epoch on a chip and evaluates, `threads` for host and chip each.
///
/// # Panics
/// If anything fails.
#[must_use]
pub fn one_epoch(
    (experiment, data): &(Experiment, Dataset),
    way: Way,
    (host, chip): (usize, usize),
) -> Trace {
    let selector = experiment.chip.selector.clone().unwrap();
    let (chip, bench) = boards::open(&selector, way, chip);
    let trace = one_epoch_on((experiment, data), chip, host).0;
    drop(bench);
    trace
}

/// The same on a chip that is open already; and what the chip's link went through.
///
/// # Panics
/// If anything fails.
#[must_use]
pub fn one_epoch_on(
    (experiment, data): (&Experiment, &Dataset),
    chip: Box<dyn Chip>,
    host: usize,
) -> (Trace, Health) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(host).build().unwrap();
    pool.install(|| {
        let mut trainer = Trainer::new(experiment, data).unwrap();
        let looped =
            ChipLoop::new(chip, &trainer.network, experiment, experiment.chip.observe).unwrap();
        trainer.attach(looped);
        let learned = loop {
            if let Step::EpochEnd(tally) = trainer.step().unwrap() {
                break tally;
            }
        };
        let evaluation = trainer.evaluate(&data.test, 1).unwrap();
        let counters = trainer.chip().unwrap().counters();
        let health = trainer.chip().unwrap().health();
        drop(trainer.detach());
        let trace = Trace {
            weights: trainer
                .network
                .layers
                .iter()
                .flat_map(|layer| layer.weights.iter().map(|w| w.to_bits()))
                .collect(),
            learned,
            evaluated: evaluation.tally,
            predicted: evaluation.predicted,
            trace_bytes: counters.trace_bytes,
            counts: [counters.saturated_samples, counters.clipped_weights, counters.unused_spikes],
        };
        (trace, health)
    })
}
