//! Learning in the device, over the wire: what a trial teaches, from tick to tick as the chip stamps it, and
//! what a device refuses.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use spikeloop_hal::wire::{PlasticityRule, RuleKind};
use spikeloop_hal::{Chip, ChipConfig, Error, Observables, Parameter, SpikeEvent, Stimulus};
use spikeloop_tests::boards::{Bench, Way, open};

const CHIP: &str = "emu:preset=loihi-like,neurons=24,inputs=32,seed=1";
const TICKS: u32 = 160;
/// exp(−1/10) and 1/10: time constants of 1 µs at 0.1 µs a tick.
const DECAY: u16 = 59_299;
const FOLLOW: u16 = 6_554;

fn base(kind: RuleKind) -> PlasticityRule<'static> {
    PlasticityRule {
        kind,
        inputs: 32,
        outputs: 4,
        decay: DECAY,
        follow: FOLLOW,
        keep: 62_000,
        rate: 512,
        slope: 51,
        threshold: 150,
        delay: 1,
        weight_limit: 127,
        ..PlasticityRule::default()
    }
}

/// A chip whose first `units` neurons run and are sampled at every tick.
fn board(units: usize) -> (Box<dyn Chip>, Bench, ChipConfig) {
    let (chip, bench) = open(CHIP, Way::Memory, 1);
    let mut config = ChipConfig::power_up(chip.capabilities());
    config.enabled[..units].fill(true);
    config.spiking[..units].fill(true);
    let caps = chip.capabilities();
    for (parameter, value) in
        [(Parameter::TauMem, 1.0), (Parameter::TauSynExc, 1.0), (Parameter::GainExc, 1.7)]
    {
        let code = caps.parameter(parameter).unwrap().nearest_code(value).0;
        config.codes_mut(parameter).unwrap().fill(code);
    }
    config.recording.spikes = true;
    config.recording.traces = (0..units as u16).collect();
    config.recording.sample_period = 1;
    config.recording.samples = TICKS as u16;
    (chip, bench, config)
}

fn run(chip: &mut dyn Chip, trial: u64, events: &[SpikeEvent]) -> Vec<SpikeEvent> {
    let stimulus = Stimulus { trial, duration: TICKS, events: events.to_vec() };
    let ticket = chip.submit(&[stimulus]).unwrap();
    let mut observables = Observables::default();
    chip.collect(ticket, &mut observables).unwrap();
    observables.spikes
}

/// Lines that spike one after the other, again and again.
fn sweep(lines: u32, every: u32) -> Vec<SpikeEvent> {
    (0..TICKS / every).map(|k| SpikeEvent::new(k * every, (k * 7 % lines) as u16)).collect()
}

#[test]
fn a_target_has_the_tick_with_which_the_chip_stamps_the_spike() {
    let (mut chip, _bench, mut config) = board(4);
    for line in 0..32 {
        config.row_mut(line)[..4].copy_from_slice(&[40, 60, 80, 100]);
    }
    chip.configure(&config).unwrap();
    let rule = PlasticityRule { slope: PlasticityRule::STEP, ..base(RuleKind::TargetSpikes) };
    chip.plastic().unwrap().set_rule(&rule).unwrap();
    let stimulus = sweep(32, 2);
    let spikes = run(&mut *chip, 0, &stimulus);
    assert!(spikes.len() > 20, "{spikes:?}");
    // What was wanted was done: nothing moves.
    let plastic = chip.plastic().unwrap();
    plastic.learn(0, true, &spikes).unwrap();
    assert_eq!(plastic.read_weights(5, 0, 4).unwrap(), [40, 60, 80, 100]);
    // A tick later: the lines that spiked in between are wanted more, none less.
    assert_eq!(run(&mut *chip, 1, &stimulus), spikes);
    let later: Vec<SpikeEvent> = spikes
        .iter()
        .map(|event| SpikeEvent::new(event.tick + 1, event.id))
        .filter(|event| event.tick < TICKS - 1)
        .collect();
    let plastic = chip.plastic().unwrap();
    plastic.learn(1, true, &later).unwrap();
    let moved: Vec<i8> = (0..32).flat_map(|row| plastic.read_weights(row, 0, 4).unwrap()).collect();
    assert!(moved.chunks(4).any(|row| row != [40, 60, 80, 100]));
}

#[test]
fn a_board_learns_target_spikes() {
    let (mut chip, _bench, config) = board(4);
    chip.configure(&config).unwrap();
    let rule = PlasticityRule { rate: 1024, slope: 512, ..base(RuleKind::TargetSpikes) };
    chip.plastic().unwrap().set_rule(&rule).unwrap();
    // Every line once.
    let stimulus: Vec<SpikeEvent> = (0..32).map(|k| SpikeEvent::new(5 * k, k as u16)).collect();
    let mut targets: Vec<SpikeEvent> = (0..4_u16)
        .flat_map(|unit| [50, 100].map(|tick| SpikeEvent::new(tick + 9 * u32::from(unit), unit)))
        .collect();
    targets.sort_unstable_by_key(|event| event.tick);
    // A target is met by a spike within two ticks; others are too many.
    let wrong = |spikes: &[SpikeEvent]| {
        let near = |a: &SpikeEvent, b: &SpikeEvent| a.id == b.id && a.tick.abs_diff(b.tick) <= 2;
        let met = targets.iter().filter(|t| spikes.iter().any(|s| near(s, t))).count();
        (targets.len() - met, spikes.len() - met.min(spikes.len()))
    };
    let mut last = vec![];
    for trial in 0..50 {
        last = run(&mut *chip, trial, &stimulus);
        if trial == 0 {
            assert_eq!(wrong(&last), (8, 0));
        }
        chip.plastic().unwrap().learn(trial, true, &targets).unwrap();
    }
    let (missing, more) = wrong(&last);
    assert!(missing + more <= 2, "{missing} missing, {more} too many: {last:?}");
}

/// Readouts of six hidden neurons and four outputs for two classes: even ones speak for class 0.
fn readouts() -> Vec<u8> {
    let weight = |class: usize, unit: usize| if unit % 2 == class { 2048_i16 } else { -2048 };
    (0..2)
        .flat_map(|class| (0..10).map(move |unit| weight(class, unit)).chain([0, 0]))
        .flat_map(i16::to_le_bytes)
        .collect()
}

#[test]
fn a_board_learns_classes_from_local_readouts() {
    let (mut chip, _bench, mut config) = board(10);
    // Weak weights, on which no neuron spikes often; the last line is the bias of both layers.
    for line in 0..32 {
        config.row_mut(line)[..if line == 31 { 10 } else { 6 }].fill(if line == 31 {
            2
        } else {
            5
        });
    }
    for hidden in 0..6 {
        config.row_mut(32 + hidden)[6..10].fill(5);
    }
    chip.configure(&config).unwrap();
    let readouts = readouts();
    let rule = PlasticityRule {
        shared: 1,
        hidden: 6,
        output_first: 6,
        classes: 2,
        rate: 512,
        ..base(RuleKind::LocalReadouts)
    };
    let rule = rule.with_feedback(&readouts).unwrap();
    chip.plastic().unwrap().set_rule(&rule).unwrap();
    // Class 0 has the first half of the lines.
    let stimulus = |class: u16| {
        let mut events = sweep(15, 2);
        events.iter_mut().for_each(|event| event.id += 16 * class);
        let bias = (0..TICKS).map(|tick| SpikeEvent::new(tick, 31));
        events.extend(bias);
        events.sort_unstable_by_key(|event| (event.tick, event.id));
        events.dedup();
        events
    };
    // Spikes after tick 40 that speak for the class, less the others: of the hidden layer and the outputs.
    let right = |spikes: &[SpikeEvent], class: u16| {
        let mut sums = [0_i32; 2];
        for event in spikes.iter().filter(|event| event.tick >= 40) {
            sums[usize::from(event.id >= 6)] += if event.id % 2 == class { 1 } else { -1 };
        }
        sums
    };
    for trial in 0..80_u64 {
        let class = (trial % 2) as u16;
        run(&mut *chip, trial, &stimulus(class));
        // A batch of both classes.
        let plastic = chip.plastic().unwrap();
        plastic.learn(trial, class == 1, &[SpikeEvent::new(40, class)]).unwrap();
    }
    for class in 0..2 {
        let spikes = run(&mut *chip, 90 + u64::from(class), &stimulus(class));
        let sums = right(&spikes, class);
        assert!(sums.iter().all(|sum| *sum >= 10), "class {class}: {sums:?}");
    }
}

#[test]
fn another_rate_goes_on_with_fractions_of_weights() {
    let learned = |rules: &[PlasticityRule<'_>]| {
        let (mut chip, _bench, config) = board(4);
        chip.configure(&config).unwrap();
        for (trial, rule) in (0..).zip(rules) {
            chip.plastic().unwrap().set_rule(rule).unwrap();
            run(&mut *chip, trial, &sweep(1, 8));
            // Wanted and missing: every update is a whole step.
            let plastic = chip.plastic().unwrap();
            plastic.learn(trial, true, &[SpikeEvent::new(60, 1)]).unwrap();
        }
        chip.plastic().unwrap().read_weights(0, 0, 4).unwrap()
    };
    // Steps of 0.3 and 0.4 codes.
    let step = |rate| PlasticityRule { rate, slope: 512, ..base(RuleKind::TargetSpikes) };
    assert_eq!(learned(&[step(77)]), [0, 0, 0, 0]);
    assert_eq!(learned(&[step(77), step(102)]), [0, 1, 0, 0]);
    // For other neurons everything begins anew.
    let fewer = PlasticityRule { inputs: 31, ..step(102) };
    assert_eq!(learned(&[step(77), fewer]), [0, 0, 0, 0]);
}

/// What the device says to a rule.
fn refused(rule: &PlasticityRule<'_>) -> Error {
    let (mut chip, _bench, _) = board(4);
    let plastic = chip.plastic().unwrap();
    plastic.set_rule(rule).unwrap();
    plastic.read_weights(0, 0, 1).unwrap_err()
}

#[test]
fn a_rule_that_does_not_fit_is_refused_with_its_numbers() {
    // Four neurons from 21 on: the chip has 24.
    let readouts = [0; 2 * 6];
    let local = PlasticityRule { classes: 1, output_first: 21, ..base(RuleKind::LocalReadouts) };
    for (rule, words) in [
        (PlasticityRule { kind: RuleKind::Other(7), ..base(RuleKind::SuperSpike) }, "rule 7"),
        (PlasticityRule { own: true, ..base(RuleKind::SuperSpike) }, "got 1, limit 0"),
        (PlasticityRule { shared: 3, ..base(RuleKind::TargetSpikes) }, "got 3, limit 0"),
        (PlasticityRule { classes: 2, ..base(RuleKind::TargetSpikes) }, "got 2, limit 0"),
        (base(RuleKind::LocalReadouts), "got 0, limit 1"),
        (local.with_feedback(&readouts).unwrap(), "got 25, limit 24"),
    ] {
        let error = refused(&rule);
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[test]
fn events_for_neurons_and_classes_that_do_not_exist_are_refused() {
    let readouts = [0; 2 * 2 * 6];
    let local = PlasticityRule { classes: 2, ..base(RuleKind::LocalReadouts) };
    for (rule, address) in
        [(base(RuleKind::TargetSpikes), 4), (local.with_feedback(&readouts).unwrap(), 2)]
    {
        let (mut chip, _bench, config) = board(4);
        chip.configure(&config).unwrap();
        chip.plastic().unwrap().set_rule(&rule).unwrap();
        run(&mut *chip, 0, &sweep(32, 2));
        let plastic = chip.plastic().unwrap();
        plastic.learn(0, true, &[SpikeEvent::new(3, address)]).unwrap();
        let error = plastic.read_weights(0, 0, 1).unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
