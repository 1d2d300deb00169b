//! MNIST and Fashion-MNIST as published, 28×28 pixels: for methods that read brightness, not spikes.

use std::path::Path;

use super::DataError;
use super::images::{Family, contents};
use super::resample::FULL;

/// Images and labels of the training and of the test set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullSize {
    /// Pixels along an edge.
    pub side: usize,
    /// Number of classes.
    pub classes: usize,
    /// Brightness `[image, row, column]`, 0 to 255.
    pub pixels: [Vec<u8>; 2],
    /// Class of each image.
    pub labels: [Vec<u16>; 2],
}

/// Reads and checks the four files of `family`, in `data_dir` or where
/// [`DATA_VARIABLE`](super::DATA_VARIABLE) says.
///
/// # Errors
/// [`DataError`] for files that are missing, truncated or altered.
pub fn full_size(family: Family, data_dir: Option<&Path>) -> Result<FullSize, DataError> {
    let mut contents = contents(family, data_dir)?;
    let labels = [1, 3].map(|k| contents[k].iter().map(|&l| u16::from(l)).collect());
    let pixels = [0, 2].map(|k| std::mem::take(&mut contents[k]));
    Ok(FullSize { side: FULL, classes: 10, pixels, labels })
}
