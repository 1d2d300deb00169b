//! The wire.

mod blocks;
mod cobs;
mod control;
mod cursor;
mod error;
mod frame;
mod message;
mod pack;
mod spans;

pub use blocks::{ResultBlock, ResultBlocks, StimulusBlock, StimulusBlocks, TrialEnd};
pub use control::{CapabilitiesBody, DeviceHealth, Hello, Refusal, RefusalCode, RunBegin, RunEnd};
pub use cursor::{Reader, Writer};
pub use error::{Damage, Full, Malformed};
pub use frame::{
    Decoder, Frame, HEADER_LEN, Header, MAX_BODY, MIN_BODY, SAFE_BODY, TRAILER_LEN, encoded_len,
};
pub use message::{Kind, Message};
pub use pack::{
    Events, MAX_EVENT_LEN, Samples, address_bits, pack_events, pack_samples, packed_len,
    samples_in, top_code,
};
pub use spans::{
    FLAG_SPAN_HEAD, Flag, FlagSpan, FlagSpans, PARAMETER_SPAN_HEAD, ParameterSpan, ParameterSpans,
    RecordingHead, WEIGHT_SPAN_HEAD, WeightSpan, WeightSpans, parameter_number,
};
