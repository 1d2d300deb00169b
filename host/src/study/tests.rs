use super::firing::FiringSettings;
use super::gradients::{Answer, Data, Plan, Task, rows};
use super::landscape::Plane;
use super::local::LocalSettings;
use super::rates::RateSettings;
use super::surrogate::{self, Cell, Shape};
use super::*;
use spikeloop_models::SpikeTrains;
use spikeloop_models::method::noise::Noise;
use spikeloop_models::method::smooth::Annealing;
use spikeloop_models::surrogate::Surrogate;

struct Quiet;

impl Watch for Quiet {
    fn advance(&self, _parts: u64) {}
    fn stop(&self) -> bool {
        false
    }
}

fn plan(epochs: usize) -> Plan {
    Plan {
        tasks: vec![Task::Digits],
        answers: Answer::ALL.to_vec(),
        seeds: vec![1],
        epochs,
        every: 2,
        noise: Noise::default(),
        // Flatter than the defaults: a few epochs have to be enough.
        expected_beta: 10.0,
        smooth: Annealing { from: 5.0, to: 50.0 },
        firing: FiringSettings::default(),
        local: LocalSettings::default(),
        rates: RateSettings { steps: 12, ..RateSettings::default() },
    }
}

/// A small part of the digits and a small network.
fn small(plan: &Plan) -> (Experiment, Data) {
    let set = [
        "network.hidden=[40]",
        "task.train=400",
        "task.validation=50",
        "task.test=100",
        "learning.batch=20",
    ];
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    let experiment = plan.experiment(Task::Digits, &set).unwrap();
    let data = Data::load(&experiment).unwrap();
    (experiment, data)
}

#[test]
fn every_answer_learns_and_gives_the_same_bits_again() {
    let plan = plan(6);
    let (experiment, data) = small(&plan);
    assert_eq!(data.spikes.test.labels, data.features.test.labels);
    let mut cells = Vec::new();
    for answer in Answer::ALL {
        let run = || plan.run(Task::Digits, answer, 1, &experiment, &data, &Quiet).unwrap();
        let cell = run();
        // Ten classes: chance is 10 %.
        let accuracy = cell.learned.test_accuracy;
        assert!(accuracy > 0.35, "{}: {accuracy}", answer.label());
        assert_eq!(cell.learned.curve.len(), 3, "{}", answer.label());
        assert!(cell.learned.hidden_spikes > 0.0);
        assert_eq!(answer.input() == "constant current", !cell.by_steps.is_empty());
        let fast = [Answer::NoiseSampled, Answer::FiringTimes, Answer::LocalReadouts];
        if fast.contains(&answer) {
            assert_eq!(run().learned, cell.learned);
        }
        cells.push(cell);
    }
    let rows = rows(&cells);
    assert_eq!((rows.len(), rows[0].answer, rows[0].seeds), (8, Answer::Surrogate, 1));
    assert_eq!(rows[2].test_accuracy, cells[2].learned.test_accuracy);
}

#[test]
fn firing_times_need_time_constants_with_a_closed_form() {
    let mut plan = plan(1);
    let with = |plan: &Plan, tau: &str| {
        plan.check(&plan.experiment(Task::Digits, &[format!("network.tau_mem_us={tau}")]).unwrap())
    };
    // The synapse has 6 us.
    assert!(with(&plan, "6.0").is_ok() && with(&plan, "12.0").is_ok());
    let error = with(&plan, "7.0").unwrap_err().to_string();
    assert!(error.contains("network.tau_mem_us") && error.contains("tau_syn_us"), "{error}");
    plan.answers.retain(|answer| *answer != Answer::FiringTimes);
    assert!(with(&plan, "7.0").is_ok());
    plan.local.dropout = 1.0;
    assert!(with(&plan, "7.0").is_err());
}

#[test]
fn the_sampled_gradient_loses_its_noise_with_draws() {
    let plan = plan(1);
    let (experiment, data) = small(&plan);
    let found =
        variance::measure(&experiment, &data.spikes, Noise::default(), &[1, 16], &Quiet).unwrap();
    let [one, many] = [0, 1].map(|k| found.points[k].relative_variance);
    assert!(one > 5.0 * many && many > 0.0, "{one} {many}");
    assert!(found.cosine_expected > 0.0 && found.cosine_expected <= 1.0);
}

#[test]
fn means_deviations_and_plateaus_by_hand() {
    assert_eq!(mean_and_deviation(&[1.0, 3.0]), (2.0, 2.0_f64.sqrt()));
    assert_eq!(mean_and_deviation(&[4.0]), (4.0, 0.0));
    let cell = |beta: f64, test_accuracy: f64| {
        let learned = Learned { test_accuracy, ..Learned::default() };
        Cell { shape: Shape::Tanh, beta, seed: 1, learned }
    };
    let cells = [cell(1.0, 0.5), cell(2.0, 0.895), cell(4.0, 0.9), cell(8.0, 0.4)];
    let betas = [1.0, 2.0, 4.0, 8.0];
    assert_eq!(surrogate::plateau(&cells, Shape::Tanh, &betas, 0.01), Some((2.0, 4.0)));
    assert_eq!(surrogate::plateau(&cells, Shape::Tanh, &betas, 0.0), Some((4.0, 4.0)));
    // A hole ends it.
    let holed = [cell(1.0, 0.899), cell(2.0, 0.5), cell(4.0, 0.9), cell(8.0, 0.895)];
    assert_eq!(surrogate::plateau(&holed, Shape::Tanh, &betas, 0.01), Some((4.0, 8.0)));
    assert_eq!(surrogate::plateau(&[], Shape::Tanh, &[], 0.01), None);
}

#[test]
fn shapes_have_the_peaks_and_areas_that_they_are_named_after() {
    for shape in Shape::ALL {
        let [low, high] = [5.0, 50.0].map(|beta| shape.with(beta));
        assert_eq!(shape.label().contains("peak"), low.peak() == high.peak(), "{}", shape.label());
        assert_eq!(shape.label().contains("area"), low.area() == high.area(), "{}", shape.label());
    }
}

#[test]
fn the_plane_goes_through_the_network_and_its_differences_are_gradients() {
    let plan = plan(1);
    let (mut experiment, data) = small(&plan);
    experiment.network.surrogate = Surrogate::Sigmoid { beta: 5.0 };
    experiment.network.hidden = vec![12];
    let network = experiment.network(data.spikes.inputs, 10).unwrap();
    let mut inputs = SpikeTrains::default();
    data.spikes.train.encode(&(0..10).collect::<Vec<_>>(), &experiment.grid(), &mut inputs);
    let labels = &data.spikes.train.labels[..10];
    let plane = Plane::new(&network, &inputs, labels, experiment.learning.loss, 3);
    let grid = plane.grid(3, 0.5, &Quiet).unwrap();
    assert_eq!((grid.hard.len(), grid.smooth.len()), (9, 9));
    assert!(grid.smooth.iter().any(|l| (l - grid.smooth[4]).abs() > 1e-3));
    let check = plane.check(0.0, 0.0, 40).unwrap();
    // The gradient of the smooth network is exact: what is left is the rounding of the differences, and a maximum
    // over time that changes its place.
    assert!(check.error < 1e-4, "{check:?}");
    assert!((-1.0..=1.0).contains(&check.cosine));
}
