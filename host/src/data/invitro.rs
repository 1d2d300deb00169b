//! Current and voltage of one cortical pyramidal neuron in vitro (Pozzorini, Mensi, Hagens, Naud, Koch & Gerstner
//! 2015): a subthreshold recording that shows the electrode, and five repeats of one fluctuating current of 20 s.
//! Six NumPy archives of volts and amperes at 10 kHz.

use std::path::Path;

use super::idx::hex_sum;
use super::npz;
use super::{DataError, find, folder};

const SET: &str = "invitro_gif";
const SOURCE: &str = "https://github.com/pozzorin/GIFFittingToolbox";
const LAYOUT: &str = "arrays `V_volt` and `I_ampere`, float32, of one length, and `dt_s`, float64";
/// Sampling step of the recordings, s.
const DT_S: f64 = 1e-4;

/// Files and their sums: the electrode's first, then the repeats.
const FILES: [(&str, &str); 6] = [
    ("electrode_1007.npz", "f70fe796f5a766ca246383a45a7ec12b5a0a20e2d44b402b6bf57eee67806fe3"),
    ("test_1009.npz", "07aab59e1ceec9e7d646ca83e7455b6cce1068112027909a12ada7f82d8ebd4e"),
    ("test_1010.npz", "7a7db102ecb3e01b3de244d070ee1aaffd3ce4d2ab5924d53a10f3e64eec2049"),
    ("test_1011.npz", "78b1215a2902bdfb78db550a0b9e9fc35331e6faa8e360a2040e95af3e9855aa"),
    ("test_1012.npz", "8fed675ff653371cf9c85762cb39f9e34e54c683ef139b42f21eaa7bcb588e43"),
    ("test_1013.npz", "c88a5836f828a4190a5051f3c243f2af3a91874e05692222cbbef398ee4579da"),
];

/// Repeats of the current.
pub const REPEATS: usize = FILES.len() - 1;

/// One recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Clamp {
    /// Voltage as the amplifier saw it, the drop over the electrode included, mV.
    pub voltage_mv: Vec<f64>,
    /// Current, nA.
    pub current_na: Vec<f64>,
}

/// All recordings of the cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Sampling step, ms.
    pub dt_ms: f64,
    /// Below threshold, for the electrode.
    pub electrode: Clamp,
    /// Repeats of one current.
    pub repeats: Vec<Clamp>,
}

/// Reads the recordings from their folder in `data_dir`, or from the folder that the environment names.
///
/// # Errors
/// [`DataError`] for missing or altered files.
pub fn load(data_dir: Option<&Path>) -> Result<Cell, DataError> {
    let names = FILES.map(|(name, _)| name).join(", ");
    let folder = folder(data_dir, SET, &names, SOURCE)?;
    let mut clamps = FILES.iter().map(|(file, sum)| read(&folder, file, sum));
    let electrode =
        clamps.next().transpose()?.unwrap_or(Clamp { voltage_mv: vec![], current_na: vec![] });
    let repeats = clamps.collect::<Result<_, _>>()?;
    Ok(Cell { dt_ms: 1e3 * DT_S, electrode, repeats })
}

fn read(folder: &Path, file: &'static str, expected: &'static str) -> Result<Clamp, DataError> {
    let path = find(folder, SET, file, SOURCE)?;
    let bytes =
        std::fs::read(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
    let found = hex_sum(&bytes);
    if found != expected {
        let bytes = bytes.len();
        return Err(DataError::Checksum { path, bytes, expected, found, source_url: SOURCE });
    }
    clamp(&bytes).ok_or_else(|| {
        let problem = "it cannot be read".to_owned();
        DataError::Layout { path, problem, expected: LAYOUT }
    })
}

fn clamp(bytes: &[u8]) -> Option<Clamp> {
    let scaled = |name: &str, factor: f64| -> Option<Vec<f64>> {
        let array = npz::array(bytes, name)?;
        let values = array.floats().filter(|values| array.shape == [values.len()])?;
        Some(values.into_iter().map(|v| factor * f64::from(v)).collect())
    };
    let (voltage_mv, current_na) = (scaled("V_volt", 1e3)?, scaled("I_ampere", 1e9)?);
    (voltage_mv.len() == current_na.len()).then_some(Clamp { voltage_mv, current_na })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_and_altered_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = load(Some(dir.path())).unwrap_err().to_string();
        assert!(
            missing.contains("electrode_1007.npz") && missing.contains("GIFFitting"),
            "{missing}"
        );
        for (file, _) in FILES {
            std::fs::write(dir.path().join(file), b"PK").unwrap();
        }
        let altered = load(Some(dir.path())).unwrap_err().to_string();
        assert!(altered.contains("not the published file (2 bytes)"), "{altered}");
        assert!(clamp(b"PK").is_none());
    }

    #[test]
    fn arrays_become_millivolts_and_nanoamperes() {
        let archive = |volts: &[f32], amperes: &[f32]| {
            let mut bytes = std::io::Cursor::new(vec![]);
            let mut npz = ndarray_npy::NpzWriter::new(&mut bytes);
            npz.add_array("V_volt", &ndarray::arr1(volts)).unwrap();
            npz.add_array("I_ampere", &ndarray::arr1(amperes)).unwrap();
            npz.finish().unwrap();
            bytes.into_inner()
        };
        let read = clamp(&archive(&[-0.0625, 0.03125], &[0.0, 5e-10])).unwrap();
        assert_eq!(read.voltage_mv, [-62.5, 31.25]);
        assert!((read.current_na[1] - 0.5).abs() < 1e-6);
        assert!(clamp(&archive(&[0.0], &[0.0, 0.0])).is_none());
    }

    /// The published numbers of spikes, counted at upward crossings of 0 mV.
    #[test]
    #[ignore = "needs the published recordings in the folder that SPIKELOOP_DATA names"]
    fn published_recordings_have_their_spikes() {
        let cell = load(None).unwrap();
        let count = |v: &[f64]| spikeloop_models::neuron::gif::upward_crossings(v, 0.0, 1).len();
        let counts: Vec<usize> = cell.repeats.iter().map(|r| count(&r.voltage_mv)).collect();
        assert_eq!(counts, [224, 220, 221, 226, 225]);
        assert_eq!(cell.electrode.voltage_mv.len(), 100_000);
    }
}
