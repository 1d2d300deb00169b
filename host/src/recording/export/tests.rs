use super::*;
use ndarray::{Array1, Array3};
use ndarray_npy::NpzReader;
use spikeloop_hal::recording::{Recorder, Results};
use spikeloop_hal::{
    Chip, ChipConfig, Observables, OpenOptions, Recording, Selector, SpikeEvent, Stimulus,
};

/// Two runs of two trials with membranes, one without, on a chip with a tick of 8 ns.
fn recorded(folder: &Path) -> (Tape, Vec<Observables>) {
    let selector: Selector = "emu:preset=bss2-cal,neurons=8,inputs=4,seed=3".parse().unwrap();
    let path = folder.join("chip.rec");
    let chip = selector.open(&OpenOptions::default()).unwrap();
    let caps = chip.capabilities().clone();
    let mut chip = Recorder::create(chip, &path, Vec::new()).unwrap();
    let mut config = ChipConfig::power_up(&caps);
    config.enabled.fill(true);
    config.spiking[..6].fill(true);
    config.weights.fill(caps.weight_max);
    let period = caps.ticks(2.0).max(caps.adc.unwrap().min_period);
    config.recording = Recording {
        spikes: true,
        traces: vec![2, 7],
        sample_period: period,
        samples: 5,
        reference: None,
        floor: None,
    };
    let mut found = Vec::new();
    for run in 0..3_u64 {
        if run == 2 {
            config.recording.traces.clear();
        }
        chip.configure(&config).unwrap();
        let events = (0..4).map(|id| SpikeEvent::new(caps.ticks(f64::from(id) + 1.0), id));
        let events: Vec<_> = events.collect();
        let stimuli: Vec<_> = (0..2)
            .map(|k| Stimulus {
                trial: 100 + 2 * run + k,
                duration: caps.ticks(20.0),
                events: events.clone(),
            })
            .collect();
        let ticket = chip.submit(&stimuli).unwrap();
        let mut observables = Observables::default();
        chip.collect(ticket, &mut observables).unwrap();
        found.push(observables);
    }
    drop(chip);
    (Tape::open(&path).unwrap(), found)
}

#[test]
fn arrays_hold_every_number() {
    let folder = tempfile::tempdir().unwrap();
    let (mut tape, found) = recorded(folder.path());
    let exported = export(&mut tape, Format::Npz, None, None).unwrap();
    assert_eq!(exported.files, [folder.path().join("chip.npz")]);
    assert_eq!((exported.runs, exported.trials, exported.inputs, exported.samples), (3, 6, 24, 40));
    let mut npz = NpzReader::new(File::open(&exported.files[0]).unwrap()).unwrap();
    let numbers: Array1<u64> = npz.by_name("trials_number").unwrap();
    assert_eq!(numbers.as_slice().unwrap(), [100, 101, 102, 103, 104, 105]);
    let neurons: Array1<u16> = npz.by_name("spikes_neuron").unwrap();
    let expected: Vec<u16> = found.iter().flat_map(|o| &o.spikes).map(|s| s.id).collect();
    assert_eq!(neurons.as_slice().unwrap(), expected);
    assert_eq!(exported.spikes as usize, expected.len());
    let samples: Array3<u16> = npz.by_name("samples_0").unwrap();
    assert_eq!(samples.shape(), [4, 5, 2]);
    let expected: Vec<u16> = found[..2].iter().flat_map(|o| o.samples.clone()).collect();
    assert_eq!(samples.as_slice().unwrap(), expected);
    let traced: Array1<u16> = npz.by_name("samples_0_neuron").unwrap();
    assert_eq!(traced.as_slice().unwrap(), [2, 7]);
    assert!(npz.by_name::<ndarray::OwnedRepr<u16>, ndarray::Ix3>("samples_1").is_err());
}

#[test]
fn tables_hold_every_number() {
    let folder = tempfile::tempdir().unwrap();
    let (mut tape, found) = recorded(folder.path());
    let out = folder.path().join("t.csv");
    let exported = export(&mut tape, Format::Csv, Some(1), Some(&out)).unwrap();
    let [spikes, samples] = exported.files.as_slice() else { panic!("{exported:?}") };
    assert!(spikes.ends_with("t.spikes.csv") && samples.ends_with("t.samples.csv"));
    let text = std::fs::read_to_string(spikes).unwrap();
    assert_eq!(text.lines().count(), 1 + 8 + found[1].spikes.len());
    let first = found[1].spikes_of(0)[0];
    let tick_us = tape.capabilities().microseconds(first.tick);
    let line = format!("1,0,102,spike,{},{},{tick_us}", first.id, first.tick);
    assert!(text.lines().any(|l| l == line), "{line}: {text}");
    let text = std::fs::read_to_string(samples).unwrap();
    assert_eq!(text.lines().count(), 1 + found[1].samples.len());
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("1,1,103,7,4,") && last.ends_with(&format!(",{}", found[1].samples[19]))
    );
}

/// Reads a dump as a program would: declared variables, then changes in ascending order of time.
#[test]
fn wave_forms_declare_what_occurs_and_go_forward_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let (mut tape, found) = recorded(folder.path());
    let exported = export(&mut tape, Format::Vcd, None, None).unwrap();
    let text = std::fs::read_to_string(&exported.files[0]).unwrap();
    let (head, body) = text.split_once("$enddefinitions $end\n").unwrap();
    assert!(head.contains("$timescale 1 ns $end"), "{head}");
    let variables: Vec<(&str, &str, &str)> = head
        .lines()
        .filter_map(|l| l.strip_prefix("$var "))
        .map(|l| {
            let words: Vec<_> = l.split(' ').collect();
            (words[0], words[2], words[3])
        })
        .collect();
    let of = |kind: &str| variables.iter().filter(|v| v.0 == kind).count();
    let spiking: std::collections::BTreeSet<u16> =
        found.iter().flat_map(|o| &o.spikes).map(|s| s.id).collect();
    assert_eq!((of("reg"), of("real"), of("event")), (3, 2, 4 + spiking.len()));
    let (mut now, mut events, mut reals) = (None, 0, Vec::new());
    for line in body.lines() {
        let known = |name: &str| variables.iter().any(|v| v.1 == name);
        match line.as_bytes()[0] {
            b'#' => {
                let time: u64 = line[1..].parse().unwrap();
                assert!(now.is_none_or(|before| before < time), "{line}");
                now = Some(time);
            }
            b'1' => {
                assert!(known(&line[1..]), "{line}");
                events += 1;
            }
            b'r' | b'b' => {
                let (value, name) = line[1..].split_once(' ').unwrap();
                assert!(known(name), "{line}");
                if line.starts_with('r') {
                    reals.push(value.parse::<u16>().unwrap());
                }
            }
            _ => panic!("{line}"),
        }
    }
    assert_eq!(events, 24 + found.iter().map(|o| o.spikes.len()).sum::<usize>());
    assert_eq!(reals.len(), 40);
    // The first trial of the first run: all channels of a sample at one time, neuron 2 before 7.
    assert_eq!(reals[..10], found[0].samples[..10]);
}

#[test]
fn ticks_are_the_timescale_where_the_format_allows_it() {
    let scale = |ns| super::vcd::timescale(ns);
    assert_eq!(scale(1000), ("1 us".into(), 1));
    assert_eq!(scale(100), ("100 ns".into(), 1));
    assert_eq!(scale(8), ("1 ns".into(), 8));
    assert_eq!(scale(10_000_000), ("10 ms".into(), 1));
}

#[test]
fn a_run_that_is_not_there_and_one_without_results() {
    let folder = tempfile::tempdir().unwrap();
    let (mut tape, _) = recorded(folder.path());
    let error = export(&mut tape, Format::Csv, Some(9), None).unwrap_err().to_string();
    assert!(error.contains("has no run 9: it holds runs 0 to 2"), "{error}");
    // Cut off before the results of the last run.
    let mut results = Results::default();
    assert!(tape.results(2, &mut results).unwrap());
    let bytes = std::fs::read(tape.path()).unwrap();
    let cut = folder.path().join("cut.rec");
    std::fs::write(&cut, &bytes[..bytes.len() - 20]).unwrap();
    let mut tape = Tape::open(&cut).unwrap();
    for format in [Format::Csv, Format::Npz, Format::Vcd] {
        let exported = export(&mut tape, format, Some(2), None).unwrap();
        assert_eq!((exported.inputs, exported.spikes), (8, 0), "{format:?}");
    }
}
