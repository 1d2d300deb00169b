//! Fisher's irises, inside the binary: 150 flowers of three species, four measurements each.
//!
//! R. A. Fisher, "The use of multiple measurements in taxonomic problems", 1936; as distributed by scikit-learn under
//! BSD-3-Clause, see `digits.LICENCE.txt`. One in five flowers of each species is a test sample; the split is fixed.
//! Each measurement is scaled to 0 to 1 over all flowers, and spikes in the linear code of the Yin-Yang task.

use spikeloop_models::encode::{Grid, Origin, SpikeTimes, yin_yang_us};

use super::stratified::split_indices;
use super::{Analog, DataError, DataName, DataSpec, Dataset, Split, arrange, names};

const TEXT: &str = include_str!("iris.csv");
/// Measurements: length and width of sepal and petal.
const FEATURES: usize = 4;
/// Seed of the fixed split.
const SPLIT_SEED: u32 = 1936;

/// A flower: measurements from 0 to 1, and species.
type Record = ([f32; FEATURES], u16);

/// All flowers in the published order. The first line of the file names the species.
fn records() -> Vec<Record> {
    let numbers = |line: &str| -> Vec<f32> {
        line.split(',').filter_map(|word| word.trim().parse().ok()).collect()
    };
    let rows: Vec<Vec<f32>> =
        TEXT.lines().skip(1).map(numbers).filter(|row| row.len() > FEATURES).collect();
    let mut ends = [(f32::INFINITY, f32::NEG_INFINITY); FEATURES];
    for row in &rows {
        for (end, x) in ends.iter_mut().zip(row) {
            *end = (end.0.min(*x), end.1.max(*x));
        }
    }
    let scaled = |row: &Vec<f32>| {
        let feature = |k: usize| (row[k] - ends[k].0) / (ends[k].1 - ends[k].0);
        (std::array::from_fn(feature), row[FEATURES] as u16)
    };
    rows.iter().map(scaled).collect()
}

/// Spike times, with a bias input.
fn spike_split(records: &[Record], indices: &[usize], copies: usize) -> Split {
    let mut times = SpikeTimes::new((FEATURES + 1) * copies);
    for &i in indices {
        times.push_sample(yin_yang_us(records[i].0, copies));
    }
    let labels = indices.iter().map(|&i| records[i].1).collect();
    Split { times, origin: Origin::Absolute, labels, images: None, analog: None }
}

/// The measurements themselves.
fn feature_split(records: &[Record], indices: &[usize], _copies: usize) -> Split {
    Split {
        times: SpikeTimes::new(FEATURES),
        origin: Origin::Absolute,
        labels: indices.iter().map(|&i| records[i].1).collect(),
        images: None,
        analog: Some(Analog {
            channels: FEATURES,
            steps: 1,
            values: indices.iter().flat_map(|&i| records[i].0).collect(),
        }),
    }
}

pub(super) fn load(spec: &DataSpec, copies: usize) -> Result<Dataset, DataError> {
    assemble(spec, copies, spike_split)
}

pub(super) fn load_features(spec: &DataSpec) -> Result<Dataset, DataError> {
    assemble(spec, 1, feature_split)
}

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
        name: DataName::Iris,
        classes: 3,
        class_names: names(&["setosa", "versicolor", "virginica"]),
        inputs: (FEATURES + 1) * copies,
        grid: Grid::YIN_YANG,
        train,
        validation: (spec.validation > 0).then_some(validation),
        test,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn there_are_fifty_flowers_of_each_species_and_a_fifth_of_them_test() {
        let records = records();
        assert_eq!(records.len(), 150);
        for k in 0..FEATURES {
            let column = records.iter().map(|r| r.0[k]);
            let ends = column.fold((1.0_f32, 0.0_f32), |e, x| (e.0.min(x), e.1.max(x)));
            assert_eq!(ends, (0.0, 1.0));
        }
        // 5.1 of 4.3 to 7.9 cm, 3.5 of 2.0 to 4.4, 1.4 of 1.0 to 6.9, 0.2 of 0.1 to 2.5.
        let first = [0.8 / 3.6, 1.5 / 2.4, 0.4 / 5.9, 0.1 / 2.4];
        assert!(records[0].0.iter().zip(first).all(|(x, y)| (x - y).abs() < 1e-6));
        let spec = DataSpec { validation: 20, ..DataSpec::new(DataName::Iris) };
        let set = load(&spec, 5).unwrap();
        let count = |split: &Split, class| split.labels.iter().filter(|l| **l == class).count();
        assert_eq!([0, 1, 2].map(|class| count(&set.test, class)), [10; 3]);
        assert_eq!((set.train.len(), set.inputs), (100, 25));
        assert_eq!(set.train.times.sample(0).0.len(), 25, "every input spikes once");
        let features = load_features(&spec).unwrap();
        assert_eq!(features.test.labels, set.test.labels);
        assert_eq!(features.test.analog.unwrap().values.len(), 30 * FEATURES);
    }
}
