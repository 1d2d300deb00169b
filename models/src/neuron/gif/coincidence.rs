//! How well two sets of spike trains agree: M_d* (Naud, Gerhard, Mensi & Gerstner 2011), free of the
//! bias of small samples.
//!
//! ```text
//! ⟨a, b⟩ = number of pairs of spikes, one of each train, at most Δ apart
//! D_dm   = mean of ⟨data_i, model_j⟩        D_dd, D_mm = mean of ⟨·_i, ·_j⟩ over i < j
//! M_d*   = 2 D_dm / (D_dd + D_mm)
//! ```
//!
//! 1 if the model's trains are distributed like the data's, 0 without any coincidence. Pairs of a
//! train with itself, which would count noise as agreement, are left out of D_dd and D_mm. Chance
//! coincidences are not subtracted: keep Δ well below the intervals (4 ms in Pozzorini et al. 2015).

use crate::error::{ModelError, Result};

/// M_d* and what it is made of, in spikes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// M_d*.
    pub md: f64,
    /// D_dd.
    pub data: f64,
    /// D_mm.
    pub model: f64,
    /// D_dm.
    pub across: f64,
}

/// Number of pairs of spikes at most `window` samples apart; both trains sorted.
#[must_use]
pub fn coincidences(a: &[usize], b: &[usize], window: usize) -> usize {
    let (mut low, mut high, mut pairs) = (0, 0, 0);
    for &spike in a {
        while low < b.len() && b[low] + window < spike {
            low += 1;
        }
        high = high.max(low);
        while high < b.len() && b[high] <= spike + window {
            high += 1;
        }
        pairs += high - low;
    }
    pairs
}

/// Holds the spike trains of a model against measured ones; trains are sorted indices of samples.
///
/// # Errors
/// Fewer than two trains on one side: without a pair its reliability is unknown.
pub fn agreement(data: &[Vec<usize>], model: &[Vec<usize>], window: usize) -> Result<Agreement> {
    for (what, got) in
        [("measured spike trains", data.len()), ("spike trains of the model", model.len())]
    {
        if got < 2 {
            return Err(ModelError::Parameter {
                what,
                got: got as f64,
                must: "M_d* needs at least two",
            });
        }
    }
    let among = |trains: &[Vec<usize>]| {
        let (mut sum, mut pairs) = (0, 0);
        for (i, a) in trains.iter().enumerate() {
            for b in &trains[..i] {
                sum += coincidences(a, b, window);
                pairs += 1;
            }
        }
        sum as f64 / f64::from(pairs)
    };
    let across: usize =
        data.iter().map(|a| model.iter().map(|b| coincidences(a, b, window)).sum::<usize>()).sum();
    let across = across as f64 / (data.len() * model.len()) as f64;
    let (data, model) = (among(data), among(model));
    let sum = data + model;
    // Two silent sets agree on nothing.
    let md = if sum > 0.0 { 2.0 * across / sum } else { 0.0 };
    Ok(Agreement { md, data, model, across })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::random::{stream, uniform};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pairs_are_those_of_two_loops(
            mut a in proptest::collection::vec(0_usize..300, 0..40),
            mut b in proptest::collection::vec(0_usize..300, 0..40),
            window in 0_usize..12,
        ) {
            a.sort_unstable();
            b.sort_unstable();
            let slow = a.iter().map(|s| b.iter().filter(|t| s.abs_diff(**t) <= window).count());
            prop_assert_eq!(coincidences(&a, &b, window), slow.sum::<usize>());
        }
    }

    /// Trains that keep each of 200 spikes with probability 0.7: both sets alike give 1, and a set
    /// that keeps all gives `2·0.7/(0.49 + 1)`.
    #[test]
    fn equal_laws_give_one_and_unequal_ones_less() {
        let mut rng = stream(9, 0);
        let mut train = |keep: f64| -> Vec<usize> {
            (0..200).filter(|_| uniform(&mut rng) < keep).map(|k| k * 100).collect()
        };
        let data: Vec<_> = (0..40).map(|_| train(0.7)).collect();
        let alike: Vec<_> = (0..40).map(|_| train(0.7)).collect();
        let all: Vec<_> = (0..3).map(|_| train(1.1)).collect();
        assert!((agreement(&data, &alike, 5).unwrap().md - 1.0).abs() < 0.02);
        let md = agreement(&data, &all, 5).unwrap().md;
        assert!((md - 1.4 / 1.49).abs() < 0.02, "{md}");
        let apart: Vec<_> = data.iter().map(|t| t.iter().map(|s| s + 50).collect()).collect();
        assert_eq!(agreement(&data, &apart, 5).unwrap().md, 0.0);
        assert!(agreement(&data[..1], &alike, 5).is_err());
        assert_eq!(agreement(&[vec![], vec![]], &[vec![], vec![]], 5).unwrap().md, 0.0);
    }
}
