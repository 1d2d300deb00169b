//! Messages: what the body of a frame says. Views borrow the body and check what they read.

use super::blocks::{ResultBlocks, StimulusBlocks};
use super::control::{Ack, CapabilitiesBody, DeviceHealth, Hello, Refusal, RunBegin, RunEnd};
use super::cursor::{Reader, Writer};
use super::error::{Full, Malformed};
use super::plasticity::{Learn, PlasticityRule, WeightRequest};
use super::spans::{FlagSpans, ParameterSpans, RecordingHead, WeightSpans};

/// Message numbers. Host to device below `0x80`, device to host from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Host: begin a session; the device goes to its power-up state.
    Hello = 0x01,
    /// Host: are you there?
    Ping = 0x02,
    /// Host: what has come, and what there is room for.
    HostAck = 0x03,
    /// Host: weight codes.
    Weights = 0x10,
    /// Host: parameter codes.
    Parameters = 0x11,
    /// Host: one bit for each neuron.
    Flags = 0x12,
    /// Host: what a trial brings back.
    Recording = 0x13,
    /// Host: how the device learns.
    Plasticity = 0x14,
    /// Host: which weights to read back.
    ReadWeights = 0x15,
    /// Host: a run begins.
    RunBegin = 0x20,
    /// Host: input spikes of trials.
    Stimulus = 0x21,
    /// Host: errors of the trial that ended last; the device learns from them.
    Learn = 0x22,
    /// Device: what it is; answer to [`Kind::Hello`].
    Capabilities = 0x81,
    /// Device: its counters; answer to [`Kind::Ping`].
    Health = 0x82,
    /// Device: what has come, and what there is room for.
    DeviceAck = 0x83,
    /// Device: weights as they are; answer to [`Kind::ReadWeights`].
    LearnedWeights = 0x90,
    /// Device: spikes and samples of trials.
    Result = 0xA0,
    /// Device: a run is complete.
    RunEnd = 0xA1,
    /// Device: a message was not accepted, and why.
    Refusal = 0xEE,
}

impl Kind {
    /// Every message, in the order of the table.
    pub const ALL: [Kind; 19] = [
        Kind::Hello,
        Kind::Ping,
        Kind::HostAck,
        Kind::Weights,
        Kind::Parameters,
        Kind::Flags,
        Kind::Recording,
        Kind::Plasticity,
        Kind::ReadWeights,
        Kind::RunBegin,
        Kind::Stimulus,
        Kind::Learn,
        Kind::Capabilities,
        Kind::Health,
        Kind::DeviceAck,
        Kind::LearnedWeights,
        Kind::Result,
        Kind::RunEnd,
        Kind::Refusal,
    ];

    /// The message with number `code`, if there is one.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == code)
    }
}

/// The body of a frame, understood as far as its structure goes. Whether rows, neurons and codes
/// exist on this chip is for the receiver to check.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Message<'a> {
    /// Begin a session.
    Hello(Hello),
    /// Are you there? The number comes back.
    Ping(u32),
    /// The host's acknowledgement.
    HostAck(Ack),
    /// Weight codes.
    Weights(WeightSpans<'a>),
    /// Parameter codes.
    Parameters(ParameterSpans<'a>),
    /// One bit for each neuron.
    Flags(FlagSpans<'a>),
    /// What a trial brings back.
    Recording(RecordingHead),
    /// How the device learns.
    Plasticity(PlasticityRule<'a>),
    /// Which weights to read back.
    ReadWeights(WeightRequest),
    /// A run begins.
    RunBegin(RunBegin),
    /// Input spikes of trials.
    Stimulus(StimulusBlocks<'a>),
    /// Errors of a trial.
    Learn(Learn<'a>),
    /// What the device is.
    Capabilities(CapabilitiesBody<'a>),
    /// The device's counters.
    Health(DeviceHealth),
    /// The device's acknowledgement.
    DeviceAck(Ack),
    /// Weights as they are.
    LearnedWeights(WeightSpans<'a>),
    /// Spikes and samples of trials.
    Result(ResultBlocks<'a>),
    /// A run is complete.
    RunEnd(RunEnd),
    /// A message was not accepted.
    Refusal(Refusal),
}

impl<'a> Message<'a> {
    /// Reads the body of message number `kind`. The whole structure is checked here.
    ///
    /// # Errors
    /// [`Malformed::Kind`] for an unknown number, else what is wrong with the body.
    pub fn decode(kind: u8, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let message = match Kind::from_code(kind).ok_or(Malformed::Kind)? {
            Kind::Hello => Self::Hello(Hello::read(&mut reader)?),
            Kind::Ping => Self::Ping(reader.u32()?),
            Kind::HostAck => Self::HostAck(Ack::read(&mut reader)?),
            Kind::Weights => Self::Weights(WeightSpans::new(reader.rest())?),
            Kind::Parameters => Self::Parameters(ParameterSpans::new(reader.rest())?),
            Kind::Flags => Self::Flags(FlagSpans::new(reader.rest())?),
            Kind::Recording => Self::Recording(RecordingHead::read(&mut reader)?),
            Kind::Plasticity => Self::Plasticity(PlasticityRule::read(&mut reader)?),
            Kind::ReadWeights => Self::ReadWeights(WeightRequest::read(&mut reader)?),
            Kind::RunBegin => Self::RunBegin(RunBegin::read(&mut reader)?),
            Kind::Stimulus => Self::Stimulus(StimulusBlocks::new(reader.rest())?),
            Kind::Learn => Self::Learn(Learn::read(&mut reader)?),
            Kind::Capabilities => Self::Capabilities(CapabilitiesBody::read(&mut reader)?),
            Kind::Health => Self::Health(DeviceHealth::read(&mut reader)?),
            Kind::DeviceAck => Self::DeviceAck(Ack::read(&mut reader)?),
            Kind::LearnedWeights => Self::LearnedWeights(WeightSpans::new(reader.rest())?),
            Kind::Result => Self::Result(ResultBlocks::new(reader.rest())?),
            Kind::RunEnd => Self::RunEnd(RunEnd::read(&mut reader)?),
            Kind::Refusal => Self::Refusal(Refusal::read(&mut reader)?),
        };
        reader.end()?;
        Ok(message)
    }

    /// The number of this message.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Hello(_) => Kind::Hello,
            Self::Ping(_) => Kind::Ping,
            Self::HostAck(_) => Kind::HostAck,
            Self::Weights(_) => Kind::Weights,
            Self::Parameters(_) => Kind::Parameters,
            Self::Flags(_) => Kind::Flags,
            Self::Recording(_) => Kind::Recording,
            Self::Plasticity(_) => Kind::Plasticity,
            Self::ReadWeights(_) => Kind::ReadWeights,
            Self::RunBegin(_) => Kind::RunBegin,
            Self::Stimulus(_) => Kind::Stimulus,
            Self::Learn(_) => Kind::Learn,
            Self::Capabilities(_) => Kind::Capabilities,
            Self::Health(_) => Kind::Health,
            Self::DeviceAck(_) => Kind::DeviceAck,
            Self::LearnedWeights(_) => Kind::LearnedWeights,
            Self::Result(_) => Kind::Result,
            Self::RunEnd(_) => Kind::RunEnd,
            Self::Refusal(_) => Kind::Refusal,
        }
    }

    /// Writes the body.
    ///
    /// # Errors
    /// [`Full`] if `out` is too short.
    pub fn encode(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Hello(hello) => hello.write(out),
            Self::Ping(token) => out.u32(*token),
            Self::HostAck(ack) | Self::DeviceAck(ack) => ack.write(out),
            Self::Weights(spans) | Self::LearnedWeights(spans) => out.bytes(spans.as_bytes()),
            Self::Parameters(spans) => out.bytes(spans.as_bytes()),
            Self::Flags(spans) => out.bytes(spans.as_bytes()),
            Self::Recording(head) => head.write(out),
            Self::Plasticity(rule) => rule.write(out),
            Self::ReadWeights(request) => request.write(out),
            Self::RunBegin(begin) => begin.write(out),
            Self::Stimulus(blocks) => out.bytes(blocks.as_bytes()),
            Self::Learn(learn) => learn.write(out),
            Self::Capabilities(body) => body.write(out),
            Self::Health(health) => health.write(out),
            Self::Result(blocks) => out.bytes(blocks.as_bytes()),
            Self::RunEnd(end) => end.write(out),
            Self::Refusal(refusal) => refusal.write(out),
        }
    }
}
