//! Motion capture: joint angles from the text files of the CMU Graphics Lab database (`.amc`).
//!
//! A frame is a line with its number, then one line a bone: its name and its angles in degrees. The
//! bone `root`, position and orientation of the whole body, is left out; the 56 angles that remain,
//! in the order of the file, are those of the walking task of Muratore, Capone & Paolucci 2021.

use std::path::{Path, PathBuf};

use ndarray::Array2;

use super::{DATA_VARIABLE, DataError};

/// Folder inside a data folder.
const FOLDER: &str = "walking";

const SOURCE_URL: &str = "http://mocap.cs.cmu.edu (subject 02, trials 01 and 02: walking)";

/// A channel that varies less than this (degrees) is constant.
const CONSTANT_DEG: f64 = 1e-6;

/// Joint angles over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Motion {
    /// One name a channel: bone and number of the angle.
    pub names: Vec<String>,
    /// `[frame, channel]`, degrees.
    pub angles_deg: Array2<f64>,
}

impl Motion {
    /// Reads `NAME.amc` from the folder `walking` inside `folder`, or from `folder` itself.
    ///
    /// # Errors
    /// [`DataError::NoFolder`] without a folder, [`DataError::Missing`] without the file,
    /// [`DataError::Read`], and [`DataError::Text`] for a file that is no motion.
    pub fn load(name: &str, folder: Option<&Path>) -> Result<Self, DataError> {
        let file = format!("{name}.amc");
        let named = std::env::var_os(DATA_VARIABLE).map(PathBuf::from);
        let Some(folder) = folder.map(Path::to_owned).or(named) else {
            return Err(DataError::NoFolder {
                set: FOLDER,
                files: file,
                source_url: SOURCE_URL,
                variable: DATA_VARIABLE,
            });
        };
        let places = [folder.join(FOLDER).join(&file), folder.join(&file)];
        let Some(path) = places.iter().find(|path| path.is_file()) else {
            return Err(DataError::Missing {
                set: FOLDER,
                missing: file.clone(),
                searched: format!("{} and {}", places[0].display(), places[1].display()),
                files: file,
                source_url: SOURCE_URL,
                variable: DATA_VARIABLE,
            });
        };
        let text = std::fs::read_to_string(path)
            .map_err(|source| DataError::Read { path: path.clone(), source })?;
        Self::parse(&text).map_err(|(line, problem)| DataError::Text {
            path: path.clone(),
            line,
            problem,
        })
    }

    /// Reads the text of an `.amc` file; a mistake comes with the number of its line.
    ///
    /// # Errors
    /// No frame, a frame with other bones than the first, a number that is none.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut names: Vec<String> = Vec::new();
        let mut values: Vec<f64> = Vec::new();
        let (mut frames, mut at) = (0_usize, 0_usize);
        let mut lines = 0;
        for (number, line) in text.lines().enumerate().map(|(k, line)| (k + 1, line.trim())) {
            lines = number;
            if line.is_empty() || line.starts_with(['#', ':']) {
                continue;
            }
            let mut words = line.split_whitespace();
            let Some(bone) = words.next() else { continue };
            if bone.parse::<u64>().is_ok() {
                complete(frames, at, names.len()).map_err(|problem| (number, problem))?;
                (frames, at) = (frames + 1, 0);
                continue;
            }
            if frames == 0 {
                return Err((number, "a bone before the first frame".to_owned()));
            }
            for (k, word) in words.enumerate().filter(|_| bone != "root") {
                let angle: f64 = match word.parse() {
                    Ok(angle) if f64::is_finite(angle) => angle,
                    _ => return Err((number, format!("{word:?} is no angle"))),
                };
                let name = format!("{bone}_{k}");
                match names.get(at) {
                    _ if frames == 1 => names.push(name),
                    Some(expected) if *expected == name => {}
                    _ => return Err((number, format!("{name} does not stand here in frame 1"))),
                }
                values.push(angle);
                at += 1;
            }
        }
        complete(frames, at, names.len()).map_err(|problem| (lines, problem))?;
        let shape = (frames, names.len());
        let angles_deg = Array2::from_shape_vec(shape, values)
            .ok()
            .filter(|angles| !angles.is_empty())
            .ok_or_else(|| (lines, "no frame with angles".to_owned()))?;
        Ok(Self { names, angles_deg })
    }

    /// Number of frames.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.angles_deg.nrows()
    }

    /// `frames` frames from `first` on, each channel with mean 0 and standard deviation 1 over them;
    /// channels that are constant there are left out. `None` if there are not so many frames.
    #[must_use]
    pub fn standardised(&self, first: usize, frames: usize) -> Option<Array2<f64>> {
        let end = first.checked_add(frames).filter(|end| *end <= self.frames())?;
        let part = self.angles_deg.slice(ndarray::s![first..end, ..]);
        let mut columns: Vec<f64> = Vec::new();
        let mut channels = 0;
        for channel in part.columns() {
            let mean = channel.sum() / frames as f64;
            let variance = channel.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / frames as f64;
            let deviation = variance.sqrt();
            if deviation > CONSTANT_DEG {
                columns.extend(channel.iter().map(|x| (x - mean) / deviation));
                channels += 1;
            }
        }
        let by_channel = Array2::from_shape_vec((channels, frames), columns).ok()?;
        Some(by_channel.reversed_axes().as_standard_layout().into_owned())
    }
}

/// Whether a frame that has `at` angles is like the first one, which has `needed`.
fn complete(frames: usize, at: usize, needed: usize) -> Result<(), String> {
    if frames > 0 && at != needed {
        return Err(format!("frame {frames} has {at} angles, the first one {needed}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#!OML:ASF\n:FULLY-SPECIFIED\n:DEGREES\n1\nroot 1 2 3 4 5 6\nhead 1.5 -2\n\
                        toe 7e-1\n2\nroot 1 2 3 4 5 6\nhead 2.5 -2\ntoe 0.9\n";

    #[test]
    fn angles_come_in_the_order_of_the_file_without_the_root() {
        let motion = Motion::parse(TEXT).unwrap();
        assert_eq!(motion.names, ["head_0", "head_1", "toe_0"]);
        assert_eq!(motion.angles_deg, ndarray::arr2(&[[1.5, -2.0, 0.7], [2.5, -2.0, 0.9]]));
    }

    #[test]
    fn constant_channels_are_left_out_of_the_standardised_ones() {
        let motion = Motion::parse(TEXT).unwrap();
        let y = motion.standardised(0, 2).unwrap();
        assert_eq!(y.dim(), (2, 2));
        for (y, expected) in y.iter().zip([-1.0, -1.0, 1.0, 1.0]) {
            assert!((y - expected).abs() < 1e-12);
        }
        assert_eq!(motion.standardised(1, 2), None);
        assert_eq!(motion.standardised(usize::MAX, 2), None);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let line = |text: &str| Motion::parse(text).unwrap_err();
        assert_eq!(line(&TEXT.replace("head 2.5", "hand 2.5")).0, 10);
        assert_eq!(line(&TEXT.replace("toe 0.9\n", "")).1, "frame 2 has 2 angles, the first one 3");
        assert_eq!(line(&TEXT.replace("0.9", "nan")), (11, "\"nan\" is no angle".to_owned()));
        assert_eq!(line("head 1\n").0, 1);
        assert!(Motion::parse("").is_err());
        assert!(Motion::parse("1\n2\n").is_err());
    }

    #[test]
    fn without_a_file_the_user_is_told_which_one() {
        let nowhere = tempfile::tempdir().unwrap();
        let error = Motion::load("02_01", Some(nowhere.path())).unwrap_err().to_string();
        assert!(error.contains("02_01.amc") && error.contains("mocap.cs.cmu.edu"), "{error}");
    }
}
