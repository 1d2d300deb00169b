#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::plan::Plan;
use crate::targets::TargetFile;
use crate::{Baseline, Bench, Grid, SpikeTiming, Spread, Translation, TranslationOptions};
use spikeloop_hal::Chip;
use spikeloop_hal::emulator::{Emulator, Profile, TrueValues};

const DEAD: u16 = 5;
const NEURONS: u16 = 24;

/// A small chip with the mismatch of a real one, and a dead neuron.
fn chip(seed: u64) -> Emulator {
    let mut profile = Profile::preset("bss2-chip66-uncal").unwrap();
    profile.size.neurons = NEURONS;
    profile.size.inputs = 64;
    profile.faults.dead = 0.0;
    let mut chip = Emulator::new(profile, seed, 1, 1).unwrap();
    chip.alter(|chip| chip.dead.push(DEAD)).unwrap();
    chip
}

fn calibration() -> &'static Calibration {
    static MADE: std::sync::OnceLock<Calibration> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        let mut bench = Bench::new(Box::new(chip(1)), 0);
        let plan = Plan::new(&mut bench, &TargetFile::default(), None).unwrap();
        plan.run("test".into(), None, &mut |_, _| Ok(())).unwrap().0
    })
}

fn layer(units: usize, tau_us: f64, spiking: bool) -> LayerTarget {
    LayerTarget {
        units,
        tau_mem_us: tau_us,
        tau_syn_us: tau_us,
        spiking,
        recurrent: false,
        psp_peak: 2.607,
        site: Site::Chip,
    }
}

fn translation(layers: &[LayerTarget], codes: Codes) -> Result<Translation, Error> {
    let options = TranslationOptions {
        spread: Spread::Packed,
        membranes: true,
        baseline: Baseline::FirstSample,
        timing: SpikeTiming::NewCurrent,
        window: None,
    };
    let grid = Grid { dt_us: 1.0, steps: 20 };
    let caps = chip(1).capabilities().clone();
    Translation::calibrated(&caps, grid, 4, layers, options, calibration(), codes)
}

/// True values of the neurons that play layer 0.
fn truth(translation: &Translation) -> Vec<TrueValues> {
    let all = chip(1).true_values(&translation.configuration()).unwrap();
    translation.placement().layer(0).iter().map(|id| all[usize::from(*id)]).collect()
}

fn theta(v: &TrueValues) -> f64 {
    v.threshold_lsb - v.rest_lsb
}

/// Mean of `|a/b − 1|`.
fn error(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let all: Vec<f64> = pairs.map(|(a, b)| (a / b - 1.0).abs()).collect();
    all.iter().sum::<f64>() / all.len() as f64
}

#[test]
fn neurons_that_failed_are_left_out_and_too_few_are_said() {
    let t = translation(&[layer(20, 6.0, true)], Codes::Calibrated).unwrap();
    assert!(!t.placement().layer(0).contains(&DEAD));
    assert!(t.left_out() >= 1);
    let message = translation(&[layer(24, 6.0, true)], Codes::Calibrated).unwrap_err().to_string();
    assert!(message.contains("needs 24") && message.contains("of its 24 usable"), "{message}");
    // Described only, the chip is as it was.
    let t = translation(&[layer(24, 6.0, true)], Codes::Uniform).unwrap();
    assert!(t.placement().layer(0).contains(&DEAD) && t.left_out() == 0);
}

#[test]
fn the_codes_found_are_used_and_one_code_for_all_is_described() {
    let layers = [layer(18, 6.0, true)];
    let calibrated = translation(&layers, Codes::Calibrated).unwrap();
    let uniform = translation(&layers, Codes::Uniform).unwrap();
    let config = calibrated.configuration();
    for (found, p) in calibration().parameters.iter().map(|p| (&p.codes, p.parameter)) {
        for id in calibrated.placement().layer(0) {
            assert_eq!(config.codes(p).unwrap()[usize::from(*id)], found[usize::from(*id)]);
        }
    }
    let power_up = ChipConfig::power_up(chip(1).capabilities());
    assert_eq!(uniform.configuration().parameters, power_up.parameters);
    for t in [&calibrated, &uniform] {
        let (values, truth) = (t.unit_values(0).unwrap(), truth(t));
        let alive = |k: usize| t.placement().layer(0)[k] != DEAD;
        let pairs = |of: &[f64], truth: &dyn Fn(&TrueValues) -> f64, own: &[TrueValues]| {
            error((0..of.len()).filter(|k| alive(*k)).map(|k| (of[k], truth(&own[k]))))
        };
        let tau = pairs(&values.tau_mem_us, &|v| v.tau_mem_us, &truth);
        let syn =
            pairs(&values.tau_syn_us, &|v| 0.5 * (v.tau_syn_exc_us + v.tau_syn_inh_us), &truth);
        assert!(tau < 0.04 && syn < 0.06, "tau_mem {tau}, tau_syn {syn}");
    }
    let spread = |t: &Translation| error(t.unit_values(0).unwrap().gain.iter().map(|g| (*g, 1.0)));
    let (before, after) = (spread(&uniform), spread(&calibrated));
    assert!(after < 0.1 && before > 2.0 * after, "{before} -> {after}");
}

#[test]
fn other_time_constants_get_codes_of_their_own() {
    let t = translation(&[layer(18, 10.0, true)], Codes::Calibrated).unwrap();
    let error = error(truth(&t).iter().map(|v| (v.tau_mem_us, 10.0)));
    assert!(error < 0.04, "{error}");
    assert!(translation(&[layer(3, 1e5, true)], Codes::Calibrated).is_err());
}

#[test]
fn membranes_are_read_in_units_of_the_neurons_own_threshold() {
    let t = translation(&[layer(16, 6.0, true), layer(3, 6.0, false)], Codes::Uniform).unwrap();
    let drawn = chip(1);
    for (k, (v, lsb)) in truth(&t).iter().zip(&t.lsb_per_unit[0]).enumerate() {
        let id = usize::from(t.placement().layer(0)[k]);
        if id != usize::from(DEAD) {
            let expected = theta(v) * f64::from(drawn.truth().adc_gain[id]);
            let off = f64::from(*lsb) / expected - 1.0;
            assert!(off.abs() < 0.08, "neuron {id}: {lsb} for {expected}");
        }
    }
    // A readout has no threshold to be measured by.
    assert!(t.lsb_per_unit[1].iter().all(|lsb| (40.0..110.0).contains(lsb)));
}

#[test]
fn a_calibration_of_another_chip_is_refused() {
    let caps = chip(2).capabilities().clone();
    let other = Known::new(&caps, calibration(), Codes::Calibrated).err().unwrap();
    assert!(matches!(other, Error::OtherChip { .. }), "{other}");
}

#[test]
fn grid_gain_is_continuous_and_equals_the_ratio_of_the_responses() {
    assert!((grid_gain(1.0, 6.0, 6.0) - grid_gain(1.0, 6.0, 6.0001)).abs() < 1e-4);
    let (m, s, dt) = (8.0_f64, 5.0_f64, 1.0_f64);
    let (a, b) = ((-dt / s).exp(), (-dt / m).exp());
    // Three steps after a spike: α² + αβ + β² against the difference of exponentials.
    let grid = a * a + a * b + b * b;
    let time = m * s / (m - s) * ((-3.0 / m).exp() - (-3.0 / s).exp());
    assert!((grid_gain(dt, m, s) - grid / time).abs() < 1e-12);
}

#[test]
fn values_reach_the_model_whatever_its_input_scale() {
    let values =
        UnitValues { tau_mem_us: vec![6.0, 9.0], tau_syn_us: vec![6.0, 5.0], gain: vec![1.0, 1.2] };
    for input_scale in [InputScale::One, InputScale::OneMinusBeta] {
        let nominal = LayerSpec { input_scale, ..LayerSpec::chip_grid(2) };
        let mut spec = nominal.clone();
        values.write_into(&mut spec);
        spec.check().unwrap();
        assert!((spec.scale(0) - nominal.scale(0)).abs() < 1e-12);
        assert!((spec.scale(1) / nominal.scale(1) - 1.2).abs() < 1e-12);
        assert!((spec.beta(1) - (-1.7_f64 / 9.0).exp()).abs() < 1e-12);
    }
}
