//! A fixed split of samples that come without one.

use super::mersenne::Mersenne;

/// One of so many samples of each class is for testing.
const TEST_SHARE: usize = 5;

/// Indices of training and test samples, shuffled by `seed`; each class is split in the same proportion.
pub(super) fn split_indices(labels: &[u16], seed: u32) -> [Vec<usize>; 2] {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    let mut generator = Mersenne::new(seed);
    for i in (1..order.len()).rev() {
        order.swap(i, generator.below(i as u32 + 1) as usize);
    }
    let classes = labels.iter().copied().max().map_or(0, |last| usize::from(last) + 1);
    let mut seen = vec![0_usize; classes];
    let (test, train) = order.into_iter().partition(|&i| {
        let count = &mut seen[usize::from(labels[i])];
        *count += 1;
        *count % TEST_SHARE == 0
    });
    [train, test]
}
