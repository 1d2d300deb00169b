//! A calibration as users want it: found again if it was made before, continued if it was interrupted.
//!
//! ```text
//! key (targets, options, chip, firmware, version)
//!   ├─ finished in the cache ──────────────► taken as it is
//!   ├─ interrupted in the cache ─► the stages that are left ─┐
//!   └─ nothing ──────────────────► every stage ──────────────┴─► cache
//! ```

mod diff;
mod summary;

pub use diff::{Change, Diff, Mover};
pub use summary::{
    FailureRow, ParameterRow, Summary, by_reason, out_of_range, rough, short, with_spread,
};

use spikeloop_calibration::bench::Cost;
use spikeloop_calibration::cache::{Cache, Key};
use spikeloop_calibration::plan::{Plan, Progress, Stage};
use spikeloop_calibration::result::RawData;
use spikeloop_calibration::targets::{Target, TargetFile};
use spikeloop_calibration::{Bench, Calibration, Error};
use spikeloop_hal::{Capabilities, Chip};
use std::path::PathBuf;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Targets and options.
    pub targets: &'a TargetFile,
    /// Where earlier calibrations are, and where this one goes.
    pub cache: &'a Cache,
    /// Measure anew, whatever was found or begun before.
    pub fresh: bool,
    /// The present time in UTC, as `2026-11-22T09:30:00Z`.
    pub time: String,
}

/// Told how a calibration goes on.
pub trait Watch {
    /// Targets that the chip's codes do not reach by design; the nearest values are taken.
    fn unreachable(&self, _targets: &[Target]) {}
    /// Stages of an interrupted calibration that are not repeated.
    fn resumed(&self, _finished: &[Stage]) {}
    /// A stage begins.
    fn stage(&self, _stage: Stage) {}
    /// What is called after every run with the cost so far.
    fn meter(&self) -> Option<Box<dyn FnMut(Cost) + Send>> {
        None
    }
    /// Something went wrong that does not stop the calibration.
    fn trouble(&self, _message: &str) {}
    /// Whether to stop after the present stage.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}

/// What came out.
pub struct Outcome {
    /// The calibration.
    pub calibration: Calibration,
    /// Raw data for pictures, if it was measured now.
    pub raw: Option<RawData>,
    /// Where it is kept; `None` if it could not be written, or if no neuron can be used.
    pub path: Option<PathBuf>,
    /// Whether it had been made before and nothing was measured.
    pub reused: bool,
    /// Stages that an interrupted calibration had finished.
    pub resumed: Vec<Stage>,
    /// The chip. Its configuration is what the last measurement left.
    pub chip: Box<dyn Chip>,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcome")
            .field("path", &self.path)
            .field("reused", &self.reused)
            .field("resumed", &self.resumed)
            .finish_non_exhaustive()
    }
}

/// The calibration of `chip`: from the cache, or measured. After every stage what is finished is kept, so that the
/// same call goes on there if this one fails.
///
/// # Errors
/// [`Error::TargetFile`] and [`Error::MissingParameter`] for targets that make no sense; failures of the chip;
/// [`Error::Stopped`] if the watch wanted an end. A cache that cannot be read or written is no error: the watch is told.
pub fn calibrate(
    chip: Box<dyn Chip>,
    request: &Request<'_>,
    watch: &dyn Watch,
) -> Result<Outcome, Error> {
    let key = Key::new(chip.capabilities(), request.targets)?;
    if request.fresh {
        request.cache.forget_progress(&key);
    } else if let Some(calibration) = earlier(chip.capabilities(), request, &key, watch) {
        let path = Some(request.cache.path(&key));
        let (raw, resumed) = (None, Vec::new());
        return Ok(Outcome { calibration, raw, path, reused: true, resumed, chip });
    }
    let progress = request.cache.load_progress(&key);
    let resumed = progress.as_ref().map_or(Vec::new(), |p| p.finished.clone());
    if !resumed.is_empty() {
        watch.resumed(&resumed);
    }
    let temperature = chip.temperature_c();
    // What is measured after an interruption draws other noise than what was measured before.
    let mut bench = Bench::new(chip, resumed.len() as u32);
    if let Some(meter) = watch.meter() {
        bench.watch(meter);
    }
    let (calibration, raw) = measure(&mut bench, request, &key, progress, temperature, watch)?;
    let path = keep(request.cache, &key, &calibration, watch);
    let chip = bench.into_chip();
    Ok(Outcome { calibration, raw: Some(raw), path, reused: false, resumed, chip })
}

/// Keeps a calibration, unless nobody could use it.
fn keep(cache: &Cache, key: &Key, calibration: &Calibration, watch: &dyn Watch) -> Option<PathBuf> {
    if !calibration.usable().contains(&true) {
        cache.forget_progress(key);
        return None;
    }
    let stored = cache.store(key, calibration);
    stored.inspect_err(|e| watch.trouble(&format!("not kept: {e}"))).ok()
}

/// A finished calibration of the same key.
fn earlier(
    caps: &Capabilities,
    request: &Request<'_>,
    key: &Key,
    watch: &dyn Watch,
) -> Option<Calibration> {
    let found = request.cache.load(key);
    let found = found.and_then(|found| match found {
        Some(calibration) => calibration.check(caps).map(|()| Some(calibration)),
        None => Ok(None),
    });
    found.unwrap_or_else(|e| {
        watch.trouble(&format!("not used: {e}"));
        None
    })
}

fn measure(
    bench: &mut Bench,
    request: &Request<'_>,
    key: &Key,
    progress: Option<Progress>,
    temperature_c: Option<f32>,
    watch: &dyn Watch,
) -> Result<(Calibration, RawData), Error> {
    let plan = Plan::new(bench, request.targets, progress)?;
    watch.unreachable(&plan.unreachable());
    let first = Stage::ALL.into_iter().find(|s| !plan.progress().finished.contains(s));
    watch.stage(first.unwrap_or(Stage::Verification));
    let mut writable = true;
    plan.run(request.time.clone(), temperature_c, &mut |stage, progress| {
        // The last stage ends with the calibration itself.
        if stage == Stage::Verification {
            return Ok(());
        }
        if writable && let Err(error) = request.cache.store_progress(key, progress) {
            writable = false;
            watch.trouble(&format!("an interruption would start anew: {error}"));
        }
        if watch.interrupted() {
            return Err(Error::Stopped { stage: stage.label() });
        }
        let next = Stage::ALL.into_iter().find(|s| !progress.finished.contains(s));
        watch.stage(next.unwrap_or(Stage::Verification));
        Ok(())
    })
}
