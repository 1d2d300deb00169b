//! Oracles: the solved spike times of the model, which shares no code with the emulator; a run without
//! an interruption.

use super::super::{FirstSpikeLesson, take_weights};
use super::*;
use crate::lesson::testing::Always;
use crate::lesson::{Lesson, Surroundings, parse};
use crate::run_folder::{RunFolder, file};
use crate::virtual_board::{Place, VirtualBoard};
use ndarray::Array2;
use spikeloop_hal::link::BoxLink;
use spikeloop_hal::registry::Registry;
use spikeloop_hal::{Chip, OpenOptions, Session, SessionOptions};

/// A chip without mismatch and noise.
const IDEAL: &str = "emu:preset=bss2-cal,sigma=0,noise=off,neurons=24,inputs=16,seed=1";
/// One as they are.
const REAL: &str = "emu:preset=bss2-cal,neurons=24,inputs=32,seed=3";

fn device(chip: Box<dyn Chip>) -> Device {
    Device { selector: "test".into(), chip, calibration: None }
}

fn emulated(selector: &str) -> Device {
    let options = OpenOptions { threads: 1, ..OpenOptions::default() };
    let selector: spikeloop_hal::Selector = selector.parse().unwrap();
    device(selector.open(&options).unwrap())
}

fn of_tau_6() -> ChipConfig {
    ChipConfig { unit_us: 6.0, duration: 6.0, delay_us: 0.5, ..ChipConfig::default() }
}

/// Three inputs, four times each, one pulse a layer, five hidden neurons and two outputs; all weights are whole codes.
fn network(kernel: Kernel, board: impl Fn(&FirstSpikeNetwork) -> f64) -> FirstSpikeNetwork {
    let threshold = 0.5 * kernel.gain();
    let config =
        NetworkConfig { hidden: vec![5], pulses: 1, kernel, threshold, ..Default::default() };
    let mut network = FirstSpikeNetwork::new(config, 12, 2, 1).unwrap();
    let step = board(&network) / 63.0;
    for layer in 0..2 {
        let (rows, units) = (network.weights(layer).nrows(), network.weights(layer).ncols());
        let code = |(j, k): (usize, usize)| step * (22 + (7 * j + 11 * k + 5 * layer) % 31) as f64;
        let weights = Array2::from_shape_fn((rows, units), code);
        network.set(layer, &weights, &[0.3 + 0.2 * layer as f64]).unwrap();
    }
    network
}

fn part(measured: &Measured, layer: usize, sample: usize, units: usize) -> &[f64] {
    &measured.times[layer][sample * units..][..units]
}

fn close(measured: &[f64], solved: &[f64]) {
    assert_eq!(measured.len(), solved.len());
    for (got, exact) in measured.iter().zip(solved) {
        // A stamp is 8 ns, a seven-hundredth of τ; the crossing is interpolated within 0.4 µs.
        assert!((got - exact).abs() < 4e-3, "{measured:?} against {solved:?}");
    }
}

#[test]
fn an_ideal_chip_behind_the_wire_measures_the_solved_times() {
    let kernels = [
        Kernel::LifEqual { tau: 1.0 },
        Kernel::LifDouble { tau_syn: 1.0 },
        Kernel::Alpha { rate: 1.0 },
    ];
    let mut inputs = SpikeTimes::new(12);
    for times in [[0.1, 0.7, 1.1], [0.9, f32::INFINITY, 0.2], [f32::INFINITY, 0.25, 2.5]] {
        inputs.push_sample(times.into_iter().cycle().take(12));
    }
    for kernel in kernels {
        let limit = |network: &FirstSpikeNetwork| {
            Board::new(emulated(IDEAL), of_tau_6(), network, 3.0).unwrap().limit(0).unwrap()
        };
        let network = network(kernel, limit);
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::at(folder.path());
        let selector = IDEAL.parse().unwrap();
        let mut virtual_board =
            VirtualBoard::start_in(&selector, &Place::Memory, 1, &registry).unwrap();
        let link: BoxLink = Box::new(virtual_board.take_link().unwrap());
        let session = Session::open(link, SessionOptions::default()).unwrap();
        let mut board = Board::new(device(Box::new(session)), of_tau_6(), &network, 3.0).unwrap();
        let measured = board.measure(&network, &inputs, &[0, 2, 1]).unwrap().clone();
        // The second layer alone, with what the first one was measured to send.
        let alone = NetworkConfig { hidden: vec![], ..network.config().clone() };
        let mut above = FirstSpikeNetwork::new(alone, 5, 2, 1).unwrap();
        above.set(0, &network.weights(1), network.pulses(1)).unwrap();
        for (k, sample) in [0, 2, 1].into_iter().enumerate() {
            let hidden = part(&measured, 0, k, 5);
            assert!(hidden.iter().all(|t| t.is_finite()), "{kernel:?}: {hidden:?}");
            close(hidden, &network.spike_times(&inputs, sample).unwrap()[0]);
            let mut arrivals = SpikeTimes::new(5);
            arrivals.push_sample(hidden.iter().map(|t| (*t + 0.5 / 6.0) as f32));
            let outputs = part(&measured, 1, k, 2);
            assert!(outputs.iter().all(|t| t.is_finite()));
            close(outputs, &above.spike_times(&arrivals, 0).unwrap()[0]);
        }
        let figures = board.figures();
        assert_eq!(figures[0], ("clipped_weights", 0.0));
        assert_eq!(figures[2], ("dropped_events", 0.0));
    }
}

const YINYANG: &str = "
    task = { name = 'yinyang', train = 60, validation = 30, test = 30, copies = 5, times = { early = 0.15, late = 2.0, bias = 0.9 } }
    network = { hidden = [12], pulses = 0, kernel = { kind = 'lif-equal', tau = 1.0 }, threshold = 0.33, mean = 0.8 }
    learning = { epochs = 3, batch = 20, rate = 3e-3, loss_scale = 0.2, teach = 'all' }
    chip = { unit_us = 6.0, duration = 6.0, delay_us = 0.5 }";

fn lesson(text: &str, chip: Option<Device>) -> Result<FirstSpikeLesson, LessonError> {
    let mut sections: toml::Table = text.parse().unwrap();
    let weights = take_weights(&mut sections)?;
    FirstSpikeLesson::new(parse(sections)?, weights, Surroundings { seed: 1, data: None, chip })
}

#[test]
fn a_lesson_on_a_chip_goes_on_with_the_same_bits() {
    let open = || lesson(YINYANG, Some(emulated(REAL))).unwrap();
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
    assert!(second.pictures().iter().all(|(_, picture)| picture.contains("<svg")));
    let of = |figures: &Figures, name| figures.iter().find(|f| f.0 == name).unwrap().1;
    assert!(of(&straight[2], "loss") < of(&straight[0], "loss"), "{straight:?}");
    assert!(of(&finished, "hidden_spikes") > 1.0);
    // The model alone does something else: the chip is what was asked.
    let mut model = lesson(YINYANG, None).unwrap();
    assert_ne!(of(&model.epoch(0, &Always).unwrap(), "loss"), of(&straight[0], "loss"));
    let other = REAL.replace("seed=3", "seed=4");
    let refused = lesson(YINYANG, Some(emulated(&other))).unwrap().restore(&state).unwrap_err();
    assert!(refused.to_string().contains("belong to their chip"), "{refused}");
    assert!(model.restore(&state).is_ok(), "the weights are no secret of the chip");
}

#[test]
fn weights_of_a_run_go_to_a_chip_as_they_are() {
    let mut software = lesson(YINYANG, None).unwrap();
    software.epoch(0, &Always).unwrap();
    let mut state = State::default();
    software.save(&mut state);
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path()).unwrap();
    let write = |state: &mut State, table: toml::Table| {
        state.put_text("run.experiment", table);
        folder.write(file::CONFIG, b"").unwrap();
        folder.write(file::CHECKPOINT, &state.to_bytes().unwrap()).unwrap();
    };
    write(&mut state, software.config());
    let text = YINYANG.replace("hidden =", &format!("weights = {:?}, hidden =", dir.path()));
    let mut moved = lesson(&text, Some(emulated(REAL))).unwrap();
    let best = software.best.as_ref().unwrap();
    assert_eq!(moved.method.network().weights(0), best.network.weights(0));
    moved.finish().unwrap();
    assert_eq!(moved.method.network().weights(1), best.network.weights(1));
    let other = text.replace("threshold = 0.33", "threshold = 0.4");
    let refused = lesson(&other, None).err().unwrap().to_string();
    assert!(refused.contains("network.weights") && refused.contains("threshold"), "{refused}");
    let wider = text.replace("hidden = [12]", "hidden = [13]");
    assert!(lesson(&wider, None).err().unwrap().to_string().contains("shape"));
}

#[test]
fn what_does_not_fit_is_refused_before_the_first_run() {
    let small = |what: &str| REAL.replace("neurons=24,inputs=32", what);
    for (text, chip, part) in [
        (YINYANG.to_owned(), small("neurons=10,inputs=32"), "needs 15 neurons"),
        (YINYANG.to_owned(), small("neurons=24,inputs=8"), "has 25 inputs"),
        (YINYANG.replace("duration = 6.0", "duration = 1.5"), REAL.into(), "chip.duration"),
        (YINYANG.replace("unit_us = 6.0", "unit_us = 6000.0"), REAL.into(), "ticks"),
        (
            YINYANG.replace("unit_us = 6.0", "unit_us = 300.0"),
            REAL.into(),
            "out of the chip's range",
        ),
    ] {
        let refused = lesson(&text, Some(emulated(&chip))).err().unwrap().to_string();
        assert!(refused.contains(part), "{refused}");
    }
}
