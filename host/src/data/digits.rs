//! The 8×8 handwritten digits, inside the binary, so that a first training needs no files.
//!
//! 1797 digits of 64 pixels from 0 to 16 (E. Alpaydin & C. Kaynak, UCI; as distributed by
//! scikit-learn under BSD-3-Clause, see `digits.LICENCE.txt` beside the data). One in five of each
//! class is a test sample; the split is fixed.

use std::io::Read;

use spikeloop_models::encode::{Grid, Origin, SpikeTimes, latency_table};

use super::stratified::split_indices;
use super::{Analog, DataError, DataName, DataSpec, Dataset, Split, arrange};

const PACKED: &[u8] = include_bytes!("digits.bin.gz");
/// Number of digits.
const COUNT: usize = 1797;
/// Pixels of a digit.
const PIXELS: usize = 64;
/// Seed of the fixed split.
const SPLIT_SEED: u32 = 1797;

/// Pixels and label of every digit, in the published order.
pub(super) fn records() -> Vec<([u8; PIXELS], u16)> {
    let mut raw = Vec::with_capacity(COUNT * (PIXELS + 1));
    #[allow(clippy::expect_used, reason = "compiled in, and a test checks its sum")]
    flate2::read::GzDecoder::new(PACKED).read_to_end(&mut raw).expect("the digits are intact");
    let record = |bytes: &[u8]| {
        let mut pixels = [0; PIXELS];
        pixels.copy_from_slice(&bytes[..PIXELS]);
        (pixels, u16::from(bytes[PIXELS]))
    };
    raw.chunks_exact(PIXELS + 1).map(record).collect()
}

/// Spike times of the digits `indices`, each pixel `copies` times.
fn spike_split(records: &[([u8; PIXELS], u16)], indices: &[usize], copies: usize) -> Split {
    let table = latency_table(16, 0.2, 8.0);
    let mut times = SpikeTimes::new(PIXELS * copies);
    for &i in indices {
        let one = records[i].0.map(|v| table[usize::from(v.min(16))]);
        times.push_sample(std::iter::repeat_n(one, copies).flatten());
    }
    let labels = indices.iter().map(|&i| records[i].1).collect();
    Split { times, origin: Origin::BatchMinimum, labels, images: None, analog: None }
}

/// Brightness of their pixels, 0 to 1.
fn feature_split(records: &[([u8; PIXELS], u16)], indices: &[usize], _copies: usize) -> Split {
    let pixels = indices.iter().flat_map(|&i| records[i].0);
    let values = pixels.map(|v| f32::from(v.min(16)) / 16.0).collect();
    Split {
        times: SpikeTimes::new(PIXELS),
        origin: Origin::Absolute,
        labels: indices.iter().map(|&i| records[i].1).collect(),
        images: None,
        analog: Some(Analog { channels: PIXELS, steps: 1, values }),
    }
}

pub(super) fn load(spec: &DataSpec, copies: usize) -> Result<Dataset, DataError> {
    assemble(spec, copies, spike_split)
}

pub(super) fn load_features(spec: &DataSpec) -> Result<Dataset, DataError> {
    assemble(spec, 1, feature_split)
}

/// Pixels and class of an image.
type Record = ([u8; PIXELS], u16);

fn assemble(
    spec: &DataSpec,
    copies: usize,
    split: fn(&[Record], &[usize], usize) -> Split,
) -> Result<Dataset, DataError> {
    let records = records();
    let labels: Vec<u16> = records.iter().map(|r| r.1).collect();
    let [train, test] =
        split_indices(&labels, SPLIT_SEED).map(|indices| split(&records, &indices, copies));
    let [train, validation, test] = arrange(spec, train, test)?;
    Ok(Dataset {
        name: DataName::Digits,
        classes: 10,
        class_names: (0..10).map(|d| d.to_string()).collect(),
        inputs: PIXELS * copies,
        grid: Grid::LATENCY,
        train,
        validation: (spec.validation > 0).then_some(validation),
        test,
    })
}
