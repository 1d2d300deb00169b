//! Spoken digits in the layout of the Spiking Heidelberg Digits (Cramer, Stradmann, Schemmel & Zenke, IEEE TNNLS 2020): HDF5 files
//! with, for every sample, spike times in seconds and channels of an artificial cochlea.
//!
//! ```text
//! /spikes/times   [sample] variable-length float16, float32 or float64, seconds
//! /spikes/units   [sample] variable-length unsigned integers, channel below 700
//! /labels         [sample] integers
//! /extra/keys     [class]  names of the classes (optional)
//! ```
//!
//! The data are the user's (they are not distributed with the program): `shd_train.h5` and `shd_test.h5`, unpacked, in a folder
//! `shd`. They are checked for their layout, not by a sum, so that other recordings in the same layout work. On the grid of the
//! published networks, 100 steps over 1.4 s, later spikes are dropped.

use std::path::{Path, PathBuf};

use hdf5_reader::{Dataset as Hdf5Dataset, Datatype, Hdf5File};
use spikeloop_models::encode::{Grid, Origin, SpikeTimes};

use super::{DataError, DataSpec, Dataset, Split, arrange, find, folder};

const SET: &str = "shd";
const FILES: [&str; 2] = ["shd_train.h5", "shd_test.h5"];
const SOURCE: &str = "https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/";
const LAYOUT: &str = "an HDF5 file with `/spikes/times`, `/spikes/units` and `/labels` of as many samples, as at \
                      https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/";

/// Channels of the cochlea (published).
const CHANNELS: usize = 700;
/// 100 steps over 1.4 s (published), and the state behind the last of them.
const GRID: Grid = Grid { dt_us: 14e3, steps: 101 };
/// Classes of the published set: digits in English and German.
const CLASSES: usize = 20;

/// A recording.
struct Spoken {
    times: SpikeTimes,
    labels: Vec<u16>,
    names: Vec<String>,
}

/// Reads one little-endian number.
type Read = fn(&[u8]) -> f64;

/// Size in bytes of the numbers of `kind`, and how one is read.
fn number(kind: &Datatype) -> Option<(usize, Read)> {
    fn integer(bytes: &[u8]) -> f64 {
        bytes.iter().rev().fold(0_u64, |sum, b| sum << 8 | u64::from(*b)) as f64
    }
    fn float(bytes: &[u8]) -> f64 {
        match *bytes {
            [a, b] => half(u16::from_le_bytes([a, b])),
            [a, b, c, d] => f64::from(f32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => f64::NAN,
        }
    }
    match kind {
        Datatype::FixedPoint { size: size @ (1 | 2 | 4 | 8), byte_order, .. } => (*byte_order
            == hdf5_reader::ByteOrder::LittleEndian)
            .then_some((usize::from(*size), integer as _)),
        Datatype::FloatingPoint { size: size @ (2 | 4 | 8), byte_order } => (*byte_order
            == hdf5_reader::ByteOrder::LittleEndian)
            .then_some((usize::from(*size), float as _)),
        _ => None,
    }
}

/// A number of IEEE 754 half precision.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        e => (1024.0 + fraction) * 2_f64.powi(e - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// The sequences of a data set of variable length.
fn sequences(set: &Hdf5Dataset) -> Result<Vec<Vec<f64>>, String> {
    let Datatype::VarLen { base, .. } = set.dtype() else {
        return Err(format!("`{}` does not hold sequences of variable length", set.name()));
    };
    let (size, read) = number(base)
        .ok_or_else(|| format!("`{}` holds neither integers nor floats", set.name()))?;
    let raw = set.read_raw_bytes().map_err(|e| e.to_string())?;
    raw.chunks_exact(set.vlen_reference_size().max(1))
        .map(|reference| {
            // An empty sequence refers to nothing.
            if reference[..4] == [0; 4] {
                return Ok(Vec::new());
            }
            let bytes =
                set.resolve_vlen_reference_bytes(reference, size).map_err(|e| e.to_string())?;
            Ok(bytes.chunks_exact(size).map(read).collect())
        })
        .collect()
}

fn numbers(set: &Hdf5Dataset) -> Result<Vec<f64>, String> {
    let (size, read) =
        number(set.dtype()).ok_or_else(|| format!("`{}` holds no numbers", set.name()))?;
    let raw = set.read_raw_bytes().map_err(|e| e.to_string())?;
    Ok(raw.chunks_exact(size).map(read).collect())
}

fn parse(bytes: Vec<u8>) -> Result<Spoken, String> {
    let file = Hdf5File::from_vec(bytes).map_err(|e| e.to_string())?;
    let set = |path: &str| file.dataset(path).map_err(|e| e.to_string());
    let seconds = sequences(&set("/spikes/times")?)?;
    let units = sequences(&set("/spikes/units")?)?;
    let labels = numbers(&set("/labels")?)?;
    if seconds.len() != units.len() || seconds.len() != labels.len() {
        let counts = [seconds.len(), units.len(), labels.len()];
        return Err(format!("times, units and labels are of {counts:?} samples"));
    }
    let mut times = SpikeTimes::new(CHANNELS);
    for (sample, (seconds, units)) in seconds.iter().zip(&units).enumerate() {
        if seconds.len() != units.len() {
            let counts = [seconds.len(), units.len()];
            return Err(format!("times and units of sample {sample} are {counts:?} numbers"));
        }
        if let Some(unit) = units.iter().find(|u| **u >= CHANNELS as f64) {
            return Err(format!("channel {unit} of sample {sample} is not below {CHANNELS}"));
        }
        let events = seconds.iter().zip(units).map(|(t, u)| ((t * 1e6) as f32, *u as u16));
        times.push_events(events);
    }
    if let Some(label) = labels.iter().find(|l| **l > f64::from(u16::MAX)) {
        return Err(format!("label {label} is too large"));
    }
    let names = set("/extra/keys").and_then(|s| s.read_strings().map_err(|e| e.to_string()));
    let labels = labels.iter().map(|l| *l as u16).collect();
    Ok(Spoken { times, labels, names: names.unwrap_or_default() })
}

fn read(path: PathBuf) -> Result<Spoken, DataError> {
    let bytes =
        std::fs::read(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
    parse(bytes).map_err(|problem| DataError::Layout { path, problem, expected: LAYOUT })
}

pub(super) fn load(spec: &DataSpec, data_dir: Option<&Path>) -> Result<Dataset, DataError> {
    let folder = folder(data_dir, SET, &FILES.join(", "), SOURCE)?;
    let [train, test] = FILES.map(|file| find(&folder, SET, file, SOURCE).and_then(read));
    let (train, test) = (train?, test?);
    let most = train.labels.iter().chain(&test.labels).copied().max().unwrap_or(0);
    let classes = CLASSES.max(usize::from(most) + 1);
    let mut names = train.names;
    names.truncate(classes);
    names.extend((names.len()..classes).map(|c| c.to_string()));
    let split = |times, labels| Split {
        times,
        origin: Origin::Absolute,
        labels,
        images: None,
        analog: None,
    };
    let (train, test) = (split(train.times, train.labels), split(test.times, test.labels));
    let [train, validation, test] = arrange(spec, train, test)?;
    Ok(Dataset {
        name: spec.name,
        classes,
        class_names: names,
        inputs: CHANNELS,
        grid: GRID,
        train,
        validation: (spec.validation > 0).then_some(validation),
        test,
    })
}

#[cfg(test)]
mod tests;
