//! Physics against closed forms, and the promises about determinism.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::caps::Parameter;
use crate::event::SpikeEvent;
use proptest::prelude::*;

mod change;
mod reference;

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
                    assert!(
                        (got - expected).abs() <= 0.5 + 2e-3,
                        "{tick} {sample} {n}: {got} {expected}"
                    );
                }
            }
        }
    }
    assert_eq!(config.codes(Parameter::TauMem).unwrap()[0], 158);
}

/// Brute force: explicit Euler in tiny steps, written independently of the propagators.
/// `jumps` are (time, code); returns spike times in µs.
fn oracle(jumps: &[(f64, f64)], t_end: f64, delta: f64, refractory: f64) -> Vec<f64> {
    let (mut v, mut e, mut i, mut t) = (80.0, 0.0, 0.0, 0.0);
    let (mut held_until, mut out, mut k) = (-1.0, Vec::new(), 0);
    while t < t_end {
        while k < jumps.len() && jumps[k].0 <= t + delta / 2.0 {
            let jump = 0.22592 * jumps[k].1;
            if jump > 0.0 {
                e += jump
            } else {
                i += jump
            }
            k += 1;
        }
        // Midpoint rule.
        let slope = |v: f64, d: f64| -(v - 80.0) / 6.0 + d;
        let middle = (e + i) * (1.0 - delta / 12.0);
        let half = v + 0.5 * delta * slope(v, e + i);
        let next = v + delta * slope(half, middle);
        e *= 1.0 - delta / 6.0 + delta * delta / 72.0;
        i *= 1.0 - delta / 6.0 + delta * delta / 72.0;
        t += delta;
        v = if t <= held_until { 80.0 } else { next };
        if v > 150.0 {
            out.push(t);
            held_until = t + refractory;
            v = 80.0;
        }
    }
    out
}

#[test]
fn spike_times_agree_with_brute_force() {
    let mut profile = ideal();
    profile.time.stamp_ticks = 1;
    let mut chip = Emulator::new(profile, 1, 1, 1).unwrap();
    let mut config = config(&chip, 1, 2, 425);
    let codes = [60_i8, 55, -30, 63, 40, -63, 20, 63];
    for (input, code) in codes.iter().enumerate() {
        config.row_mut(input)[0] = *code;
    }
    chip.configure(&config).unwrap();
    let mut state = 12345_u32;
    let (mut total, mut coarse) = (0, 0);
    for trial in 0..20 {
        let mut events: Vec<(u32, u16)> = (0..60)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 8) % 8000, (state >> 4) as u16 % 8)
            })
            .collect();
        events.sort_unstable();
        let out = run(&mut chip, &[stimulus(trial, 10_000, &events)]);
        let jumps: Vec<_> = events
            .iter()
            .map(|(tick, id)| (f64::from(*tick) * 0.004, f64::from(codes[usize::from(*id)])))
            .collect();
        let expected = oracle(&jumps, 40.0, 1e-4, 0.425);
        assert_eq!(out.spikes.len(), expected.len(), "trial {trial}");
        for (spike, t) in out.spikes.iter().zip(&expected) {
            let got = f64::from(spike.tick) * 0.004;
            // A membrane that only grazes the threshold is ill-conditioned; most are not.
            assert!((got - t).abs() < 0.03, "trial {trial}: {got} µs against {t} µs");
            coarse += usize::from((got - t).abs() > 0.004);
        }
        total += expected.len();
    }
    assert!(total > 60, "the test must see spikes: {total}");
    assert!(coarse * 50 <= total, "{coarse} of {total} are more than a tick off");
}

#[test]
fn a_leak_over_threshold_neuron_fires_at_the_closed_form_rate() {
    let mut profile = ideal();
    profile.time.stamp_ticks = 1;
    profile.nominal.refractory_us = 2.0;
    let mut chip = Emulator::new(profile, 1, 1, 1).unwrap();
    let mut config = config(&chip, 3, 0, 425);
    // Leak 60, 90, 200 codes (of 70/187 LSB) above the threshold.
    for (n, above) in [60, 90, 200].into_iter().enumerate() {
        config.codes_mut(Parameter::LeakPotential).unwrap()[n] = 629 + 187 + above;
        config.codes_mut(Parameter::Refractory).unwrap()[n] = 40;
    }
    chip.configure(&config).unwrap();
    let refractory =
        f64::from(chip.capabilities().parameter(Parameter::Refractory).unwrap().value(40));
    let out = run(&mut chip, &[stimulus(0, 250_000, &[])]);
    for (n, above) in [60.0, 90.0, 200.0].into_iter().enumerate() {
        let times: Vec<_> = out
            .spikes
            .iter()
            .filter(|s| usize::from(s.id) == n)
            .map(|s| f64::from(s.tick) * 0.004)
            .collect();
        let drive = 70.0 + above * 70.0 / 187.0;
        let period = refractory + 6.0 * f64::ln(drive / (drive - 70.0));
        let got = (times.last().unwrap() - times[0]) / (times.len() - 1) as f64;
        assert!((got - period).abs() < 2e-4 * period, "neuron {n}: {got} against {period}");
    }
}

#[test]
fn the_membrane_stays_at_reset_for_the_refractory_time() {
    let mut chip = Emulator::new(ideal(), 1, 1, 1).unwrap();
    let mut config = config(&chip, 1, 60, 425);
    config.row_mut(0)[0] = 63;
    config.codes_mut(Parameter::Refractory).unwrap()[0] = 400; // 10 µs
    config.codes_mut(Parameter::ResetPotential).unwrap()[0] = 625 - 80; // 50 LSB
    chip.configure(&config).unwrap();
    let events: Vec<_> = (0..8).map(|k| (k * 10, 0)).collect();
    let out = run(&mut chip, &[stimulus(0, 425 * 60, &events)]);
    assert_eq!(out.spikes.len(), 1);
    let spike = f64::from(out.spikes[0].tick);
    for (k, sample) in out.samples.iter().enumerate() {
        let t = k as f64 * 425.0;
        if t > spike && t < spike + 2500.0 {
            assert_eq!(*sample, 50);
        }
    }
    let release = ((spike + 2500.0) / 425.0).ceil() as usize;
    assert!(out.samples[release] > 50 && out.samples[release + 1] > out.samples[release]);
}

#[test]
fn the_converter_has_rails_and_counts_what_hits_them() {
    let mut profile = Profile::preset("pnas-decal").unwrap().ideal();
    profile.size.neurons = 32;
    let mut chip = Emulator::new(profile, 1, 1, 1).unwrap();
    let mut config = config(&chip, 2, 20, 425);
    config.spiking.fill(false);
    config.row_mut(0)[0] = 63;
    config.row_mut(0)[1] = -63;
    chip.configure(&config).unwrap();
    let out =
        run(&mut chip, &[stimulus(0, 9000, &[(0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)])]);
    let of = |n: usize| out.samples.iter().skip(n).step_by(2).copied().collect::<Vec<_>>();
    assert_eq!((of(0)[0], of(1)[0]), (80, 80));
    assert_eq!(of(0).iter().max(), Some(&255));
    assert_eq!(of(1).iter().min(), Some(&0));
    let railed = out.samples.iter().filter(|s| **s == 0 || **s == 255).count();
    assert!(railed > 4);
    assert_eq!(chip.health().saturated_samples, railed as u64);
}

/// Feed-forward with a recurrent part: every path of the time loop is used.
fn busy(chip: &Emulator) -> ChipConfig {
    let mut config = config(chip, 90, 20, 425);
    config.spiking[80..90].fill(false);
    let mut state = 7_u32;
    let mut code = |sd: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 16) % (2 * sd + 1)) as i8 - sd as i8
    };
    let inputs = usize::from(chip.capabilities().inputs);
    for row in 0..inputs {
        config.row_mut(row)[..60].iter_mut().for_each(|w| *w = code(30) + 4);
    }
    for row in 0..40 {
        config.row_mut(inputs + row)[60..80].iter_mut().for_each(|w| *w = code(40));
        config.row_mut(inputs + row)[80..90].iter_mut().for_each(|w| *w = code(20));
    }
    for row in 60..80 {
        config.row_mut(inputs + row)[60..90].iter_mut().for_each(|w| *w = code(20));
    }
    config
}

fn busy_stimuli(count: u64) -> Vec<Stimulus> {
    (0..count)
        .map(|trial| {
            let mut state = trial as u32 * 77 + 5;
            let mut events: Vec<_> = (0..60)
                .map(|k| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let tick = (state >> 8) % 6000;
                    let tick = if k % 2 == 0 { tick / 425 * 425 } else { tick };
                    (tick, (state >> 5) as u16 % 32)
                })
                .collect();
            events.sort_unstable();
            stimulus(trial, 8500, &events)
        })
        .collect()
}

fn busy_profile() -> Profile {
    let mut profile = Profile::preset("bss2-chip66-uncal").unwrap();
    (profile.size.neurons, profile.size.inputs, profile.size.block) = (96, 32, 24);
    if let Some(adc) = &mut profile.adc {
        adc.stall_probability = 0.1;
    }
    profile.buffers.trace_bytes = 1 << 20;
    profile
}

/// Everything a run brings but the memory layout.
fn essence(out: &Observables) -> (Vec<SpikeEvent>, Vec<u32>, Vec<u16>, Vec<u32>, u64) {
    (
        out.spikes.clone(),
        out.offsets.clone(),
        out.samples.clone(),
        out.stalled.clone(),
        out.dropped_events,
    )
}

#[test]
fn the_same_bits_for_every_thread_count_and_vector_unit() {
    let stimuli = busy_stimuli(23);
    let mut reference = None;
    for threads in [1, 2, 3] {
        for simd in Simd::available() {
            let mut chip = Emulator::new(busy_profile(), 5, 6, threads).unwrap();
            chip.set_simd(simd).unwrap();
            chip.configure(&busy(&chip)).unwrap();
            let out = essence(&run(&mut chip, &stimuli));
            assert!(out.0.len() > 100 && !out.3.is_empty());
            assert_eq!(*reference.get_or_insert_with(|| out.clone()), out, "{threads} {simd:?}");
        }
    }
}

#[test]
fn trials_do_not_depend_on_order_split_or_history() {
    let stimuli = busy_stimuli(12);
    let mut chip = Emulator::new(busy_profile(), 5, 6, 2).unwrap();
    chip.configure(&busy(&chip)).unwrap();
    let whole = run(&mut chip, &stimuli);
    let width = 90 * 20;
    let mut reversed = stimuli.clone();
    reversed.reverse();
    // Another configuration in between, and the way there by single rows.
    let mut other = busy(&chip);
    other.row_mut(3).fill(20);
    other.codes_mut(Parameter::TauMem).unwrap().fill(100);
    chip.configure(&other).unwrap();
    run(&mut chip, &stimuli[..3]);
    chip.configure(&busy(&chip)).unwrap();
    let back = run(&mut chip, &reversed);
    for k in 0..12 {
        let single = run(&mut chip, &stimuli[k..=k]);
        for (out, at) in [(&whole, k), (&back, 11 - k)] {
            assert_eq!(single.spikes_of(0), out.spikes_of(at), "trial {k}");
            assert_eq!(single.samples, out.samples[at * width..(at + 1) * width], "trial {k}");
        }
    }
}

#[test]
fn queued_runs_keep_their_configuration() {
    let stimuli = busy_stimuli(4);
    let mut chip = Emulator::new(busy_profile(), 5, 6, 1).unwrap();
    chip.configure(&busy(&chip)).unwrap();
    let expected = run(&mut chip, &stimuli);
    let first = chip.submit(&stimuli).unwrap();
    chip.configure(&ChipConfig::power_up(chip.capabilities())).unwrap();
    let second = chip.submit(&stimuli).unwrap();
    let mut out = Observables::default();
    assert!(matches!(chip.collect(second, &mut out), Err(Error::UnknownTicket { .. })));
    chip.collect(first, &mut out).unwrap();
    assert_eq!(essence(&out), essence(&expected));
    chip.collect(second, &mut out).unwrap();
    assert!(out.spikes.is_empty() && out.samples.is_empty());
}

#[test]
fn a_saved_chip_is_the_same_chip() {
    let mut chip = Emulator::new(busy_profile(), 5, 6, 1).unwrap();
    let text = chip.truth().to_toml().unwrap();
    let loaded = DrawnChip::from_toml(&text).unwrap();
    assert_eq!(&loaded, chip.truth());
    let mut again = Emulator::from_chip(loaded, Some(6), 1).unwrap();
    assert_eq!(again.capabilities(), chip.capabilities());
    for chip in [&mut chip, &mut again] {
        chip.configure(&busy(chip)).unwrap();
    }
    let stimuli = busy_stimuli(3);
    assert_eq!(essence(&run(&mut chip, &stimuli)), essence(&run(&mut again, &stimuli)));
    let wrong = text.replace("format = 1", "format = 2");
    assert!(DrawnChip::from_toml(&wrong).unwrap_err().to_string().contains("format 2"));
}

#[test]
fn dead_neurons_are_silent_and_stuck_ones_never_stop() {
    let mut profile = ideal();
    profile.faults.dead = 0.3;
    profile.faults.stuck = 0.3;
    let mut chip = Emulator::new(profile, 3, 1, 1).unwrap();
    let (dead, stuck) = (chip.truth().dead.clone(), chip.truth().stuck.clone());
    assert!(!dead.is_empty() && !stuck.is_empty());
    let mut config = config(&chip, 64, 0, 425);
    config.row_mut(0).fill(63);
    chip.configure(&config).unwrap();
    let events: Vec<_> = (0..8).map(|k| (k, 0)).collect();
    let out = run(&mut chip, &[stimulus(0, 5000, &events)]);
    let count = |n: u16| out.spikes.iter().filter(|s| s.id == n).count();
    for n in 0..64 {
        if dead.contains(&n) {
            assert_eq!(count(n), 0);
        } else if stuck.contains(&n) {
            // 20 µs at a refractory time of 0.425 µs.
            assert!((40..=48).contains(&count(n)), "{}", count(n));
        } else {
            assert!((1..10).contains(&count(n)));
        }
    }
}

#[test]
fn stuck_bits_leave_the_sign_alone() {
    let bit = |high| StuckBit { source: 0, neuron: 0, bit: 3, high };
    assert_eq!(bit(true).apply(-1), -9);
    assert_eq!(bit(true).apply(0), 8);
    assert_eq!(bit(false).apply(63), 55);
    assert_eq!(bit(false).apply(-8), 0);
}

#[test]
fn malformed_stimuli_and_too_large_runs_are_refused() {
    let mut chip = Emulator::new(ideal(), 1, 1, 1).unwrap();
    chip.configure(&config(&chip, 64, 20, 425)).unwrap();
    let mut refused =
        |s: Stimulus| matches!(chip.submit(&[s]), Err(Error::Stimulus { trial: 0, .. }));
    assert!(refused(stimulus(0, 0, &[])));
    assert!(refused(stimulus(0, 100, &[(100, 0)])));
    assert!(refused(stimulus(0, 100, &[(10, 0), (9, 0)])));
    assert!(refused(stimulus(0, 100, &[(10, 8)])));
    // 64 traces of 20 samples of 16 bits: 51 trials fit into 128 KiB.
    assert!(chip.submit(&vec![stimulus(0, 9000, &[]); 51]).is_ok());
    let beyond = chip.submit(&vec![stimulus(0, 9000, &[]); 52]);
    assert!(matches!(beyond, Err(Error::BeyondBuffers { limit: 131_072, .. })));
    let endless = chip.submit(&[stimulus(0, u32::MAX, &[])]);
    assert!(matches!(endless, Err(Error::BeyondBuffers { .. })));
    for _ in 0..3 {
        chip.submit(&[stimulus(0, 10, &[])]).unwrap();
    }
    assert!(matches!(chip.submit(&[]), Err(Error::TooManyRuns { limit: 4 })));
}

#[test]
fn options_are_checked_by_name() {
    let options = |list: &[(&str, &str)]| {
        let list: Vec<_> = list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Emulator::from_options(&list, 1).map(|chip| chip.truth().clone()).map_err(|e| e.to_string())
    };
    let chip =
        options(&[("preset", "pnas-decal"), ("sigma", "0.3"), ("seed", "7"), ("neurons", "64")])
            .unwrap();
    assert_eq!((chip.profile.sigma, chip.seed, chip.tau_mem.len()), (0.3, 7, 64));
    assert!(chip.tau_mem.iter().any(|f| (f - 1.0).abs() > 0.1));
    assert_eq!(chip.tau_syn_exc, chip.tau_syn_inh);
    assert!(options(&[("sede", "7")]).unwrap_err().contains("\"seed\""));
    assert!(options(&[("preset", "bss2-call")]).unwrap_err().contains("\"bss2-cal\""));
    assert!(options(&[("seed", "x")]).unwrap_err().contains("seed=x"));
    assert!(options(&[("noise", "loud")]).unwrap_err().contains("on or off"));
    let unknown = Profile::from_toml("name = \"x\"\nsiggma = 1").unwrap_err().to_string();
    assert!(unknown.contains("siggma"), "{unknown}");
}

#[test]
fn golden_draws() {
    // A chip seed means the same chip for ever: never change these numbers.
    let mut profile = Profile::preset("bss2-chip66-uncal").unwrap();
    profile.size.neurons = 256;
    let chip = DrawnChip::draw(&profile, 66);
    insta::assert_snapshot!(format!(
        "{:08x} {:08x} {:08x} {:08x}\n{:08x} {:08x} {:08x}\n{:?}\n{:?} {:?}\nnoise {:016x} serial {:016x}",
        chip.tau_mem[0].to_bits(),
        chip.tau_syn_inh[255].to_bits(),
        chip.gain_exc[17].to_bits(),
        chip.gain_inh[200].to_bits(),
        chip.leak_lsb[1].to_bits(),
        chip.threshold_lsb[254].to_bits(),
        chip.adc_skew_us[3].to_bits(),
        &chip.synapse[..8],
        chip.dead,
        chip.stuck_bits.first(),
        chip.default_noise_seed(),
        chip.serial(),
    ));
}

#[test]
fn golden_run() {
    // These bits are older than the crosstalk of codes.
    let mut profile = busy_profile();
    profile.crosstalk = profile::CrosstalkProfile::default();
    let mut chip = Emulator::new(profile, 5, 6, 1).unwrap();
    chip.configure(&busy(&chip)).unwrap();
    let out = run(&mut chip, &busy_stimuli(2));
    let spikes: Vec<_> = out.spikes.iter().take(12).map(|s| (s.tick, s.id)).collect();
    let samples: Vec<_> = out.samples.chunks(90).take(40).map(|line| line[7]).collect();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for x in out
        .samples
        .iter()
        .map(|s| u64::from(*s))
        .chain(out.spikes.iter().map(|s| u64::from(s.tick) << 16 | u64::from(s.id)))
    {
        hash = (hash ^ x).wrapping_mul(0x0100_0000_01b3);
    }
    insta::assert_snapshot!(format!("{spikes:?}\n{samples:?}\n{hash:016x}"));
}

#[test]
fn digital_cores_follow_the_same_physics_within_their_rounding() {
    // Twelve-bit decays truncate a few per cent of the current away; sixteen bits do not.
    for (name, tolerance) in [("loihi-like", 4.0), ("fpga-ideal", 2.0)] {
        let mut profile = Profile::preset(name).unwrap();
        (profile.size.neurons, profile.size.inputs) = (32, 4);
        let mut chip = Emulator::new(profile, 1, 1, 2).unwrap();
        let mut config = config(&chip, 2, 40, 10);
        config.spiking[1] = false;
        config.row_mut(1)[..2].fill(120);
        chip.configure(&config).unwrap();
        let out = run(&mut chip, &[stimulus(0, 400, &[(20, 1), (20, 1)])]);
        for k in 0..40_u32 {
            let t = (f64::from(k) - 2.0).max(0.0);
            let expected = 80.0 + 0.11296 * 240.0 * t * (-t / 6.0).exp();
            let got = f64::from(out.samples[k as usize * 2 + 1]);
            assert!((got - expected).abs() < tolerance, "{name} {t}: {got} {expected}");
        }
        // The peak of 59.8 LSB stays below the threshold of 70.
        assert!(out.spikes.is_empty());
        let out = run(&mut chip, &[stimulus(0, 400, &[(20, 1), (20, 1), (20, 1)])]);
        assert_eq!(out.spikes.len(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_valid_configuration_makes_it_panic(
        preset in 0..PRESETS.len(),
        seed in any::<u64>(),
        sigma in 0.0..3.0_f64,
        weights in proptest::collection::vec((0_usize..40, 0_usize..24, any::<i8>()), 0..80),
        codes in proptest::collection::vec((0_usize..11, 0_usize..24, any::<u16>()), 0..20),
        enabled in any::<u32>(),
        spiking in any::<u32>(),
        samples in 0_u16..6,
        period in 1_u32..2000,
        events in proptest::collection::vec((0_u32..3000, 0_u16..16), 0..30),
        duration in 1_u32..3000,
        reference in proptest::option::of(0_u16..256),
    ) {
        let mut profile = Profile::preset(PRESETS[preset].0).unwrap();
        profile.sigma = sigma;
        (profile.size.neurons, profile.size.inputs, profile.size.block) = (24, 16, 8);
        let mut chip = Emulator::new(profile, seed, seed, 1).unwrap();
        let caps = chip.capabilities().clone();
        let mut config = ChipConfig::power_up(&caps);
        for n in 0..24 {
            config.enabled[n] = enabled >> n & 1 == 1;
            config.spiking[n] = spiking >> n & 1 == 1;
        }
        for (row, n, code) in weights {
            config.row_mut(row)[n] = code.clamp(caps.weight_min, caps.weight_max);
        }
        for (p, n, code) in codes {
            if let Some(spec) = caps.parameters.get(p) {
                let code = code.clamp(spec.code_min, spec.code_max);
                config.codes_mut(spec.parameter).unwrap()[n] = code;
            }
        }
        config.recording.spikes = true;
        if let Some(adc) = caps.adc {
            config.recording.traces = vec![0, 5, 6, 23];
            config.recording.samples = samples;
            config.recording.sample_period = period.max(adc.min_period);
            config.recording.reference = reference.filter(|_| adc.reference);
        }
        chip.configure(&config).unwrap();
        let mut events: Vec<_> = events.into_iter().filter(|(tick, _)| *tick < duration).collect();
        events.sort_unstable();
        let out = run(&mut chip, &[stimulus(seed, duration, &events)]);
        prop_assert!(out.spikes.is_sorted());
        prop_assert!(out.spikes.iter().all(|s| s.tick < duration && config.enabled[usize::from(s.id)] && config.spiking[usize::from(s.id)]));
        prop_assert_eq!(out.samples.len(), config.recording.traces.len() * usize::from(config.recording.samples));
    }
}
