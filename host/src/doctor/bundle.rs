//! A bug report in one file: what the doctor found, and what it takes to understand it.
//!
//! Of the environment only what this program reads is packed, never everything; the user's folder is
//! written `~`. Of a run folder the texts go in, never weights or data.

use super::Examination;
use serde::Serialize;
use spikeloop_hal::list::Entry;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use zip::write::{SimpleFileOptions, ZipWriter};

/// Variables that go into a report: those that change what this program does, and none that may hold a
/// secret.
pub const VARIABLES: [&str; 12] = [
    "SPIKELOOP_CHIP",
    "SPIKELOOP_CACHE",
    "SPIKELOOP_DATA",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "RAYON_NUM_THREADS",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "LANG",
    "LC_ALL",
    "TERM",
    "NO_COLOR",
];

/// Endings of the files of a run folder that go into a report.
const TEXTS: [&str; 5] = ["toml", "json", "jsonl", "log", "txt"];

/// Of a longer file the end goes in: what happened last is what is asked for.
const LONGEST: usize = 1 << 20;

/// What goes into a report.
#[derive(Clone, Debug)]
pub struct Contents<'a> {
    /// What was found.
    pub examination: &'a Examination,
    /// The same as a user reads it.
    pub text: &'a str,
    /// Everything a chip may be behind.
    pub devices: &'a [Entry],
    /// Variables of the environment; only [`VARIABLES`] are packed.
    pub environment: &'a [(String, String)],
    /// The user's folder, which is written `~`.
    pub home: Option<&'a str>,
    /// Run folders and files of logs.
    pub more: &'a [PathBuf],
}

/// Writes a report to `path`; says which files are in it.
///
/// # Errors
/// If `path` cannot be written, or something that was asked for cannot be read.
pub fn write(path: &Path, contents: &Contents<'_>) -> io::Result<Vec<String>> {
    let mut files = vec![
        ("findings.txt".to_owned(), contents.text.as_bytes().to_vec()),
        ("findings.json".to_owned(), json(contents.examination)?),
        ("devices.json".to_owned(), json(&contents.devices)?),
        ("environment.txt".to_owned(), environment(contents.environment).into_bytes()),
        ("system.txt".to_owned(), system().into_bytes()),
    ];
    if let Some(chip) = &contents.examination.chip {
        files.push(("capabilities.json".to_owned(), json(&chip.capabilities)?));
    }
    for path in contents.more {
        collect(path, &mut files)?;
    }
    let mut zip = ZipWriter::new(fs::File::create(path)?);
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in &files {
        zip.start_file(name.as_str(), options)?;
        zip.write_all(&without_home(bytes, contents.home))?;
    }
    zip.finish()?.sync_all()?;
    Ok(files.into_iter().map(|(name, _)| name).collect())
}

fn json<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(io::Error::other)
}

fn environment(variables: &[(String, String)]) -> String {
    let known = variables.iter().filter(|(name, _)| VARIABLES.contains(&name.as_str()));
    known.map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// What kind of computer this is.
fn system() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "spikeloop {} (protocol {})\n{} {}, {cores} cores\nkernel {}\n",
        env!("CARGO_PKG_VERSION"),
        spikeloop_hal::PROTOCOL_VERSION,
        std::env::consts::OS,
        std::env::consts::ARCH,
        read("/proc/sys/kernel/osrelease"),
    )
}

/// A file, or the texts of a folder.
fn collect(path: &Path, files: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let name =
        |path: &Path| path.file_name().unwrap_or(OsStr::new("file")).to_string_lossy().into_owned();
    if !path.is_dir() {
        let bytes = fs::read(path).map_err(named)?;
        files.push((unique(format!("files/{}", name(path)), files), tail(bytes)));
        return Ok(());
    }
    let mut entries: Vec<_> =
        fs::read_dir(path).map_err(named)?.flatten().map(|e| e.path()).collect();
    entries.sort();
    for entry in entries {
        let ending = entry.extension().and_then(OsStr::to_str).unwrap_or_default();
        if entry.is_file() && TEXTS.contains(&ending) {
            let at = unique(format!("run/{}/{}", name(path), name(&entry)), files);
            files.push((at, tail(fs::read(&entry).map_err(named)?)));
        }
    }
    Ok(())
}

/// Two files of one name must not be one.
fn unique(name: String, files: &[(String, Vec<u8>)]) -> String {
    let taken = |name: &str| files.iter().any(|(other, _)| other == name);
    if !taken(&name) {
        return name;
    }
    let mut number = 2;
    loop {
        let other = format!("{number}-{}", name.replace('/', "-"));
        if !taken(&other) {
            return other;
        }
        number += 1;
    }
}

fn tail(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() > LONGEST {
        bytes.drain(..bytes.len() - LONGEST);
    }
    bytes
}

fn without_home(bytes: &[u8], home: Option<&str>) -> Vec<u8> {
    let home = home.map(|home| home.trim_end_matches('/')).filter(|home| home.len() > 1);
    match (home, std::str::from_utf8(bytes)) {
        (Some(home), Ok(text)) => text.replace(home, "~").into_bytes(),
        _ => bytes.to_vec(),
    }
}
