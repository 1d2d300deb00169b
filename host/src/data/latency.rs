//! MNIST and Fashion-MNIST at their full size, 784 inputs, as latency code on a grid of 1 ms (SpyTorch tutorial 2,
//! Neftci, Mostafa & Zenke 2019): one spike a bright pixel at `t = 20 ms · ln(x/(x − 0.2))`, cut to whole steps.

use std::path::Path;

use rayon::prelude::*;
use spikeloop_models::encode::{Grid, Origin, SpikeTimes, latency_table};

use super::images::{Family, contents};
use super::resample::FULL;
use super::{DataError, DataSpec, Dataset, Split, arrange, names};

/// Threshold of the code as a share of full brightness (published).
const THETA: f32 = 0.2;
/// Time constant of the code in µs: 20 steps (published).
const TAU_US: f32 = 20e3;
/// 100 steps of input (published) and the state behind the last of them.
pub(super) const GRID: Grid = Grid { dt_us: 1e3, steps: 101 };
/// Images that one task of the thread pool prepares.
const CHUNK: usize = 1000;

/// Spike times of images `[image, row, column]`.
pub(super) fn spike_times(pixels: &[u8]) -> SpikeTimes {
    let table = latency_table(u8::MAX, THETA, TAU_US);
    let parts: Vec<SpikeTimes> = pixels
        .par_chunks(CHUNK * FULL * FULL)
        .map(|part| {
            let mut times = SpikeTimes::new(FULL * FULL);
            for image in part.chunks_exact(FULL * FULL) {
                times.push_sample(image.iter().map(|&v| table[usize::from(v)]));
            }
            times
        })
        .collect();
    let mut all = SpikeTimes::new(FULL * FULL);
    parts.iter().for_each(|part| all.extend(part));
    all
}

pub(super) fn load(
    spec: &DataSpec,
    family: Family,
    data_dir: Option<&Path>,
) -> Result<Dataset, DataError> {
    let contents = contents(family, data_dir)?;
    let split = |k: usize| Split {
        times: spike_times(&contents[k]),
        origin: Origin::Absolute,
        labels: contents[k + 1].iter().map(|&l| u16::from(l)).collect(),
        images: None,
        analog: None,
    };
    let [train, validation, test] = arrange(spec, split(0), split(2))?;
    Ok(Dataset {
        name: spec.name,
        classes: 10,
        class_names: names(family.class_names()),
        inputs: FULL * FULL,
        grid: GRID,
        train,
        validation: (spec.validation > 0).then_some(validation),
        test,
    })
}
