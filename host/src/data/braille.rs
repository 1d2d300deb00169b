//! Braille letters read by a tactile finger (Müller-Cleve, Fra, Khacef et al., Front. Neurosci. 2022; CC BY 4.0): 27 classes of 50
//! repetitions, 76 samples in time of 12 taxels, prepared as in SpyTorch tutorial 5.
//!
//! A value is `1 − raw/255`; the four taxels 1, 2, 6 and 10 are kept, each standardised to
//! `(x − mean)/(deviation + 1e-3)` (mean and deviation over the training samples alone) and every sample in time repeated once:
//! 152 steps of 1 ms. Four fifths of the trials, drawn by a fixed seed, are for learning.

use std::path::Path;

use spikeloop_models::encode::{Grid, Origin, SpikeTimes};

use super::idx::hex_sum;
use super::mersenne::Mersenne;
use super::npz::{self, Array};
use super::{Analog, DataError, DataSpec, Dataset, Split, arrange, find, folder};

const SET: &str = "braille";
const FILE: &str = "braille_taxels.npz";
const SOURCE: &str = "https://github.com/fzenke/spytorch (tutorial 5), zenodo 6556273";
const SUM: &str = "9a695d32fdce23f609d8a6ca28ed2f4f0d969e8e445fece20a1503135edb6272";
const LAYOUT: &str = "arrays `taxels` float32 [trial, time, 12] and `letter` text [trial]";

/// Taxels that are kept (published).
const TAXELS: [usize; 4] = [1, 2, 6, 10];
/// Each sample in time stands for so many steps (published).
const REPEAT: usize = 2;
/// Added to the deviation of a channel (published).
const GUARD: f32 = 1e-3;
/// One of so many trials is for testing (published).
const TEST_SHARE: usize = 5;
/// Seed of the split, which is fixed (ours: the published split is a new draw for each run).
const SPLIT_SEED: u32 = 27;

struct Trials {
    /// `[trial][time · channel]`, 0 to 1.
    values: Vec<Vec<f32>>,
    labels: Vec<u16>,
    names: Vec<String>,
    times: usize,
}

fn read(data_dir: Option<&Path>) -> Result<Trials, DataError> {
    let path = find(&folder(data_dir, SET, FILE, SOURCE)?, SET, FILE, SOURCE)?;
    let bytes =
        std::fs::read(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
    let found = hex_sum(&bytes);
    if found != SUM {
        let (bytes, expected) = (bytes.len(), SUM);
        return Err(DataError::Checksum { path, bytes, expected, found, source_url: SOURCE });
    }
    let trials = npz::array(&bytes, "taxels").zip(npz::array(&bytes, "letter"));
    trials.and_then(|(taxels, letters)| trials_of(&taxels, &letters)).ok_or_else(|| {
        DataError::Layout { path, problem: "it cannot be read".into(), expected: LAYOUT }
    })
}

fn trials_of(taxels: &Array, letters: &Array) -> Option<Trials> {
    let (raw, letters) = (taxels.floats()?, letters.texts()?);
    let [trials, times, width] = taxels.shape[..] else { return None };
    if raw.len() != trials * times * width || letters.len() != trials || width < 11 {
        return None;
    }
    let values = raw
        .chunks_exact((times * width).max(1))
        .map(|trial| {
            let rows = trial.chunks_exact(width);
            rows.flat_map(|row| TAXELS.map(|taxel| 1.0 - row[taxel] / 255.0)).collect()
        })
        .collect();
    let mut names = letters.clone();
    names.sort_unstable();
    names.dedup();
    let labels = letters.iter().map(|l| names.binary_search(l).map(|k| k as u16).ok());
    Some(Trials { values, labels: labels.collect::<Option<_>>()?, names, times })
}

/// Mean and deviation of each channel over these trials.
fn moments<'a>(trials: impl Iterator<Item = &'a Vec<f32>>) -> [(f32, f32); TAXELS.len()] {
    let mut sums = [(0.0_f64, 0.0_f64); TAXELS.len()];
    let mut count = 0;
    for row in trials.flat_map(|trial| trial.as_chunks::<{ TAXELS.len() }>().0) {
        count += 1;
        for ((sum, squares), x) in sums.iter_mut().zip(row) {
            *sum += f64::from(*x);
            *squares += f64::from(*x) * f64::from(*x);
        }
    }
    let n = f64::from(count.max(1));
    sums.map(|(sum, squares)| {
        let mean = sum / n;
        (mean as f32, (squares / n - mean * mean).max(0.0).sqrt() as f32)
    })
}

/// Standardised trials on the grid.
fn split(trials: &Trials, chosen: &[usize], moments: &[(f32, f32); TAXELS.len()]) -> Split {
    let mut values = Vec::with_capacity(chosen.len() * trials.times * REPEAT * TAXELS.len());
    for &trial in chosen {
        for row in trials.values[trial].as_chunks::<{ TAXELS.len() }>().0 {
            let standard: [f32; TAXELS.len()] =
                std::array::from_fn(|c| (row[c] - moments[c].0) / (moments[c].1 + GUARD));
            (0..REPEAT).for_each(|_| values.extend(standard));
        }
    }
    Split {
        times: SpikeTimes::new(TAXELS.len() + 1),
        origin: Origin::Absolute,
        labels: chosen.iter().map(|&trial| trials.labels[trial]).collect(),
        images: None,
        analog: Some(Analog { channels: TAXELS.len(), steps: trials.times * REPEAT, values }),
    }
}

pub(super) fn load(spec: &DataSpec, data_dir: Option<&Path>) -> Result<Dataset, DataError> {
    let trials = read(data_dir)?;
    let mut order: Vec<usize> = (0..trials.labels.len()).collect();
    let mut generator = Mersenne::new(SPLIT_SEED);
    for i in (1..order.len()).rev() {
        order.swap(i, generator.below(i as u32 + 1) as usize);
    }
    let (learned, tested) = order.split_at(order.len() - order.len() / TEST_SHARE);
    let moments = moments(learned.iter().map(|&trial| &trials.values[trial]));
    let parts = [learned, tested].map(|chosen| split(&trials, chosen, &moments));
    let [train, test] = parts;
    let [train, validation, test] = arrange(spec, train, test)?;
    Ok(Dataset {
        name: spec.name,
        classes: trials.names.len(),
        class_names: trials.names,
        inputs: TAXELS.len() + 1,
        // The input of the last step acts on the state behind it.
        grid: Grid { dt_us: 1e3, steps: trials.times * REPEAT + 1 },
        train,
        validation: (spec.validation > 0).then_some(validation),
        test,
    })
}
