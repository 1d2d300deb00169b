//! Configuration messages: runs of codes, so that a host sends only what changed.

use super::cursor::{Reader, Writer};
use super::error::{Full, Malformed};
use crate::caps::Parameter;
use crate::event::{NeuronId, Tick};

/// Bytes before the codes of a weight span.
pub const WEIGHT_SPAN_HEAD: usize = 6;
/// Bytes before the codes of a parameter span.
pub const PARAMETER_SPAN_HEAD: usize = 5;
/// Bytes before the bits of a flag span.
pub const FLAG_SPAN_HEAD: usize = 5;

/// Weight codes from one source to consecutive neurons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightSpan<'a> {
    /// Row of the weight matrix.
    pub row: u16,
    /// First neuron (column).
    pub first: NeuronId,
    codes: &'a [u8],
}

impl WeightSpan<'_> {
    /// How many codes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The codes, neuron by neuron.
    pub fn codes(&self) -> impl ExactSizeIterator<Item = i8> + '_ {
        self.codes.iter().map(|byte| *byte as i8)
    }

    /// Writes one span.
    ///
    /// # Errors
    /// [`Full`]; nothing usable was written then.
    pub fn write(row: u16, first: u16, codes: &[i8], to: &mut Writer<'_>) -> Result<(), Full> {
        let count = u16::try_from(codes.len()).map_err(|_| Full)?;
        if to.room() < WEIGHT_SPAN_HEAD + codes.len() {
            return Err(Full);
        }
        to.u16(row)?;
        to.u16(first)?;
        to.u16(count)?;
        to.free().iter_mut().zip(codes).for_each(|(byte, code)| *byte = *code as u8);
        to.advance(codes.len());
        Ok(())
    }
}

/// Codes of one parameter for consecutive neurons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterSpan<'a> {
    /// Which parameter.
    pub parameter: Parameter,
    /// First neuron.
    pub first: NeuronId,
    codes: &'a [u8],
}

impl ParameterSpan<'_> {
    /// How many codes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.codes.len() / 2
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The codes, neuron by neuron.
    pub fn codes(&self) -> impl ExactSizeIterator<Item = u16> + '_ {
        self.codes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair))
    }

    /// Writes one span.
    ///
    /// # Errors
    /// [`Full`]; nothing usable was written then.
    pub fn write(
        parameter: Parameter,
        first: NeuronId,
        codes: &[u16],
        to: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let count = u16::try_from(codes.len()).map_err(|_| Full)?;
        if to.room() < PARAMETER_SPAN_HEAD + 2 * codes.len() {
            return Err(Full);
        }
        to.u8(parameter_number(parameter))?;
        to.u16(first)?;
        to.u16(count)?;
        codes.iter().try_for_each(|code| to.u16(*code))
    }
}

/// The number of a parameter on the wire: its place in [`Parameter::ALL`].
#[must_use]
pub fn parameter_number(parameter: Parameter) -> u8 {
    Parameter::ALL.iter().position(|p| *p == parameter).unwrap_or(usize::from(u8::MAX)) as u8
}

/// What one bit for each neuron can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Flag {
    /// The neuron is powered.
    Enabled = 0,
    /// Its threshold comparator is on.
    Spiking = 1,
    /// Its membrane is sampled.
    Traced = 2,
}

impl Flag {
    /// Every flag, in wire order.
    pub const ALL: [Flag; 3] = [Flag::Enabled, Flag::Spiking, Flag::Traced];
}

/// One flag of consecutive neurons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagSpan<'a> {
    /// Which flag.
    pub flag: Flag,
    /// First neuron.
    pub first: NeuronId,
    count: usize,
    bits: &'a [u8],
}

impl FlagSpan<'_> {
    /// How many neurons there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bits, neuron by neuron.
    pub fn values(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.count).map(|k| self.bits[k / 8] >> (k % 8) & 1 == 1)
    }

    /// Writes one span.
    ///
    /// # Errors
    /// [`Full`]; nothing usable was written then.
    pub fn write(
        flag: Flag,
        first: NeuronId,
        values: &[bool],
        to: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let count = u16::try_from(values.len()).map_err(|_| Full)?;
        if to.room() < FLAG_SPAN_HEAD + values.len().div_ceil(8) {
            return Err(Full);
        }
        to.u8(flag as u8)?;
        to.u16(first)?;
        to.u16(count)?;
        for eight in values.chunks(8) {
            to.u8(eight.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))?;
        }
        Ok(())
    }
}

/// A kind of span that can be read off the front of a body.
trait Span<'a>: Sized {
    fn read(from: &mut Reader<'a>) -> Result<Self, Malformed>;
}

impl<'a> Span<'a> for WeightSpan<'a> {
    fn read(from: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (row, first, count) = (from.u16()?, from.u16()?, from.u16()?);
        Ok(Self { row, first, codes: from.take(usize::from(count))? })
    }
}

impl<'a> Span<'a> for ParameterSpan<'a> {
    fn read(from: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (number, first, count) = (from.u8()?, from.u16()?, from.u16()?);
        let parameter = Parameter::ALL.get(usize::from(number)).ok_or(Malformed::Parameter)?;
        Ok(Self { parameter: *parameter, first, codes: from.take(2 * usize::from(count))? })
    }
}

impl<'a> Span<'a> for FlagSpan<'a> {
    fn read(from: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (number, first, count) = (from.u8()?, from.u16()?, usize::from(from.u16()?));
        let flag = Flag::ALL.get(usize::from(number)).ok_or(Malformed::Flag)?;
        let bits = from.take(count.div_ceil(8))?;
        match bits.last() {
            Some(last) if count % 8 != 0 && last >> (count % 8) != 0 => Err(Malformed::Flag),
            _ => Ok(Self { flag: *flag, first, count, bits }),
        }
    }
}

macro_rules! spans {
    ($(#[$doc:meta])* $name:ident, $item:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<'a> {
            bytes: &'a [u8],
        }

        impl<'a> $name<'a> {
            /// Checks the structure of all spans.
            ///
            /// # Errors
            /// What is wrong with the first bad one.
            pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
                let mut reader = Reader::new(bytes);
                while !reader.is_empty() {
                    $item::read(&mut reader)?;
                }
                Ok(Self { bytes })
            }

            /// The body as it is on the wire.
            #[must_use]
            pub const fn as_bytes(&self) -> &'a [u8] {
                self.bytes
            }

            /// The spans, in order.
            pub fn iter(&self) -> impl Iterator<Item = $item<'a>> + use<'a> {
                let mut reader = Reader::new(self.bytes);
                core::iter::from_fn(move || $item::read(&mut reader).ok())
            }
        }
    };
}

spans!(
    /// The spans of a weight message.
    WeightSpans,
    WeightSpan
);
spans!(
    /// The spans of a parameter message.
    ParameterSpans,
    ParameterSpan
);
spans!(
    /// The spans of a flag message.
    FlagSpans,
    FlagSpan
);

/// What a trial brings back, apart from which neurons are traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordingHead {
    /// Whether spikes come back.
    pub spikes: bool,
    /// Ticks between two samples.
    pub sample_period: Tick,
    /// Samples of each trial.
    pub samples: u16,
    /// Potential that all channels sample instead of their membranes, in converter steps.
    pub reference: Option<u16>,
    /// Codes below this are not sent for neurons that can spike.
    pub floor: Option<u16>,
}

impl RecordingHead {
    const SPIKES: u8 = 1;
    const REFERENCE: u8 = 2;
    const FLOOR: u8 = 4;

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let flags = from.u8()?;
        if flags & !(Self::SPIKES | Self::REFERENCE | Self::FLOOR) != 0 {
            return Err(Malformed::Reserved);
        }
        let (sample_period, samples) = (from.u32()?, from.u16()?);
        let reference = if flags & Self::REFERENCE != 0 { Some(from.u16()?) } else { None };
        let floor = if flags & Self::FLOOR != 0 { Some(from.u16()?) } else { None };
        Ok(Self { spikes: flags & Self::SPIKES != 0, sample_period, samples, reference, floor })
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) -> Result<(), Full> {
        let spikes = if self.spikes { Self::SPIKES } else { 0 };
        let reference = if self.reference.is_some() { Self::REFERENCE } else { 0 };
        let floor = if self.floor.is_some() { Self::FLOOR } else { 0 };
        to.u8(spikes | reference | floor)?;
        to.u32(self.sample_period)?;
        to.u16(self.samples)?;
        [self.reference, self.floor].into_iter().flatten().try_for_each(|code| to.u16(code))
    }
}
