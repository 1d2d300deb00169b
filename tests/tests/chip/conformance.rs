//! What [`Chip`] promises, asked of every chip there is and in every way it can be reached.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "helpers of tests"
)]

use spikeloop_hal::limits::check_capabilities;
use spikeloop_hal::{
    Capabilities, Chip, ChipConfig, Error, Health, Observables, Recorder, Recording, Replay,
    SpikeEvent, Stimulus, Ticket,
};
use spikeloop_tests::boards::{Way, open};

const PRESETS: [&str; 7] = [
    "bss2-chip66-uncal",
    "bss2-cal",
    "delgrad-hwaware",
    "pnas-decal",
    "dynapse-like",
    "loihi-like",
    "fpga-ideal",
];

/// Runs `test` on every chip: all presets in process, four of them behind the wire, all of them
/// recorded, and all recordings.
fn each(test: impl Fn(&mut dyn Chip)) {
    for preset in PRESETS {
        let selector = format!("emu:preset={preset},neurons=24,inputs=12,seed=3");
        for way in Way::ALL {
            let everywhere = ["bss2-chip66-uncal", "dynapse-like", "fpga-ideal"];
            if way != Way::InProcess && way != Way::Memory && !everywhere.contains(&preset) {
                continue;
            }
            println!("{preset} {way:?}");
            let (mut chip, bench) = open(&selector, way, 2);
            test(chip.as_mut());
            drop(chip);
            drop(bench);
        }
        println!("{preset} recorded and replayed");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chip.rec");
        let (chip, _) = open(&selector, Way::InProcess, 2);
        let mut recorder = Recorder::create(chip, &path, Vec::new()).unwrap();
        test(&mut recorder);
        drop(recorder);
        test(&mut Replay::open(&path).unwrap());
    }
}

/// Neurons 0 to 19 on, 0 to 9 spiking, strong input; membranes where the chip can sample them.
fn lively(caps: &Capabilities) -> ChipConfig {
    let mut config = ChipConfig::power_up(caps);
    for neuron in 0..20 {
        config.enabled[neuron] = true;
        config.spiking[neuron] = neuron < 10;
    }
    for source in 0..usize::from(caps.inputs) {
        config.row_mut(source)[..20].fill(caps.weight_max);
    }
    config.recording = Recording { spikes: true, ..Recording::default() };
    if let Some(adc) = caps.adc {
        config.recording.traces = vec![1, 3, 4, 12];
        config.recording.sample_period = adc.min_period.max(caps.ticks(2.0));
        config.recording.samples = 7;
    }
    config
}

/// All inputs fire at 1 µs and again at 6 µs.
fn stimulus(caps: &Capabilities, trial: u64) -> Stimulus {
    let inputs = 0..caps.inputs;
    let at = |us| inputs.clone().map(move |id| SpikeEvent::new(caps.ticks(us), id));
    Stimulus { trial, duration: caps.ticks(20.0), events: at(1.0).chain(at(6.0)).collect() }
}

fn run(chip: &mut dyn Chip, stimuli: &[Stimulus]) -> Observables {
    let ticket = chip.submit(stimuli).unwrap();
    let mut observables = Observables::default();
    chip.collect(ticket, &mut observables).unwrap();
    observables
}

fn trials(caps: &Capabilities, range: std::ops::Range<u64>) -> Vec<Stimulus> {
    range.map(|trial| stimulus(caps, trial)).collect()
}

/// All that must be the same when the same is run again; time is not.
fn data(observables: &Observables) -> (&[SpikeEvent], &[u32], &[u16], &[u32], u64) {
    let o = observables;
    (&o.spikes, &o.offsets, &o.samples, &o.stalled, o.dropped_events)
}

#[test]
fn capabilities_make_sense() {
    each(|chip| {
        let caps = chip.capabilities().clone();
        check_capabilities(&caps).unwrap();
        assert_eq!((caps.neurons, caps.inputs), (24, 12));
        assert!(!caps.identity.kind.is_empty());
        assert!(caps.weight_min <= 0 && caps.weight_max > 0);
        assert!(caps.buffers.stimulus_events > 0 && caps.buffers.spikes_per_trial > 0);
        ChipConfig::power_up(&caps).check(&caps).unwrap();
        lively(&caps).check(&caps).unwrap();
        assert_eq!(chip.health(), Health::default());
    });
}

#[test]
fn after_power_up_a_chip_is_silent() {
    each(|chip| {
        let caps = chip.capabilities().clone();
        let observables = run(chip, &trials(&caps, 0..3));
        assert_eq!(observables.offsets, [0, 0, 0, 0]);
        assert!(observables.spikes.is_empty() && observables.samples.is_empty());
        assert_eq!(chip.health().trials, 3);
    });
}

#[test]
fn observables_have_the_shape_that_was_asked_for() {
    each(|chip| {
        let caps = chip.capabilities().clone();
        let config = lively(&caps);
        chip.configure(&config).unwrap();
        let observables = run(chip, &trials(&caps, 0..5));
        assert_eq!(observables.trials(), 5);
        assert_eq!(observables.offsets.len(), 6);
        assert_eq!(observables.offsets[5] as usize, observables.spikes.len());
        let recording = &config.recording;
        let samples = recording.traces.len() * usize::from(recording.samples);
        assert_eq!(observables.samples.len(), 5 * samples);
        let top = caps.adc.map_or(0, |adc| ((1_u32 << adc.bits) - 1) as u16);
        assert!(observables.samples.iter().all(|s| *s <= top));
        assert!(!observables.spikes.is_empty(), "strong input and no spike");
        for trial in 0..5 {
            let spikes = observables.spikes_of(trial);
            assert!(spikes.is_sorted(), "time, then address: {spikes:?}");
            let known = |s: &SpikeEvent| s.id < 10 && s.tick <= caps.ticks(20.0);
            assert!(
                spikes.iter().all(known),
                "from spiking neurons only, inside the trial: {spikes:?}"
            );
        }
        // A used container is replaced, not added to.
        let mut used = observables.clone();
        let ticket = chip.submit(&trials(&caps, 0..5)).unwrap();
        chip.collect(ticket, &mut used).unwrap();
        assert_eq!(data(&used), data(&observables), "the same trials, the same bits");
    });
}

#[test]
fn a_trial_depends_on_its_number_and_not_on_its_run() {
    each(|chip| {
        let caps = chip.capabilities().clone();
        chip.configure(&lively(&caps)).unwrap();
        let together = run(chip, &trials(&caps, 0..4));
        let last = run(chip, &trials(&caps, 3..4));
        assert_eq!(together.spikes_of(3), last.spikes_of(0));
        let width = last.samples.len();
        assert_eq!(together.samples[3 * width..], last.samples);
    });
}

#[test]
fn runs_are_collected_in_order_and_no_more_than_fit_are_taken() {
    each(|chip| {
        let caps = chip.capabilities().clone();
        chip.configure(&lively(&caps)).unwrap();
        let limit = usize::from(caps.buffers.runs_in_flight);
        let tickets: Vec<Ticket> =
            (0..limit).map(|k| chip.submit(&trials(&caps, 0..k as u64 + 1)).unwrap()).collect();
        let error = chip.submit(&trials(&caps, 0..1)).unwrap_err();
        assert!(
            matches!(error, Error::TooManyRuns { limit: l } if usize::from(l) == limit),
            "{error}"
        );
        let mut observables = Observables::default();
        if limit > 1 {
            let error = chip.collect(tickets[1], &mut observables).unwrap_err();
            assert!(matches!(error, Error::UnknownTicket { .. }), "{error}");
        }
        for (k, ticket) in tickets.iter().enumerate() {
            chip.collect(*ticket, &mut observables).unwrap();
            assert_eq!(observables.trials(), k + 1);
        }
        for ticket in [tickets[0], Ticket(u64::MAX)] {
            let error = chip.collect(ticket, &mut observables).unwrap_err();
            assert!(matches!(error, Error::UnknownTicket { .. }), "{error}");
        }
        assert_eq!(run(chip, &trials(&caps, 0..2)).trials(), 2);
    });
}

#[test]
fn a_configuration_applies_to_runs_submitted_after_it() {
    each(|chip| {
        let caps = chip.capabilities().clone();
        let lively = lively(&caps);
        chip.configure(&lively).unwrap();
        let before = chip.submit(&trials(&caps, 0..2)).unwrap();
        let mut deaf = lively.clone();
        deaf.weights.fill(0);
        deaf.recording.traces.clear();
        chip.configure(&deaf).unwrap();
        let after = chip.submit(&trials(&caps, 0..2)).unwrap();
        let (mut first, mut second) = (Observables::default(), Observables::default());
        chip.collect(before, &mut first).unwrap();
        chip.collect(after, &mut second).unwrap();
        assert!(!first.spikes.is_empty());
        assert!(first.spikes.len() > second.spikes.len());
        assert!(second.samples.is_empty());
        // Back again: nothing of what was in between is left.
        chip.configure(&lively).unwrap();
        assert_eq!(data(&run(chip, &trials(&caps, 0..2))), data(&first));
    });
}

#[test]
fn a_refused_configuration_changes_nothing() {
    each(|chip| {
        let caps = chip.capabilities().clone();
        let good = lively(&caps);
        chip.configure(&good).unwrap();
        let expected = run(chip, &trials(&caps, 0..2));
        let mut bad = good.clone();
        bad.weights.fill(caps.weight_max);
        let mut other = caps.clone();
        other.neurons += 1;
        assert!(matches!(
            chip.configure(&ChipConfig::power_up(&other)),
            Err(Error::ConfigShape { .. })
        ));
        if caps.weight_max < i8::MAX {
            bad.weights[30] = caps.weight_max + 1;
            assert!(matches!(chip.configure(&bad), Err(Error::WeightOutOfRange { .. })));
        }
        let mut bad = good.clone();
        bad.recording.traces = vec![2, 2];
        (bad.recording.sample_period, bad.recording.samples) = (1000, 3);
        assert!(matches!(chip.configure(&bad), Err(Error::Recording { .. })));
        bad.recording.traces = vec![caps.neurons];
        assert!(matches!(chip.configure(&bad), Err(Error::Recording { .. })));
        if let Some(spec) = caps.parameters.iter().find(|spec| spec.code_max < u16::MAX) {
            let mut bad = good.clone();
            bad.codes_mut(spec.parameter).unwrap()[7] = spec.code_max + 1;
            let error = chip.configure(&bad).unwrap_err();
            assert!(matches!(error, Error::CodeOutOfRange { neuron: 7, .. }), "{error}");
        }
        assert_eq!(data(&run(chip, &trials(&caps, 0..2))), data(&expected));
    });
}

#[test]
fn a_run_beyond_the_buffers_is_refused_and_the_next_one_works() {
    each(|chip| {
        let caps = chip.capabilities().clone();
        let config = lively(&caps);
        chip.configure(&config).unwrap();
        let buffers = caps.buffers;
        let beyond = |chip: &mut dyn Chip, stimuli: &[Stimulus]| {
            let error = chip.submit(stimuli).unwrap_err();
            let Error::BeyondBuffers { requested, limit, .. } = error else { panic!("{error}") };
            assert!(requested > limit);
        };
        let short = |events| Stimulus { trial: 0, duration: 100, events };
        beyond(chip, &vec![short(Vec::new()); buffers.trials as usize + 1]);
        let many = vec![SpikeEvent::new(0, 0); buffers.stimulus_events as usize + 1];
        beyond(chip, &[short(many)]);
        let endless = Stimulus { duration: caps.max_duration + 1, ..short(Vec::new()) };
        beyond(chip, &[endless]);
        let width = config.recording.traces.len() as u32 * u32::from(config.recording.samples);
        let bytes = width * caps.bytes_per_sample();
        if let Some(fitting) = buffers.trace_bytes.checked_div(bytes)
            && fitting < buffers.trials
        {
            beyond(chip, &vec![short(Vec::new()); fitting as usize + 1]);
        }
        assert_eq!(run(chip, &trials(&caps, 0..2)).trials(), 2);
    });
}

#[test]
fn malformed_stimuli_are_refused_and_named() {
    each(|chip| {
        let caps = chip.capabilities().clone();
        chip.configure(&lively(&caps)).unwrap();
        let event = SpikeEvent::new;
        let malformed = [
            (100, vec![event(5, 0), event(4, 0)]),
            (100, vec![event(5, caps.inputs)]),
            (100, vec![event(100, 0)]),
            (0, vec![]),
        ];
        for (duration, events) in malformed {
            let good = stimulus(&caps, 0);
            let error = chip.submit(&[good, Stimulus { trial: 1, duration, events }]).unwrap_err();
            assert!(matches!(error, Error::Stimulus { trial: 1, .. }), "{error}");
        }
        assert_eq!(run(chip, &trials(&caps, 0..2)).trials(), 2);
    });
}

#[test]
fn nothing_in_nothing_out() {
    each(|chip| {
        let caps = chip.capabilities().clone();
        chip.configure(&lively(&caps)).unwrap();
        let nothing = run(chip, &[]);
        assert_eq!((nothing.offsets.as_slice(), nothing.trials()), ([0].as_slice(), 0));
        assert!(nothing.spikes.is_empty() && nothing.samples.is_empty());
        let quiet = Stimulus { trial: 0, duration: caps.ticks(20.0), events: Vec::new() };
        assert_eq!(run(chip, &[quiet]).trials(), 1);
    });
}

#[test]
fn counters_only_grow() {
    each(|chip| {
        let caps = chip.capabilities().clone();
        chip.configure(&lively(&caps)).unwrap();
        let fields = |h: Health| {
            [
                h.trials,
                h.dropped_inputs,
                h.dropped_spikes,
                h.saturated_samples,
                h.stalled_trials,
                h.damaged_frames,
                h.retries,
            ]
        };
        let mut last = fields(chip.health());
        for round in 1..=3_u64 {
            run(chip, &trials(&caps, 0..round));
            let now = fields(chip.health());
            assert_eq!(now[0], last[0] + round);
            assert!(now.iter().zip(&last).all(|(now, last)| now >= last), "{last:?} {now:?}");
            assert_eq!(now[5..], [0, 0], "a clean line");
            last = now;
        }
    });
}

#[test]
fn a_reference_takes_the_place_of_the_membranes_over_every_way() {
    for preset in PRESETS {
        let selector = format!("emu:preset={preset},neurons=24,inputs=12,seed=3");
        let mut first = None;
        for way in Way::ALL {
            let (mut chip, bench) = open(&selector, way, 2);
            let caps = chip.capabilities().clone();
            let mut config = lively(&caps);
            chip.configure(&config).unwrap();
            let membranes = run(chip.as_mut(), &trials(&caps, 0..3));
            config.recording.reference = Some(100);
            let configured = chip.configure(&config);
            let Some(adc) = caps.adc.filter(|adc| adc.reference) else {
                let error = configured.unwrap_err().to_string();
                assert!(error.contains("cannot connect"), "{preset} {way:?}: {error}");
                assert_eq!(data(&run(chip.as_mut(), &trials(&caps, 0..3))), data(&membranes));
                continue;
            };
            configured.unwrap();
            let known = run(chip.as_mut(), &trials(&caps, 0..3));
            assert_eq!(known.spikes, membranes.spikes, "{preset} {way:?}: the neurons go on");
            assert_ne!(known.samples, membranes.samples);
            // Offsets of 10 steps, gains of 5 % of 20 steps and 2 steps of noise at most.
            assert!(known.samples.iter().all(|s| s.abs_diff(100) < 60), "{:?}", known.samples);
            let first = first.get_or_insert_with(|| known.clone());
            assert_eq!(data(&known), data(first), "{preset} {way:?}: the same bits");
            config.recording.reference = Some(1 << adc.bits);
            let error = chip.configure(&config).unwrap_err();
            assert!(matches!(error, Error::Recording { .. }), "{error}");
            config.recording.reference = None;
            chip.configure(&config).unwrap();
            assert_eq!(data(&run(chip.as_mut(), &trials(&caps, 0..3))), data(&membranes));
            drop(chip);
            drop(bench);
        }
    }
}

/// What a floor must make of samples that came without one.
fn floored(config: &ChipConfig, samples: &[u16], floor: u16) -> Vec<u16> {
    let channels = config.recording.traces.len();
    let per_trial = channels * usize::from(config.recording.samples);
    let value = |(at, code): (usize, &u16)| {
        let neuron = usize::from(config.recording.traces[at % channels]);
        let spikes = config.enabled[neuron] && config.spiking[neuron];
        if at % per_trial >= channels && spikes { floor.max(*code) } else { *code }
    };
    samples.iter().enumerate().map(value).collect()
}

#[test]
fn a_floor_hides_what_lies_below_it_over_every_way() {
    for preset in PRESETS {
        let selector = format!("emu:preset={preset},neurons=24,inputs=12,seed=3");
        let mut first = None;
        for way in Way::ALL {
            let (mut chip, bench) = open(&selector, way, 2);
            let caps = chip.capabilities().clone();
            let mut config = lively(&caps);
            // Two neurons that fire, one readout, and one that spikes but is not powered.
            config.recording.traces = if caps.adc.is_some() { vec![1, 3, 12, 21] } else { vec![] };
            config.spiking[21] = true;
            chip.configure(&config).unwrap();
            let whole = run(chip.as_mut(), &trials(&caps, 0..3));
            config.recording.floor = Some(0);
            let configured = chip.configure(&config);
            let Some(adc) = caps.adc else {
                let error = configured.unwrap_err().to_string();
                assert!(error.contains("without a floor"), "{preset} {way:?}: {error}");
                continue;
            };
            configured.unwrap();
            let none = run(chip.as_mut(), &trials(&caps, 0..3));
            assert_eq!(data(&none), data(&whole), "{preset} {way:?}: nothing lies below 0");
            let mut seen = Vec::new();
            let top = ((1_u32 << adc.bits) - 1) as u16;
            for floor in [110, top / 2 + 1, top] {
                config.recording.floor = Some(floor);
                chip.configure(&config).unwrap();
                let near = run(chip.as_mut(), &trials(&caps, 0..3));
                assert_eq!(near.spikes, whole.spikes, "{preset} {way:?}: the neurons go on");
                let expected = floored(&config, &whole.samples, floor);
                assert_eq!(near.samples, expected, "{preset} {way:?} {floor}");
                assert!(floor < top || near.samples != whole.samples, "{preset} {way:?}");
                seen.push(near.samples);
            }
            // A neuron that cannot spike any more is read out whole.
            config.spiking[1] = false;
            chip.configure(&config).unwrap();
            let floor = config.recording.floor.take().unwrap();
            let near = run(chip.as_mut(), &trials(&caps, 0..3));
            let trials_of = 3 * usize::from(config.recording.samples);
            let of = |o: &Observables, k: usize| -> Vec<u16> {
                o.samples.chunks(4).take(trials_of).map(|row| row[k]).collect()
            };
            assert!(of(&near, 0).iter().any(|code| *code != floor), "{preset} {way:?}");
            chip.configure(&config).unwrap();
            let free = run(chip.as_mut(), &trials(&caps, 0..3));
            assert_eq!(of(&near, 0), of(&free, 0), "{preset} {way:?}");
            let first = first.get_or_insert_with(|| seen.clone());
            assert_eq!(&seen, first, "{preset} {way:?}: the same bits");
            config.recording.floor = Some(100);
            config.recording.reference = Some(100);
            assert!(matches!(chip.configure(&config), Err(Error::Recording { .. })));
            config.recording.reference = None;
            if adc.bits < 16 {
                config.recording.floor = Some(1 << adc.bits);
                assert!(matches!(chip.configure(&config), Err(Error::Recording { .. })));
            }
            drop(chip);
            drop(bench);
        }
    }
}

#[test]
fn an_aged_chip_keeps_its_identity_and_is_the_same_over_every_way() {
    let base = "emu:preset=bss2-chip66-uncal,neurons=24,inputs=12,seed=3";
    let mut first = None;
    for way in Way::ALL {
        let (mut new, new_bench) = open(base, way, 1);
        let aged = format!("{base},hours=30.5,temperature=45");
        let (mut aged, aged_bench) = open(&aged, way, 2);
        let caps = new.capabilities().clone();
        assert_eq!(aged.capabilities(), &caps, "{way:?}");
        // A link does not carry the temperature.
        let told = (way == Way::InProcess).then_some(45.0);
        assert_eq!(aged.temperature_c(), told, "{way:?}");
        let config = lively(&caps);
        let observed = [&mut new, &mut aged].map(|chip| {
            chip.configure(&config).unwrap();
            run(chip.as_mut(), &trials(&caps, 0..3))
        });
        assert_ne!(observed[0].samples, observed[1].samples, "hours and warmth change it");
        let first = first.get_or_insert_with(|| observed.clone());
        for (observed, first) in observed.iter().zip(first.iter()) {
            assert_eq!(data(observed), data(first), "{way:?}: the same bits");
        }
        drop((new, aged));
        drop((new_bench, aged_bench));
    }
}
