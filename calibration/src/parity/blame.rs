//! How much of the distance between model and chip each cause explains.
//!
//! For squared distances `D` to the chip, with n the part of the chip's own noise (half the squared distance of two
//! runs of it), a cause explains the share
//!
//! ```text
//! ½ [ D(ideal) − D(ideal + cause)  +  D(twin − cause) − D(twin) ] / (D(ideal) − n)
//! ```
//!
//! the mean of what it takes away when it is switched on first and what it brings back when it is switched off last:
//! both, because causes can hide each other. How sure the first suspect is follows from drawing the samples of the
//! batch again and again.

use super::cause::Cause;
use serde::{Deserialize, Serialize};
use spikeloop_models::random::mix;

/// Times the samples are drawn again.
const DRAWS: u64 = 400;
/// Below this share of the signals' energy nothing is worth a suspect: 0.1 % is what the integration of an
/// emulator and the 8-bit rounding of membranes leave (guess).
const WORTH_A_SUSPECT: f64 = 1e-3;

/// What one cause explains.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// The cause.
    pub cause: Cause,
    /// Share of the distance between ideal and chip, noise taken out; may be slightly negative.
    pub share: f64,
    /// Standard error of the share over the samples of the batch.
    pub error: f64,
}

/// Squared distances to the chip of every sample: of the ideal chip with a cause, and of the twin without it.
pub(super) struct Evidence {
    pub(super) cause: Cause,
    pub(super) with: Vec<f64>,
    pub(super) without: Vec<f64>,
    /// Squared distance that the cause explains beyond what its counterfactuals show, by sample.
    pub(super) direct: Vec<f64>,
}

/// Squared distances to the chip that all causes are compared with, by sample.
pub(super) struct Base {
    pub(super) ideal: Vec<f64>,
    pub(super) twin: Vec<f64>,
    /// What the chip's noise contributes to a distance.
    pub(super) noise: Vec<f64>,
}

/// The judgement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// All causes, the most likely first.
    pub suspects: Vec<Suspect>,
    /// The first suspect; none if the chip does what the model says.
    pub first: Option<Cause>,
    /// How often it comes first when the samples are drawn again, 0 to 1.
    pub confidence: f64,
    /// Squared distance of ideal and chip without noise, as a share of the signals' energy.
    pub distance: f64,
    /// The part of the squared distance that is noise from trial to trial.
    pub noise: f64,
    /// Share of the distance that the twin does not explain.
    pub unexplained: f64,
}

fn mean(values: &[f64], drawn: &[usize]) -> f64 {
    drawn.iter().filter_map(|k| values.get(*k)).sum::<f64>() / drawn.len().max(1) as f64
}

fn shares(base: &Base, evidence: &[Evidence], drawn: &[usize]) -> (Vec<f64>, f64) {
    let of = |values: &[f64]| mean(values, drawn);
    let (ideal, twin) = (of(&base.ideal), of(&base.twin));
    let direct: f64 = evidence.iter().map(|e| of(&e.direct)).sum();
    let total = ideal - of(&base.noise) + direct;
    let share = |e: &Evidence| {
        let counterfactual = 0.5 * (ideal - of(&e.with) + of(&e.without) - twin);
        (counterfactual + of(&e.direct)) / total.max(1e-12)
    };
    (evidence.iter().map(share).collect(), total)
}

fn largest(values: &[f64]) -> Option<usize> {
    (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b]))
}

/// Judges the evidence.
pub(super) fn judge(base: &Base, evidence: &[Evidence]) -> Verdict {
    let samples = base.ideal.len();
    let all: Vec<usize> = (0..samples).collect();
    let (found, total) = shares(base, evidence, &all);
    let noise = mean(&base.noise, &all);
    let mut squares = vec![0.0; found.len()];
    let mut wins = vec![0_u64; found.len()];
    for draw in 0..DRAWS {
        let drawn: Vec<usize> =
            (0..samples as u64).map(|k| (mix(draw, k) % samples.max(1) as u64) as usize).collect();
        let (again, _) = shares(base, evidence, &drawn);
        for (k, share) in again.iter().enumerate() {
            squares[k] += (share - found[k]).powi(2);
        }
        if let Some(first) = largest(&again) {
            wins[first] += 1;
        }
    }
    let mut suspects: Vec<Suspect> = evidence
        .iter()
        .zip(&found)
        .zip(&squares)
        .map(|((e, share), squares)| Suspect {
            cause: e.cause,
            share: *share,
            error: (squares / DRAWS as f64).sqrt(),
        })
        .collect();
    let first = largest(&found).filter(|k| total > WORTH_A_SUSPECT && found[*k] > 0.0);
    let verdict = Verdict {
        first: first.map(|k| evidence[k].cause),
        confidence: first.map_or(0.0, |k| wins[k] as f64 / DRAWS as f64),
        distance: total.max(0.0),
        noise,
        unexplained: ((mean(&base.twin, &all) - noise) / total.max(1e-12)).max(0.0),
        suspects: Vec::new(),
    };
    suspects.sort_by(|a, b| b.share.total_cmp(&a.share));
    Verdict { suspects, ..verdict }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(cause: Cause, with: f64, without: f64) -> Evidence {
        let all = |x| vec![x; 8];
        Evidence { cause, with: all(with), without: all(without), direct: all(0.0) }
    }

    #[test]
    fn shares_of_independent_causes_add_up() {
        // Gain contributes 6, timing 2, noise 1.
        let all = |x| vec![x; 8];
        let base = Base { ideal: all(9.0), twin: all(1.0), noise: all(1.0) };
        let list = [evidence(Cause::Gain, 3.0, 7.0), evidence(Cause::Timing, 7.0, 3.0)];
        let verdict = judge(&base, &list);
        assert_eq!((verdict.first, verdict.confidence), (Some(Cause::Gain), 1.0));
        assert!((verdict.suspects[0].share - 0.75).abs() < 1e-12);
        assert!((verdict.suspects[1].share - 0.25).abs() < 1e-12);
        assert_eq!((verdict.distance, verdict.unexplained), (8.0, 0.0));
    }

    #[test]
    fn a_chip_that_does_what_the_model_says_has_no_suspect() {
        let all = |x| vec![x; 8];
        let base = Base { ideal: all(0.01), twin: all(0.01), noise: all(0.01) };
        assert_eq!(judge(&base, &[evidence(Cause::Gain, 0.01, 0.01)]).first, None);
    }
}
