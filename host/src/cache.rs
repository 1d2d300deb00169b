//! Where this user keeps what is expensive to find again.

use spikeloop_calibration::cache::Cache;
use std::path::PathBuf;

/// Variable that names another folder.
pub const VARIABLE: &str = "SPIKELOOP_CACHE";

/// The calibrations of this user: in `$SPIKELOOP_CACHE/calibration`, or else in `spikeloop/calibration` of the XDG cache
/// (`$XDG_CACHE_HOME`, or `~/.cache`), or else, for a user without a home, in the folder of temporary files.
#[must_use]
pub fn calibrations() -> Cache {
    let set = std::env::var_os(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = || {
        use etcetera::BaseStrategy;
        let strategy = etcetera::choose_base_strategy().ok()?;
        Some(strategy.cache_dir().join("spikeloop"))
    };
    let folder = set.or_else(home).unwrap_or_else(|| std::env::temp_dir().join("spikeloop"));
    Cache::at(folder.join("calibration"))
}
