//! What chips are drawn as: means, spreads, blocks and correlations of every preset, over many seeds,
//! within three standard errors of the profile (five where hundreds of numbers are compared).

#![allow(clippy::unwrap_used, clippy::expect_used)]

use spikeloop_hal::emulator::profile::Spread;
use spikeloop_hal::emulator::{DrawnChip, PRESETS, Profile};

const SEEDS: u64 = 200;

/// Chips of a profile without per-synapse draws, which are tested on their own.
fn chips(mut profile: Profile) -> Vec<DrawnChip> {
    profile.mismatch.synapse = 0.0;
    profile.faults.stuck_bit = 0.0;
    profile.size.neurons = 512;
    (0..SEEDS).map(|seed| DrawnChip::draw(&profile, seed)).collect()
}

fn mean(x: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = x.clone().count() as f64;
    x.sum::<f64>() / n
}

/// Per chip and block: mean and variance inside the block.
fn blocks(chips: &[DrawnChip], block: usize, of: impl Fn(&DrawnChip) -> &[f32]) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    for chip in chips {
        for values in of(chip).chunks(block) {
            let values = values.iter().map(|x| f64::from(*x));
            let m = mean(values.clone());
            let n = values.len() as f64;
            out.push((m, values.map(|x| (x - m) * (x - m)).sum::<f64>() / (n - 1.0)));
        }
    }
    out
}

/// Mean, spread between blocks and spread inside blocks against the profile.
fn check(
    name: &str,
    chips: &[DrawnChip],
    spread: Spread,
    scale: f64,
    base: f64,
    of: impl Fn(&DrawnChip) -> &[f32],
) {
    let block = usize::from(chips[0].profile.size.block);
    let found = blocks(chips, block, of);
    let (n, inside) = (found.len() as f64, block as f64);
    let (shared, local) = (spread.block * scale, spread.local * scale);
    // The mean of a block varies by its own part and by the average of its local parts.
    let between = shared * shared + local * local / inside;
    let m = mean(found.iter().map(|b| b.0));
    let expected = base + spread.mean * scale;
    let rounding = 1e-6 * (1.0 + expected.abs());
    assert!(
        (m - expected).abs() <= 3.0 * (between / n).sqrt() + rounding,
        "{name}: mean {m}, not {expected}"
    );
    let v = found.iter().map(|b| (b.0 - m) * (b.0 - m)).sum::<f64>() / (n - 1.0);
    assert!(
        (v - between).abs() <= 3.0 * between * (2.0 / n).sqrt() + 1e-9,
        "{name}: between blocks {v}, not {between}"
    );
    let w = mean(found.iter().map(|b| b.1));
    let error = 3.0 * local * local * (2.0 / (n * (inside - 1.0))).sqrt();
    assert!((w - local * local).abs() <= error + 1e-9, "{name}: inside {w}, not {}", local * local);
}

fn correlation(
    chips: &[DrawnChip],
    a: impl Fn(&DrawnChip) -> &[f32],
    b: impl Fn(&DrawnChip) -> &[f32],
) -> f64 {
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for chip in chips {
        // Inside blocks, where draws are independent.
        for (x, y) in a(chip).chunks(128).zip(b(chip).chunks(128)) {
            let (mx, my) =
                (mean(x.iter().map(|v| f64::from(*v))), mean(y.iter().map(|v| f64::from(*v))));
            for (x, y) in x.iter().zip(y) {
                let (x, y) = (f64::from(*x) - mx, f64::from(*y) - my);
                aa += x * x;
                bb += y * y;
                ab += x * y;
            }
        }
    }
    ab / (aa * bb).sqrt()
}

#[test]
fn every_preset_draws_what_its_profile_says() {
    for (name, _) in PRESETS {
        let profile = Profile::preset(name).unwrap();
        // With the detuning of its definition at a size at which clipping is rare.
        let profile =
            if name == "pnas-decal" { Profile { sigma: 0.1, ..profile } } else { profile };
        let (m, theta, sigma) = (profile.mismatch, profile.nominal.theta(), profile.sigma);
        let tau = profile.nominal.tau_mem_us;
        let chips = chips(profile.clone());
        let label = |what: &str| format!("{name} {what}");
        check(&label("tau_mem"), &chips, m.tau_mem, sigma, 1.0, |c| &c.tau_mem);
        check(&label("tau_syn_exc"), &chips, m.tau_syn_exc, sigma, 1.0, |c| &c.tau_syn_exc);
        check(&label("gain_exc"), &chips, m.gain_exc, sigma, 1.0, |c| &c.gain_exc);
        check(&label("gain_inh"), &chips, m.gain_inh, sigma, 1.0, |c| &c.gain_inh);
        check(&label("leak"), &chips, m.leak, theta * sigma, 0.0, |c| &c.leak_lsb);
        check(&label("reset"), &chips, m.reset, theta * sigma, 0.0, |c| &c.reset_lsb);
        let threshold = if m.theta.total() > 0.0 { m.theta } else { m.threshold };
        check(&label("threshold"), &chips, threshold, theta * sigma, 0.0, |c| &c.threshold_lsb);
        check(&label("offset_exc"), &chips, m.offset_exc, theta * sigma / tau, 0.0, |c| {
            &c.offset_exc
        });
        if let Some(adc) = profile.adc {
            let channel = |local| Spread { local, ..Spread::default() };
            check(&label("adc offset"), &chips, channel(adc.offset_lsb), sigma, 0.0, |c| {
                &c.adc_offset_lsb
            });
            check(&label("adc gain"), &chips, channel(adc.gain), sigma, 1.0, |c| &c.adc_gain);
            check(&label("adc skew"), &chips, channel(adc.skew_us), sigma, 0.0, |c| &c.adc_skew_us);
        }
    }
}

#[test]
fn partners_are_correlated_as_measured() {
    let chips = chips(Profile::preset("bss2-chip66-uncal").unwrap());
    let n = (SEEDS * 512) as f64;
    let close = |name: &str, found: f64, expected: f64| {
        let error = 3.0 * (1.0 - expected * expected) / n.sqrt();
        // Clipping at 0.15 takes a little from the tails of the time constants.
        assert!((found - expected).abs() < error + 0.002, "{name}: {found}, not {expected}");
    };
    close("tau_syn", correlation(&chips, |c| &c.tau_syn_exc, |c| &c.tau_syn_inh), 0.40);
    close("gain", correlation(&chips, |c| &c.gain_exc, |c| &c.gain_inh), 0.97);
    close("leak, reset", correlation(&chips, |c| &c.leak_lsb, |c| &c.reset_lsb), 0.72);
    close("leak, threshold", correlation(&chips, |c| &c.leak_lsb, |c| &c.threshold_lsb), 0.35);
    close("tau_mem, tau_syn", correlation(&chips, |c| &c.tau_mem, |c| &c.tau_syn_exc), 0.0);
    close("offsets", correlation(&chips, |c| &c.offset_exc, |c| &c.offset_inh), 0.0);
}

#[test]
fn the_published_hardware_aware_model_is_drawn_to_its_numbers() {
    let chips = chips(Profile::preset("delgrad-hwaware").unwrap());
    let all = || chips.iter().flat_map(|c| c.threshold_lsb.iter().map(|x| f64::from(*x) / 70.0));
    let n = (SEEDS * 512) as f64;
    let m = mean(all());
    let sd = mean(all().map(|x| (x - m) * (x - m))).sqrt();
    // 0.13 / 2.6 and 0.08 / 2.6 of the threshold.
    assert!((m - 0.05).abs() < 3.0 * 0.031 / n.sqrt(), "{m}");
    assert!((sd - 0.031).abs() < 3.0 * 0.031 / (2.0 * n).sqrt(), "{sd}");
    assert!(chips[0].tau_mem.iter().all(|f| *f == 1.0));
}

#[test]
fn synapses_spread_as_the_profile_says() {
    let mut profile = Profile::preset("bss2-cal").unwrap();
    profile.size.neurons = 256;
    let chip = DrawnChip::draw(&profile, 3);
    let gains: Vec<f64> = (0..512)
        .flat_map(|s| (0..256).map(move |n| (s, n)))
        .map(|(s, n)| f64::from(chip.synapse_gain(s, n)))
        .collect();
    let n = gains.len() as f64;
    let m = mean(gains.iter().copied());
    let sd = mean(gains.iter().map(|g| (g - m) * (g - m))).sqrt();
    assert!((m - 1.0).abs() < 3.0 * 0.07 / n.sqrt());
    assert!((sd - 0.07).abs() < 3.0 * 0.07 / (2.0 * n).sqrt());
}

#[test]
fn detuning_is_clipped_as_defined() {
    let profile = Profile { sigma: 0.5, ..Profile::preset("pnas-decal").unwrap() };
    for chip in chips(profile).iter().take(20) {
        let theta = chip.threshold_lsb.iter().map(|o| 1.0 + o / 70.0);
        for factor in chip.tau_mem.iter().chain(&chip.tau_syn_exc).copied().chain(theta) {
            assert!((0.1499..=3.0001).contains(&factor), "{factor}");
        }
        assert_eq!(chip.tau_syn_exc, chip.tau_syn_inh);
    }
}
