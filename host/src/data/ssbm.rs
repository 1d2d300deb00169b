//! Spike rasters of the SSBM suite (precise timing): input spikes and the spikes that are wanted.
//!
//! A folder `ssbm/NAME` holds `input.ras` and `target.ras`: text, a spike a line, time in seconds and
//! unit, `#` begins a comment; the lines need not be sorted. Several spikes of a unit in one step of
//! the grid are one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use spikeloop_models::spike_train::SpikeTrains;

use super::{DATA_VARIABLE, DataError};

/// Where the files are published.
const SOURCE: &str = "https://github.com/fzenke/ssbm (benchmarks/precise_timing)";

/// A task of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ssbm {
    /// 100 inputs, one output with five spikes, 0.5 s.
    Poisson,
    /// 100 inputs, 100 outputs that draw a logo, 3.5 s.
    Auryn,
    /// 200 inputs, 200 outputs that draw a picture, 1.89 s.
    Oxford,
    /// Four input spikes, 100 outputs one after the other, 1 s.
    Seqgen,
}

/// What a task consists of.
struct Shape {
    name: &'static str,
    inputs: usize,
    outputs: usize,
    /// Id of the first output in the file.
    first_output: usize,
    seconds: f64,
}

impl Ssbm {
    fn shape(self) -> Shape {
        let (name, inputs, outputs, first_output, seconds) = match self {
            Self::Poisson => ("poisson", 100, 1, 0, 0.5),
            Self::Auryn => ("auryn", 100, 100, 0, 3.5),
            Self::Oxford => ("oxford", 200, 200, 1, 1.89),
            Self::Seqgen => ("seqgen", 4, 100, 0, 1.0),
        };
        Shape { name, inputs, outputs, first_output, seconds }
    }

    /// Input and target spikes, one sample each, in steps of `dt_ms`. The folder is the one with `ssbm`
    /// in it, from the argument or the environment.
    ///
    /// # Errors
    /// [`DataError`] if there is no folder, a file is missing, or a line makes no sense.
    pub fn load(
        self,
        folder: Option<&Path>,
        dt_ms: f64,
    ) -> Result<(SpikeTrains, SpikeTrains), DataError> {
        let Shape { inputs, outputs, first_output, seconds, .. } = self.shape();
        let [input, target] = self.find(folder)?;
        let steps = (seconds * 1e3 / dt_ms).round().max(1.0) as usize;
        Ok((
            read(&input, inputs, 0, steps, dt_ms)?,
            read(&target, outputs, first_output, steps, dt_ms)?,
        ))
    }

    fn find(self, folder: Option<&Path>) -> Result<[PathBuf; 2], DataError> {
        let name = self.shape().name;
        let files = format!("ssbm/{name}/input.ras, ssbm/{name}/target.ras");
        let set = "ssbm";
        let from_environment = || std::env::var_os(DATA_VARIABLE).filter(|v| !v.is_empty());
        let folder = folder.map(Path::to_owned).or_else(|| from_environment().map(PathBuf::from));
        let Some(folder) = folder else {
            let variable = DATA_VARIABLE;
            return Err(DataError::NoFolder { set, files, source_url: SOURCE, variable });
        };
        let paths =
            ["input.ras", "target.ras"].map(|file| folder.join("ssbm").join(name).join(file));
        let missing: Vec<String> = paths
            .iter()
            .filter(|path| !path.is_file())
            .map(|path| path.display().to_string())
            .collect();
        if missing.is_empty() {
            return Ok(paths);
        }
        Err(DataError::Missing {
            set,
            missing: missing.join(", "),
            searched: folder.display().to_string(),
            files,
            source_url: SOURCE,
            variable: DATA_VARIABLE,
        })
    }
}

fn read(
    path: &Path,
    units: usize,
    first: usize,
    steps: usize,
    dt_ms: f64,
) -> Result<SpikeTrains, DataError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    parse(&text, units, first, steps, dt_ms).map_err(|(line, found)| DataError::Text {
        path: path.to_owned(),
        line,
        problem: format!(
            "expected a time from 0 to below {} s and a unit from {first} to {}, found `{found}`",
            steps as f64 * dt_ms * 1e-3,
            first + units - 1
        ),
    })
}

/// Spikes of a raster; the number and the text of the first line that makes no sense.
fn parse(
    text: &str,
    units: usize,
    first: usize,
    steps: usize,
    dt_ms: f64,
) -> Result<SpikeTrains, (usize, String)> {
    let mut events = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let time = words.next().and_then(|word| word.parse::<f64>().ok());
        let unit = words.next().and_then(|word| word.parse::<usize>().ok());
        let step = time.filter(|t| *t >= 0.0).map(|t| (t * 1e3 / dt_ms).round());
        let step = step.filter(|step| *step < steps as f64);
        let unit = unit.and_then(|unit| unit.checked_sub(first)).filter(|unit| *unit < units);
        match (step, unit, words.next()) {
            (Some(step), Some(unit), None) => events.push((step as usize, unit as u16)),
            _ => return Err((number + 1, line.to_owned())),
        }
    }
    events.sort_unstable();
    events.dedup();
    let mut trains = SpikeTrains::new(steps, units);
    let mut rest = events.iter().peekable();
    for step in 0..steps {
        while let Some((_, unit)) = rest.next_if(|(at, _)| *at == step) {
            trains.push(*unit);
        }
        trains.end_step();
    }
    Ok(trains)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn lines_need_not_be_sorted_and_fall_on_the_nearest_step() {
        let text = "# a comment\n0.00031 3\n\n0.0001 1\n0.00029 3\n0.0009 4\n";
        let trains = parse(text, 4, 1, 10, 0.1).unwrap();
        let found: Vec<(usize, Vec<u16>)> = (0..10)
            .map(|step| (step, trains.at(0, step).to_vec()))
            .filter(|(_, units)| !units.is_empty())
            .collect();
        assert_eq!(found, [(1, vec![0]), (3, vec![2]), (9, vec![3])]);
    }

    #[test]
    fn lines_without_sense_are_named() {
        for (text, line) in [
            ("0.1 0\n0.2", 2),
            ("x 0", 1),
            ("0.1 9", 1),
            ("-0.1 0", 1),
            ("5.0 0", 1),
            ("NaN 0", 1),
            ("0.1 0 7", 1),
        ] {
            assert_eq!(parse(text, 2, 0, 3000, 0.1).unwrap_err().0, line, "{text}");
        }
    }

    #[test]
    fn a_folder_without_the_files_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Ssbm::Poisson.load(Some(folder.path()), 0.1).unwrap_err();
        assert!(error.to_string().contains("poisson/input.ras"), "{error}");
        let inside = folder.path().join("ssbm/poisson");
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::write(inside.join("input.ras"), "0.1 3\n").unwrap();
        std::fs::write(inside.join("target.ras"), "0.2 1\n").unwrap();
        let error = Ssbm::Poisson.load(Some(folder.path()), 0.1).unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
        std::fs::write(inside.join("target.ras"), "0.2 0\n").unwrap();
        let (inputs, targets) = Ssbm::Poisson.load(Some(folder.path()), 0.1).unwrap();
        assert_eq!((inputs.at(0, 1000), targets.at(0, 2000)), (&[3][..], &[0][..]));
    }
}
