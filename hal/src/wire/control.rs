//! The small messages of fixed layout: beginning, end, health, refusal.

use super::cursor::{Reader, Writer};
use super::digest::Digests;
use super::error::{Full, Malformed};
use crate::caps::Capabilities;

/// Begins a session. The layout is the same in every protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Protocol version that the host speaks.
    pub protocol: u16,
    /// A number that the device repeats in its answer, so that a host can tell the answer from what
    /// an earlier session left on the line.
    pub session: u32,
}

impl Hello {
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { protocol: from.u16()?, session: from.u32()? })
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) -> Result<(), Full> {
        to.u16(self.protocol)?;
        to.u32(self.session)
    }
}

/// What one end has received and has room for. Outside the sequence, and never acknowledged itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Bit `k`: frame `acknowledge + 1 + k` has come, although `acknowledge` has not.
    pub received: u32,
    /// First sequence number that there is no room for.
    pub limit: u16,
    /// Not 0: the other side is to answer at once, with this number as `echo`.
    pub probe: u16,
    /// Last probe of the other side that was not answered yet, or 0.
    pub echo: u16,
}

impl Ack {
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            received: from.u32()?,
            limit: from.u16()?,
            probe: from.u16()?,
            echo: from.u16()?,
        })
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) -> Result<(), Full> {
        to.u32(self.received)?;
        to.u16(self.limit)?;
        to.u16(self.probe)?;
        to.u16(self.echo)
    }
}

/// What the device is: the session number of the hello, then the serialised [`Capabilities`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapabilitiesBody<'a> {
    /// From the hello that this answers.
    pub session: u32,
    /// Frames from the host that the device takes ahead of the one it awaits; 0 in protocol version 1.
    pub window: u16,
    serialised: &'a [u8],
}

impl<'a> CapabilitiesBody<'a> {
    /// Longest serialised form, with the longest name and the most parameters.
    pub const MAX_LEN: usize = 512;

    /// Serialises `caps` into `scratch`, which must have [`MAX_LEN`](Self::MAX_LEN) bytes.
    ///
    /// # Errors
    /// [`Full`] if `scratch` is too short.
    pub fn new(
        session: u32,
        window: u16,
        caps: &Capabilities,
        scratch: &'a mut [u8],
    ) -> Result<Self, Full> {
        let serialised = postcard::to_slice(caps, scratch).map_err(|_| Full)?;
        Ok(Self { session, window, serialised })
    }

    /// Writes the body for `caps` straight into `to`.
    ///
    /// # Errors
    /// [`Full`]; [`MAX_LEN`](Self::MAX_LEN) and six bytes are always enough.
    pub fn put(
        session: u32,
        window: u16,
        caps: &Capabilities,
        to: &mut Writer<'_>,
    ) -> Result<(), Full> {
        to.u32(session)?;
        let len = postcard::to_slice(caps, to.free()).map_err(|_| Full)?.len();
        to.advance(len);
        to.u16(window)
    }

    /// The capabilities, not yet checked for sense.
    ///
    /// # Errors
    /// [`Malformed::Control`].
    pub fn capabilities(&self) -> Result<Capabilities, Malformed> {
        postcard::from_bytes(self.serialised).map_err(|_| Malformed::Control)
    }

    pub(super) fn read(from: &mut Reader<'a>) -> Result<Self, Malformed> {
        let session = from.u32()?;
        let rest = from.rest();
        let after = match postcard::take_from_bytes::<Capabilities>(rest) {
            Ok((_, after)) => after,
            Err(_) => return Err(Malformed::Control),
        };
        let window = match *after {
            // Protocol version 1.
            [] => 0,
            [low, high] => u16::from_le_bytes([low, high]),
            _ => return Err(Malformed::Trailing),
        };
        Ok(Self { session, window, serialised: &rest[..rest.len() - after.len()] })
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) -> Result<(), Full> {
        to.u32(self.session)?;
        to.bytes(self.serialised)?;
        // What has no window is written as it came.
        if self.window == 0 { Ok(()) } else { to.u16(self.window) }
    }
}

/// A run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunBegin {
    /// Number of the run; it comes back with the results.
    pub run: u32,
    /// Trials that will follow.
    pub trials: u32,
}

impl RunBegin {
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { run: from.u32()?, trials: from.u32()? })
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) -> Result<(), Full> {
        to.u32(self.run)?;
        to.u32(self.trials)
    }
}

/// A run is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// Number of the run.
    pub run: u32,
    /// Trials that were executed.
    pub trials: u32,
    /// Time the device spent on executing them, in nanoseconds of its own clock.
    pub execute_ns: u64,
    /// What the device has read and sent for this run; absent in protocol version 1.
    pub digests: Option<Digests>,
}

impl RunEnd {
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (run, trials, execute_ns) = (from.u32()?, from.u32()?, from.u64()?);
        let digests = match from.is_empty() {
            true => None,
            false => Some(Digests { received: from.u32()?, returned: from.u32()? }),
        };
        Ok(Self { run, trials, execute_ns, digests })
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) -> Result<(), Full> {
        to.u32(self.run)?;
        to.u32(self.trials)?;
        to.u64(self.execute_ns)?;
        let Some(digests) = self.digests else { return Ok(()) };
        to.u32(digests.received)?;
        to.u32(digests.returned)
    }
}

/// Counters of the device since the session began. Answers a ping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceHealth {
    /// The number from the ping.
    pub token: u32,
    /// Trials executed.
    pub trials: u64,
    /// Input events that did not reach a synapse.
    pub dropped_inputs: u64,
    /// Spikes that happened and were not recorded.
    pub dropped_spikes: u64,
    /// Trials whose sampling stalled.
    pub stalled_trials: u64,
    /// Frames from the host that arrived damaged.
    pub damaged_frames: u64,
}

impl DeviceHealth {
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            token: from.u32()?,
            trials: from.u64()?,
            dropped_inputs: from.u64()?,
            dropped_spikes: from.u64()?,
            stalled_trials: from.u64()?,
            damaged_frames: from.u64()?,
        })
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) -> Result<(), Full> {
        to.u32(self.token)?;
        to.u64(self.trials)?;
        to.u64(self.dropped_inputs)?;
        to.u64(self.dropped_spikes)?;
        to.u64(self.stalled_trials)?;
        to.u64(self.damaged_frames)
    }
}

/// Why a device did not accept a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RefusalCode {
    /// `got`: version of the message; `limit`: version of the device.
    UnknownVersion = 1,
    /// `got`: number of the message.
    UnknownMessage = 2,
    /// `got`: [`Malformed`].
    Malformed = 3,
    /// A message other than hello came before a hello.
    NoSession = 4,
    /// `got`: a row, neuron, input, tick, parameter or code; `limit`: the nearest that exists.
    OutOfRange = 5,
    /// `got`: what the message needs; `limit`: what the device holds.
    BeyondBuffers = 6,
    /// The message does not belong here, e.g. a stimulus outside of a run. `got` and `limit`: its
    /// run number and the one that is open.
    OutOfPlace = 7,
    /// `got`: [`Damage`](super::Damage).
    DamagedFrame = 8,
    /// `got`: sequence number of the frame; `limit`: the one that was expected.
    LostFrame = 9,
    /// The device itself failed. `got`: its fault number.
    Fault = 10,
    /// Another client has a session. Sent before any hello, then the link is closed.
    InUse = 11,
}

impl RefusalCode {
    /// Every reason.
    pub const ALL: [RefusalCode; 11] = [
        RefusalCode::UnknownVersion,
        RefusalCode::UnknownMessage,
        RefusalCode::Malformed,
        RefusalCode::NoSession,
        RefusalCode::OutOfRange,
        RefusalCode::BeyondBuffers,
        RefusalCode::OutOfPlace,
        RefusalCode::DamagedFrame,
        RefusalCode::LostFrame,
        RefusalCode::Fault,
        RefusalCode::InUse,
    ];

    const fn text(self) -> &'static str {
        match self {
            Self::UnknownVersion => "it does not speak this protocol version",
            Self::UnknownMessage => "it does not know this message",
            Self::Malformed => "the message is malformed",
            Self::NoSession => "no session has begun",
            Self::OutOfRange => "a row, neuron, time or code does not exist on this chip",
            Self::BeyondBuffers => "its buffers cannot hold that",
            Self::OutOfPlace => "the message does not belong here",
            Self::DamagedFrame => "a frame arrived damaged",
            Self::LostFrame => "a frame was lost",
            Self::Fault => "the device failed",
            Self::InUse => "it is in use by another client",
        }
    }
}

/// A message was not accepted. The layout is the same in every protocol version, and a refusal is
/// read whatever version its header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// [`RefusalCode`]; a newer device may have reasons that this build does not know.
    pub code: u8,
    /// Number of the message that was refused, 0 if it could not be read.
    pub kind: u8,
    /// Sequence number of the frame that was refused, 0 if it could not be read.
    pub sequence: u16,
    /// What came; see [`RefusalCode`].
    pub got: u32,
    /// What was expected or would have been possible; see [`RefusalCode`].
    pub limit: u32,
}

impl Refusal {
    /// The reason, if this build knows it.
    #[must_use]
    pub fn reason(&self) -> Option<RefusalCode> {
        RefusalCode::ALL.into_iter().find(|code| *code as u8 == self.code)
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            code: from.u8()?,
            kind: from.u8()?,
            sequence: from.u16()?,
            got: from.u32()?,
            limit: from.u32()?,
        })
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) -> Result<(), Full> {
        to.u8(self.code)?;
        to.u8(self.kind)?;
        to.u16(self.sequence)?;
        to.u32(self.got)?;
        to.u32(self.limit)
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let reason =
            self.reason().map_or("for a reason this build does not know", RefusalCode::text);
        write!(
            f,
            "{reason} (reason {}, message 0x{:02x} in frame {}, got {}, limit {})",
            self.code, self.kind, self.sequence, self.got, self.limit
        )?;
        if self.reason() == Some(RefusalCode::UnknownMessage) && self.limit > 0 {
            let rule = self.limit - 1;
            write!(f, ": it does not have learning rule {rule}, update its firmware")?;
        }
        Ok(())
    }
}
