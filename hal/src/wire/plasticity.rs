//! Learning on the device: the rule, the errors of a trial, and weights to be read back.

use super::cursor::{Reader, Writer};
use super::error::{Full, Malformed};
use super::pack::{Events, pack_events};
use crate::event::{NeuronId, SpikeEvent};

/// Bytes of a rule before its feedback weights.
const RULE_HEAD: usize = 30;
/// Bytes of a learn body before its events.
const LEARN_HEAD: usize = 10;

/// By which rule a device learns. The equations stand in `spikeloop-firmware`, module `plasticity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleKind {
    /// SuperSpike with fixed feedback from the outputs (Zenke & Ganguli 2018).
    #[default]
    SuperSpike,
    /// A fixed random readout of each layer teaches the layer (DECOLLE; Kaiser, Mostafa & Neftci 2020).
    LocalReadouts,
    /// Every neuron is told when it should spike (Muratore, Capone & Paolucci 2021).
    TargetSpikes,
    /// One that this version does not know.
    Other(u8),
}

impl RuleKind {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::SuperSpike => 0,
            Self::LocalReadouts => 1,
            Self::TargetSpikes => 2,
            Self::Other(number) => number,
        }
    }

    /// The rule of a number.
    #[must_use]
    pub const fn of(number: u8) -> Self {
        match number {
            0 => Self::SuperSpike,
            1 => Self::LocalReadouts,
            2 => Self::TargetSpikes,
            other => Self::Other(other),
        }
    }
}

/// Which neurons learn from which sources, and how, in integers.
///
/// Hidden neurons (there may be none) take the inputs; outputs take the hidden neurons, or the inputs
/// if there are none. The last `shared` inputs take part in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlasticityRule<'a> {
    /// The rule.
    pub kind: RuleKind,
    /// Input line `j` repeats the spikes of output `j`: no synapse leads from one to the other. Only
    /// with [`RuleKind::TargetSpikes`] and without hidden neurons.
    pub own: bool,
    /// Input lines that are sources: the first so many.
    pub inputs: u16,
    /// How many of them, the last ones, drive the outputs as well as the hidden neurons: lines that
    /// stand for a bias. 0 without hidden neurons.
    pub shared: u16,
    /// First hidden neuron; they have consecutive ids.
    pub hidden_first: NeuronId,
    /// Number of hidden neurons.
    pub hidden: u16,
    /// First output neuron.
    pub output_first: NeuronId,
    /// Number of output neurons.
    pub outputs: u16,
    /// Classes of the readouts; 0 for other rules.
    pub classes: u16,
    /// Factor of the fast traces from tick to tick, in 2⁻¹⁶.
    pub decay: u16,
    /// Step of the slow traces, dt/τ_m, in 2⁻¹⁶.
    pub follow: u16,
    /// Factor of the normaliser (of its root, where the rule has one) from update to update, in 2⁻¹⁶.
    pub keep: u16,
    /// Largest step of a weight, in 2⁻⁸ weight codes.
    pub rate: u16,
    /// Slope of the surrogate, or of the escape probability, per converter step, in 2⁻⁸.
    pub slope: u16,
    /// Converter code of the threshold.
    pub threshold: u16,
    /// Ticks from the spike of a hidden neuron to its arrival.
    pub delay: u8,
    /// Largest weight code by absolute value.
    pub weight_limit: i8,
    /// Little-endian `i16` in 2⁻¹². SuperSpike: feedback `[output, hidden]`. Local readouts: for each
    /// class the weights of the hidden neurons, of the outputs, and the biases of both readouts.
    pub feedback: &'a [u8],
}

impl<'a> PlasticityRule<'a> {
    /// The slope that is a step: with target spikes the escape probability is then 1 where the neuron
    /// spiked and 0 elsewhere, and membranes are not needed.
    pub const STEP: u16 = u16::MAX;

    /// Puts in the feedback: little-endian `i16` in 2⁻¹², as [`feedback`](Self::feedback) says. That of a
    /// rule that is not known may have any length.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] or [`Malformed::Trailing`] if it has another length.
    pub fn with_feedback(mut self, bytes: &'a [u8]) -> Result<Self, Malformed> {
        // In 64 bits: two large counts would overflow the word of a small device.
        let [hidden, outputs, classes] = [self.hidden, self.outputs, self.classes].map(u64::from);
        let needed = match self.kind {
            RuleKind::SuperSpike => 2 * outputs * hidden,
            RuleKind::LocalReadouts => 2 * classes * (hidden + outputs + 2),
            RuleKind::TargetSpikes => 0,
            RuleKind::Other(_) => bytes.len() as u64,
        };
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

    /// The feedback in 2⁻¹².
    pub fn feedback(&self) -> impl ExactSizeIterator<Item = i16> + '_ {
        self.feedback.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair))
    }

    /// How many addresses the events of [`Learn`] have.
    #[must_use]
    pub const fn addresses(&self) -> u32 {
        match self.kind {
            RuleKind::SuperSpike => 2 * self.outputs as u32,
            RuleKind::LocalReadouts => self.classes as u32,
            RuleKind::TargetSpikes => self.hidden as u32 + self.outputs as u32,
            RuleKind::Other(_) => 1 << 16,
        }
    }

    pub(super) fn read(from: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (kind, flags) = (RuleKind::of(from.u8()?), from.u8()?);
        if flags & !1 != 0 {
            return Err(Malformed::Reserved);
        }
        let rule = Self {
            kind,
            own: flags & 1 != 0,
            inputs: from.u16()?,
            shared: from.u16()?,
            hidden_first: from.u16()?,
            hidden: from.u16()?,
            output_first: from.u16()?,
            outputs: from.u16()?,
            classes: from.u16()?,
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
        to.u8(self.kind.number())?;
        to.u8(u8::from(self.own))?;
        for number in [
            self.inputs,
            self.shared,
            self.hidden_first,
            self.hidden,
            self.output_first,
            self.outputs,
            self.classes,
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

/// What the trial that ended last should have been, or a part of that: the events that teach.
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

    /// The events that teach, by the rule. [`RuleKind::SuperSpike`]: errors; the address is twice the
    /// output, and one more for a spike that should not have been. Without that one a spike was missing.
    /// [`RuleKind::LocalReadouts`]: the class that is right from this tick on. [`RuleKind::TargetSpikes`]:
    /// a unit (hidden neurons, then outputs) that should spike at this tick.
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
