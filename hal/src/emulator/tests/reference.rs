//! The converter at a known potential.

use super::*;

/// Neuron 7 stays off; the others are driven hard enough to fire.
fn driven(chip: &Emulator, reference: Option<u16>) -> ChipConfig {
    let mut config = busy(chip);
    config.enabled[7] = false;
    config.recording.reference = reference;
    config
}

#[test]
fn all_channels_show_their_gain_and_offset_and_the_neurons_go_on() {
    for simd in Simd::available() {
        let profile = busy_profile().without_noise();
        let mut chip = Emulator::new(profile, 5, 6, 2).unwrap();
        chip.set_simd(simd).unwrap();
        let stimuli = busy_stimuli(3);
        chip.configure(&driven(&chip, None)).unwrap();
        let membranes = run(&mut chip, &stimuli);
        assert!(membranes.spikes.len() > 20);
        for code in [0, 30, 80, 130, 255] {
            let config = driven(&chip, Some(code));
            chip.configure(&config).unwrap();
            let out = run(&mut chip, &stimuli);
            assert_eq!(out.spikes, membranes.spikes, "spikes do not depend on the converter");
            let truth = chip.truth();
            let traces = &config.recording.traces;
            for (k, sample) in out.samples.iter().enumerate() {
                let n = usize::from(traces[k % traces.len()]);
                let gain = f64::from(truth.adc_gain[n]);
                let seen = gain * (f64::from(code) - 80.0) + 80.0;
                let seen = seen + f64::from(truth.adc_offset_lsb[n]);
                // A channel of a neuron that is off reads 0.
                let expected = if n == 7 { 0.0 } else { seen.clamp(0.0, 255.0) };
                assert!((f64::from(*sample) - expected).abs() < 0.501, "{n}: {sample} {expected}");
            }
        }
        chip.configure(&driven(&chip, None)).unwrap();
        assert_eq!(essence(&run(&mut chip, &stimuli)), essence(&membranes));
    }
}

#[test]
fn a_membrane_at_rest_and_a_reference_of_its_height_are_the_same_bits() {
    let mut profile = ideal();
    if let Some(adc) = &mut profile.adc {
        (adc.noise_lsb, adc.jitter_probability) = (2.0, 0.1);
    }
    let mut chip = Emulator::new(profile, 1, 1, 1).unwrap();
    let mut config = config(&chip, 40, 25, 425);
    chip.configure(&config).unwrap();
    let stimuli: Vec<_> = (0..4).map(|trial| stimulus(trial, 9000, &[])).collect();
    let rest = run(&mut chip, &stimuli);
    config.recording.reference = Some(80);
    chip.configure(&config).unwrap();
    assert_eq!(run(&mut chip, &stimuli).samples, rest.samples);
    config.recording.reference = Some(90);
    chip.configure(&config).unwrap();
    // The noise belongs to sample and channel, not to the potential.
    let higher = run(&mut chip, &stimuli).samples;
    assert!(higher.iter().zip(&rest.samples).all(|(high, low)| *high == low + 10));
    let (n, mean) = (rest.samples.len() as f64, 80.0);
    let square: f64 = rest.samples.iter().map(|s| (f64::from(*s) - mean).powi(2)).sum();
    let sigma = (square / n - 1.0 / 12.0).sqrt();
    assert!((sigma - 2.0).abs() < 0.1, "{sigma}");
}

#[test]
fn saturated_references_are_counted() {
    let mut chip = Emulator::new(busy_profile().without_noise(), 5, 6, 1).unwrap();
    chip.configure(&driven(&chip, Some(255))).unwrap();
    let out = run(&mut chip, &busy_stimuli(1));
    let rails = out.samples.iter().filter(|s| **s == 255).count() as u64;
    assert!(rails > 0);
    assert_eq!(chip.health().saturated_samples, rails);
}

#[test]
fn a_chip_without_reference_and_a_code_beyond_the_converter_are_refused() {
    for (name, description) in PRESETS {
        let mut profile = Profile::preset(name).unwrap();
        (profile.size.neurons, profile.size.inputs) = (32, 8);
        let mut chip = Emulator::new(profile, 1, 1, 1).unwrap();
        let can = chip.capabilities().adc.is_some_and(|adc| adc.reference);
        let bss2 = ["bss2-chip66-uncal", "bss2-cal", "delgrad-hwaware", "pnas-decal"];
        assert_eq!(can, bss2.contains(&name), "{name}: {description}");
        let mut config = ChipConfig::power_up(chip.capabilities());
        config.recording.reference = Some(255);
        assert_eq!(chip.configure(&config).is_ok(), can);
        config.recording.reference = Some(256);
        let error = chip.configure(&config).unwrap_err().to_string();
        let expected = if can { "choose 0 to 2^bits - 1" } else { "record membranes instead" };
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_digital_converter_can_have_one_too() {
    let mut profile = Profile::preset("fpga-ideal").unwrap();
    (profile.size.neurons, profile.size.inputs) = (32, 4);
    profile.adc.as_mut().unwrap().reference = true;
    let mut chip = Emulator::new(profile, 1, 1, 1).unwrap();
    let mut config = config(&chip, 4, 6, 10);
    config.recording.reference = Some(99);
    chip.configure(&config).unwrap();
    assert_eq!(run(&mut chip, &[stimulus(0, 60, &[(2, 1)])]).samples, [99; 24]);
}

#[test]
fn a_floor_holds_for_neurons_that_can_spike_after_the_first_sample() {
    for simd in Simd::available() {
        let mut chip = Emulator::new(busy_profile(), 5, 6, 2).unwrap();
        chip.set_simd(simd).unwrap();
        let stimuli = busy_stimuli(3);
        let mut config = driven(&chip, None);
        config.spiking[3] = false;
        chip.configure(&config).unwrap();
        let whole = run(&mut chip, &stimuli);
        let before = chip.health().saturated_samples;
        config.recording.floor = Some(100);
        chip.configure(&config).unwrap();
        let near = run(&mut chip, &stimuli);
        assert_eq!(near.spikes, whole.spikes);
        let traces = &config.recording.traces;
        let per_trial = traces.len() * usize::from(config.recording.samples);
        let (mut hidden, mut rails) = (0, 0);
        for (k, (new, old)) in near.samples.iter().zip(&whole.samples).enumerate() {
            let n = traces[k % traces.len()];
            let can_spike = config.spiking[usize::from(n)] && n != 7;
            let free = k % per_trial < traces.len() || !can_spike;
            assert_eq!(*new, if free { *old } else { (*old).max(100) }, "neuron {n} at {k}");
            hidden += u32::from(new != old);
            // A channel of a neuron that is off reads 0 and was not converted.
            rails += u64::from(n != 7 && (*new == 0 || *new == 255));
        }
        assert!(hidden > 100, "{hidden}");
        assert_eq!(chip.health().saturated_samples - before, rails);
        // The comparator is switched with the recording as it is.
        config.spiking[3] = true;
        chip.configure(&config).unwrap();
        let both = run(&mut chip, &stimuli);
        let of = |k: usize| traces[k % traces.len()] == 3 && k % per_trial >= traces.len();
        assert!(both.samples.iter().enumerate().all(|(k, code)| !of(k) || *code >= 100));
    }
}
