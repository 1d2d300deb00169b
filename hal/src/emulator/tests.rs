//! Physics against closed forms, and the promises about determinism.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::caps::Parameter;
use crate::event::SpikeEvent;
use proptest::prelude::*;

/// One bias code of a time constant in µs at 6 µs design value, and so on, stay at their reference:
/// an ideal chip with a fine converter, so that closed forms can be compared.
fn ideal() -> Profile {
    let mut profile = Profile::preset("pnas-decal").unwrap().ideal();
    profile.size.neurons = 64;
    profile.size.inputs = 8;
    if let Some(adc) = &mut profile.adc {
        adc.bits = 16;
    }
    // A converter of 16 bits has the same step: rails at 65535 only.
    profile
}

fn run(chip: &mut Emulator, stimuli: &[Stimulus]) -> Observables {
    let ticket = chip.submit(stimuli).unwrap();
    let mut out = Observables::default();
    chip.collect(ticket, &mut out).unwrap();
    out
}

fn stimulus(trial: u64, duration: u32, events: &[(u32, u16)]) -> Stimulus {
    let events = events.iter().map(|(tick, id)| SpikeEvent::new(*tick, *id)).collect();
    Stimulus { trial, duration, events }
}

fn config(chip: &Emulator, neurons: usize, samples: u16, period: u32) -> ChipConfig {
    let mut config = ChipConfig::power_up(chip.capabilities());
    config.enabled[..neurons].fill(true);
    config.spiking[..neurons].fill(true);
    config.recording.spikes = true;
    config.recording.samples = samples;
    config.recording.sample_period = period;
    config.recording.traces = (0..neurons as u16).collect();
    config
}

#[test]
fn every_preset_loads_and_describes_itself() {
    for (name, description) in PRESETS {
        let profile = Profile::preset(name).unwrap();
        assert_eq!(profile.name, name);
        assert_eq!(profile.description, description);
        profile.capabilities(0).unwrap();
    }
}

#[test]
fn a_psp_has_the_closed_form_wherever_the_event_falls() {
    let mut chip = Emulator::new(ideal(), 1, 1, 1).unwrap();
    let mut config = config(&chip, 20, 20, 425);
    config.row_mut(3)[..20].fill(40);
    config.row_mut(4)[..20].fill(-40);
    config.spiking.fill(false);
    chip.configure(&config).unwrap();
    for tick in [0, 425, 1000, 1111] {
        for (input, sign) in [(3, 1.0), (4, -1.0)] {
            let out = run(&mut chip, &[stimulus(0, 425 * 20, &[(tick, input)])]);
            for sample in 0..20 {
                let t = (f64::from(sample) * 425.0 - f64::from(tick)).max(0.0) * 0.004;
                // dV/dt of J at equal time constants: J t exp(-t/tau).
                let expected = 80.0 + sign * 0.22592 * 40.0 * t * (-t / 6.0).exp();
                for n in 0..20 {
                    let got = f64::from(out.samples[sample as usize * 20 + n]);
                    assert!((got - expected).abs() <= 0.5 + 2e-3, "{tick} {sample} {n}: {got} {expected}");
                }
            }
        }
    }
    assert_eq!(config.codes(Parameter::TauMem).unwrap()[0], 158);
}
