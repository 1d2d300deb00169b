//! Which data set an experiment uses, as written in its configuration.

use spikeloop_models::task::randman::Randman;

/// A data set by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataName {
    /// Three classes in a disc, four features, generated (Kriener, Göltz & Petrovici 2022).
    Yinyang,
    /// 1797 handwritten digits of 8×8 pixels, inside the binary.
    Digits,
    /// 150 irises of three species, four features, inside the binary (Fisher 1936).
    Iris,
    /// MNIST cropped and resampled to 16×16 pixels (Cramer et al., PNAS 2022).
    Mnist16,
    /// Fashion-MNIST, prepared in the same way.
    Fashion16,
    /// MNIST at its full 28×28 pixels, latency code on a grid of 1 ms (SpyTorch tutorial 2).
    MnistLatency,
    /// Fashion-MNIST, prepared in the same way.
    FashionLatency,
    /// Random manifolds in spike times, generated (Zenke & Vogels 2021).
    Randman,
    /// Braille letters read by a tactile sensor: analog inputs (Müller-Cleve et al. 2022).
    Braille,
    /// Spoken digits as spikes of an artificial cochlea (Cramer et al. 2020), or other HDF5 files of that layout.
    Shd,
}

impl DataName {
    /// Every known data set.
    pub const ALL: [Self; 10] = [
        Self::Yinyang,
        Self::Digits,
        Self::Iris,
        Self::Mnist16,
        Self::Fashion16,
        Self::MnistLatency,
        Self::FashionLatency,
        Self::Randman,
        Self::Braille,
        Self::Shd,
    ];

    /// The name in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yinyang => "yinyang",
            Self::Digits => "digits",
            Self::Iris => "iris",
            Self::Mnist16 => "mnist16",
            Self::Fashion16 => "fashion16",
            Self::MnistLatency => "mnist-latency",
            Self::FashionLatency => "fashion-latency",
            Self::Randman => "randman",
            Self::Braille => "braille",
            Self::Shd => "shd",
        }
    }

    /// Whether each input can be repeated.
    pub(super) fn has_copies(self) -> bool {
        matches!(self, Self::Yinyang | Self::Digits | Self::Iris | Self::Mnist16 | Self::Fashion16)
    }

    /// How often each input is repeated unless the specification says otherwise.
    pub(super) fn default_copies(self) -> usize {
        if matches!(self, Self::Yinyang | Self::Iris) { 5 } else { 1 }
    }
}

impl std::fmt::Display for DataName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A data set and how much of it to use.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// Which set.
    pub name: DataName,
    /// Number of training samples, the first ones of the set; all that are left by default (5000
    /// for Yin-Yang, as published; its generator gives any number).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<usize>,
    /// Number of test samples, the first ones of the set; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<usize>,
    /// Number of samples to hold out for tuning, taken from the end of the training set so that the
    /// test set stays untouched (Yin-Yang: from its published validation set); 0 by default.
    #[serde(default)]
    pub validation: usize,
    /// How often each input is repeated, 1 to 255; 5 for Yin-Yang and irises, 1 for images by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<usize>,
    /// What random manifolds are like; those of the published example by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub randman: Option<Randman>,
}

impl DataSpec {
    /// The whole set `name`, nothing held out.
    #[must_use]
    pub fn new(name: DataName) -> Self {
        Self { name, train: None, test: None, validation: 0, copies: None, randman: None }
    }
}
