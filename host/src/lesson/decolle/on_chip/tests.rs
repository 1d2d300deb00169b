//! A device behind the wire against the same sums on the host.

use super::*;
use crate::calibration_choice::Device;
use crate::lesson::decolle::{self, chip::ChipConfig};
use crate::lesson::testing::Always;
use crate::lesson::{Lesson, State, Surroundings};
use crate::virtual_board::{Place, VirtualBoard};
use spikeloop_hal::link::BoxLink;
use spikeloop_hal::registry::Registry;
use spikeloop_hal::{Session, SessionOptions};
use spikeloop_models::SpikeTrains;
use spikeloop_models::method::decolle::{LayerKind, Shape};
use spikeloop_models::random::mix;

const DIGITS: &str = "
    task = { name = 'digits', steps = 40, rate = 0.5, train = 200, test = 40, validation = 20 }
    network = { layers = [{ kind = 'dense', units = 24 }, { kind = 'dense', units = 12 }], alpha = 0.9, beta = 0.8, burn_in = 15, dropout = 0.0, update_every = 0 }
    learning = { epochs = 5, batch = 10, rate = 4e-2, learn = 'on-chip' }
    chip = { gain = 6.0, rest = 0.35, dt_us = 0.1, spread = 'packed', baseline = 'run-mean' }";

fn lesson(text: &str, chip: Option<Device>) -> Result<Box<dyn Lesson>, LessonError> {
    decolle::open(text.parse().unwrap(), Surroundings { seed: 1, data: None, chip })
}

/// A board behind the wire, in memory.
fn device(folder: &std::path::Path) -> (VirtualBoard, Device) {
    let chip = "emu:preset=loihi-like,neurons=40,inputs=65,seed=1".parse().unwrap();
    let registry = Registry::at(folder);
    let mut board = VirtualBoard::start_in(&chip, &Place::Memory, 1, &registry).unwrap();
    let link: BoxLink = Box::new(board.take_link().unwrap());
    let session = Session::open(link, SessionOptions::default()).unwrap();
    let device = Device { selector: "memory".into(), chip: Box::new(session), calibration: None };
    (board, device)
}

fn figure(figures: &crate::lesson::Figures, name: &str) -> f64 {
    figures.iter().find(|f| f.0 == name).unwrap().1
}

#[test]
fn a_device_learns_from_classes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (_board, device) = device(folder.path());
    let mut lesson = lesson(DIGITS, Some(device)).unwrap();
    let errors: Vec<f64> =
        (0..5).map(|k| figure(&lesson.epoch(k, &Always).unwrap(), "layer_1_train_error")).collect();
    assert!(errors[4] < errors[0] - 0.08, "{errors:?}");
    let mut before = State::default();
    lesson.save(&mut before);
    let figures = lesson.finish().unwrap();
    assert_eq!(figure(&figures, "dropped_events"), 0.0);
    let mut after = State::default();
    lesson.save(&mut after);
    // What the device has learned is read back at the end.
    assert!(before != after);
    assert!(!lesson.can_go_on());
    let refused = lesson.restore(&after).unwrap_err().to_string();
    assert!(refused.contains("--out"), "{refused}");
}

const STEPS: usize = 50;
const INPUTS: usize = 20;

fn trains() -> SpikeTrains {
    let mut trains = SpikeTrains::new(STEPS, INPUTS);
    for sample in 0..12_u64 {
        for step in 0..STEPS as u64 {
            for unit in 0..INPUTS as u64 {
                // Lines of the sample's class spike often.
                let often = unit % 3 == sample % 3;
                if mix(mix(sample, step), unit) % 10 < if often { 5 } else { 1 } {
                    trains.push(unit as u16);
                }
            }
            trains.end_step();
        }
    }
    trains
}

fn net(trains: &SpikeTrains) -> Decolle<f32> {
    let layers = [12, 8].map(|units| LayerKind::Dense { units }).to_vec();
    let mut config = DecolleConfig::new(layers);
    (config.alpha, config.beta, config.burn_in, config.update_every) = (0.9, 0.8, 15, 0);
    config.dropout = 0.0;
    let shape = Shape { height: 1, width: 1, channels: INPUTS };
    let mut net = Decolle::<f32>::new(config, shape, 3, 4).unwrap();
    net.initialise(trains).unwrap();
    net
}

/// The first step of every weight has the size of the rate, against the sign of its gradient. The host's rule has
/// the sign from the same measurements in floating point; its hidden spikes count a step earlier, so that
/// weights with a small gradient may differ.
#[test]
fn the_first_step_in_the_device_is_that_of_the_host() {
    let trains = trains();
    let start = net(&trains);
    let labels: Vec<u16> = (0..12).map(|k| k % 3).collect();
    let batch = Batch { inputs: &trains, labels: &labels, key: 0 };
    let config = ChipConfig {
        dt_us: 0.1,
        rest: 0.35,
        gain: 6.0,
        spread: spikeloop_calibration::Spread::Packed,
        baseline: spikeloop_calibration::Baseline::RunMean,
        ..ChipConfig::default()
    };
    let rate = 0.05;
    let learned = |on_chip: bool| {
        let folder = tempfile::tempdir().unwrap();
        let (_virtual, device) = device(folder.path());
        let mut board = Board::new(device, config, &start, [INPUTS, STEPS]).unwrap();
        let mut net = start.clone();
        board.write(&net).unwrap();
        board.teach(&net, rate).unwrap();
        // Weights as the chip has them.
        let mut held = net.clone();
        board.read_back(&mut held).unwrap();
        if on_chip {
            let mut decided = 0;
            board.learn(&batch, &net, |decisions| decided += decisions.predicted[1].len()).unwrap();
            assert_eq!(decided, 12);
            board.read_back(&mut net).unwrap();
        } else {
            board.run(&batch, |part| Ok(net.accumulate_measured(&part).map(|_| ())?)).unwrap();
            net.finish_measured(rate);
            held = start.clone();
        }
        let moved = |l: usize| -> Vec<f32> {
            let ((weights, bias), (old, old_bias)) = (net.dense(l), held.dense(l));
            let all = weights.iter().chain(&bias).zip(old.iter().chain(&old_bias));
            all.map(|(new, old)| new - old).collect()
        };
        [moved(0), moved(1)]
    };
    let (device, host) = (learned(true), learned(false));
    for l in 0..2 {
        let pairs = || device[l].iter().zip(&host[l]).filter(|(_, host)| **host != 0.0);
        let same = pairs().filter(|(device, host)| device.signum() == host.signum()).count();
        assert!(pairs().count() > 90, "{}", pairs().count());
        assert!(same * 20 >= pairs().count() * 19, "layer {l}: {same} of {}", pairs().count());
        // Whole steps, off by half a code at most; weights at the limit stop there.
        let moved: Vec<f32> = device[l].iter().map(|d| d.abs()).filter(|d| *d > 0.0).collect();
        let whole = moved.iter().filter(|d| (**d - rate as f32).abs() < 0.0075).count();
        assert!(whole * 20 >= moved.len() * 19, "layer {l}: {moved:?}");
        assert!(moved.len() * 10 >= pairs().count() * 9, "layer {l}: {moved:?}");
    }
}

#[test]
fn what_a_device_cannot_learn_is_refused_before_the_first_run() {
    let folder = tempfile::tempdir().unwrap();
    let boarded = || device(folder.path());
    let refused = |text: &str| {
        let (_board, device) = boarded();
        lesson(text, Some(device)).err().unwrap().to_string()
    };
    for (from, to, words) in [
        ("dropout = 0.0", "dropout = 0.2", "network.dropout"),
        (
            "{ kind = 'dense', units = 12 }",
            "{ kind = 'dense', units = 6 }, { kind = 'dense', units = 6 }",
            "at most 2",
        ),
        ("burn_in", "surrogate = { kind = 'boxcar' }, burn_in", "network.surrogate"),
        ("burn_in", "optimizer = { kind = 'adam' }, burn_in", "network.optimizer"),
        ("'packed'", "'even'", "chip.spread"),
        ("dt_us = 0.1", "dt_us = 0.2", "2 ticks of 100 ns"),
    ] {
        let text = DIGITS.replace(from, to);
        assert_ne!(text, DIGITS);
        let said = refused(&text);
        assert!(said.contains(words), "{words}: {said}");
    }
    let alone = lesson(DIGITS, None).err().unwrap().to_string();
    assert!(alone.contains("--chip"), "{alone}");
    let chip = "emu:preset=loihi-like,neurons=40,inputs=65,seed=1".parse().unwrap();
    let chip = crate::command::open_with(&chip, Some(1)).unwrap();
    let in_process = Device { selector: "emu".into(), chip, calibration: None };
    let said = lesson(DIGITS, Some(in_process)).err().unwrap().to_string();
    assert!(said.contains("spikeloop emulate"), "{said}");
}
