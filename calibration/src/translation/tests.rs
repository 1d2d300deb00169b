use super::*;
use crate::Baseline;
use spikeloop_hal::{Adc, Buffers, Identity, Law, PROTOCOL_VERSION, ParameterSpec, Unit};

/// A chip with the published numbers of BrainScaleS-2, smaller.
pub(crate) fn caps(neurons: u16, inputs: u16) -> Capabilities {
    let spec = |parameter, unit, law| ParameterSpec {
        parameter,
        unit,
        code_min: 0,
        code_max: 1022,
        code_default: 500,
        law,
    };
    let reference = 500.0;
    let linear = |at_reference| Law::Linear { at_reference, reference, slope: 0.375 };
    let reciprocal = |at_reference| Law::Reciprocal { at_reference, reference };
    let gain = Law::Proportional { at_reference: 0.22592, reference };
    Capabilities {
        protocol: PROTOCOL_VERSION,
        identity: Identity { kind: heapless_name("toy"), serial: 1, firmware: 0 },
        neurons,
        inputs,
        recurrent: true,
        weight_min: -63,
        weight_max: 63,
        tick_ns: 4,
        max_duration: 100_000,
        adc: Some(Adc {
            bits: 8,
            min_period: 100,
            reliable_min: 30,
            reliable_max: 210,
            reference: true,
        }),
        buffers: Buffers {
            trials: 1000,
            stimulus_events: 10_000,
            spikes_per_trial: 1000,
            trace_bytes: 131_072,
            runs_in_flight: 2,
            frame_body: 1024,
        },
        parameters: [
            spec(Parameter::LeakPotential, Unit::Lsb, linear(80.0)),
            spec(Parameter::Threshold, Unit::Lsb, linear(150.0)),
            spec(Parameter::TauMem, Unit::Microseconds, reciprocal(6.0)),
            spec(Parameter::TauSynExc, Unit::Microseconds, reciprocal(6.0)),
            spec(Parameter::TauSynInh, Unit::Microseconds, reciprocal(6.0)),
            spec(Parameter::GainExc, Unit::LsbPerMicrosecondPerCode, gain),
            spec(Parameter::GainInh, Unit::LsbPerMicrosecondPerCode, gain),
        ]
        .into_iter()
        .collect(),
    }
}

fn heapless_name(name: &str) -> heapless::String<{ spikeloop_hal::caps::MAX_NAME }> {
    name.try_into().unwrap()
}

pub(crate) fn layer(units: usize, spiking: bool) -> LayerTarget {
    LayerTarget {
        units,
        tau_mem_us: 6.0,
        tau_syn_us: 6.0,
        spiking,
        recurrent: false,
        psp_peak: 1.70966,
        site: Site::Chip,
    }
}

pub(crate) fn options() -> TranslationOptions {
    TranslationOptions {
        spread: Spread::Packed,
        membranes: true,
        baseline: Baseline::FirstSample,
        timing: SpikeTiming::NewCurrent,
        window: None,
    }
}

pub(crate) const GRID: Grid = Grid { dt_us: 1.7, steps: 20 };

#[test]
fn the_published_scale_of_240_codes_per_unit_of_weight_comes_out() {
    let layers = [layer(246, true), layer(10, false)];
    let translation = Translation::new(&caps(512, 256), GRID, 256, &layers, options()).unwrap();
    assert!((translation.nominal_scale[0] - 240.0).abs() < 0.1, "{:?}", translation.nominal_scale);
    let limit = translation.weight_limit(0).unwrap();
    assert!((limit - 63.0 / 240.0).abs() < 1e-3, "{limit}");
    assert_eq!(translation.weight_limit(1), None);
    // 131 072 bytes of trace memory hold 25 trials of 20 samples of 256 neurons: published.
    assert_eq!(translation.trials_per_run(60), 25);
}

#[test]
fn weights_become_codes_where_the_layer_is_placed() {
    let layers = [layer(3, true), layer(2, false)];
    let spread = TranslationOptions { spread: Spread::Even, ..options() };
    let caps = caps(10, 4);
    let mut translation = Translation::new(&caps, GRID, 2, &layers, spread).unwrap();
    assert_eq!(translation.placement().layer(0), [0, 2, 4]);
    assert_eq!(translation.placement().layer(1), [6, 8]);
    let mut config = translation.configuration();
    let report = translation
        .write_weights(0, &[0.1, -0.1, 9.0, 0.0, 0.25, -9.0], None, &mut config)
        .unwrap();
    assert_eq!(report.clipped, 2);
    assert_eq!(config.row(0), [24, 0, -24, 0, 63, 0, 0, 0, 0, 0]);
    assert_eq!(config.row(1), [0, 0, 60, 0, -63, 0, 0, 0, 0, 0]);
    translation.write_weights(1, &[1.0, -2.0, 0.5, 0.0, 0.0, 0.0], None, &mut config).unwrap();
    // The largest weight takes the largest code.
    assert_eq!(config.row(4), [0, 0, 0, 0, 0, 0, 32, 0, -63, 0]);
    assert!((translation.membrane_scale(1) - 240.0 / 31.5).abs() < 0.01);
    config.check(&caps).unwrap();
    assert_eq!(config.spiking, [true, false, true, false, true, false, false, false, false, false]);
}

#[test]
fn lines_drive_layers_of_any_depth() {
    let layers = [layer(3, true), layer(2, true)];
    let caps = caps(10, 4);
    let t = Translation::new(&caps, GRID, 4, &layers, options()).unwrap();
    let mut config = t.configuration();
    let report = t.write_lines(1, 2, &[0.1, -0.1, 9.0, 0.0], &mut config).unwrap();
    assert_eq!(report.clipped, 1);
    assert_eq!(config.row(2), [0, 0, 0, 24, -24, 0, 0, 0, 0, 0]);
    assert_eq!(config.row(3), [0, 0, 0, 63, 0, 0, 0, 0, 0, 0]);
    assert!(t.write_lines(1, 3, &[0.0; 4], &mut config).is_err(), "there is no line 4");
    assert!(t.write_lines(0, 0, &[0.0; 4], &mut config).is_err(), "four weights of three units");
}

#[test]
fn small_readout_weights_do_not_blow_the_scale_up() {
    let layers = [layer(1, true), layer(1, false)];
    let mut t = Translation::new(&caps(4, 4), GRID, 1, &layers, options()).unwrap();
    let mut config = t.configuration();
    let report = t.write_weights(1, &[1e-6], None, &mut config).unwrap();
    assert!((report.scale - 250.0).abs() < 0.2, "{}", report.scale);
    t.write_weights(1, &[0.0], None, &mut config).unwrap();
    assert!((t.membrane_scale(1) - 1.0).abs() < 1e-6);
}

#[test]
fn stimuli_keep_the_convention_of_the_model() {
    let mut inputs = SpikeTrains::new(20, 4);
    for sample in 0..2_u16 {
        for step in 0..20 {
            if step == 3 || step == 19 {
                inputs.push(sample);
            }
            inputs.end_step();
        }
    }
    let layers = [layer(1, true)];
    let new = Translation::new(&caps(4, 4), GRID, 4, &layers, options()).unwrap();
    let mut stimuli = Vec::new();
    new.stimuli(&inputs, 1..2, 70, &mut stimuli);
    assert_eq!(stimuli.len(), 1);
    assert_eq!((stimuli[0].trial, stimuli[0].duration), (70, 20 * 425));
    assert_eq!(stimuli[0].events, [SpikeEvent::new(3 * 425, 1), SpikeEvent::new(19 * 425, 1)]);
    let old = TranslationOptions { timing: SpikeTiming::OldCurrent, ..options() };
    let old = Translation::new(&caps(4, 4), GRID, 4, &layers, old).unwrap();
    old.stimuli(&inputs, 0..1, 0, &mut stimuli);
    assert_eq!(stimuli[0].events, [SpikeEvent::new(4 * 425, 0)]);
}

#[test]
fn whatever_does_not_fit_is_refused_with_its_numbers() {
    let two = [layer(3, true), layer(2, false)];
    let with = |caps: &Capabilities, grid, inputs, layers: &[LayerTarget], options| {
        Translation::new(caps, grid, inputs, layers, options).unwrap_err().to_string()
    };
    let small = caps(4, 4);
    assert!(with(&small, GRID, 2, &two, options()).contains("needs 5 neurons"));
    assert!(with(&small, GRID, 9, &two[..1], options()).contains("has 9 inputs, the chip has 4"));
    let mut deaf = caps(8, 4);
    deaf.adc = None;
    assert!(with(&deaf, GRID, 2, &two, options()).contains("no membrane converter"));
    let spikes = TranslationOptions { membranes: false, ..options() };
    assert!(with(&deaf, GRID, 2, &two, spikes).contains("must be computed on the host"));
    let mut flat = caps(8, 4);
    flat.recurrent = false;
    assert!(with(&flat, GRID, 2, &two, options()).contains("cannot route"));
    let odd = Grid { dt_us: 1.701, ..GRID };
    assert!(with(&caps(8, 4), odd, 2, &two, options()).contains("whole number of ticks"));
    let short = Grid { dt_us: 0.2, ..GRID };
    assert!(with(&caps(8, 4), short, 2, &two, options()).contains("shortest period of 0.4"));
    let long = Grid { steps: 2000, ..GRID };
    assert!(with(&caps(8, 4), long, 2, &two, options()).contains("850000 ticks"));
    let slow = [LayerTarget { tau_mem_us: 1e6, ..layer(1, true) }];
    assert!(with(&caps(8, 4), GRID, 2, &slow, options()).contains("tau_mem = 1000000"));
    let mut tiny = caps(8, 4);
    tiny.buffers.trace_bytes = 50;
    assert!(with(&tiny, GRID, 2, &two, options()).contains("100 bytes of trace memory"));
    let mut t = Translation::new(&caps(8, 4), GRID, 2, &two, options()).unwrap();
    let mut config = t.configuration();
    assert!(matches!(t.write_weights(0, &[0.0; 5], None, &mut config), Err(Error::Shape { .. })));
    assert!(t.write_weights(0, &[0.0; 6], Some(&[0.0; 9]), &mut config).is_err());
}

#[test]
fn quantised_is_what_the_chip_uses() {
    let mut t = Translation::new(&caps(8, 4), GRID, 2, &[layer(3, true)], options()).unwrap();
    let mut config = t.configuration();
    let weights = [0.1, -0.2, 0.0013, 5.0, -5.0, 0.0021];
    t.write_weights(0, &weights, None, &mut config).unwrap();
    for (k, w) in weights.iter().enumerate() {
        let code = f32::from(config.row(k / 3)[k % 3]);
        assert!((t.quantised(0, *w) - code / t.nominal_scale[0]).abs() < 1e-7);
    }
}

#[test]
fn psp_peak_is_continuous_where_the_time_constants_meet() {
    assert!((psp_peak_us(6.0, 6.0) - 6.0 / std::f64::consts::E).abs() < 1e-12);
    assert!((psp_peak_us(6.0, 6.0 + 1e-4) - psp_peak_us(6.0, 6.0)).abs() < 1e-4);
    // Peak time of 10/5: 6.93.
    let t = 10.0 * 5.0 / 5.0 * (2.0_f64).ln();
    assert!((t - 6.93).abs() < 0.01);
    let v = 10.0 * 5.0 / 5.0 * ((-t / 10.0).exp() - (-t / 5.0_f64).exp());
    assert!((psp_peak_us(10.0, 5.0) - v).abs() < 1e-12);
}

#[test]
fn rounding_is_to_the_nearest_and_ties_go_to_even() {
    for k in -2000..=2000 {
        let x = k as f32 / 8.0;
        assert_eq!(round(x), x.round_ties_even(), "{x}");
    }
}
