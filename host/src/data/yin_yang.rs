//! The Yin-Yang task (Kriener, Göltz & Petrovici, NICE 2022), from its published generator.
//!
//! Points of a disc of radius 0.5 around (0.5, 0.5), in the three parts of the Yin-Yang sign; the
//! features are `(x, y, 1 − x, 1 − y)`. Seeds 42, 41 and 40 give the published training, validation
//! and test samples bit for bit.

use spikeloop_models::encode::{Grid, Origin, SpikeTimes, yin_yang_us};

use super::mersenne::Mersenne;
use super::{Analog, DataError, DataName, DataSpec, Dataset, Split, check_count, names};

const RADIUS: f64 = 0.5;
const DOT_RADIUS: f64 = 0.1;
/// Published sizes of the training, validation and test sets.
const SIZES: [usize; 3] = [5000, 1000, 1000];
/// Published seeds of the training, validation and test sets.
const SEEDS: [u32; 3] = [42, 41, 40];
/// More samples than this are a mistake rather than a wish.
const MOST: usize = 1_000_000;

/// Class of a point: 0 yin, 1 yang, 2 dot.
fn class_of(x: f64, y: f64) -> u16 {
    let right = distance(x - 1.5 * RADIUS, y - RADIUS);
    let left = distance(x - 0.5 * RADIUS, y - RADIUS);
    if right < DOT_RADIUS || left < DOT_RADIUS {
        return 2;
    }
    let yang = right <= DOT_RADIUS
        || (left > DOT_RADIUS && left <= 0.5 * RADIUS)
        || (y > RADIUS && right > 0.5 * RADIUS);
    u16::from(yang)
}

/// `√(a² + b²)`, rounded at each operation as in the published generator (`hypot` rounds once, and
/// a point on a border could change its class).
fn distance(a: f64, b: f64) -> f64 {
    (a * a + b * b).sqrt()
}

/// The first `count` points of the set with this seed: `(x, y)` and class.
pub(super) fn points(seed: u32, count: usize) -> Vec<([f64; 2], u16)> {
    let mut generator = Mersenne::new(seed);
    let mut draw = || {
        let goal = generator.below(3) as u16;
        loop {
            let x = generator.unit() * 2.0 * RADIUS;
            let y = generator.unit() * 2.0 * RADIUS;
            let inside = distance(x - RADIUS, y - RADIUS) <= RADIUS;
            if inside && class_of(x, y) == goal {
                return ([x, y], goal);
            }
        }
    };
    (0..count).map(|_| draw()).collect()
}

/// The four features of a point.
pub(super) fn features([x, y]: [f64; 2]) -> [f64; 4] {
    [x, y, 1.0 - x, 1.0 - y]
}

fn split(seed: u32, count: usize, copies: usize) -> Split {
    let points = points(seed, count);
    let mut times = SpikeTimes::new(5 * copies);
    for &(point, _) in &points {
        times.push_sample(yin_yang_us(features(point).map(|v| v as f32), copies));
    }
    let labels = points.iter().map(|p| p.1).collect();
    Split { times, origin: Origin::Absolute, labels, images: None, analog: None }
}

/// The features themselves.
fn feature_split(seed: u32, count: usize, _copies: usize) -> Split {
    let points = points(seed, count);
    let values = points.iter().flat_map(|p| features(p.0)).map(|v| v as f32).collect();
    Split {
        times: SpikeTimes::new(4),
        origin: Origin::Absolute,
        labels: points.iter().map(|p| p.1).collect(),
        images: None,
        analog: Some(Analog { channels: 4, steps: 1, values }),
    }
}

pub(super) fn load_features(spec: &DataSpec) -> Result<Dataset, DataError> {
    assemble(spec, 1, feature_split)
}

pub(super) fn load(spec: &DataSpec, copies: usize) -> Result<Dataset, DataError> {
    assemble(spec, copies, split)
}

fn assemble(
    spec: &DataSpec,
    copies: usize,
    split: fn(u32, usize, usize) -> Split,
) -> Result<Dataset, DataError> {
    let train = spec.train.unwrap_or(SIZES[0]);
    let test = spec.test.unwrap_or(SIZES[2]);
    check_count("train", train, MOST)?;
    check_count("test", test, MOST)?;
    if spec.validation > 0 {
        check_count("validation", spec.validation, MOST)?;
    }
    Ok(Dataset {
        name: DataName::Yinyang,
        classes: 3,
        class_names: names(&["yin", "yang", "dot"]),
        inputs: 5 * copies,
        grid: Grid::YIN_YANG,
        train: split(SEEDS[0], train, copies),
        validation: (spec.validation > 0).then(|| split(SEEDS[1], spec.validation, copies)),
        test: split(SEEDS[2], test, copies),
    })
}
