//! MNIST and Fashion-MNIST at their published size of 28×28 pixels.

use std::path::Path;

use super::DataError;
use super::images::{Family, contents};
use super::resample::FULL;

/// Checked images and labels: training set, then test set.
#[derive(Clone, Debug, PartialEq)]
pub struct FullSize {
    /// Pixels beside and above each other.
    pub side: usize,
    /// Number of classes.
    pub classes: usize,
    /// Names of the classes.
    pub class_names: &'static [&'static str],
    /// Pixels `[image, row, column]` of both sets.
    pub pixels: [Vec<u8>; 2],
    /// Labels of both sets.
    pub labels: [Vec<u16>; 2],
}

/// Reads and checks the four files of `family`; looked for as in [`load`](super::load).
///
/// # Errors
/// [`DataError`] for missing, truncated or altered files.
pub fn full_size(family: Family, data_dir: Option<&Path>) -> Result<FullSize, DataError> {
    let [train, train_labels, test, test_labels] = contents(family, data_dir)?;
    let labels = |bytes: Vec<u8>| bytes.into_iter().map(u16::from).collect();
    Ok(FullSize {
        side: FULL,
        classes: 10,
        class_names: family.class_names(),
        pixels: [train, test],
        labels: [labels(train_labels), labels(test_labels)],
    })
}
