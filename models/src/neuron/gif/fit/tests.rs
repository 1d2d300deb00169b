#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::neuron::gif::stimulus::Stimulus;
use crate::random::stream;

const DT: f64 = 0.1;

struct Simulated {
    current: Vec<f64>,
    membrane: Vec<f64>,
    spikes: Vec<usize>,
}

impl Simulated {
    fn new(gif: &Gif, duration_ms: f64, seed: u64) -> Self {
        let current = Stimulus::default().draw(duration_ms, DT, seed).unwrap();
        let mut membrane = vec![];
        let mut rng = stream(seed, 1);
        let spikes = gif.simulate(&current, DT, &mut rng, |v, _| membrane.push(v)).unwrap();
        Self { current, membrane, spikes }
    }

    fn recording(&self) -> Recording<'_> {
        Recording { current_na: &self.current, membrane_mv: &self.membrane, spikes: &self.spikes }
    }
}

fn config() -> FitConfig {
    let basis = Basis::Exponentials { tau_ms: vec![100.0] };
    FitConfig { eta: basis.clone(), gamma: basis, before_spike_ms: 0.0, ..FitConfig::default() }
}

fn near(got: f64, expected: f64, relative: f64, what: &str) {
    assert!((got - expected).abs() <= relative * expected.abs(), "{what}: {got}, not {expected}");
}

/// The membrane is found exactly, because the model is linear and without noise; the threshold as
/// well as some 400 spikes allow.
#[test]
fn a_simulated_neuron_is_found_again() {
    let gif = Gif::default();
    let parts = [Simulated::new(&gif, 20_000.0, 1), Simulated::new(&gif, 20_000.0, 2)];
    let recordings = [parts[0].recording(), parts[1].recording()];
    let fit = fit(&recordings, DT, &config()).unwrap();
    let got = &fit.gif;
    assert!(fit.spikes > 200, "{}", fit.spikes);
    near(got.capacitance_nf, 0.2, 1e-9, "C");
    near(got.tau_mem_ms(), 20.0, 1e-9, "tau");
    near(got.v_leak_mv, -65.0, 1e-9, "E");
    near(got.v_reset_mv, -50.0, 1e-9, "V_r");
    near(got.eta.coefficients[0], 0.2, 1e-8, "eta");
    near(got.v_threshold_mv, -48.0, 0.01, "V*");
    near(got.delta_mv, 0.5, 0.15, "delta");
    near(got.gamma.coefficients[0], 10.0, 0.05, "gamma");
    assert!(fit.explained_slope > 1.0 - 1e-9 && fit.explained_membrane > 1.0 - 1e-9);
    assert!(fit.bits_per_spike() > 3.0, "{}", fit.bits_per_spike());
}

/// Log-likelihood of spikes by running the neuron: shares no code with the fit's.
fn by_running(gif: &Gif, recording: &Recording<'_>) -> f64 {
    let run = crate::neuron::gif::simulate::Run::new(gif, DT).unwrap();
    let mut run = run.starting_at(recording.membrane_mv[0]);
    let mut sum = 0.0;
    for (t, current) in recording.current_na[..recording.current_na.len() - 1].iter().enumerate() {
        let due = recording.spikes.contains(&(t + 1));
        run.step(*current, |mu| {
            sum += if due { (1.0 - (-mu).exp()).ln() } else { -mu };
            due
        });
    }
    sum
}

#[test]
fn the_maximum_is_one() {
    let truth = Gif { delta_mv: 1.5, ..Gif::default() };
    let part = Simulated::new(&truth, 8000.0, 3);
    let config = FitConfig {
        eta: Basis::Rectangles { edges_ms: vec![0.0, 60.0, 250.0] },
        gamma: Basis::Rectangles { edges_ms: vec![0.0, 60.0, 250.0] },
        ridge: 0.0,
        ..config()
    };
    let recording = part.recording();
    let fit = fit(&[recording], DT, &config).unwrap();
    let at = |gif: &Gif| by_running(gif, &recording);
    let top = at(&fit.gif);
    near(fit.log_likelihood, top, 1e-9, "log-likelihood");
    let mut moves: Vec<Gif> = vec![];
    for by in [0.98, 1.02] {
        let mut gif = fit.gif.clone();
        gif.delta_mv *= by;
        moves.push(gif);
        let mut gif = fit.gif.clone();
        gif.v_threshold_mv += by - 1.0;
        moves.push(gif);
        for k in 0..2 {
            let mut gif = fit.gif.clone();
            gif.gamma.coefficients[k] += 5.0 * (by - 1.0);
            moves.push(gif);
        }
    }
    for gif in moves {
        let other = at(&gif);
        assert!(other < top, "{other} above {top}: {gif:?}");
    }
}

#[test]
fn what_cannot_be_fitted_is_named() {
    let part = Simulated::new(&Gif::default(), 4000.0, 4);
    let good = part.recording();
    let wrong = |recording: Recording<'_>, config: &FitConfig| {
        fit(&[recording], DT, config).unwrap_err().to_string()
    };
    let flat = vec![0.1; good.current_na.len()];
    assert!(wrong(Recording { current_na: &flat, ..good }, &config()).contains("fit of"));
    assert!(wrong(Recording { spikes: &[], ..good }, &config()).contains("two spikes"));
    assert!(wrong(Recording { spikes: &[30, 20], ..good }, &config()).contains("sorted"));
    let short = Recording { current_na: &good.current_na[1..], ..good };
    assert!(wrong(short, &config()).contains("samples of a recording"));
    let upside: Vec<f64> = good.current_na.iter().map(|i| -i).collect();
    let upside = wrong(Recording { current_na: &upside, ..good }, &config());
    assert!(upside.contains("check signs and units"), "{upside}");
    let never =
        FitConfig { eta: Basis::Rectangles { edges_ms: vec![0.0, 50.0, 1e6, 2e6] }, ..config() };
    assert!(wrong(good, &never).contains("fit of eta"));
    assert!(wrong(good, &FitConfig { refractory_ms: 0.0, ..config() }).contains("one step"));
}
