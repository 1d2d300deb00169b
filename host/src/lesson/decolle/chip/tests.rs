//! Oracles: the traces of the model written out, against membranes of an ideal chip; a run without an
//! interruption.

use super::*;
use crate::lesson::testing::Always;
use crate::lesson::{Lesson, Surroundings, decolle};
use crate::virtual_board::{Place, VirtualBoard};
use spikeloop_hal::link::BoxLink;
use spikeloop_hal::registry::Registry;
use spikeloop_hal::{Chip, OpenOptions, Session, SessionOptions};
use spikeloop_models::method::decolle::Shape;

/// A chip without mismatch and noise.
const IDEAL: &str = "emu:preset=bss2-cal,sigma=0,noise=off,neurons=16,inputs=8,seed=1";
/// One as they are.
const REAL: &str = "emu:preset=bss2-cal,neurons=40,inputs=65,seed=3";
const STEPS: usize = 40;

fn device(chip: Box<dyn Chip>) -> Device {
    Device { selector: "test".into(), chip, calibration: None }
}

fn emulated(selector: &str) -> Device {
    let options = OpenOptions { threads: 1, ..OpenOptions::default() };
    let selector: spikeloop_hal::Selector = selector.parse().unwrap();
    device(selector.open(&options).unwrap())
}

/// Six inputs, five and two units that rest far enough below the threshold never to fire.
fn quiet() -> Decolle<f32> {
    let layers = [5, 2].map(|units| LayerKind::Dense { units }).to_vec();
    let mut config = DecolleConfig::new(layers);
    (config.alpha, config.beta, config.burn_in, config.update_every) = (0.9, 0.8, 10, 0);
    let shape = Shape { height: 1, width: 1, channels: 6 };
    let mut net = Decolle::<f32>::new(config, shape, 2, 1).unwrap();
    let mut arrays: Vec<(String, Vec<f32>)> =
        net.state().map(|(name, values)| (name, values.to_vec())).collect();
    for (name, values) in &mut arrays {
        match name.as_str() {
            "layers.0.weights" | "layers.1.weights" => values.iter_mut().for_each(|w| *w *= 2.0),
            "layers.0.bias" | "layers.1.bias" => values.fill(-0.9),
            _ => {}
        }
    }
    let get = |name: &str| arrays.iter().find(|a| a.0 == name).map(|a| a.1.as_slice());
    net.restore(0, get).unwrap();
    net
}

fn spikes() -> SpikeTrains {
    let mut trains = SpikeTrains::new(STEPS, 6);
    for sample in 0..3_usize {
        for step in 0..STEPS {
            (0..6_usize)
                .filter(|unit| (step + 3 * unit + sample).is_multiple_of(4))
                .for_each(|unit| trains.push(unit as u16));
            trains.end_step();
        }
    }
    trains
}

#[test]
fn an_ideal_chip_behind_the_wire_has_the_membranes_of_the_model() {
    let net = quiet();
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::at(folder.path());
    let mut place =
        VirtualBoard::start_in(&IDEAL.parse().unwrap(), &Place::Memory, 1, &registry).unwrap();
    let link: BoxLink = Box::new(place.take_link().unwrap());
    let session = Session::open(link, SessionOptions::default()).unwrap();
    let config = ChipConfig { gain: 0.3, ..ChipConfig::default() };
    let mut board = Board::new(device(Box::new(session)), config, &net, [6, STEPS]).unwrap();
    board.write(&net).unwrap();
    let trains = spikes();
    let batch = Batch { inputs: &trains, labels: &[0, 1, 0], key: 0 };
    let (mut worst, mut moved, mut seen) = (0.0_f32, 0.0_f32, 0);
    board
        .run(&batch, |part| {
            let membrane = part.layers[0].membrane.as_ref().unwrap();
            let (weights, bias) = net.dense(0);
            for sample in 0..part.batch.inputs.samples() {
                assert_eq!(part.layers[0].spikes.as_ref().unwrap().count(sample), 0);
                // The six inputs, and the line of the bias.
                let (mut p, mut q) = ([0.0_f32; 7], [0.0_f32; 7]);
                for step in 0..STEPS {
                    for line in 0..7 {
                        p[line] = 0.9 * p[line] + 0.1 * q[line];
                        let fires = line == 6 || trains.at(seen, step).contains(&(line as u16));
                        q[line] = 0.8 * q[line] + 0.2 * f32::from(u8::from(fires));
                    }
                    for unit in 0..5 {
                        let drive: f32 =
                            (0..6).map(|line| weights[line * 5 + unit] * p[line]).sum();
                        let exact = drive + (bias[unit] + 1.0) * p[6] - 1.0;
                        let got = membrane[(sample * STEPS + step) * 5 + unit];
                        worst = worst.max((got - exact).abs());
                        moved = moved.max((exact + 1.0).abs());
                    }
                }
                seen += 1;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, 3);
    // A step of the converter is 1/70; codes of the weights round as well.
    assert!(worst < 0.05, "off by {worst} of a membrane that moves by {moved}");
    assert!(moved > 0.2, "a membrane that does not move shows nothing: {moved}");
}

const DIGITS: &str = "
    task = { name = 'digits', steps = 40, rate = 0.5, train = 60, test = 20, validation = 20 }
    network = { layers = [{ kind = 'dense', units = 16 }, { kind = 'dense', units = 12 }], alpha = 0.9, beta = 0.8, burn_in = 15, dropout = 0.2, update_every = 0 }
    learning = { epochs = 3, batch = 30, rate = 2e-2 }
    chip = { gain = 0.3 }";

fn lesson(text: &str, chip: Option<Device>) -> Result<Box<dyn Lesson>, LessonError> {
    decolle::open(text.parse().unwrap(), Surroundings { seed: 1, data: None, chip })
}

#[test]
fn a_lesson_on_a_chip_goes_on_with_the_same_bits() {
    let open = || lesson(DIGITS, Some(emulated(REAL))).unwrap();
    let mut whole = open();
    let straight: Vec<Figures> = (0..3).map(|k| whole.epoch(k, &Always).unwrap()).collect();
    let mut first = open();
    first.epoch(0, &Always).unwrap();
    let mut state = State::default();
    first.save(&mut state);
    let mut second = open();
    second.restore(&state).unwrap();
    assert_eq!(second.epoch(1, &Always).unwrap(), straight[1]);
    assert_eq!(second.epoch(2, &Always).unwrap(), straight[2]);
    let finished = second.finish().unwrap();
    assert_eq!(finished, whole.finish().unwrap());
    let of = |figures: &Figures, name| figures.iter().find(|f| f.0 == name).unwrap().1;
    assert!(of(&straight[2], "loss") < of(&straight[0], "loss"), "{straight:?}");
    assert!(of(&finished, "spikes_per_sample") > 1.0, "{finished:?}");
    let mut model = lesson(DIGITS, None).unwrap();
    assert_ne!(of(&model.epoch(0, &Always).unwrap(), "loss"), of(&straight[0], "loss"));
    let other = REAL.replace("seed=3", "seed=4");
    let refused = lesson(DIGITS, Some(emulated(&other))).unwrap().restore(&state).unwrap_err();
    assert!(refused.to_string().contains("belong to their chip"), "{refused}");
}

#[test]
fn what_does_not_fit_is_refused_before_the_first_run() {
    let small = REAL.replace("neurons=40", "neurons=20");
    let narrow = REAL.replace("inputs=65", "inputs=64");
    let dynapse = "emu:preset=dynapse-like,seed=1".to_owned();
    let real = || REAL.to_owned();
    for (text, chip, part) in [
        (DIGITS.to_owned(), small, "needs 28 neurons"),
        (DIGITS.to_owned(), narrow, "has 65 inputs"),
        (DIGITS.to_owned(), dynapse, "membranes of the hidden layers"),
        (DIGITS.replace("update_every = 0", "update_every = 1"), real(), "network.update_every"),
        (DIGITS.replace("burn_in", "trigger = 0.1, burn_in"), real(), "network.trigger"),
        (
            DIGITS.replace("burn_in", "regularisation = 0.1, burn_in"),
            real(),
            "network.regularisation",
        ),
        (DIGITS.replace("gain = 0.3", "gain = 30.0"), real(), "chip.gain"),
        (DIGITS.replace("gain = 0.3", "dt_us = 0.5"), real(), "shortest period"),
        (DIGITS.replace("alpha = 0.9", "alpha = 0.9999"), real(), "tau_mem"),
        (
            DIGITS.replace(
                "[{ kind = 'dense', units = 16 }",
                "[{ kind = 'conv', channels = 2, kernel = 3, pool = 2 }",
            ),
            real(),
            "network.layers",
        ),
    ] {
        let refused = lesson(&text, Some(emulated(&chip))).err().unwrap().to_string();
        assert!(refused.contains(part), "{part}: {refused}");
    }
}
