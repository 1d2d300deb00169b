//! What can be wrong with bytes: closed lists with fixed numbers, because they travel in refusals.

/// Why a frame was thrown away before its message was looked at. The numbers travel in
/// [`Refusal::got`](super::Refusal::got).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Damage {
    /// Longer than the receiver's buffer.
    TooLong = 1,
    /// Shorter than an empty frame.
    TooShort = 2,
    /// The checksum does not match.
    Checksum = 3,
    /// The byte stuffing is inconsistent.
    Stuffing = 4,
    /// The length in the header is not the length of the body.
    Length = 5,
}

impl core::fmt::Display for Damage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::TooLong => "frame longer than the receiver's buffer",
            Self::TooShort => "frame shorter than its header",
            Self::Checksum => "checksum does not match",
            Self::Stuffing => "byte stuffing is inconsistent",
            Self::Length => "length field does not match the body",
        })
    }
}

/// Why the body of an undamaged frame is not a message. The numbers travel in
/// [`Refusal::got`](super::Refusal::got).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Malformed {
    /// The body ends in the middle of a field.
    Truncated = 1,
    /// Bytes are left after the last field.
    Trailing = 2,
    /// A variable-length number is longer than it may be, or not in its shortest form.
    Varint = 3,
    /// A time is beyond 2³² − 1 ticks.
    Time = 4,
    /// More than 16 address bits.
    AddressBits = 5,
    /// A sample width outside 1 to 16 bits, or set bits after the last sample.
    SampleBits = 6,
    /// A result block of an unknown kind.
    Block = 7,
    /// A parameter number that does not exist.
    Parameter = 8,
    /// A neuron flag that does not exist, or set bits after the last neuron.
    Flag = 9,
    /// Reserved bits are set.
    Reserved = 10,
    /// The serialised part of a control message cannot be read.
    Control = 11,
    /// The message number is not in the table.
    Kind = 12,
    /// A sample beyond the places that its block stands for, or a block that stands for none.
    Place = 13,
}

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the body ends in the middle of a field",
            Self::Trailing => "bytes are left after the last field",
            Self::Varint => "a variable-length number is not in its shortest form",
            Self::Time => "a time is beyond 2^32 - 1 ticks",
            Self::AddressBits => "more than 16 address bits",
            Self::SampleBits => "sample width outside 1 to 16 bits, or padding not zero",
            Self::Block => "unknown kind of result block",
            Self::Parameter => "unknown parameter number",
            Self::Flag => "unknown neuron flag, or padding not zero",
            Self::Reserved => "reserved bits are set",
            Self::Control => "the serialised part cannot be read",
            Self::Kind => "unknown message number",
            Self::Place => "a sample beyond the places of its block, or a block of none",
        })
    }
}

/// The output has no room for what was to be written. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl core::fmt::Display for Full {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("no room left in the frame")
    }
}
