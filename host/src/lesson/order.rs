//! The order in which an epoch goes through its samples.

use rand::Rng;
use spikeloop_models::random;

/// Stream of the seed that shuffles.
const STREAM: u64 = 0x0DE2;

/// The numbers 0 to `count` − 1, shuffled (Fisher & Yates): a pure function of seed and epoch.
#[must_use]
pub(super) fn order(count: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let key = random::mix(random::mix(seed, STREAM), epoch as u64);
    let mut rng = random::stream(key, STREAM);
    let mut order: Vec<usize> = (0..count).collect();
    for k in (1..count).rev() {
        // 64 random bits against at most 32 of range: the bias is below 2⁻³².
        let other = ((u128::from(rng.next_u64()) * (k as u128 + 1)) >> 64) as usize;
        order.swap(k, other);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_and_epochs_differ() {
        let mut one = order(50, 3, 0);
        assert_eq!(one, order(50, 3, 0));
        assert!(one != order(50, 3, 1) && one != order(50, 4, 0));
        one.sort_unstable();
        assert_eq!(one, (0..50).collect::<Vec<_>>());
    }
}
