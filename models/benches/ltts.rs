//! One epoch of the published 3-D trajectory (500 neurons, 1000 bins, about 4500 target spikes) on one
//! thread: the gradient of the offline rule from products with the raster and scans, against the same
//! gradient bin by bin; and the online epoch with its 1000 steps of Adam.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "benchmark")]

use criterion::{Criterion, criterion_group, criterion_main};
use spikeloop_models::method::ltts::{
    Ltts, LttsLearning, LttsNetwork, Mode, Pattern, project, stepping,
};
use spikeloop_models::random::stream;
use spikeloop_models::task::trajectory::{clock, trajectory};

const STEPS: usize = 1000;

fn pattern(network: &LttsNetwork) -> Pattern<f32> {
    let y = trajectory(STEPS, 3, 20, &mut stream(1, 0));
    let input = project(&clock(STEPS, 5), network.neurons, 4.0, &mut stream(1, 1));
    let teach = project(&y, network.neurons, 2.0, &mut stream(1, 2));
    Pattern::taught(network, &input, &teach, &y).unwrap()
}

fn all(c: &mut Criterion) {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    let network = LttsNetwork::default();
    let pattern = pattern(&network);
    println!("{} target spikes", pattern.target().total());
    let learner = |mode| {
        let learning = LttsLearning { mode, ..Default::default() };
        let mut ltts = Ltts::new(&network, &learning, vec![pattern.clone()], 1).unwrap();
        // Weights as they are while learning.
        for _ in 0..3 {
            ltts.epoch();
        }
        ltts
    };
    let mut group = c.benchmark_group("ltts");
    group.sample_size(20);
    let mut offline = learner(Mode::Offline);
    let weights = offline.recurrent().weights(0).unwrap();
    group.bench_function("offline/stepping", |b| {
        b.iter(|| stepping::gradient(&network, &weights, &pattern, 0.05));
    });
    group.bench_function("offline/gradient", |b| b.iter(|| offline.gradient()));
    group.bench_function("offline/epoch", |b| b.iter(|| offline.epoch()));
    let mut online = learner(Mode::Online);
    group.bench_function("online/epoch", |b| b.iter(|| online.epoch()));
    group.bench_function("run", |b| b.iter(|| online.test(0).unwrap()));
    group.finish();
}

criterion_group!(benches, all);
criterion_main!(benches);
