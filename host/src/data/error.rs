//! What can be wrong with a data set.

use std::path::PathBuf;

/// Why a data set could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The set needs files and no folder was named.
    #[error(
        "the data set `{set}` needs files, and no folder was named\n\
         expected files: {files}\n\
         get them from {source_url}, put them into one folder and name it with --data DIR or the \
         environment variable {variable}"
    )]
    NoFolder {
        /// The data set.
        set: &'static str,
        /// Names of the expected files.
        files: String,
        /// Where the files are published.
        source_url: &'static str,
        /// The environment variable that names the folder.
        variable: &'static str,
    },

    /// Files are not where they were looked for.
    #[error(
        "the data set `{set}` is not complete: missing {missing}\n\
         searched: {searched}\n\
         expected files: {files}, each as is or compressed with .gz\n\
         get them from {source_url} and name their folder with --data DIR or the environment variable \
         {variable}"
    )]
    Missing {
        /// The data set.
        set: &'static str,
        /// Names of the missing files, in the folder that holds most of them.
        missing: String,
        /// The folders searched.
        searched: String,
        /// Names of all expected files.
        files: String,
        /// Where the files are published.
        source_url: &'static str,
        /// The environment variable that names the folder.
        variable: &'static str,
    },

    /// A file could not be read.
    #[error("cannot read {path}: {source}; check its permissions and the disk")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// A file is not the published one.
    #[error(
        "{path} is not the published file ({bytes} bytes): it is truncated, altered, or belongs to \
         another data set\n\
         expected SHA-256 {expected}\n\
         found    SHA-256 {found}\n\
         get it again from {source_url}"
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        bytes: usize,
        /// The published sum.
        expected: &'static str,
        /// Its sum.
        found: String,
        /// Where the file is published.
        source_url: &'static str,
    },

    /// A file with the right checksum does not have the shape that belongs to it.
    #[error("{path}: expected an IDX file of {expected}, found {found}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The expected content.
        expected: String,
        /// The content found.
        found: String,
    },

    /// A text file that does not read as what it should be.
    #[error("{path}, line {line}: {problem}")]
    Text {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },

    /// A network in a text file that cannot be read as one.
    #[error(
        "{path}: {problem}; is it a network of first-spike times, in the format of the released ones?"
    )]
    Network {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },

    /// The specification asks for no samples, or for more than there are.
    #[error(
        "the configuration asks for {wanted} samples of the {split} set (hold-out included), which has \
         {available}; choose 1 to {available}"
    )]
    Count {
        /// Which split: `train`, `validation` or `test`.
        split: &'static str,
        /// Samples asked for, hold-out included.
        wanted: usize,
        /// Samples that exist.
        available: usize,
    },

    /// A key that this data set does not have.
    #[error("{key} has no meaning for the task {set}: leave it out")]
    Key {
        /// Dotted key.
        key: &'static str,
        /// The data set.
        set: &'static str,
    },

    /// What was asked to be generated cannot be.
    #[error("task.{0}")]
    Generated(#[from] spikeloop_models::ModelError),

    /// A file that does not have the layout of its data set.
    #[error("{path}: {problem}\nexpected {expected}")]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// The layout.
        expected: &'static str,
    },

    /// An impossible number of copies of the inputs.
    #[error("data.copies = {copies}: an input can be repeated 1 to 255 times")]
    Copies {
        /// The number asked for.
        copies: usize,
    },
}
