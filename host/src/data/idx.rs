//! IDX files: the published ones, found, checked and unpacked.
//!
//! Big-endian header: magic number (0x803 images, 0x801 labels), count, and for images rows and
//! columns; then one byte per pixel or label (Y. LeCun's format).

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::DataError;

/// A published file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Published {
    /// Name without `.gz`.
    pub(super) name: &'static str,
    /// SHA-256 of the file as distributed, compressed.
    pub(super) packed: &'static str,
    /// SHA-256 of its content.
    pub(super) content: &'static str,
    /// Header of the content: magic number, then the dimensions.
    pub(super) header: &'static [u32],
}

impl Published {
    /// Where this file stands in `folder`, compressed or not.
    pub(super) fn find(&self, folder: &Path) -> Option<PathBuf> {
        let packed = folder.join(format!("{}.gz", self.name));
        let plain = folder.join(self.name);
        [packed, plain].into_iter().find(|path| path.is_file())
    }

    /// Content behind the header, if the file at `path` is the published one. A file that someone
    /// compressed again is accepted: then the sum of its content decides.
    pub(super) fn read(&self, path: &Path, source_url: &'static str) -> Result<Vec<u8>, DataError> {
        let bytes = std::fs::read(path)
            .map_err(|source| DataError::Read { path: path.to_owned(), source })?;
        let refuse = |expected, found| DataError::Checksum {
            path: path.to_owned(),
            bytes: bytes.len(),
            expected,
            found,
            source_url,
        };
        let packed = path.extension().is_some_and(|e| e == "gz");
        let sum = hex_sum(&bytes);
        let content = if !packed {
            if sum != self.content {
                return Err(refuse(self.content, sum));
            }
            bytes
        } else {
            let content = unpack(&bytes, self.content_len());
            match content {
                Some(content) if sum == self.packed || hex_sum(&content) == self.content => content,
                _ => return Err(refuse(self.packed, sum)),
            }
        };
        self.strip_header(path, content)
    }

    /// Length of the content in bytes.
    fn content_len(&self) -> usize {
        self.header.len() * 4 + self.header[1..].iter().map(|&n| n as usize).product::<usize>()
    }

    fn strip_header(&self, path: &Path, mut content: Vec<u8>) -> Result<Vec<u8>, DataError> {
        let header: Vec<u8> = self.header.iter().flat_map(|v| v.to_be_bytes()).collect();
        if content.len() != self.content_len() || !content.starts_with(&header) {
            let found = &content[..content.len().min(header.len())];
            return Err(DataError::Shape {
                path: path.to_owned(),
                expected: format!("{} bytes, header {:?}", self.content_len(), self.header),
                found: format!("{} bytes, header bytes {found:02x?}", content.len()),
            });
        }
        content.drain(..header.len());
        Ok(content)
    }
}

/// The unpacked content; `None` if the stream is broken or holds more than `limit` bytes.
fn unpack(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut content = Vec::with_capacity(limit + 1);
    let stream = flate2::read::GzDecoder::new(bytes);
    stream.take(limit as u64 + 1).read_to_end(&mut content).ok()?;
    (content.len() <= limit).then_some(content)
}

/// SHA-256 in lower-case hexadecimal.
pub(super) fn hex_sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
