//! Stimuli and results: bodies made of self-contained blocks, several trials to a frame and
//! several frames to a long trial.

use super::cursor::{Reader, Writer};
use super::error::{Full, Malformed};
use super::pack::{
    Events, MAX_EVENT_LEN, Samples, pack_events, pack_samples, packed_len, samples_in,
};
use super::sparse::{Floor, Kept};
use crate::event::{SpikeEvent, Tick};

/// Top bit of a stimulus block's length: more events of this trial follow in the next block.
const MORE: u16 = 0x8000;
/// Bytes before the blocks of a stimulus body.
const STIMULUS_HEAD: usize = 5;
/// Bytes of a stimulus block before its events.
const STIMULUS_BLOCK_HEAD: usize = 14;

/// Input spikes of one trial, or a part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StimulusBlock<'a> {
    /// Number of the trial: [`Stimulus::trial`](crate::Stimulus::trial).
    pub trial: u64,
    /// Length of the trial in ticks.
    pub duration: Tick,
    /// Whether the next block goes on with the same trial.
    pub more: bool,
    /// The events.
    pub events: Events<'a>,
}

impl<'a> StimulusBlock<'a> {
    fn read(from: &mut Reader<'a>, address_bits: u8) -> Result<Self, Malformed> {
        let (trial, duration, length) = (from.u64()?, from.u32()?, from.u16()?);
        let bytes = from.take(usize::from(length & !MORE))?;
        let events = Events::new(bytes, address_bits)?;
        Ok(Self { trial, duration, more: length & MORE != 0, events })
    }
}

/// The body of a stimulus message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StimulusBlocks<'a> {
    bytes: &'a [u8],
    /// The run that the trials belong to.
    pub run: u32,
    address_bits: u8,
}

impl<'a> StimulusBlocks<'a> {
    /// Checks the structure of all blocks and every event in them.
    ///
    /// # Errors
    /// What is wrong with the first bad one.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let (run, address_bits) = (reader.u32()?, reader.u8()?);
        Events::new(&[], address_bits)?;
        while !reader.is_empty() {
            StimulusBlock::read(&mut reader, address_bits)?;
        }
        Ok(Self { bytes, run, address_bits })
    }

    /// The body as it is on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The blocks, in order.
    pub fn iter(&self) -> impl Iterator<Item = StimulusBlock<'a>> + use<'a> {
        let mut reader = Reader::new(&self.bytes[STIMULUS_HEAD..]);
        let bits = self.address_bits;
        core::iter::from_fn(move || StimulusBlock::read(&mut reader, bits).ok())
    }

    /// Begins a body.
    ///
    /// # Errors
    /// [`Full`].
    pub fn begin(run: u32, address_bits: u8, to: &mut Writer<'_>) -> Result<(), Full> {
        to.u32(run)?;
        to.u8(address_bits)
    }

    /// Adds a block with as many of `events` as fit and says how many; if that is not all of them
    /// the block is marked, and the rest belongs into the next.
    ///
    /// # Errors
    /// [`Full`] if not even one event fits; nothing was written then.
    pub fn push(
        trial: u64,
        duration: Tick,
        events: &[SpikeEvent],
        address_bits: u8,
        to: &mut Writer<'_>,
    ) -> Result<usize, Full> {
        let least = STIMULUS_BLOCK_HEAD + if events.is_empty() { 0 } else { MAX_EVENT_LEN };
        if to.room() < least {
            return Err(Full);
        }
        to.u64(trial)?;
        to.u32(duration)?;
        let at = to.len();
        to.u16(0)?;
        let packed = pack_block(events, address_bits, to);
        let length = (to.len() - at - 2) as u16;
        to.patch_u16(at, if packed < events.len() { length | MORE } else { length });
        Ok(packed)
    }
}

/// Packs events, at most as many bytes as fifteen bits of length can say.
fn pack_block(events: &[SpikeEvent], address_bits: u8, to: &mut Writer<'_>) -> usize {
    const LIMIT: usize = (MORE - 1) as usize;
    let room = to.room().min(LIMIT);
    let mut part = Writer::new(&mut to.free()[..room]);
    let packed = pack_events(events, address_bits, &mut part);
    let len = part.len();
    to.advance(len);
    packed
}

const SPIKES: u8 = 1;
const SAMPLES: u8 = 2;
const END: u8 = 3;
const SPARSE: u8 = 4;
/// Bytes before the blocks of a result body.
const RESULT_HEAD: usize = 4;
/// Bytes of a spike block before its events.
const SPIKES_HEAD: usize = 8;
/// Bytes of a sample block before its samples.
const SAMPLES_HEAD: usize = 12;
/// Bytes of a sparse block before its numbers.
const SPARSE_HEAD: usize = 16;

/// A trial is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrialEnd {
    /// Index of the trial in its run.
    pub index: u32,
    /// Sampling stalled: the data of this trial are void and it has to be repeated.
    pub stalled: bool,
    /// Spikes that were sent.
    pub spikes: u32,
    /// Samples that were sent, those that were left out below a floor included.
    pub samples: u32,
    /// Input events that did not reach a synapse.
    pub dropped_inputs: u32,
    /// Spikes that happened and were not recorded.
    pub dropped_spikes: u32,
}

/// One piece of what a trial brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultBlock<'a> {
    /// Spikes of trial `index`, in ascending order of time, also across blocks.
    Spikes {
        /// Index of the trial in its run.
        index: u32,
        /// The spikes.
        events: Events<'a>,
    },
    /// Samples of trial `index`, `[sample, channel]`, from place `first` on.
    Samples {
        /// Index of the trial in its run.
        index: u32,
        /// Place of the first of these samples in the trial.
        first: u32,
        /// The samples.
        samples: Samples<'a>,
    },
    /// The same for places `first .. first + span`, of which only some were sent; the others hold the
    /// floor of the recording.
    Sparse {
        /// Index of the trial in its run.
        index: u32,
        /// Place of the first sample that the block stands for.
        first: u32,
        /// Samples that the block stands for.
        span: u32,
        /// Those that were sent.
        kept: Kept<'a>,
    },
    /// The trial is complete.
    End(TrialEnd),
}

impl<'a> ResultBlock<'a> {
    fn read(from: &mut Reader<'a>) -> Result<Self, Malformed> {
        let kind = from.u8()?;
        let index = from.u32()?;
        match kind {
            SPIKES => {
                let (address_bits, length) = (from.u8()?, from.u16()?);
                let bytes = from.take(usize::from(length))?;
                Ok(Self::Spikes { index, events: Events::new(bytes, address_bits)? })
            }
            SAMPLES => {
                let (first, count, bits) = (from.u32()?, usize::from(from.u16()?), from.u8()?);
                let bytes = from.take(packed_len(count, bits))?;
                Ok(Self::Samples { index, first, samples: Samples::new(bytes, bits, count)? })
            }
            SPARSE => {
                let (first, span, bits) = (from.u32()?, from.u32()?, from.u8()?);
                let length = usize::from(from.u16()?);
                let kept = Kept::new(from.take(length)?, bits, span)?;
                Ok(Self::Sparse { index, first, span, kept })
            }
            END => Self::read_end(index, from),
            _ => Err(Malformed::Block),
        }
    }

    fn read_end(index: u32, from: &mut Reader<'a>) -> Result<Self, Malformed> {
        let flags = from.u8()?;
        if flags > 1 {
            return Err(Malformed::Reserved);
        }
        Ok(Self::End(TrialEnd {
            index,
            stalled: flags == 1,
            spikes: from.u32()?,
            samples: from.u32()?,
            dropped_inputs: from.u32()?,
            dropped_spikes: from.u32()?,
        }))
    }
}

/// The body of a result message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultBlocks<'a> {
    bytes: &'a [u8],
    /// The run that the trials belong to.
    pub run: u32,
}

impl<'a> ResultBlocks<'a> {
    /// Checks the structure of all blocks.
    ///
    /// # Errors
    /// What is wrong with the first bad one.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let run = reader.u32()?;
        while !reader.is_empty() {
            ResultBlock::read(&mut reader)?;
        }
        Ok(Self { bytes, run })
    }

    /// The body as it is on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The blocks, in order.
    pub fn iter(&self) -> impl Iterator<Item = ResultBlock<'a>> + use<'a> {
        let mut reader = Reader::new(&self.bytes[RESULT_HEAD..]);
        core::iter::from_fn(move || ResultBlock::read(&mut reader).ok())
    }

    /// Begins a body.
    ///
    /// # Errors
    /// [`Full`].
    pub fn begin(run: u32, to: &mut Writer<'_>) -> Result<(), Full> {
        to.u32(run)
    }

    /// Adds a block with as many of `events` as fit and says how many.
    ///
    /// # Errors
    /// [`Full`] if not even one event fits; nothing was written then.
    pub fn push_spikes(
        index: u32,
        events: &[SpikeEvent],
        address_bits: u8,
        to: &mut Writer<'_>,
    ) -> Result<usize, Full> {
        if to.room() < SPIKES_HEAD + MAX_EVENT_LEN {
            return Err(Full);
        }
        to.u8(SPIKES)?;
        to.u32(index)?;
        to.u8(address_bits)?;
        let at = to.len();
        to.u16(0)?;
        let packed = pack_block(events, address_bits, to);
        let length = (to.len() - at - 2) as u16;
        to.patch_u16(at, length);
        Ok(packed)
    }

    /// Adds a block with as many of `samples` as fit and says how many.
    ///
    /// # Errors
    /// [`Full`] if fewer than eight of them (or than there are) fit; nothing was written then.
    pub fn push_samples(
        index: u32,
        first: u32,
        samples: &[u16],
        bits: u8,
        to: &mut Writer<'_>,
    ) -> Result<usize, Full> {
        let room = samples_in(to.room().saturating_sub(SAMPLES_HEAD), bits);
        let count = samples.len().min(room).min(usize::from(u16::MAX));
        if to.room() < SAMPLES_HEAD || count < samples.len().min(8) {
            return Err(Full);
        }
        to.u8(SAMPLES)?;
        to.u32(index)?;
        to.u32(first)?;
        to.u16(count as u16)?;
        to.u8(bits)?;
        let len = pack_samples(&samples[..count], bits, to.free());
        to.advance(len);
        Ok(count)
    }

    /// Adds a block for as many of `samples` as it can stand for and says how many. `samples` are those
    /// of the trial from place `first` on; what is at the `floor` or below it is left out.
    ///
    /// # Errors
    /// [`Full`] if there is no room for a single number; nothing was written then.
    pub fn push_sparse(
        index: u32,
        first: u32,
        samples: &[u16],
        bits: u8,
        floor: &Floor<impl Fn(usize) -> bool>,
        to: &mut Writer<'_>,
    ) -> Result<usize, Full> {
        if to.room() < SPARSE_HEAD + MAX_EVENT_LEN {
            return Err(Full);
        }
        to.u8(SPARSE)?;
        to.u32(index)?;
        to.u32(first)?;
        let at = to.len();
        to.u32(0)?;
        to.u8(bits)?;
        to.u16(0)?;
        let room = to.room().min(usize::from(u16::MAX));
        let (span, length) = floor.pack(first as usize, samples, bits, &mut to.free()[..room]);
        to.advance(length);
        to.patch_u32(at, span as u32);
        to.patch_u16(at + 5, length as u16);
        Ok(span)
    }

    /// Adds the end of a trial.
    ///
    /// # Errors
    /// [`Full`]; nothing was written then.
    pub fn push_end(end: &TrialEnd, to: &mut Writer<'_>) -> Result<(), Full> {
        if to.room() < 22 {
            return Err(Full);
        }
        to.u8(END)?;
        to.u32(end.index)?;
        to.u8(u8::from(end.stalled))?;
        to.u32(end.spikes)?;
        to.u32(end.samples)?;
        to.u32(end.dropped_inputs)?;
        to.u32(end.dropped_spikes)
    }
}
