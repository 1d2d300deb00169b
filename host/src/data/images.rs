//! MNIST and Fashion-MNIST: the published files as 16×16 latency-coded images.
//!
//! Y. LeCun & C. Cortes (CC BY-SA 3.0) and Xiao, Rasul & Vollgraf 2017 (MIT). The files are read and
//! checked at each start, which is faster than a cache that would need a check of its own.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use spikeloop_models::encode::{Grid, Origin, SpikeTimes, latency_table};

use super::idx::Published;
use super::resample::{FULL, SIDE, matrix, resample_with};
use super::rotation::Images;
use super::{DataError, DataSpec, Dataset, Split, arrange, names};

/// The environment variable that names the folder with the data files.
pub const DATA_VARIABLE: &str = "SPIKELOOP_DATA";

/// Threshold of the latency code, as a share of full brightness (published).
pub(super) const THETA: f32 = 0.2;
/// Time constant of the latency code in µs (published).
pub(super) const TAU_US: f32 = 8.0;
/// Images that one task of the thread pool prepares.
const CHUNK: usize = 1000;

/// Which family of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Handwritten digits.
    Mnist,
    /// Articles of clothing.
    Fashion,
}

/// Header of each file and the place of its checksums: training images and labels, then test.
const SHAPES: [(&str, &[u32]); 4] = [
    ("train-images-idx3-ubyte", &[0x803, 60_000, 28, 28]),
    ("train-labels-idx1-ubyte", &[0x801, 60_000]),
    ("t10k-images-idx3-ubyte", &[0x803, 10_000, 28, 28]),
    ("t10k-labels-idx1-ubyte", &[0x801, 10_000]),
];

/// SHA-256 of the MNIST files, as distributed and of their content.
const MNIST: [(&str, &str); 4] = [
    (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
];

/// SHA-256 of the Fashion-MNIST files, as distributed and of their content.
const FASHION: [(&str, &str); 4] = [
    (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    (
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    (
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    (
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
];

impl Family {
    /// Folder inside a data folder, and the name in messages.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::Fashion => "fashion-mnist",
        }
    }

    /// Names of the four files, without `.gz`.
    #[must_use]
    pub fn file_names(self) -> [&'static str; 4] {
        SHAPES.map(|s| s.0)
    }

    fn source_url(self) -> &'static str {
        match self {
            Self::Mnist => "https://ossci-datasets.s3.amazonaws.com/mnist/",
            Self::Fashion => "https://github.com/zalandoresearch/fashion-mnist (data/fashion)",
        }
    }

    /// Names of the classes.
    #[must_use]
    pub fn class_names(self) -> &'static [&'static str] {
        match self {
            Self::Mnist => &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
            Self::Fashion => &[
                "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
                "bag", "boot",
            ],
        }
    }

    fn published(self) -> [Published; 4] {
        let sums = match self {
            Self::Mnist => MNIST,
            Self::Fashion => FASHION,
        };
        std::array::from_fn(|i| Published {
            name: SHAPES[i].0,
            header: SHAPES[i].1,
            packed: sums[i].0,
            content: sums[i].1,
        })
    }

    fn file_list(self) -> String {
        self.file_names().map(|n| format!("{n}[.gz]")).join(", ")
    }

    /// The four files, all in the same folder: in the family's own folder inside `data_dir`, or in
    /// `data_dir` itself.
    fn find(self, data_dir: &Path) -> Result<[PathBuf; 4], DataError> {
        let folders = [data_dir.join(self.folder()), data_dir.to_owned()];
        let mut fewest: Option<Vec<&str>> = None;
        for folder in &folders {
            let files = self.published().map(|p| (p.name, p.find(folder)));
            let missing: Vec<&str> =
                files.iter().filter(|(_, path)| path.is_none()).map(|(name, _)| *name).collect();
            if missing.is_empty() {
                return Ok(files.map(|(_, path)| path.unwrap_or_default()));
            }
            if fewest.as_ref().is_none_or(|f| missing.len() < f.len()) {
                fewest = Some(missing);
            }
        }
        Err(DataError::Missing {
            set: self.folder(),
            missing: fewest.unwrap_or_default().join(", "),
            searched: folders.map(|f| f.display().to_string()).join(", "),
            files: self.file_list(),
            source_url: self.source_url(),
            variable: DATA_VARIABLE,
        })
    }
}

/// Checked 16×16 images and labels of the training and the test set.
pub(super) struct Files {
    /// Pixels `[image, row, column]` of both sets.
    pub(super) pixels: [Vec<u8>; 2],
    /// Labels of both sets.
    pub(super) labels: [Vec<u16>; 2],
}

/// Reads and checks the four files: pixels and labels to learn from, then to test on.
pub(super) fn contents(family: Family, data_dir: Option<&Path>) -> Result<Vec<Vec<u8>>, DataError> {
    let set = family.folder();
    let folder = super::folder(data_dir, set, &family.file_list(), family.source_url())?;
    let files = family.find(&folder)?;
    let published = family.published();
    let read: Vec<Result<Vec<u8>, DataError>> = published
        .par_iter()
        .zip(files.par_iter())
        .map(|(published, path)| published.read(path, family.source_url()))
        .collect();
    // Of several that are wrong, the first one is named.
    read.into_iter().collect()
}

/// Reads, checks and resamples the four files.
pub(super) fn read(family: Family, data_dir: Option<&Path>) -> Result<Files, DataError> {
    let contents = contents(family, data_dir)?;
    let labels = |k: usize| contents[k].iter().map(|&l| u16::from(l)).collect();
    Ok(Files {
        pixels: [resample_all(&contents[0]), resample_all(&contents[2])],
        labels: [labels(1), labels(3)],
    })
}

/// Resamples a block of 28×28 images to one of 16×16 images.
fn resample_all(images: &[u8]) -> Vec<u8> {
    let matrix = matrix();
    let mut out = vec![0; images.len() / (FULL * FULL) * SIDE * SIDE];
    out.par_chunks_exact_mut(SIDE * SIDE)
        .with_min_len(CHUNK)
        .zip(images.par_chunks_exact(FULL * FULL))
        .for_each(|(out, image)| resample_with(&matrix, image, out));
    out
}

/// Latency code of a block of 16×16 images.
fn spike_times(pixels: &[u8], copies: usize) -> SpikeTimes {
    let table = latency_table(255, THETA, TAU_US);
    let parts: Vec<SpikeTimes> = pixels
        .par_chunks(CHUNK * SIDE * SIDE)
        .map(|part| {
            let mut times = SpikeTimes::new(SIDE * SIDE * copies);
            for image in part.chunks_exact(SIDE * SIDE) {
                let one = image.iter().map(|&v| table[usize::from(v)]);
                times.push_sample(std::iter::repeat_n(one, copies).flatten());
            }
            times
        })
        .collect();
    let mut all = SpikeTimes::new(SIDE * SIDE * copies);
    parts.iter().for_each(|part| all.extend(part));
    all
}

pub(super) fn load(
    spec: &DataSpec,
    family: Family,
    copies: usize,
    data_dir: Option<&Path>,
) -> Result<Dataset, DataError> {
    let Files { pixels, labels } = read(family, data_dir)?;
    let [train_labels, test_labels] = labels;
    let split = |pixels: &[u8], labels| Split {
        times: spike_times(pixels, copies),
        origin: Origin::BatchMinimum,
        labels,
        images: None,
        analog: None,
    };
    let mut train = split(&pixels[0], train_labels);
    let test = split(&pixels[1], test_labels);
    let [train_pixels, _] = pixels;
    train.images = Some(Images::new(train_pixels, copies));
    let [train, validation, test] = arrange(spec, train, test)?;
    Ok(Dataset {
        name: spec.name,
        classes: 10,
        class_names: names(family.class_names()),
        inputs: SIDE * SIDE * copies,
        grid: Grid::LATENCY,
        train,
        validation: (spec.validation > 0).then_some(validation),
        test,
    })
}
