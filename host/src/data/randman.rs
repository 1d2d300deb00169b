//! Random manifolds ([`spikeloop_models::task::randman`]) on a grid of 2 ms. One sample in ten is for testing; held-out samples come
//! from the end of the others: with `validation = 1000` of 10 000 the published split 80/10/10.

use spikeloop_models::encode::{Grid, Origin};

use super::{DataError, DataSpec, Dataset, Split, arrange};

/// Step of the published grid in µs.
const DT_US: f32 = 2e3;
/// One of so many samples is for testing (published).
const TEST_SHARE: usize = 10;

pub(super) fn load(spec: &DataSpec) -> Result<Dataset, DataError> {
    let task = spec.randman.unwrap_or_default();
    let (times, labels) = task.generate()?;
    let all = Split { times, origin: Origin::Absolute, labels, images: None, analog: None };
    let kept = all.len() - all.len() / TEST_SHARE;
    let (train, test) = (all.slice(0, kept), all.slice(kept, all.len()));
    let [train, validation, test] = arrange(spec, train, test)?;
    Ok(Dataset {
        name: spec.name,
        classes: task.classes,
        class_names: (0..task.classes).map(|c| c.to_string()).collect(),
        inputs: task.units,
        grid: Grid { dt_us: DT_US, steps: (task.duration_us / f64::from(DT_US)).ceil() as usize },
        train,
        validation: (spec.validation > 0).then_some(validation),
        test,
    })
}
