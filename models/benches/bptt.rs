//! Training and inference of 256-246-10, samples a second, with the firing rates printed.
//!
//! `software_T100`: latency-coded input (at most one spike an input, 0.4 % a step), hidden firing
//! about 1 % a step, batch 100, maximum over time. `injected_T20`: measured spikes and membranes on
//! the grid of the chip; `dense_T20`: the same with every input firing at every step.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "benchmark")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use spikeloop_models::inference::{Batch, Inference};
use spikeloop_models::init::{Init, draw};
use spikeloop_models::loss::Loss;
use spikeloop_models::method::bptt::{Bptt, BpttConfig};
use spikeloop_models::method::{Chunk, Gradients, Method};
use spikeloop_models::optim::{Optimizer, Rule};
use spikeloop_models::regularise::Regulariser;
use spikeloop_models::{LayerObservation, LayerSpec, Network, Observation, SpikeTrains, random};

const BATCH: usize = 100;
const HIDDEN: usize = 246;

/// Each input fires once with probability `fires`, at a uniform step.
fn latency(steps: usize, fires: f64) -> SpikeTrains {
    let mut rng = random::stream(1, 1);
    let mut out = SpikeTrains::new(steps, 256);
    for _ in 0..BATCH {
        let times: Vec<Option<usize>> = (0..256)
            .map(|_| {
                let time = (random::uniform(&mut rng) * steps as f64) as usize;
                (random::uniform(&mut rng) < fires).then_some(time)
            })
            .collect();
        for t in 0..steps {
            (0..256_u16)
                .filter(|id| times[usize::from(*id)] == Some(t))
                .for_each(|id| out.push(id));
            out.end_step();
        }
    }
    out
}

fn dense(steps: usize) -> SpikeTrains {
    let mut out = SpikeTrains::new(steps, 256);
    for _ in 0..BATCH * steps {
        (0..256).for_each(|id| out.push(id));
        out.end_step();
    }
    out
}

fn network(steps: usize, gain: f64) -> Network<f32> {
    let hidden = LayerSpec::chip_grid(HIDDEN);
    let readout = hidden.readout(10);
    let mut network = Network::new(steps, 256, vec![hidden, readout], &[]).unwrap();
    for (layer, gain) in [gain, 0.7].into_iter().enumerate() {
        draw(&mut network, layer, &Init::FanIn { mean: 1e-3, gain, one_minus_beta: true }, None, 3)
            .unwrap();
    }
    network
}

fn rates(name: &str, network: &Network<f32>, inputs: &SpikeTrains) {
    let mut inference = Inference::new(network, Loss::max_over_time(10.0)).unwrap();
    let batch = Batch { inputs, labels: None, first: 0, tie_break_key: 1, observation: None };
    let spikes: u32 = inference.run(&batch).unwrap().spikes[0].iter().sum();
    let cells = (BATCH * network.steps) as f64;
    println!(
        "{name}: input {:.2} % a step, hidden {:.2} % a step, {:.1} hidden spikes a sample",
        100.0 * inputs.total() as f64 / cells / 256.0,
        100.0 * f64::from(spikes) / cells / HIDDEN as f64,
        f64::from(spikes) / BATCH as f64
    );
}

fn own(network: &Network<f32>, inputs: &SpikeTrains) -> Observation<f32> {
    let inference = Inference::new(network, Loss::max_over_time(10.0)).unwrap();
    let batch = Batch { inputs, labels: None, first: 0, tie_break_key: 1, observation: None };
    let mut spikes = SpikeTrains::new(network.steps, HIDDEN);
    let (mut v, mut o) = (Vec::new(), Vec::new());
    for sample in 0..BATCH {
        let layers = inference.record(&batch, sample).unwrap();
        for t in 0..network.steps {
            layers[0].spikes.at(0, t).iter().for_each(|id| spikes.push(*id));
            spikes.end_step();
        }
        v.extend_from_slice(&layers[0].membrane);
        o.extend_from_slice(&layers[1].membrane);
    }
    Observation {
        layers: vec![
            LayerObservation { spikes: Some(spikes), membrane: Some(v) },
            LayerObservation { spikes: None, membrane: Some(o) },
        ],
    }
}

fn train(
    c: &mut Criterion,
    name: &str,
    network: &Network<f32>,
    inputs: &SpikeTrains,
    inject: bool,
) {
    rates(name, network, inputs);
    let observation = inject.then(|| own(network, inputs));
    let labels: Vec<u16> = (0..BATCH as u16).map(|k| k % 10).collect();
    let config = BpttConfig {
        loss: Loss::max_over_time(10.0),
        regularisers: vec![
            Regulariser::SpikeCountSquared { strength: 5e-4 },
            Regulariser::WeightSquared { strength: 0.1 },
        ],
        sigma_at_measured_spikes: true,
    };
    let mut bptt = Bptt::new(network, config).unwrap();
    let mut optimizer = Optimizer::new(Rule::adam(), network).unwrap();
    let mut trained = network.clone();
    let mut group = c.benchmark_group("train");
    group.throughput(Throughput::Elements(BATCH as u64));
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        group.bench_function(format!("{name}/{threads}"), |b| {
            b.iter(|| {
                pool.install(|| {
                    bptt.begin(network).unwrap();
                    let chunk =
                        Chunk { inputs, labels: &labels, first: 0, batch: BATCH, tie_break_key: 1 };
                    bptt.accumulate(&chunk, observation.as_ref()).unwrap();
                    // The step goes to a copy, so that the firing rates stay what was printed.
                    optimizer
                        .step(&mut trained, bptt.finish().unwrap(), 1e-6, &[Some(0.2625), None])
                        .unwrap();
                });
            });
        });
    }
}

fn infer(c: &mut Criterion, name: &str, network: &Network<f32>, inputs: &SpikeTrains) {
    let mut inference = Inference::new(network, Loss::max_over_time(10.0)).unwrap();
    let batch = Batch { inputs, labels: None, first: 0, tie_break_key: 1, observation: None };
    let mut group = c.benchmark_group("infer");
    group.throughput(Throughput::Elements(BATCH as u64));
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        group.bench_function(format!("{name}/{threads}"), |b| {
            b.iter(|| pool.install(|| inference.run(&batch).map(|o| o.predicted[0]).unwrap()));
        });
    }
}

fn adam(c: &mut Criterion) {
    let mut network = network(20, 0.7);
    let mut gradients = Gradients::zeros(&network);
    gradients.layers[0].weights.fill(1e-3);
    for (name, rule) in
        [("adam", Rule::adam()), ("adamax", Rule::adamax()), ("smorms3", Rule::smorms3())]
    {
        let mut optimizer = Optimizer::new(rule, &network).unwrap();
        c.bench_function(&format!("{name}/65436 weights"), |b| {
            b.iter(|| optimizer.step(&mut network, &gradients, 1e-9, &[]).unwrap());
        });
    }
}

fn all(c: &mut Criterion) {
    let (t100, t20) = (latency(100, 0.4), latency(20, 0.22));
    train(c, "software_T100", &network(100, 6.5), &t100, false);
    infer(c, "software_T100", &network(100, 6.5), &t100);
    train(c, "software_T20", &network(20, 4.0), &t20, false);
    infer(c, "software_T20", &network(20, 4.0), &t20);
    train(c, "injected_T20", &network(20, 4.0), &t20, true);
    train(c, "dense_T20", &network(20, 0.1), &dense(20), false);
    adam(c);
}

criterion_group!(benches, all);
criterion_main!(benches);
