//! Trained networks of first-spike times as text, in the format of the code released with Comsa et
//! al. (2019); two of them are published (google/ihmehimmeli, tempcoding/networks, Apache-2.0).
//!
//! One line of words separated by blanks: `pulses_per_layer`, the threshold, the number of layers,
//! their sizes, the number of pulses per layer, the pulse times of every layer (those of the output
//! layer are not used), and the weights, layer by layer and receiving neuron by receiving neuron:
//! first those of the neurons below, then those of the pulses. The decay rate is not in the file.

use std::path::{Path, PathBuf};
use std::str::SplitAsciiWhitespace;

use ndarray::Array2;

use super::DataError;
use super::idx::hex_sum;

/// First word of the format.
const FORMAT: &str = "pulses_per_layer";
/// Folder inside a data folder.
const FOLDER: &str = "comsa";
const SOURCE_URL: &str =
    "https://github.com/google/ihmehimmeli (tempcoding/networks, commit 52ebdf2)";
/// Name, file and SHA-256 of the published networks.
const PUBLISHED: [(&str, &str, &str); 2] = [
    ("slow", "slow_network", "66494f525c3ebf6b75e8d4a4ba39855593df49e1197f8b67a84d6b433862f435"),
    ("fast", "fast_network", "7bf0a3d518c3426c1fdb40997c975542d5638491c88e6e2412a2d87e96ee599b"),
];
/// Decay rate of the published networks.
const PUBLISHED_RATE: f64 = 0.181_769;
/// More layers than anyone trains with this format: a number beyond is a broken file.
const MOST_LAYERS: usize = 100;

/// A trained network.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstSpikeWeights {
    /// Firing threshold.
    pub threshold: f64,
    /// Decay rate, where it is known.
    pub rate: Option<f64>,
    /// Neurons of each layer, inputs first.
    pub sizes: Vec<usize>,
    /// Pulses that act on each layer but the inputs, together with the neurons below.
    pub pulses: Vec<Vec<f64>>,
    /// Weights `[pre + pulses, post]` of each layer but the inputs.
    pub weights: Vec<Array2<f64>>,
}

/// Reads a network: `slow` and `fast` are the published ones, looked for in the folder `comsa` of the
/// data folder (or in it) and checked by their sums; anything else is the path of a file.
///
/// # Errors
/// [`DataError`] for files that are missing, altered or not in this format.
pub fn first_spike_weights(
    name: &str,
    data_dir: Option<&Path>,
) -> Result<FirstSpikeWeights, DataError> {
    let Some(&(_, file, sum)) = PUBLISHED.iter().find(|(known, ..)| *known == name) else {
        return parse(&read(Path::new(name))?, Path::new(name));
    };
    let path = find(file, data_dir)?;
    let text = read(&path)?;
    let found = hex_sum(text.as_bytes());
    if found != sum {
        let (expected, source_url, bytes) = (sum, SOURCE_URL, text.len());
        return Err(DataError::Checksum { path, bytes, expected, found, source_url });
    }
    Ok(FirstSpikeWeights { rate: Some(PUBLISHED_RATE), ..parse(&text, &path)? })
}

fn find(file: &'static str, data_dir: Option<&Path>) -> Result<PathBuf, DataError> {
    let folder = super::folder(data_dir, FOLDER, file, SOURCE_URL)?;
    super::find(&folder, FOLDER, file, SOURCE_URL)
}

fn read(path: &Path) -> Result<String, DataError> {
    std::fs::read_to_string(path)
        .map_err(|source| DataError::Read { path: path.to_owned(), source })
}

/// The words of a file, and where it is.
struct Words<'a> {
    words: SplitAsciiWhitespace<'a>,
    taken: usize,
    path: &'a Path,
}

impl Words<'_> {
    fn problem(&self, problem: String) -> DataError {
        DataError::Network { path: self.path.to_owned(), problem }
    }

    fn number(&mut self) -> Result<f64, DataError> {
        let word = self.words.next();
        self.taken += 1;
        let number = word.and_then(|word| word.parse().ok()).filter(|v: &f64| v.is_finite());
        number.ok_or_else(|| {
            let found = word.map_or("the end".to_owned(), |word| format!("{word:?}"));
            self.problem(format!("word {}: expected a number, found {found}", self.taken))
        })
    }

    fn count(&mut self, what: &str, most: usize) -> Result<usize, DataError> {
        let number = self.number()?;
        if number.fract() == 0.0 && (0.0..=most as f64).contains(&number) {
            return Ok(number as usize);
        }
        Err(self.problem(format!("word {}: {number} is no {what}", self.taken)))
    }
}

/// Parses the text of a file.
fn parse(text: &str, path: &Path) -> Result<FirstSpikeWeights, DataError> {
    let mut words = Words { words: text.split_ascii_whitespace(), taken: 1, path };
    if words.words.next() != Some(FORMAT) {
        return Err(words.problem(format!("it does not begin with {FORMAT:?}")));
    }
    let most = usize::from(u16::MAX);
    let threshold = words.number()?;
    let layers = words.count("number of layers", MOST_LAYERS)?;
    if layers < 2 {
        return Err(words.problem(format!("{layers} layers; it takes two")));
    }
    let sizes: Vec<usize> =
        (0..layers).map(|_| words.count("size of a layer", most)).collect::<Result<_, _>>()?;
    let count = words.count("number of pulses", most)?;
    let times = |words: &mut Words<'_>| (0..count).map(|_| words.number()).collect();
    let mut pulses: Vec<Vec<f64>> =
        (0..layers).map(|_| times(&mut words)).collect::<Result<_, _>>()?;
    pulses.truncate(layers - 1);
    // A weight takes at least a digit and a blank: no file makes the program ask for more memory.
    let needed: usize = sizes.windows(2).map(|pair| (pair[0] + count) * pair[1]).sum();
    if needed > text.len() / 2 {
        return Err(words.problem(format!("too short for the {needed} weights of {sizes:?}")));
    }
    let mut weights = Vec::with_capacity(layers - 1);
    for pair in sizes.windows(2) {
        let mut matrix = Array2::zeros((pair[0] + count, pair[1]));
        for mut column in matrix.columns_mut() {
            for weight in &mut column {
                *weight = words.number()?;
            }
        }
        weights.push(matrix);
    }
    if words.words.next().is_some() {
        return Err(words.problem(format!("more than the {} words of such a network", words.taken)));
    }
    Ok(FirstSpikeWeights { threshold, rate: None, sizes, pulses, weights })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SMALL: &str = "pulses_per_layer 0.5 3 2 1 2 1 0.25 0.75 9 \
                         1 2 3 4 5 6 7\n";

    #[test]
    fn words_become_weights_by_row_of_the_receiver() {
        let network = parse(SMALL, Path::new("small")).unwrap();
        assert_eq!((network.threshold, network.rate), (0.5, None));
        assert_eq!(network.sizes, [2, 1, 2]);
        assert_eq!(network.pulses, [[0.25], [0.75]]);
        assert_eq!(network.weights[0], ndarray::array![[1.0], [2.0], [3.0]]);
        assert_eq!(network.weights[1], ndarray::array![[4.0, 6.0], [5.0, 7.0]]);
    }

    #[test]
    fn broken_files_are_refused_with_the_place() {
        let refused = |text: &str| parse(text, Path::new("x")).unwrap_err().to_string();
        for (text, part) in [
            ("", "begin with"),
            ("0.5 2 1", "begin with"),
            (&SMALL.replace("7\n", "         "), "word 17: expected a number, found the end"),
            (&SMALL.replace(" 4 ", " four "), "word 14: expected a number, found \"four\""),
            (&SMALL.replace("0.5 3 2", "0.5 3 -2"), "word 4: -2 is no size"),
            (&SMALL.replace("0.5 3 2", "0.5 1e9 2"), "word 3"),
            (&SMALL.replace("2 1 2 1", "2 60000 60000 1"), "too short for the"),
            (&SMALL.replace("0.5", "nan"), "word 2"),
            (&format!("{SMALL} 8"), "more than the 17 words"),
        ] {
            let refused = refused(text);
            assert!(refused.contains(part), "{text:?}: {refused}");
        }
        let missing = first_spike_weights("/no/such/file", None).unwrap_err();
        assert!(matches!(missing, DataError::Read { .. }), "{missing}");
        let empty = tempfile::tempdir().unwrap();
        let missing = first_spike_weights("slow", Some(empty.path())).unwrap_err().to_string();
        assert!(missing.contains("slow_network") && missing.contains("google"), "{missing}");
        std::fs::write(empty.path().join("slow_network"), SMALL).unwrap();
        let altered = first_spike_weights("slow", Some(empty.path())).unwrap_err();
        assert!(matches!(altered, DataError::Checksum { .. }), "{altered}");
    }
}
