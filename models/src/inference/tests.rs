use super::*;
use crate::init::{Init, draw};
use crate::layer::LayerSpec;

fn network() -> Network<f32> {
    let hidden = LayerSpec::chip_grid(30);
    let readout = hidden.readout(4);
    let mut network = Network::new(15, 10, vec![hidden, readout], &[true]).unwrap();
    for layer in 0..2 {
        draw(&mut network, layer, &Init::Normal { mean: 0.05, std: 0.5 }, None, 2).unwrap();
    }
    network
}

fn inputs(samples: usize) -> SpikeTrains {
    let mut rng = crate::random::stream(4, 4);
    let mut out = SpikeTrains::new(15, 10);
    for _ in 0..samples * 15 {
        (0..10).filter(|_| crate::random::uniform(&mut rng) < 0.2).for_each(|id| out.push(id));
        out.end_step();
    }
    out
}

fn batch<'a>(inputs: &'a SpikeTrains, labels: Option<&'a [u16]>) -> Batch<'a, f32> {
    Batch { inputs, labels, first: 0, tie_break_key: 3, observation: None }
}

#[test]
fn threads_do_not_change_results_and_order_is_kept() {
    let (network, inputs) = (network(), inputs(131));
    let labels: Vec<u16> = (0..131).map(|k| k % 4).collect();
    let mut seen = Vec::new();
    for threads in 1..=3 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut inference = Inference::new(&network, Loss::max_over_time(10.0)).unwrap();
        seen.push(pool.install(|| inference.run(&batch(&inputs, Some(&labels))).unwrap().clone()));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[0].predicted.len(), 131);
    let inference = Inference::new(&network, Loss::max_over_time(10.0)).unwrap();
    for sample in [0, 60, 130] {
        let recorded = inference.record(&batch(&inputs, None), sample).unwrap();
        assert_eq!(recorded[0].spikes.total() as u32, seen[0].spikes[0][sample]);
    }
}

#[test]
fn an_empty_batch_is_fine_and_a_wrong_one_is_refused() {
    let mut inference = Inference::new(&network(), Loss::max_over_time(1.0)).unwrap();
    let none = inputs(0);
    assert!(inference.run(&batch(&none, None)).unwrap().predicted.is_empty());
    let one = inputs(1);
    assert!(inference.run(&batch(&one, Some(&[4]))).is_err());
    assert!(inference.run(&batch(&one, Some(&[0, 1]))).is_err());
    assert!(inference.record(&batch(&one, None), 1).is_err());
}

#[test]
fn a_smooth_forward_counts_what_was_sent() {
    let mut network = network();
    let spec = &mut network.layers[0].spec;
    spec.surrogate = crate::Surrogate::Sigmoid { beta: 3.0 };
    spec.forward = crate::layer::Forward::Smooth;
    // Without weights the membrane stays at rest: 15 states of 30 units send σ(−3) each.
    network.layers.iter_mut().for_each(|l| l.weights.fill(0.0));
    network.layers[0].recurrent.as_mut().unwrap().fill(0.0);
    network.layers[0].spec.reset = crate::layer::Reset::None;
    let mut inference = Inference::new(&network, Loss::LastStep { scale: 1.0 }).unwrap();
    let trains = inputs(1);
    let sent = inference.run(&batch(&trains, None)).unwrap().spikes[0][0];
    assert_eq!(f64::from(sent), (450.0 / (1.0 + 3.0_f64.exp())).round());
}
