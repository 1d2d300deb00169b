use crate::translation::Translation;
use crate::translation::tests::{GRID, caps, layer, options};
use crate::{Baseline, TranslationOptions};
use spikeloop_hal::{Observables, SpikeEvent};
use spikeloop_models::observation::Observation;

const STEP: u32 = 425;

/// Two hidden units and one readout, two trials.
fn observables(spikes: [&[(u32, u16)]; 2]) -> Observables {
    let mut observables = Observables::default();
    observables.clear();
    for trial in spikes {
        observables.spikes.extend(trial.iter().map(|(t, id)| SpikeEvent::new(*t, *id)));
        observables.offsets.push(observables.spikes.len() as u32);
    }
    for trial in 0..2_u16 {
        for k in 0..20_u16 {
            observables.samples.extend([80 + trial + k, 90, 100 - k]);
        }
    }
    observables
}

fn translation(baseline: Baseline) -> Translation {
    let layers = [layer(2, true), layer(1, false)];
    let options = TranslationOptions { baseline, ..options() };
    Translation::new(&caps(3, 4), GRID, 4, &layers, options).unwrap()
}

#[test]
fn membranes_are_in_thresholds_above_the_first_sample() {
    let mut out = Observation::default();
    let report =
        translation(Baseline::FirstSample).observe(&observables([&[], &[]]), &mut out).unwrap();
    let hidden = out.layers[0].membrane.as_ref().unwrap();
    assert_eq!(hidden.len(), 2 * 20 * 2);
    for trial in 0..2 {
        for k in 0..20 {
            let at = (trial * 20 + k) * 2;
            assert!((hidden[at] - k as f32 / 70.0).abs() < 1e-6);
            assert_eq!(hidden[at + 1], 0.0);
        }
    }
    let readout = out.layers[1].membrane.as_ref().unwrap();
    assert!((readout[19] + 19.0 / 70.0).abs() < 1e-6);
    assert!(out.layers[1].spikes.is_none());
    assert_eq!((report.saturated, report.late_spikes), (0, 0));
}

#[test]
fn the_mean_over_the_run_can_be_the_baseline() {
    let mut out = Observation::default();
    translation(Baseline::RunMean).observe(&observables([&[], &[]]), &mut out).unwrap();
    let hidden = out.layers[0].membrane.as_ref().unwrap();
    assert!((hidden[2] - 0.5 / 70.0).abs() < 1e-6, "80 + 1 − 80.5");
    assert_eq!(hidden[0], 0.0, "state 0 is the resting state by definition");
}

#[test]
fn spikes_belong_to_the_first_state_after_them_and_mark_the_crossing() {
    let trial = [(1, 0), (STEP, 1), (STEP + 1, 0), (2 * STEP, 0), (20 * STEP - 1, 1)];
    let mut out = Observation::default();
    let report =
        translation(Baseline::FirstSample).observe(&observables([&trial, &[]]), &mut out).unwrap();
    let spikes = out.layers[0].spikes.as_ref().unwrap();
    assert_eq!(spikes.samples(), 2);
    assert!(spikes.at(0, 0).is_empty());
    assert_eq!(spikes.at(0, 1), [0, 1]);
    assert_eq!(spikes.at(0, 2), [0]);
    assert_eq!((report.double_spikes, report.late_spikes), (1, 1));
    assert_eq!(spikes.count(1), 0);
    let hidden = out.layers[0].membrane.as_ref().unwrap();
    assert_eq!(&hidden[2..4], [1.0, 1.0]);
    assert_eq!(hidden[4], 1.0);
    assert_eq!(hidden[5], 0.0, "no spike, no mark");
}

#[test]
fn saturation_is_counted() {
    let mut o = observables([&[], &[]]);
    o.samples[3] = 255;
    o.samples[6] = 0;
    o.samples[9] = 220;
    let report =
        translation(Baseline::FirstSample).observe(&o, &mut Observation::default()).unwrap();
    assert_eq!((report.saturated, report.unreliable), (2, 3));
}

#[test]
fn a_wrong_shape_is_an_error_and_not_a_panic() {
    let mut o = observables([&[], &[]]);
    o.samples.pop();
    let error = translation(Baseline::FirstSample).observe(&o, &mut Observation::default());
    assert!(error.unwrap_err().to_string().contains("119 samples where 120"));
}

#[test]
fn a_window_becomes_a_floor_and_what_lies_below_is_neither_sent_nor_suspicious() {
    let layers = [layer(2, true), layer(1, false)];
    let make = |window| {
        let options = TranslationOptions { window, ..options() };
        Translation::new(&caps(3, 4), GRID, 4, &layers, options).unwrap()
    };
    assert_eq!(make(None).floor(), None);
    // Rest 80, threshold 150: 0.3 below it.
    let near = make(Some(0.3));
    assert_eq!((near.floor(), near.configuration().recording.floor), (Some(129), Some(129)));
    near.configuration().check(&caps(3, 4)).unwrap();
    assert_eq!(make(Some(5.0)).floor(), None, "below the converter's range: all are measured");
    let mut o = observables([&[], &[]]);
    let whole = make(None).observe(&o, &mut Observation::default()).unwrap();
    assert_eq!((whole.trace_bytes.sent, whole.trace_bytes.all), (120, 120));
    // As a chip would return it: unit 0 at 140 in the last sample of trial 0, the rest at the floor.
    for (k, code) in o.samples.iter_mut().enumerate() {
        if k % 3 < 2 && k % 60 >= 3 {
            *code = if k == 57 { 140 } else { 129 };
        }
    }
    let mut out = Observation::default();
    let report = near.observe(&o, &mut out).unwrap();
    assert_eq!((report.saturated, report.unreliable), (0, 0));
    // A first row of three bytes and nineteen readouts of two, for they follow a gap; one unit more,
    // and the readout a byte less after the shorter gap.
    assert_eq!((report.trace_bytes.sent, report.trace_bytes.all), (2 * (3 + 19 * 2) + 2, 120));
    let hidden = out.layers[0].membrane.as_ref().unwrap();
    assert!((hidden[19 * 2] - 60.0 / 70.0).abs() < 1e-6 && (hidden[4] - 49.0 / 70.0).abs() < 1e-6);
    // A floor in the range that cannot be trusted.
    let low = make(Some(0.9999 + 60.0 / 70.0));
    assert_eq!(low.floor(), Some(20));
    o.samples.iter_mut().for_each(|code| *code = 20);
    let report = low.observe(&o, &mut Observation::default()).unwrap();
    assert_eq!(report.unreliable, 2 * 19, "readouts have no floor");
}
