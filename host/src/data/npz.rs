//! Arrays of published NumPy archives. Sizes are bounded: an archive is checked by its sum before it gets here.

use std::io::Read;

/// More bytes than this in one array are no data set of ours.
const MOST_BYTES: u64 = 1 << 28;

/// An array as its bytes, little-endian, in C order.
pub(super) struct Array {
    /// Such as `<f4`.
    pub(super) kind: String,
    /// Sizes.
    pub(super) shape: Vec<usize>,
    /// Contents.
    pub(super) bytes: Vec<u8>,
}

/// The array `name` of the archive `bytes`; `None` if it is not there or not readable.
pub(super) fn array(bytes: &[u8], name: &str) -> Option<Array> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).ok()?;
    let index = archive.index_for_name(&format!("{name}.npy"))?;
    // Raw, and unpacked here: the archive library is built without any compression.
    let entry = archive.by_index_raw(index).ok()?;
    let packed = entry.compression() == zip::CompressionMethod::DEFLATE;
    let mut content = Vec::new();
    let read = match packed {
        true => flate2::read::DeflateDecoder::new(entry).take(MOST_BYTES).read_to_end(&mut content),
        false => entry.take(MOST_BYTES).read_to_end(&mut content),
    };
    read.ok()?;
    parse(&content)
}

/// Reads an `.npy` file of version 1 (numpy.lib.format).
fn parse(content: &[u8]) -> Option<Array> {
    let rest = content.strip_prefix(b"\x93NUMPY\x01\0")?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (header, bytes) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let header = std::str::from_utf8(header).ok()?;
    let value = |key: &str| header.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim());
    if !value("fortran_order")?.starts_with("False") {
        return None;
    }
    let kind = value("descr")?.strip_prefix('\'')?.split_once('\'')?.0.to_owned();
    let shape = value("shape")?.strip_prefix('(')?.split_once(')')?.0;
    let sizes = shape.split(',').map(str::trim).filter(|s| !s.is_empty());
    let shape: Vec<usize> = sizes.map(|s| s.parse().ok()).collect::<Option<_>>()?;
    Some(Array { kind, shape, bytes: bytes.to_vec() })
}

impl Array {
    /// The values of an array of kind `<f4`.
    pub(super) fn floats(&self) -> Option<Vec<f32>> {
        let values = self.bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
        (self.kind == "<f4").then(|| values.collect())
    }

    /// The texts of an array of a kind `<U…`.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        let length: usize = self.kind.strip_prefix("<U")?.parse().ok()?;
        let text = |bytes: &[u8]| -> Option<String> {
            let codes = bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b));
            codes.filter(|c| *c != 0).map(char::from_u32).collect()
        };
        self.bytes.chunks_exact((4 * length).max(1)).map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, body: &[u8]) -> Vec<u8> {
        let mut out = b"\x93NUMPY\x01\0".to_vec();
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        out.extend(body);
        out
    }

    #[test]
    fn headers_as_numpy_writes_them() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }          \n";
        let array = parse(&npy(header, &[0, 0, 128, 63, 0, 0, 0, 192])).unwrap();
        assert_eq!(
            (array.shape.as_slice(), array.floats().unwrap()),
            (&[2, 1][..], vec![1.0, -2.0])
        );
        assert!(array.texts().is_none());
        let header = "{'descr': '<U2', 'fortran_order': False, 'shape': (2,), }\n";
        let body: Vec<u8> =
            ['a', 'b', 'c', '\0'].iter().flat_map(|c| (*c as u32).to_le_bytes()).collect();
        assert_eq!(parse(&npy(header, &body)).unwrap().texts().unwrap(), ["ab", "c"]);
    }

    #[test]
    fn what_is_no_array_is_refused() {
        assert!(parse(b"nonsense").is_none());
        assert!(
            parse(&npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }", &[])).is_none()
        );
        assert!(array(b"no archive", "x").is_none());
    }
}
