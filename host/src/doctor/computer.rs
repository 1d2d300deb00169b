//! What of the computer itself stands in the way.

use super::{Finding, State};
use spikeloop_hal::registry::Registry;
use std::fs;
use std::io::Write;
use std::path::Path;

/// Free space below which a training may not end: a run folder with its checkpoints and the calibrations
/// of a large chip take some hundred megabytes (a guess).
pub const ENOUGH_BYTES: u64 = 1 << 30;

/// Looks for files that killed boards left behind. Removes them: nobody needs them.
#[must_use]
pub fn registry(registry: &Registry) -> Finding {
    let subject = registry.folder().display().to_string();
    let left = registry.left_behind();
    let running = registry.boards().len();
    let stuck = registry.left_behind();
    if let Some(first) = stuck.first() {
        return Finding::bad(
            State::Warning,
            "virtual boards",
            subject.clone(),
            format!("{} entries of killed boards cannot be removed, e.g. {first}", stuck.len()),
            format!("remove them yourself: rm {subject}/{first}.board"),
        );
    }
    let mut found = format!("{running} running");
    if !left.is_empty() {
        found += &format!("; removed what a killed board left behind: {}", left.join(", "));
    }
    Finding::good("virtual boards", subject, found)
}

/// Looks whether the cache can be written, and whether its disk has `enough` bytes left.
#[must_use]
pub fn cache(folder: &Path, enough: u64) -> Vec<Finding> {
    let subject = folder.display().to_string();
    if let Err(error) = try_to_write(folder) {
        return vec![Finding::bad(
            State::Problem,
            "cache",
            subject,
            format!("cannot be written: {error}"),
            format!(
                "make it writable, or name another folder with the variable {}",
                crate::cache::VARIABLE
            ),
        )];
    }
    let writable = Finding::good("cache", subject.clone(), "can be written");
    let Ok(disk) = rustix::fs::statvfs(folder) else { return vec![writable] };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let found = format!("{:.1} GB free", free as f64 / 1e9);
    let space = if free >= enough {
        Finding::good("disk", subject, found)
    } else {
        let remedy = format!(
            "free some space (runs and calibrations need about {:.1} GB), or name a folder on another disk with the variable {}",
            enough as f64 / 1e9,
            crate::cache::VARIABLE
        );
        Finding::bad(State::Warning, "disk", subject, found, remedy)
    };
    vec![writable, space]
}

fn try_to_write(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let file = folder.join(format!(".doctor-{}", std::process::id()));
    let written = fs::File::create(&file).and_then(|mut file| file.write_all(b"a"));
    let removed = fs::remove_file(&file);
    written.and(removed)
}

/// How many threads this process may run at once. Everything gives the same bits with one.
#[must_use]
pub fn cores() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let text = if cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") };
    Finding::good("cores", "this computer", text)
}
