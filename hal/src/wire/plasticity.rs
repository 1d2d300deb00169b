//! Learning on the device: the rule, the errors of a trial, and weights to be read back.

use super::cursor::{Reader, Writer};
use super::error::{Full, Malformed};
use super::pack::{Events, pack_events};
use crate::event::{NeuronId, SpikeEvent};

/// Bytes of a rule before its feedback weights.
const RULE_HEAD: usize = 24;
/// Bytes of a learn body before its events.
const LEARN_HEAD: usize = 10;

/// Which neurons learn from which sources, and how: SuperSpike with fixed feedback in integers.
///
/// Hidden neurons (there may be none) take the inputs; outputs take the hidden neurons, or the inputs
/// if there are none. The equations stand in `spikeloop-firmware`, module `plasticity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlasticityRule<'a> {
    /// Input lines that are sources: the first so many.
    pub inputs: u16,
    /// First hidden neuron; they have consecutive ids.
    pub hidden_first: NeuronId,
    /// Number of hidden neurons.
    pub hidden: u16,
    /// First output neuron.
    pub output_first: NeuronId,
    /// Number of output neurons.
    pub outputs: u16,
    /// Factor of the fast traces from tick to tick, in 2⁻¹⁶.
    pub decay: u16,
    /// Step of the slow traces, dt/τ_m, in 2⁻¹⁶.
    pub follow: u16,
    /// Factor of the normaliser (of its root) from update to update, in 2⁻¹⁶.
    pub keep: u16,
    /// Largest step of a weight, in 2⁻⁸ weight codes.
    pub rate: u16,
    /// Slope of the surrogate per converter step, in 2⁻⁸.
    pub slope: u16,
    /// Converter code of the threshold.
    pub threshold: u16,
    /// Ticks from the spike of a hidden neuron to its arrival.
    pub delay: u8,
    /// Largest weight code by absolute value.
    pub weight_limit: i8,
    /// Feedback weights, little-endian `i16` in 2⁻¹², `[output, hidden]`.
    pub feedback: &'a [u8],
}

impl<'a> PlasticityRule<'a> {
    /// Puts in the feedback weights: little-endian `i16` in 2⁻¹², `[output, hidden]`.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] or [`Malformed::Trailing`] if there are not `outputs · hidden`.
    pub fn with_feedback(mut self, bytes: &'a [u8]) -> Result<Self, Malformed> {
        // In 64 bits: two large counts would overflow the word of a small device.
        let needed = 2 * u64::from(self.outputs) * u64::from(self.hidden);
        match (bytes.len() as u64).cmp(&needed) {
            core::cmp::Ordering::Less => Err(Malformed::Truncated),
            core::cmp::Ordering::Greater => Err(Malformed::Trailing),
            core::cmp::Ordering::Equal => {
                self.feedback = bytes;
                Ok(self)
            }
        }
    }

    /// Bytes of the body.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        RULE_HEAD + self.feedback.len()
    }

    /// The feedback weights in 2⁻¹², `[output, hidden]`.
    pub fn feedback(&self) -> impl ExactSizeIterator<Item = i16> + '_ {
        self.feedback.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair))
    }

    pub(super) fn read(from: &mut Reader<'a>) -> Result<Self, Malformed> {
        let rule = Self {
            inputs: from.u16()?,
            hidden_first: from.u16()?,
            hidden: from.u16()?,
            output_first: from.u16()?,
            outputs: from.u16()?,
            decay: from.u16()?,
            follow: from.u16()?,
            keep: from.u16()?,
            rate: from.u16()?,
            slope: from.u16()?,
            threshold: from.u16()?,
            delay: from.u8()?,
            weight_limit: from.u8()? as i8,
            feedback: &[],
        };
        rule.with_feedback(from.rest())
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) -> Result<(), Full> {
        for number in [
            self.inputs,
            self.hidden_first,
            self.hidden,
            self.output_first,
            self.outputs,
            self.decay,
            self.follow,
            self.keep,
            self.rate,
            self.slope,
            self.threshold,
        ] {
            to.u16(number)?;
        }
        to.u8(self.delay)?;
        to.u8(self.weight_limit as u8)?;
        to.bytes(self.feedback)
    }
}

/// Errors of the trial that ended last, or a part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learn<'a> {
    /// Number of the trial.
    pub trial: u64,
    /// More errors of this trial follow in another message.
    pub more: bool,
    /// The weights are to be updated after this trial; only without `more`.
    pub update: bool,
    address_bits: u8,
    events: &'a [u8],
}

impl<'a> Learn<'a> {
    const MORE: u8 = 1;
    const UPDATE: u8 = 2;

    /// The error events: the address is twice the output, and one more for a spike that should not
    /// have been. Without that one a spike was missing.
    ///
    /// # Errors
    /// Never for what was read from a frame.
    pub fn events(&self) -> Result<Events<'a>, Malformed> {
        Events::new(self.events, self.address_bits)
    }

    pub(super) fn read(from: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (trial, flags, address_bits) = (from.u64()?, from.u8()?, from.u8()?);
        let learn = Self {
            trial,
            more: flags & Self::MORE != 0,
            update: flags & Self::UPDATE != 0,
            address_bits,
            events: from.rest(),
        };
        if flags & !(Self::MORE | Self::UPDATE) != 0 || (learn.more && learn.update) {
            return Err(Malformed::Reserved);
        }
        learn.events()?;
        Ok(learn)
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) -> Result<(), Full> {
        to.u64(self.trial)?;
        let more = if self.more { Self::MORE } else { 0 };
        to.u8(more | if self.update { Self::UPDATE } else { 0 })?;
        to.u8(self.address_bits)?;
        to.bytes(self.events)
    }

    /// Writes a body with as many of `errors` (in ascending order of time) as fit, and says how many;
    /// if that is not all of them the body says that more follow, and the update waits for them.
    ///
    /// # Errors
    /// [`Full`] if there is no room for one.
    pub fn pack(
        trial: u64,
        update: bool,
        errors: &[SpikeEvent],
        address_bits: u8,
        to: &mut Writer<'_>,
    ) -> Result<usize, Full> {
        if to.room() < LEARN_HEAD {
            return Err(Full);
        }
        to.u64(trial)?;
        let flags = to.len();
        to.u8(0)?;
        to.u8(address_bits)?;
        let packed = pack_events(errors, address_bits, to);
        if packed == 0 && !errors.is_empty() {
            return Err(Full);
        }
        let more = packed < errors.len();
        let flag = match (more, update) {
            (true, _) => Self::MORE,
            (false, true) => Self::UPDATE,
            (false, false) => 0,
        };
        to.patch_u8(flags, flag);
        Ok(packed)
    }
}

/// Which weights to read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightRequest {
    /// Row of the weight matrix.
    pub row: u16,
    /// First neuron.
    pub first: NeuronId,
    /// Number of neurons, at most [`WeightRequest::MOST`].
    pub count: u16,
}

impl WeightRequest {
    /// Most weights that one request asks for: the answer is a small frame.
    pub const MOST: u16 = 48;

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { row: from.u16()?, first: from.u16()?, count: from.u16()? })
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) -> Result<(), Full> {
        to.u16(self.row)?;
        to.u16(self.first)?;
        to.u16(self.count)
    }
}
