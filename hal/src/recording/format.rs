//! The frame of the file: its head, and records that check themselves.

use super::code::{Input, put_bytes, put_temperature, put_varint, read_temperature};
use super::error::RecordingError;
use crate::caps::{Capabilities, PROTOCOL_VERSION};
use crate::limits::check_capabilities;
use crate::wire::Malformed;
use crc::{CRC_32_ISO_HDLC, Crc, Table};
use std::io::Read;
use std::path::Path;

/// Version of the layout of recordings that this build writes and reads. It counts every change of a
/// body, also that of the serialised [`Health`](crate::Health) and [`TimeSplit`](crate::TimeSplit).
pub const FORMAT_VERSION: u16 = 1;

/// Begins every recording. The line end shows when a transfer has changed it.
pub(super) const MAGIC: [u8; 8] = *b"SPKREC\r\n";

/// Bytes of the head before its body; they mean the same in every version.
const HEAD_FIXED: usize = 16;

/// Longest body of a head: capabilities take half a kilobyte, the rest is notes.
const MAX_HEAD: usize = 1 << 20;

/// Longest body of a record: twice the weights of the largest chip. A longer length is damage.
pub(super) const MAX_BODY: usize = 1 << 27;

/// Bytes of a record before its body.
pub(super) const RECORD_HEAD: usize = 5;

/// Bytes of a record after its body.
pub(super) const RECORD_TAIL: usize = 4;

/// Checksum of heads and records.
pub(super) const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

/// What the one who records wants to be remembered: command line, seed, selector, version. Keys are
/// free.
pub type Notes = Vec<(String, String)>;

/// Numbers of the records.
pub(super) mod kind {
    pub(in super::super) const CONFIGURATION: u8 = 1;
    pub(in super::super) const SUBMITTED: u8 = 2;
    pub(in super::super) const COLLECTED: u8 = 3;
    pub(in super::super) const FAILURE: u8 = 4;
    pub(in super::super) const LOSS: u8 = 5;
    pub(in super::super) const RESUMED: u8 = 6;
    pub(in super::super) const CLOSED: u8 = 7;
}

/// One of the calls to a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Call {
    /// [`Chip::configure`](crate::Chip::configure).
    Configure = 0,
    /// [`Chip::submit`](crate::Chip::submit).
    Submit = 1,
    /// [`Chip::collect`](crate::Chip::collect).
    Collect = 2,
}

impl Call {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Configure, Self::Submit, Self::Collect].into_iter().find(|c| *c as u8 == byte)
    }
}

impl core::fmt::Display for Call {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Configure => "configure",
            Self::Submit => "submit",
            Self::Collect => "collect",
        })
    }
}

/// What stands in front of the records.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Layout of the file.
    pub format: u16,
    /// Protocol of the wire whose packing is used.
    pub protocol: u16,
    /// The recorded chip.
    pub capabilities: Capabilities,
    /// Temperature of the chip when it was opened, in °C, if it could tell.
    pub temperature_c: Option<f32>,
    /// What the one who recorded wanted to be remembered.
    pub notes: Notes,
}

/// The head of a new recording.
pub(super) fn head(
    capabilities: &Capabilities,
    temperature_c: Option<f32>,
    notes: &Notes,
) -> Vec<u8> {
    let mut body = Vec::new();
    put_serialised(capabilities, &mut body);
    put_temperature(temperature_c, &mut body);
    put_notes(notes, &mut body);
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&PROTOCOL_VERSION.to_le_bytes());
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&body);
    out.extend_from_slice(&CRC.checksum(&out).to_le_bytes());
    out
}

pub(super) fn put_notes(notes: &Notes, out: &mut Vec<u8>) {
    put_varint(out, notes.len() as u64);
    for (key, value) in notes {
        put_bytes(out, key.as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

pub(super) fn read_notes(from: &mut Input<'_>) -> Result<Notes, Malformed> {
    // Each note takes two bytes at least.
    let count = from.count(2)?;
    let mut text = || Ok(String::from_utf8_lossy(from.bytes()?).into_owned());
    (0..count).map(|_| Ok((text()?, text()?))).collect()
}

/// Puts the stable binary form of `value`, with its length in front.
pub(super) fn put_serialised<T: serde::Serialize>(value: &T, out: &mut Vec<u8>) {
    let mut scratch = [0; 1024];
    // Plain numbers, and names of bounded length: 1 KiB is twice what the largest takes.
    let bytes = postcard::to_slice(value, &mut scratch).map_or(&[][..], |bytes| bytes);
    put_bytes(out, bytes);
}

pub(super) fn read_serialised<T: serde::de::DeserializeOwned>(
    from: &mut Input<'_>,
) -> Result<T, Malformed> {
    match postcard::take_from_bytes(from.bytes()?) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(Malformed::Trailing),
        Err(_) => Err(Malformed::Control),
    }
}

/// Reads the head from the front of `source` and says how many bytes it takes. `None` if the file
/// ends before its head does.
pub(super) fn read_head(
    source: &mut dyn Read,
    path: &Path,
) -> Result<Option<(Head, u64)>, RecordingError> {
    let io = |source| RecordingError::Io { action: "read", path: path.to_owned(), source };
    let damaged = |why: String| RecordingError::Head { path: path.to_owned(), why };
    let mut bytes = Vec::new();
    source.take(HEAD_FIXED as u64).read_to_end(&mut bytes).map_err(io)?;
    let begun = bytes.len().min(MAGIC.len());
    if bytes[..begun] != MAGIC[..begun] {
        return Err(RecordingError::NotARecording { path: path.to_owned() });
    }
    let Some(fixed) = bytes.first_chunk::<HEAD_FIXED>() else { return Ok(None) };
    let number = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
    let (format, protocol) = (number(8), number(10));
    for (what, found, known) in
        [("format", format, FORMAT_VERSION), ("protocol", protocol, PROTOCOL_VERSION)]
    {
        if found != known {
            let path = path.to_owned();
            return Err(RecordingError::Version { path, what, found, known });
        }
    }
    let length = u32::from_le_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]) as usize;
    if length > MAX_HEAD {
        return Err(damaged(format!("{length} bytes long, at most {MAX_HEAD} are possible")));
    }
    source.take((length + RECORD_TAIL) as u64).read_to_end(&mut bytes).map_err(io)?;
    let Some((checked, crc)) = bytes.split_last_chunk::<RECORD_TAIL>() else { return Ok(None) };
    if checked.len() < HEAD_FIXED + length {
        return Ok(None);
    }
    if CRC.checksum(checked) != u32::from_le_bytes(*crc) {
        return Err(damaged("its checksum does not match".into()));
    }
    let mut body = Input::new(&checked[HEAD_FIXED..]);
    let parse = |body: &mut Input<'_>| {
        Ok((read_serialised(body)?, read_temperature(body)?, read_notes(body)?))
    };
    let (capabilities, temperature_c, notes) =
        parse(&mut body).map_err(|why: Malformed| damaged(why.to_string()))?;
    check_capabilities(&capabilities).map_err(|why| damaged(why.to_string()))?;
    Ok(Some((Head { format, protocol, capabilities, temperature_c, notes }, bytes.len() as u64)))
}

/// Appends one record to `out`; `body` writes its body. Returns whether it is short enough; nothing
/// is appended if not.
pub(super) fn record(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) -> bool {
    let at = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind]);
    body(out);
    let length = out.len() - at - RECORD_HEAD;
    if length > MAX_BODY {
        out.truncate(at);
        return false;
    }
    out[at..at + 4].copy_from_slice(&(length as u32).to_le_bytes());
    let crc = CRC.checksum(&out[at..]);
    out.extend_from_slice(&crc.to_le_bytes());
    true
}
