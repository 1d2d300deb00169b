//! Host to device: what changed and what to play, as messages.

use crate::caps::{Capabilities, Parameter};
use crate::chip::Stimulus;
use crate::config::{ChipConfig, Recording};
use crate::event::SpikeEvent;
use crate::wire::{
    FLAG_SPAN_HEAD, Flag, FlagSpan, Full, Kind, Learn, Message, PARAMETER_SPAN_HEAD, ParameterSpan,
    RecordingHead, RunBegin, StimulusBlocks, WEIGHT_SPAN_HEAD, WeightSpan, Writer, address_bits,
};
use std::ops::Range;

/// Messages in the order in which they are to be sent: bodies one behind the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Parcel {
    bytes: Vec<u8>,
    /// Kind of each message and where its body ends.
    parts: Vec<(Kind, usize)>,
}

impl Parcel {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Number of messages.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Message `k`.
    pub(super) fn part(&self, k: usize) -> Option<(Kind, &[u8])> {
        let (kind, end) = *self.parts.get(k)?;
        let start = k.checked_sub(1).map_or(0, |before| self.parts[before].1);
        Some((kind, &self.bytes[start..end]))
    }
}

/// Builds messages, several spans or blocks to each.
pub(super) struct Encoder {
    parcel: Parcel,
    body: Box<[u8]>,
    len: usize,
    kind: Kind,
}

impl Encoder {
    /// For bodies of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        let body = vec![0; limit].into();
        Self { parcel: Parcel::default(), body, len: 0, kind: Kind::Ping }
    }

    /// The messages so far.
    pub(super) fn take(&mut self) -> Parcel {
        self.flush();
        std::mem::take(&mut self.parcel)
    }

    /// A message with a body of its own.
    pub(super) fn message(&mut self, message: &Message<'_>) {
        self.flush();
        self.part(message.kind(), |_| Ok(()), |body| message.encode(body));
        self.flush();
    }

    /// A message that is longer than the bodies of others may be.
    pub(super) fn long_message(&mut self, message: &Message<'_>, len: usize) {
        self.flush();
        let mut body = vec![0; len];
        let mut writer = Writer::new(&mut body);
        if message.encode(&mut writer).is_ok() {
            self.parcel.bytes.extend_from_slice(writer.written());
            self.parcel.parts.push((message.kind(), self.parcel.bytes.len()));
        }
    }

    /// Adds a part to the open body if it is of the same kind and there is room, else to a new one,
    /// which starts with `head`. The part must fit into an empty body.
    fn part<T>(
        &mut self,
        kind: Kind,
        head: impl Fn(&mut Writer<'_>) -> Result<(), Full>,
        write: impl Fn(&mut Writer<'_>) -> Result<T, Full>,
    ) -> Option<T> {
        if kind != self.kind {
            self.flush();
            self.kind = kind;
        }
        for _ in 0..2 {
            let mut body = Writer::resume(&mut self.body, self.len);
            if body.is_empty() {
                head(&mut body).ok()?;
            }
            if let Ok(value) = write(&mut body) {
                self.len = body.len();
                return Some(value);
            }
            self.flush();
        }
        debug_assert!(false, "a part does not fit into an empty body");
        None
    }

    fn flush(&mut self) {
        if self.len == 0 {
            return;
        }
        self.parcel.bytes.extend_from_slice(&self.body[..self.len]);
        self.parcel.parts.push((self.kind, self.parcel.bytes.len()));
        self.len = 0;
    }

    /// What has to be written so that a chip in state `old` comes to state `new`. Both are of the
    /// chip's size.
    pub(super) fn difference(&mut self, old: &ChipConfig, new: &ChipConfig) {
        for row in 0..new.sources() {
            self.weights(row as u16, old.row(row), new.row(row));
        }
        for (parameter, codes) in &new.parameters {
            if let Some(before) = old.codes(*parameter) {
                self.codes(*parameter, before, codes);
            }
        }
        self.flags(Flag::Enabled, &old.enabled, &new.enabled);
        self.flags(Flag::Spiking, &old.spiking, &new.spiking);
        self.recording(&old.recording, &new.recording, new.neurons());
    }

    /// Errors of a trial, in as many messages as they take.
    pub(super) fn errors(&mut self, trial: u64, update: bool, errors: &[SpikeEvent], bits: u8) {
        let mut rest = errors;
        loop {
            // Each in a message of its own.
            self.flush();
            let packed = self
                .part(Kind::Learn, nothing, |body| Learn::pack(trial, update, rest, bits, body));
            rest = rest.get(packed.unwrap_or(rest.len())..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
        }
        self.flush();
    }

    fn weights(&mut self, row: u16, old: &[i8], new: &[i8]) {
        let limit = self.body.len() - WEIGHT_SPAN_HEAD;
        for at in changes(old, new, WEIGHT_SPAN_HEAD, limit) {
            let first = at.start as u16;
            self.part(Kind::Weights, nothing, |body| {
                WeightSpan::write(row, first, &new[at.clone()], body)
            });
        }
    }

    fn codes(&mut self, parameter: Parameter, old: &[u16], new: &[u16]) {
        let limit = (self.body.len() - PARAMETER_SPAN_HEAD) / 2;
        for at in changes(old, new, PARAMETER_SPAN_HEAD / 2, limit) {
            let first = at.start as u16;
            self.part(Kind::Parameters, nothing, |body| {
                ParameterSpan::write(parameter, first, &new[at.clone()], body)
            });
        }
    }

    fn flags(&mut self, flag: Flag, old: &[bool], new: &[bool]) {
        let limit = (self.body.len() - FLAG_SPAN_HEAD) * 8;
        for at in changes(old, new, FLAG_SPAN_HEAD * 8, limit) {
            let first = at.start as u16;
            self.part(Kind::Flags, nothing, |body| {
                FlagSpan::write(flag, first, &new[at.clone()], body)
            });
        }
    }

    fn recording(&mut self, old: &Recording, new: &Recording, neurons: usize) {
        let head = |recording: &Recording| RecordingHead {
            spikes: recording.spikes,
            sample_period: recording.sample_period,
            samples: recording.samples,
            reference: recording.reference,
            floor: recording.floor,
        };
        if old.traces != new.traces {
            let traced = |recording: &Recording| {
                let mut flags = vec![false; neurons];
                for id in &recording.traces {
                    // Ids beyond the chip were refused, unless nothing is sampled anyway.
                    flags.get_mut(usize::from(*id)).into_iter().for_each(|flag| *flag = true);
                }
                flags
            };
            self.flags(Flag::Traced, &traced(old), &traced(new));
        }
        if head(old) != head(new) {
            self.message(&Message::Recording(head(new)));
        }
    }

    /// A run: its beginning and all its stimuli.
    pub(super) fn run(&mut self, run: u32, stimuli: &[Stimulus], caps: &Capabilities) {
        self.message(&Message::RunBegin(RunBegin { run, trials: stimuli.len() as u32 }));
        let bits = address_bits(caps.inputs);
        for Stimulus { trial, duration, events } in stimuli {
            let mut rest = events.as_slice();
            loop {
                let packed = self.part(
                    Kind::Stimulus,
                    |body| StimulusBlocks::begin(run, bits, body),
                    |body| StimulusBlocks::push(*trial, *duration, rest, bits, body),
                );
                rest = rest.get(packed.unwrap_or(rest.len())..).unwrap_or_default();
                if rest.is_empty() {
                    break;
                }
            }
        }
    }
}

fn nothing(_: &mut Writer<'_>) -> Result<(), Full> {
    Ok(())
}

/// Ranges in which `old` and `new` differ, none longer than `limit`. Equal stretches of up to `gap`
/// elements are sent along, because a new span would cost as much.
fn changes<T: PartialEq>(
    old: &[T],
    new: &[T],
    gap: usize,
    limit: usize,
) -> impl Iterator<Item = Range<usize>> {
    // Whole rows are compared at once: most of the time nothing has changed.
    let mut at = if old == new { new.len() } else { 0 };
    std::iter::from_fn(move || {
        let differs = |k: &usize| old[*k] != new[*k];
        let start = (at..new.len()).find(differs)?;
        let mut end = start + 1;
        while end - start < limit {
            let window = end..(end + gap + 1).min(new.len()).min(start + limit);
            match window.rev().find(differs) {
                Some(last) => end = last + 1,
                None => break,
            }
        }
        at = end;
        Some(start..end)
    })
}

#[cfg(test)]
mod tests {
    use super::changes;
    use proptest::prelude::*;

    #[test]
    fn near_changes_share_a_span() {
        let old = [0u8; 12];
        let mut new = old;
        (new[1], new[3], new[11]) = (1, 1, 1);
        assert_eq!(changes(&old, &new, 2, 99).collect::<Vec<_>>(), [1..4, 11..12]);
        assert_eq!(changes(&old, &new, 0, 99).collect::<Vec<_>>(), [1..2, 3..4, 11..12]);
        assert_eq!(changes(&old, &new, 9, 4).collect::<Vec<_>>(), [1..4, 11..12]);
        assert_eq!(changes(&old, &old, 9, 4).count(), 0);
    }

    proptest! {
        #[test]
        fn spans_cover_every_change(
            pairs in prop::collection::vec((0u8..3, 0u8..3), 0..60), gap in 0usize..9, limit in 1usize..20,
        ) {
            let (old, new): (Vec<u8>, Vec<u8>) = pairs.into_iter().unzip();
            let mut state = old.clone();
            let mut before = 0;
            for span in changes(&old, &new, gap, limit) {
                prop_assert!(span.start >= before && span.len() <= limit && !span.is_empty());
                before = span.end;
                state[span.clone()].copy_from_slice(&new[span]);
            }
            prop_assert_eq!(state, new);
        }
    }
}
