//! Data sets as spike times, ready to be put on a network's time grid.
//!
//! [`load`] turns a [`DataSpec`] into a [`Dataset`]: spike times are computed once, and a batch only
//! needs [`Split::encode`]. Some sets ([`DataName`]) need no files (Yin-Yang and random manifolds from their
//! generators, the 8×8 digits and the irises inside the binary); others read published files and refuse others by
//! checksum, but for spoken digits, which are any HDF5 files of their layout.
//!
//! ```
//! use spikeloop::data::{self, DataName, DataSpec};
//! use spikeloop_models::spike_train::SpikeTrains;
//!
//! let set = data::load(&DataSpec::new(DataName::Digits), None)?;
//! let mut batch = SpikeTrains::default();
//! set.train.encode(&[0, 1, 2], &set.grid, &mut batch);
//! assert_eq!((batch.samples(), batch.units()), (3, set.inputs));
//! # Ok::<(), data::DataError>(())
//! ```

mod braille;
mod digits;
mod error;
mod first_spike;
mod full;
mod idx;
mod images;
pub mod invitro;
mod iris;
mod latency;
mod mersenne;
mod motion;
mod npz;
mod randman;
mod resample;
mod rotation;
mod shd;
mod spec;
pub mod ssbm;
mod stratified;
mod yin_yang;

use std::path::{Path, PathBuf};

use spikeloop_models::encode::{Grid, Origin, SpikeTimes};
use spikeloop_models::spike_train::SpikeTrains;

pub use error::DataError;
pub use first_spike::{FirstSpikeWeights, first_spike_weights};
pub use full::{FullSize, full_size};
pub use images::{DATA_VARIABLE, Family};
pub use motion::Motion;
pub use resample::{CROP, SIDE, resample_16};
pub use rotation::Images;
pub use spec::{DataName, DataSpec};

/// A classification task on spike times.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Which set this is.
    pub name: DataName,
    /// Number of classes; labels are below it.
    pub classes: usize,
    /// Names of the classes, as many as there are classes.
    pub class_names: Vec<String>,
    /// Number of input units, copies included.
    pub inputs: usize,
    /// The time grid that the spike code was published with.
    pub grid: Grid,
    /// Samples to learn from.
    pub train: Split,
    /// Samples to choose hyper-parameters by, if the specification holds some out.
    pub validation: Option<Split>,
    /// Samples to report figures on.
    pub test: Split,
}

/// Samples with their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// Spike times, one sample per label.
    pub times: SpikeTimes,
    /// What time 0 of the grid is.
    pub origin: Origin,
    /// Class of each sample.
    pub labels: Vec<u16>,
    /// The images behind the spike times, if they can be turned while learning.
    pub images: Option<Images>,
    /// Analog inputs, one value a channel and step; there are no spike times then.
    pub analog: Option<Analog>,
}

/// Analog inputs of many samples on the grid that they were recorded on.
#[derive(Clone, Debug, PartialEq)]
pub struct Analog {
    /// Channels.
    pub channels: usize,
    /// Steps of a sample.
    pub steps: usize,
    /// Values `[sample, step, channel]`.
    pub values: Vec<f32>,
}

impl Analog {
    /// Puts samples on a grid of `steps` steps as graded events of every channel, with a last input that is always 1.
    /// Steps that were not recorded have no events.
    fn encode(&self, indices: &[u32], steps: usize, into: &mut SpikeTrains) {
        into.reset(steps, self.channels + 1);
        let length = self.steps * self.channels;
        for &sample in indices {
            let values = &self.values[sample as usize * length..][..length];
            for step in 0..steps {
                let row = values.chunks_exact(self.channels).nth(step).unwrap_or(&[]);
                for (channel, value) in row.iter().enumerate() {
                    into.push_graded(channel as u16, *value);
                }
                if !row.is_empty() {
                    into.push_graded(self.channels as u16, 1.0);
                }
                into.end_step();
            }
        }
    }

    fn slice(&self, start: usize, end: usize) -> Self {
        let length = self.steps * self.channels;
        Self { values: self.values[start * length..end * length].to_vec(), ..*self }
    }
}

impl Split {
    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Puts the samples `indices` (each below [`Self::len`]) on the time grid, in this order. What
    /// `into` held is forgotten; its memory is used again.
    pub fn encode(&self, indices: &[u32], grid: &Grid, into: &mut SpikeTrains) {
        match &self.analog {
            Some(analog) => analog.encode(indices, grid.steps, into),
            None => self.times.bin(indices, grid, self.origin, into),
        }
    }

    /// As [`Self::encode`], with the image of sample `indices[k]` turned by `angles_deg[k]`. Samples that are not
    /// images stay as they are.
    pub fn encode_turned(
        &self,
        indices: &[u32],
        angles_deg: &[f32],
        grid: &Grid,
        into: &mut SpikeTrains,
    ) {
        let Some(images) = &self.images else { return self.encode(indices, grid, into) };
        let times = images.turned(indices, angles_deg);
        let all: Vec<u32> = (0..indices.len() as u32).collect();
        times.bin(&all, grid, self.origin, into);
    }

    /// The samples from `start` up to, not including, `end`.
    #[must_use]
    pub fn slice(&self, start: usize, end: usize) -> Self {
        let end = end.min(self.len());
        let start = start.min(end);
        Self {
            times: self.times.slice(start, end),
            origin: self.origin,
            labels: self.labels[start..end].to_vec(),
            images: self.images.as_ref().map(|images| images.slice(start, end)),
            analog: self.analog.as_ref().map(|analog| analog.slice(start, end)),
        }
    }
}

/// Class names that a program spells.
fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Folder with the data files: as given, or as the environment says.
fn folder(
    data_dir: Option<&Path>,
    set: &'static str,
    files: &str,
    source_url: &'static str,
) -> Result<PathBuf, DataError> {
    let from_environment = || std::env::var_os(DATA_VARIABLE).filter(|v| !v.is_empty());
    let folder = data_dir.map(Path::to_owned).or_else(|| from_environment().map(PathBuf::from));
    folder.ok_or_else(|| DataError::NoFolder {
        set,
        files: files.to_owned(),
        source_url,
        variable: DATA_VARIABLE,
    })
}

/// A file in the set's own folder inside `folder`, or in `folder` itself.
fn find(
    folder: &Path,
    set: &'static str,
    file: &'static str,
    source_url: &'static str,
) -> Result<PathBuf, DataError> {
    let places = [folder.join(set).join(file), folder.join(file)];
    places.iter().find(|path| path.is_file()).cloned().ok_or_else(|| DataError::Missing {
        set,
        missing: file.to_owned(),
        searched: places.map(|p| p.display().to_string()).join(", "),
        files: file.to_owned(),
        source_url,
        variable: DATA_VARIABLE,
    })
}

/// Loads the data set that `spec` names. Files are looked for in `data_dir` or, without it, in the
/// folder that the environment variable [`DATA_VARIABLE`] names.
///
/// # Errors
/// [`DataError`] for missing, truncated or altered files, and for a specification that asks for more
/// samples than there are.
pub fn load(spec: &DataSpec, data_dir: Option<&Path>) -> Result<Dataset, DataError> {
    let copies = spec.copies.unwrap_or_else(|| spec.name.default_copies());
    if !(1..=255).contains(&copies) {
        return Err(DataError::Copies { copies });
    }
    if copies > 1 && !spec.name.has_copies() {
        return Err(DataError::Key { key: "task.copies", set: spec.name.as_str() });
    }
    if spec.randman.is_some() && spec.name != DataName::Randman {
        return Err(DataError::Key { key: "task.randman", set: spec.name.as_str() });
    }
    match spec.name {
        DataName::Yinyang => yin_yang::load(spec, copies),
        DataName::Digits => digits::load(spec, copies),
        DataName::Iris => iris::load(spec, copies),
        DataName::Mnist16 => images::load(spec, Family::Mnist, copies, data_dir),
        DataName::Fashion16 => images::load(spec, Family::Fashion, copies, data_dir),
        DataName::MnistLatency => latency::load(spec, Family::Mnist, data_dir),
        DataName::FashionLatency => latency::load(spec, Family::Fashion, data_dir),
        DataName::Randman => randman::load(spec),
        DataName::Braille => braille::load(spec, data_dir),
        DataName::Shd => shd::load(spec, data_dir),
    }
}

/// The same samples and splits with their features as analog inputs of one step, from 0 to 1 and without copies: for
/// networks that are not fed spike times.
///
/// # Errors
/// [`DataError`]; [`DataError::Key`] for a task whose features are not that simple.
pub fn load_features(spec: &DataSpec) -> Result<Dataset, DataError> {
    match spec.name {
        DataName::Yinyang => yin_yang::load_features(spec),
        DataName::Digits => digits::load_features(spec),
        DataName::Iris => iris::load_features(spec),
        other => Err(DataError::Key { key: "features", set: other.as_str() }),
    }
}

/// Cuts the hold-out from the end of the training samples, then shortens the splits as `spec` asks.
fn arrange(spec: &DataSpec, train: Split, test: Split) -> Result<[Split; 3], DataError> {
    let total = train.len();
    let wanted = spec.validation.saturating_add(spec.train.unwrap_or(1));
    check_count("train", wanted, total)?;
    check_count("test", spec.test.unwrap_or(1), test.len())?;
    let kept = total - spec.validation;
    let validation = train.slice(kept, total);
    let train = train.slice(0, spec.train.unwrap_or(kept));
    let test = test.slice(0, spec.test.unwrap_or(test.len()));
    Ok([train, validation, test])
}

/// Refuses a split of no sample or of more samples than there are.
fn check_count(split: &'static str, wanted: usize, available: usize) -> Result<(), DataError> {
    if wanted == 0 || wanted > available {
        return Err(DataError::Count { split, wanted, available });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
