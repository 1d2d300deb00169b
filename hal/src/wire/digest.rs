//! CRC-32 over everything that belongs to a run: end to end, above the frames.
//!
//! The checksum of a frame lets one damaged frame in 65536 through that has more errors than it can be
//! sure to find. On a line with many errors and in a training of millions of frames that is not never.

use super::frame::Lanes;
use crc::{CRC_32_ISO_HDLC, Crc};

/// CRC-32 of what belongs to a run, so that damage that every checksum on the way let through is
/// found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// Of kind and body of every message from the host after the last stimulus of the run before, up
    /// to the last stimulus of this one.
    pub received: u32,
    /// Of the bodies of all results of the run.
    pub returned: u32,
}

/// A [digest](Digests) under way: CRC-32/ISO-HDLC.
#[derive(Clone)]
pub struct Digest(crc::Digest<'static, u32, Lanes>);

static CRC32: Crc<u32, Lanes> = Crc::<u32, Lanes>::new(&CRC_32_ISO_HDLC);

impl Default for Digest {
    fn default() -> Self {
        Self(CRC32.digest())
    }
}

impl core::fmt::Debug for Digest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Digest({:08x})", self.value())
    }
}

impl Digest {
    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything added so far.
    pub fn value(&self) -> u32 {
        self.0.clone().finalize()
    }

    /// The digest of everything added so far; the next one starts.
    pub fn take(&mut self) -> u32 {
        let value = self.value();
        *self = Self::default();
        value
    }
}
