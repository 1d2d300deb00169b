//! Oracles: the equations of the model, against membranes of a digital chip whose tick is a bin; a free run of a
//! chip, against the same chip forced to the spikes of that run; a run without an interruption.

use super::super::task::{Task, Way};
use super::super::{LttsLesson, open};
use super::*;
use crate::lesson::testing::Always;
use crate::lesson::{Lesson, Surroundings, parse};
use crate::run_folder::{RunFolder, file};
use crate::virtual_board::{Place, VirtualBoard};
use ndarray::Array2;
use spikeloop_hal::link::BoxLink;
use spikeloop_hal::registry::Registry;
use spikeloop_hal::session::{Session, SessionOptions};
use spikeloop_hal::{OpenOptions, Selector};
use spikeloop_models::method::ltts::Pattern;
use spikeloop_models::random::{normal, stream};

/// A digital core whose tick is a bin.
const DIGITAL: &str = "emu:preset=fpga-ideal,neurons=48,inputs=128";
/// An analog chip as they are, and one without noise whose synapses are all the same: those of the lines are
/// not those of the neurons.
const ANALOG: &str = "emu:preset=bss2-cal,neurons=48,inputs=128,seed=3";
const EQUAL: &str = "emu:preset=bss2-cal,neurons=48,inputs=128,seed=3,noise=off,sigma=0";
const ANALOG_SET: &[&str] = &["chip.dt_us=1.0", "chip.delay_us=0.5"];
const SMALL: &[&str] =
    &["task.steps=50", "task.channels=1", "network.neurons=40", "learning.rate=0.05"];

fn device(selector: &str) -> Device {
    let options = OpenOptions { threads: 1, ..OpenOptions::default() };
    let chip = selector.parse::<Selector>().unwrap().open(&options).unwrap();
    Device { selector: selector.into(), chip, calibration: None }
}

fn sections(overrides: &[&[&str]]) -> toml::Table {
    let overrides: Vec<String> = overrides.concat().iter().map(|set| (*set).to_owned()).collect();
    let mut sections = crate::config::table("ltts-chip", &overrides).unwrap();
    sections.remove("name");
    sections.remove("seed");
    sections["learning"].as_table_mut().unwrap().remove("method");
    sections
}

fn lesson(overrides: &[&[&str]], selector: Option<&str>) -> Result<Box<dyn Lesson>, LessonError> {
    open(sections(overrides), Surroundings { seed: 2, data: None, chip: selector.map(device) })
}

fn of(figures: &Figures, name: &str) -> f64 {
    figures.iter().find(|figure| figure.0 == name).unwrap_or_else(|| panic!("no {name}")).1
}

/// A board with random weights of this size, its learner, and its patterns, with these target spikes.
fn board(
    overrides: &[&[&str]],
    selector: &str,
    sigma: f64,
    target: Option<&SpikeTrains>,
) -> (Board, Ltts<f32>, Patterns) {
    let config: super::super::Config = parse(sections(overrides)).unwrap();
    let (network, learning) = (&config.network, &config.learning);
    assert!(matches!(config.task, Task::Trajectory(_)));
    let mut patterns = config.task.patterns(network, 0, (2, Way::Synapses), None).unwrap();
    if let Some(target) = target {
        let of = &patterns.all[0];
        patterns.all[0] =
            Pattern::new(of.drive().clone(), target.clone(), of.output().clone()).unwrap();
    }
    let mut ltts = Ltts::new(network, learning, patterns.all.clone(), 1).unwrap();
    let mut rng = stream(5, 0);
    let n = network.neurons;
    let mut weights = Array2::from_shape_simple_fn((n, n), || (sigma * normal(&mut rng)) as f32);
    weights.diag_mut().fill(0.0);
    ltts.recurrent_mut().set_weights(0, &weights).unwrap();
    let chip = config.chip.unwrap();
    let board = Board::new(device(selector), &chip, (network, learning), &patterns).unwrap();
    (board, ltts, patterns)
}

#[test]
fn a_digital_chip_that_is_forced_has_the_membranes_of_the_model() {
    let overrides: &[&[&str]] = &[SMALL, &["task.sigma_clock=1.0"]];
    // Each neuron is heard every tenth bin.
    let mut target = SpikeTrains::new(50, 40);
    for t in 0..50 {
        (0..40_u16).filter(|j| t > 0 && (t + 3 * j) % 10 == 1).for_each(|j| target.push(j));
        target.end_step();
    }
    let (mut board, ltts, patterns) = board(overrides, DIGITAL, 0.3, Some(&target));
    let run = board.force(&ltts).unwrap().remove(0);
    let (pattern, network) = (&patterns.all[0], ltts.recurrent().network());
    let weights = ltts.recurrent().weights(0).unwrap();
    let n = network.neurons;
    let beta = (-1.0 / network.tau_syn).exp() as f32;
    let (mut v, mut s_hat) = (vec![-4.0_f32; n], vec![0.0_f32; n]);
    let (mut worst, mut moved, mut heard) = (0.0_f32, 0.0_f32, 0);
    for t in 0..pattern.drive().steps() - 1 {
        for (j, s) in s_hat.iter_mut().enumerate() {
            let fires = pattern.target().at(0, t).contains(&(j as u16));
            heard += usize::from(fires);
            *s = beta * *s + (1.0 - beta) * f32::from(u8::from(fires));
        }
        for (i, v) in v.iter_mut().enumerate() {
            let u: f32 = s_hat.iter().enumerate().map(|(j, s)| weights[[j, i]] * s).sum();
            *v += (u + pattern.drive().row(t)[i] - 4.0 - *v) / 8.0;
            let measured = run.membranes.as_ref().unwrap().row(t + 1)[i];
            worst = worst.max((measured - *v).abs());
            moved = moved.max((*v + 4.0).abs());
        }
    }
    assert_eq!(run.spikes.count(0), 0, "weak inputs do not reach the threshold");
    // A step of the converter is 4/70; codes of the weights round as well.
    assert!(worst < 0.06, "off by {worst} of a membrane that moves by {moved}");
    assert!(moved > 1.5 && heard > 150, "{moved}, {heard} spikes");
}

#[test]
fn a_chip_that_is_forced_to_its_own_free_run_fires_as_in_the_free_run() {
    for (selector, set) in [(DIGITAL, &[][..]), (EQUAL, ANALOG_SET)] {
        let overrides: &[&[&str]] = &[SMALL, set, &["task.sigma_clock=8.0"]];
        let (mut first, ltts, _) = board(overrides, selector, 0.8, None);
        let free = first.free(&ltts, 0..1).unwrap().remove(0);
        assert!(free.count(0) > 30, "{selector}: {} spikes", free.count(0));
        let (mut forced, ltts, _) = board(overrides, selector, 0.8, Some(&free));
        let wrong = |a: &SpikeTrains, b: &SpikeTrains, t: usize| {
            let (a, b) = (a.at(0, t), b.at(0, t));
            a.iter().filter(|id| !b.contains(id)).count()
                + b.iter().filter(|id| !a.contains(id)).count()
        };
        let run = forced.force(&ltts).unwrap().remove(0);
        // Heard in the middle of the bins, where an analog chip does not fire.
        assert_eq!((0..free.steps()).map(|t| wrong(&free, &run.spikes, t)).sum::<usize>(), 0);
        let off = |spike: &&Teaching| {
            let middle = (Tick::from(spike.bin) - 1) * forced.step + (forced.step - 1) / 2;
            spike.tick != middle + forced.delay
        };
        let moved = forced.teaching[0].iter().filter(off).count();
        assert_eq!(moved == 0, selector == DIGITAL, "{selector}: {moved}");
        // And when it did. Its spikes have time stamps: one at the end of a bin may come into the next.
        let run = forced.force(&ltts).unwrap().remove(0);
        let left = (0..free.steps()).map(|t| wrong(&free, &run.spikes, t)).sum::<usize>();
        assert!(left <= 2, "{selector}: {left} of {}", free.count(0));
        assert_eq!(forced.free(&ltts, 0..1).unwrap()[0], free);
    }
}

#[test]
fn a_lesson_on_a_chip_goes_on_with_the_same_bits() {
    let open = || lesson(&[SMALL, ANALOG_SET, &["chip.runs=2"]], Some(ANALOG)).unwrap();
    let mut whole = open();
    let straight: Vec<Figures> = (0..4).map(|k| whole.epoch(k, &Always).unwrap()).collect();
    let mut first = open();
    (0..2).for_each(|k| assert_eq!(first.epoch(k, &Always).unwrap(), straight[k]));
    let mut state = State::default();
    first.save(&mut state);
    let mut second = open();
    second.restore(&state).unwrap();
    (2..4).for_each(|k| assert_eq!(second.epoch(k, &Always).unwrap(), straight[k]));
    assert_eq!(second.finish().unwrap(), whole.finish().unwrap());
    assert_eq!(whole.pictures().len(), 2);
    let other = ANALOG.replace("seed=3", "seed=4");
    let mut refused = lesson(&[SMALL, ANALOG_SET], Some(&other)).unwrap();
    let refused = refused.restore(&state).unwrap_err().to_string();
    assert!(refused.contains("belong to their chip"), "{refused}");
}

#[test]
fn it_learns_in_the_loop_and_its_weights_are_a_start_elsewhere() {
    let set = &["task.sigma_clock=8.0", "learning.rate=0.1", "learning.delta_v=0.1"];
    let mut ideal = lesson(&[SMALL, set], Some(DIGITAL)).unwrap();
    let first = ideal.epoch(0, &Always).unwrap();
    let last = (1..80).map(|k| ideal.epoch(k, &Always).unwrap()).last().unwrap();
    assert!(of(&last, "deviation") < 0.5 * of(&first, "deviation"), "{first:?} {last:?}");
    let found = ideal.finish().unwrap();
    assert!(of(&found, "mse") < 0.6 * of(&first, "mse"), "{first:?} {found:?}");
    assert!(of(&found, "delta_s") < 0.4 * of(&first, "delta_s"), "{first:?} {found:?}");
    // What its folder would hold.
    let mut state = State::default();
    ideal.save(&mut state);
    let mut config = ideal.config();
    config.insert("seed".into(), 2.into());
    state.put_text("run.experiment", toml::to_string(&config).unwrap());
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    let folder = RunFolder::create(&path).unwrap();
    folder.write(file::CONFIG, b"").unwrap();
    folder.write(file::CHECKPOINT, &state.to_bytes().unwrap()).unwrap();
    let weights = format!("chip.weights=\"{}\"", path.display());
    let mut again = lesson(&[SMALL, set, &[&weights]], Some(DIGITAL)).unwrap();
    again.epoch(0, &Always).unwrap();
    let start = again.finish().unwrap();
    assert_eq!(of(&start, "start_mse"), of(&found, "mse"));
    assert_eq!(of(&start, "start_delta_s"), of(&found, "delta_s"));
    let other = lesson(&[SMALL, set, &[&weights, "network.tau_mem=9.0"]], None).err().unwrap();
    assert!(other.to_string().contains("chip.weights"), "{other}");
}

#[test]
fn what_does_not_fit_is_refused_before_the_first_run() {
    let refused = |overrides: &[&str], selector: &str| {
        lesson(&[SMALL, overrides], Some(selector)).err().unwrap().to_string()
    };
    let narrow = DIGITAL.replace("inputs=128", "inputs=50");
    assert!(refused(&[], &narrow).contains("make network.neurons smaller"));
    assert!(refused(&[], &DIGITAL.replace("neurons=48", "neurons=30")).contains("30 neurons"));
    let blind = "emu:preset=dynapse-like";
    assert!(refused(&["chip.dt_us=1.0"], blind).contains("learning.delta_v=0"));
    assert!(lesson(&[SMALL, ANALOG_SET, &["learning.delta_v=0"]], Some(blind)).is_ok());
    let mut caps = device(DIGITAL).chip.capabilities().clone();
    caps.recurrent = false;
    let alone = check_fit(&caps, (40, 50), &ChipConfig::default(), true).unwrap_err().to_string();
    assert!(alone.contains("cannot drive neurons") && alone.contains("--software"), "{alone}");
    assert!(refused(&["chip.dt_us=0.5"], ANALOG).contains("1 us a sample"));
    assert!(refused(&["chip.weight_limit=1e6"], DIGITAL).contains("chip.weight_limit"));
    assert!(refused(&["learning.mode=\"online\""], DIGITAL).contains("learning.mode"));
    assert!(refused(&["network.v0=0.0"], DIGITAL).contains("network.v0"));
    assert!(refused(&["network.h=1.0"], DIGITAL).contains("network.h"));
    let conductance = "network.synapse={kind=\"conductance\"}";
    assert!(refused(&[conductance], DIGITAL).contains("network.synapse"));
    assert!(refused(&["chip.runs=0"], DIGITAL).contains("chip.runs"));
    assert!(refused(&["chip.delay_us=-1.0"], DIGITAL).contains("chip.delay_us"));
    let mut bare = sections(&[SMALL]);
    bare.remove("chip");
    let around = Surroundings { seed: 2, data: None, chip: Some(device(DIGITAL)) };
    assert!(open(bare, around).err().unwrap().to_string().contains("ltts-chip"));
}

#[test]
fn every_level_of_the_input_has_a_line() {
    let text = "
        task = { name = 'temporal-xor' }
        network = { neurons = 20, v0 = -1.0, h = -1.0 }
        learning = { mode = 'offline', epochs = 2 }
        chip = { weight_limit = 2.0 }";
    let config: super::super::Config = parse(text.parse().unwrap()).unwrap();
    let lesson = LttsLesson::new(config, 1, None, None).unwrap();
    let lines = Lines::new(&lesson.patterns.input, 2.0).unwrap();
    assert!(lines.weights.iter().all(|w| w.abs() <= 2.0));
    for (pattern, signal) in lesson.patterns.input.signals.iter().enumerate() {
        for bin in 0..signal.nrows() {
            let on = lines.spikes[pattern].iter().filter(|(at, _)| *at == bin);
            let mut sum = [0.0_f64; 20];
            for (_, line) in on {
                let row = &lines.weights[usize::from(*line) * 20..][..20];
                sum.iter_mut().zip(row).for_each(|(sum, w)| *sum += f64::from(*w));
            }
            for (k, sum) in sum.iter().enumerate() {
                let current = signal[[bin, 0]] * lesson.patterns.input.projection[[0, k]];
                assert!((sum - current).abs() < 1e-5, "{sum} for {current} in bin {bin}");
            }
        }
    }
}

/// In memory, behind the wire; from membranes, with a rate that falls.
#[test]
fn a_device_learns_target_spikes_by_itself() {
    let chip = "emu:preset=loihi-like,neurons=48,inputs=128";
    let set: &[&str] = &[
        "task.sigma_clock=8.0",
        "learning.epochs=40",
        "learning.rate=0.1",
        "learning.rate_periods=2",
        "learning.rate_factor=0.5",
        "learning.delta_v=0.05",
        "learning.learn=\"on-chip\"",
    ];
    let place = tempfile::tempdir().unwrap();
    let registry = Registry::at(place.path());
    let mut board =
        VirtualBoard::start_in(&chip.parse().unwrap(), &Place::Memory, 1, &registry).unwrap();
    let link: BoxLink = Box::new(board.take_link().unwrap());
    let session = Session::open(link, SessionOptions::default()).unwrap();
    let device = Device { selector: "test".into(), chip: Box::new(session), calibration: None };
    let around = Surroundings { seed: 2, data: None, chip: Some(device) };
    let mut lesson = open(sections(&[SMALL, set]), around).unwrap();
    assert!(!lesson.can_go_on());
    assert_eq!(lesson.config()["learning"]["learn"].as_str(), Some("on-chip"));
    let seen: Vec<f64> =
        (0..40).map(|k| of(&lesson.epoch(k, &Always).unwrap(), "deviation")).collect();
    let last = seen[30..].iter().sum::<f64>() / 10.0;
    assert!(last < 0.75 * seen[0], "{seen:?}");
    assert!(lesson.finish().is_ok());
    assert!(lesson.restore(&State::default()).is_err());
    let refused = |overrides: &[&str], selector: Option<&str>| {
        self::lesson(&[SMALL, set, overrides], selector).err().unwrap().to_string()
    };
    assert!(refused(&[], None).contains("learning.learn"));
    assert!(refused(&[], Some(chip)).contains("does not learn by itself"));
    assert!(refused(&["chip.dt_us=0.2"], Some(chip)).contains("one tick"));
    assert!(refused(&["learning.learn=\"there\""], Some(chip)).contains("on-chip"));
}
