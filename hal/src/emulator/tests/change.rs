//! Crosstalk of codes, drift, temperature, and changes behind the back of the user.

use super::*;

/// An uncalibrated chip without noise and with a fine converter.
fn uncalibrated(crosstalk: f64) -> Emulator {
    let mut profile = busy_profile().without_noise();
    profile.crosstalk.codes = crosstalk;
    if let Some(adc) = &mut profile.adc {
        adc.bits = 16;
    }
    Emulator::new(profile, 5, 6, 1).unwrap()
}

fn at(hours: f64, temperature_c: f64) -> Environment {
    Environment { hours, temperature_c }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * b.abs().max(1.0)
}

#[test]
fn cells_at_one_code_shift_each_other_as_documented() {
    let (with, without) = (uncalibrated(2.0), uncalibrated(0.0));
    let mut config = ChipConfig::power_up(with.capabilities());
    let both = |config: &ChipConfig| {
        (with.true_values(config).unwrap(), without.true_values(config).unwrap())
    };
    let slope = 0.374_331_55;
    let (a, b) = both(&config);
    for (a, b) in a.iter().zip(&b) {
        assert!(near(a.threshold_lsb, b.threshold_lsb + 2.0 * slope));
        assert!(near(a.reset_lsb, b.reset_lsb + 2.0 * slope));
        assert!(near(a.tau_mem_us, b.tau_mem_us * 158.0 / 160.0));
        assert!(near(a.tau_syn_exc_us, b.tau_syn_exc_us * 84.0 / 86.0));
        assert!(near(a.gain_inh, b.gain_inh * 541.0 / 539.0));
        assert_eq!(a.refractory_us, b.refractory_us, "a digital counter");
    }
    // One of the 24 cells of a block goes away: the others lose one of 23 parts, it loses all.
    config.codes_mut(Parameter::Threshold).unwrap()[30] += 100;
    let (a, b) = both(&config);
    let shift = |n: usize| (a[n].threshold_lsb - b[n].threshold_lsb) / slope;
    for n in 0..96 {
        let expected = match n {
            30 => 0.0,
            24..48 => 2.0 * 22.0 / 23.0,
            _ => 2.0,
        };
        assert!((shift(n) - expected).abs() < 1e-4, "{n}: {}", shift(n));
    }
}

#[test]
fn the_kernels_run_on_the_true_values() {
    for crosstalk in [0.0, 2.0] {
        let mut chip = uncalibrated(crosstalk);
        let mut config = config(&chip, 96, 3, 425);
        config.spiking.fill(false);
        for (k, (_, codes)) in config.parameters.iter_mut().enumerate() {
            codes.iter_mut().enumerate().for_each(|(n, code)| *code += (n * (k + 3) % 7) as u16);
        }
        // Reached by a difference as well as from scratch.
        chip.configure(&ChipConfig::power_up(chip.capabilities())).unwrap();
        let mut first = config.clone();
        first.codes_mut(Parameter::LeakPotential).unwrap().fill(500);
        chip.configure(&first).unwrap();
        chip.configure(&config).unwrap();
        let truth = chip.true_values(&config).unwrap();
        let out = run(&mut chip, &[stimulus(0, 1000, &[])]);
        for (k, sample) in out.samples.iter().enumerate() {
            let n = k % 96;
            let (gain, offset) = (chip.truth().adc_gain[n], chip.truth().adc_offset_lsb[n]);
            let seen = 80.0 + f64::from(gain) * (truth[n].rest_lsb - 80.0) + f64::from(offset);
            assert!((f64::from(*sample) - seen.max(0.0)).abs() < 0.501, "{n}: {sample} {seen}");
        }
    }
}

#[test]
fn true_values_want_a_configuration_of_this_chip() {
    let chip = uncalibrated(0.0);
    let mut other = chip.capabilities().clone();
    other.neurons += 1;
    let error = chip.true_values(&ChipConfig::power_up(&other)).unwrap_err();
    assert!(matches!(error, Error::ConfigShape { .. }));
}

#[test]
fn hours_give_the_same_chip_in_every_order() {
    let mut chip = Emulator::new(busy_profile(), 5, 6, 1).unwrap();
    let (serial, new) = (chip.capabilities().identity.serial, chip.truth().clone());
    let mut seen = Vec::new();
    for hours in [0.0, 3.0, 3.5, 40.0, 3.5, 3.0, 0.0] {
        chip.set_environment(at(hours, 25.0)).unwrap();
        assert_eq!(chip.truth().serial(), serial);
        assert_eq!(chip.capabilities().identity.serial, serial);
        seen.push(chip.truth().clone());
    }
    assert_eq!(seen[0], new);
    for k in 0..3 {
        assert_eq!(seen[k], seen[6 - k]);
        assert_ne!(seen[k].leak_lsb, seen[k + 1].leak_lsb);
    }
    let unchanged = |c: &DrawnChip| (c.reset_lsb.clone(), c.tau_mem.clone(), c.gain_exc.clone());
    assert_eq!(unchanged(&seen[3]), unchanged(&new));
    // A smaller chip of the same seed is the same chip as far as it goes.
    let mut profile = busy_profile();
    profile.size.neurons = 24;
    let small = DrawnChip::draw(&profile, 5);
    let small = Emulator::in_environment(small, at(3.5, 25.0), None, 1).unwrap();
    assert_eq!(small.truth().threshold_lsb, seen[2].threshold_lsb[..24]);
}

#[test]
fn golden_drift() {
    // The drift of a seed is part of the meaning of the seed: never change these numbers.
    let mut profile = Profile::preset("bss2-cal").unwrap();
    (profile.size.neurons, profile.size.inputs) = (4, 1);
    let drawn = DrawnChip::draw(&profile, 66);
    let aged = Emulator::in_environment(drawn.clone(), at(10.5, 25.0), None, 1).unwrap();
    let moved = |now: &[f32], new: &[f32]| -> Vec<i32> {
        // In thousandths of a converter step: the last bits of a sum may differ, drift may not.
        now.iter().zip(new).map(|(now, new)| ((now - new) * 1000.0).round() as i32).collect()
    };
    let truth = aged.truth();
    insta::assert_debug_snapshot!((
        moved(&truth.leak_lsb, &drawn.leak_lsb),
        moved(&truth.threshold_lsb, &drawn.threshold_lsb),
    ));
}

#[test]
fn drift_has_the_spread_and_the_memory_of_its_process() {
    let mut profile = Profile::preset("bss2-cal").unwrap();
    (profile.size.neurons, profile.size.inputs) = (4096, 1);
    profile.size.recurrent = false;
    let mut chip = Emulator::new(profile, 9, 9, 1).unwrap();
    let new = chip.truth().clone();
    let mut drift = |hours: f64| {
        chip.set_environment(at(hours, 25.0)).unwrap();
        let now = chip.truth();
        let of = |now: &[f32], new: &[f32]| -> Vec<f64> {
            now.iter().zip(new).map(|(now, new)| f64::from(now - new) / 70.0).collect()
        };
        [of(&now.leak_lsb, &new.leak_lsb), of(&now.threshold_lsb, &new.threshold_lsb)]
    };
    let product = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64
    };
    let sd = |a: &[f64]| product(a, a).sqrt();
    for hours in [1.0_f64, 8.0, 60.0] {
        let [leak, threshold] = drift(hours);
        let reached = (1.0 - (-2.0 * hours / 8.0).exp()).sqrt();
        assert!((sd(&leak) / (0.01 * reached) - 1.0).abs() < 0.05, "{hours}: {}", sd(&leak));
        assert!((sd(&threshold) / (0.015 * reached) - 1.0).abs() < 0.05);
        assert!(product(&leak, &threshold).abs() < 0.06 * sd(&leak) * sd(&threshold));
    }
    let ([early, _], [late, _]) = (drift(60.0), drift(64.0));
    let memory = product(&early, &late) / (sd(&early) * sd(&late));
    assert!((memory - (-0.5_f64).exp()).abs() < 0.05, "{memory}");
    // Between two hours the path is continuous and lies between them.
    let (a, b, c) = (drift(60.0), drift(60.001), drift(60.999));
    let next = drift(61.0);
    let apart = |x: &[f64], y: &[f64]| sd(&x.iter().zip(y).map(|(x, y)| x - y).collect::<Vec<_>>());
    assert!(apart(&a[0], &b[0]) < 2e-5 && apart(&c[0], &next[0]) < 2e-5);
    assert!(apart(&a[0], &next[0]) > 2e-3);
}

#[test]
fn warmth_changes_all_time_constants_and_the_chip_says_how_warm_it_is() {
    let mut chip = uncalibrated(0.0);
    assert_eq!(chip.temperature_c(), Some(25.0));
    let config = ChipConfig::power_up(chip.capabilities());
    let cold = chip.true_values(&config).unwrap();
    chip.set_environment(at(0.0, 35.0)).unwrap();
    assert_eq!(chip.temperature_c(), Some(35.0));
    for (warm, cold) in chip.true_values(&config).unwrap().iter().zip(&cold) {
        assert!(near(warm.tau_mem_us, 1.03 * cold.tau_mem_us));
        assert!(near(warm.tau_syn_exc_us, 1.03 * cold.tau_syn_exc_us));
        assert!(near(warm.tau_syn_inh_us, 1.03 * cold.tau_syn_inh_us));
        assert_eq!(warm.threshold_lsb, cold.threshold_lsb);
        assert_eq!(warm.gain_exc, cold.gain_exc);
    }
    for bad in [at(-1.0, 25.0), at(f64::NAN, 25.0), at(0.0, 200.0), at(1e5, 25.0)] {
        assert!(chip.set_environment(bad).is_err());
    }
    assert_eq!(chip.environment(), at(0.0, 35.0));
}

#[test]
fn hours_and_temperature_are_options() {
    let options = |list: &[(&str, &str)]| {
        let list: Vec<_> = list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Emulator::from_options(&list, 1)
    };
    let base = [("preset", "bss2-cal"), ("neurons", "32"), ("inputs", "8")];
    let with = |more: &[(&'static str, &'static str)]| options(&[&base[..], more].concat());
    let new = with(&[]).unwrap();
    let aged = with(&[("hours", "7.5"), ("temperature", "-5")]).unwrap();
    assert_eq!(aged.environment(), at(7.5, -5.0));
    assert_eq!(aged.capabilities(), new.capabilities());
    assert_ne!(aged.truth(), new.truth());
    let same = with(&[("hours", "0"), ("temperature", "25")]).unwrap();
    assert_eq!(same.truth(), new.truth());
    for (key, value, expected) in [
        ("hours", "-1", "hours from 0 to 10000"),
        ("hours", "soon", "hours from 0 to 10000"),
        ("temperature", "300", "from -40 to 85"),
        ("temperature", "NaN", "from -40 to 85"),
    ] {
        let error = with(&[(key, value)]).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(value), "{error}");
    }
    // A saved chip keeps the state of the hour in which it was saved, and its identity.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chip.toml");
    aged.truth().save(&file).unwrap();
    let file = file.to_str().unwrap();
    let loaded = options(&[("chip", file)]).unwrap();
    assert_eq!(loaded.truth(), aged.truth());
    assert_eq!(loaded.capabilities(), aged.capabilities());
    let later = options(&[("chip", file), ("hours", "2")]).unwrap();
    assert_ne!(later.truth().leak_lsb, aged.truth().leak_lsb);
    assert_eq!(later.capabilities(), aged.capabilities());
}

#[test]
fn a_chip_can_be_altered_and_keeps_its_identity() {
    let stimuli = busy_stimuli(4);
    let mut chip = Emulator::new(busy_profile(), 5, 6, 1).unwrap();
    chip.configure(&busy(&chip)).unwrap();
    let before = run(&mut chip, &stimuli);
    let (caps, values) = (chip.capabilities().clone(), chip.truth().clone());
    let busiest = before.spikes[0].id;
    let ticket = chip.submit(&stimuli).unwrap();
    chip.alter(|chip| {
        chip.dead.push(busiest);
        chip.threshold_lsb[40] += 1.4;
        let bit = |neuron| StuckBit { source: 0, neuron, bit: 1, high: true };
        chip.stuck_bits.splice(0..0, [bit(9), bit(3)]);
    })
    .unwrap();
    let mut queued = Observables::default();
    chip.collect(ticket, &mut queued).unwrap();
    assert_eq!(essence(&queued), essence(&before), "what was submitted before is not touched");
    let after = run(&mut chip, &stimuli);
    assert!(after.spikes.iter().all(|spike| spike.id != busiest));
    assert_eq!(chip.capabilities(), &caps);
    assert_eq!(chip.truth().threshold_lsb[40], values.threshold_lsb[40] + 1.4);
    assert_eq!(chip.truth().serial(), values.serial());
    assert!(chip.truth().stuck_bits.is_sorted_by_key(|bit| (bit.source, bit.neuron)));
    // Saved and loaded it is still the same chip, with its fault.
    let loaded = DrawnChip::from_toml(&chip.truth().to_toml().unwrap()).unwrap();
    assert_eq!(&loaded, chip.truth());
    let mut loaded = Emulator::from_chip(loaded, Some(6), 1).unwrap();
    assert_eq!(loaded.capabilities(), &caps);
    loaded.configure(&busy(&loaded)).unwrap();
    assert_eq!(essence(&run(&mut loaded, &stimuli)), essence(&after));
    // What makes no chip, or another one, is refused and nothing has changed.
    let altered = chip.truth().clone();
    assert!(chip.alter(|chip| chip.leak_lsb.truncate(3)).is_err());
    assert!(chip.alter(|chip| chip.dead.push(999)).is_err());
    let error = chip.alter(|chip| chip.profile.size.weight_max = 15).unwrap_err().to_string();
    assert!(error.contains("make a new one"), "{error}");
    assert_eq!(chip.truth(), &altered);
    assert_eq!(essence(&run(&mut chip, &stimuli)), essence(&after));
    // Drift goes on top of what was altered.
    chip.set_environment(at(20.0, 25.0)).unwrap();
    chip.alter(|chip| chip.threshold_lsb[40] -= 1.4).unwrap();
    let drifted = chip.truth().threshold_lsb[40] - values.threshold_lsb[40];
    assert!(drifted.abs() > 1e-3 && drifted.abs() < 5.0 * 0.015 * 70.0, "{drifted}");
}
