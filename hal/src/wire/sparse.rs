//! Samples with a floor: what lies below it is not sent.
//!
//! Each sample that is sent is one number `(gap << bits) | code` in groups of seven bits, low group
//! first, top bit set on all but the last byte; `gap` counts the places skipped since the number
//! before it in the same block. With a converter of 8 bits a code below 128 right behind another takes
//! one byte, up to 63 places later two, up to 8191 three.

use super::error::Malformed;
use super::pack::{Events, MAX_EVENT_LEN, number_len, put_varint, top_code};

/// Which samples of a trial `[sample, channel]` are sent.
#[derive(Clone, Copy, Debug)]
pub struct Floor<F> {
    /// Samples of channels that do not keep all are sent above this code only.
    pub code: u16,
    /// Channels of the recording; not 0.
    pub channels: usize,
    /// Whether a channel is sent whole.
    pub keeps_all: F,
}

impl<F: Fn(usize) -> bool> Floor<F> {
    /// Whether the sample at `place` of the trial is sent if it has this code.
    #[inline]
    fn sends(&self, channel: usize, place: usize, code: u16) -> bool {
        code > self.code || place < self.channels || (self.keeps_all)(channel)
    }

    /// Packs `samples`, which begin at place `first` of the trial, into `out` and says how many of them
    /// that stands for and how many bytes it took: all of them unless `out` is too short.
    pub(super) fn pack(
        &self,
        first: usize,
        samples: &[u16],
        bits: u8,
        out: &mut [u8],
    ) -> (usize, usize) {
        let (top, mut at, mut gap) = (top_code(bits), 0, 0);
        let mut channel = first % self.channels;
        for (k, code) in samples.iter().enumerate() {
            if self.sends(channel, first + k, *code) {
                let Some(slot) = out.get_mut(at..at + MAX_EVENT_LEN) else { return (k, at) };
                at += put_varint(gap << bits | u64::from((*code).min(top)), slot);
                gap = 0;
            } else {
                gap += 1;
            }
            channel = if channel + 1 == self.channels { 0 } else { channel + 1 };
        }
        (samples.len(), at)
    }

    /// Puts the floor into `samples`, which begin at place `first` of the trial.
    pub fn apply(&self, first: usize, samples: &mut [u16]) {
        let mut channel = first % self.channels;
        for (k, code) in samples.iter_mut().enumerate() {
            if !self.sends(channel, first + k, *code) {
                *code = self.code;
            }
            channel = if channel + 1 == self.channels { 0 } else { channel + 1 };
        }
    }

    /// Bytes that `samples`, which begin at place `first` of the trial, take in one sparse block, without its
    /// head. Where dense ones ([`packed_len`](super::packed_len)) take less, these are sent.
    #[must_use]
    pub fn packed_len(&self, first: usize, samples: &[u16], bits: u8) -> usize {
        let (mut len, mut gap) = (0, 0_u64);
        let mut channel = first % self.channels;
        for (k, code) in samples.iter().enumerate() {
            if self.sends(channel, first + k, *code) {
                len += number_len(gap << bits | u64::from(*code));
                gap = 0;
            } else {
                gap += 1;
            }
            channel = if channel + 1 == self.channels { 0 } else { channel + 1 };
        }
        len
    }
}

/// The samples of one block that were sent: places relative to the block's first, and codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept<'a> {
    /// A gap is to these what a delta of time is to events.
    numbers: Events<'a>,
    span: u32,
    count: u32,
    broken: bool,
}

impl<'a> Kept<'a> {
    /// Samples packed in `bytes`, codes of `bits` bits, for a block that stands for `span` places.
    ///
    /// # Errors
    /// [`Malformed::SampleBits`] for a width outside 1 to 16, [`Malformed::Place`] if the block stands for
    /// nothing.
    pub const fn new(bytes: &'a [u8], bits: u8, span: u32) -> Result<Self, Malformed> {
        if bits == 0 || bits > 16 {
            return Err(Malformed::SampleBits);
        }
        if span == 0 {
            return Err(Malformed::Place);
        }
        match Events::new(bytes, bits) {
            Ok(numbers) => Ok(Self { numbers, span, count: 0, broken: false }),
            Err(why) => Err(why),
        }
    }

    /// Bits of a code.
    #[must_use]
    pub const fn bits(&self) -> u8 {
        self.numbers.address_bits()
    }
}

impl Iterator for Kept<'_> {
    type Item = Result<(usize, u16), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let next = self.numbers.next()?.and_then(|number| {
            let place = number.tick.checked_add(self.count).filter(|place| *place < self.span);
            place.map(|place| (place as usize, number.id)).ok_or(Malformed::Place)
        });
        self.count = self.count.wrapping_add(1);
        self.broken = next.is_err();
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ResultBlock, ResultBlocks, Writer};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Everything through blocks in bodies of `room` bytes, and the bytes of the numbers.
    fn round_trip(
        samples: &[u16],
        bits: u8,
        room: usize,
        floor: &Floor<impl Fn(usize) -> bool>,
    ) -> (Vec<u16>, usize) {
        let (mut back, mut len, mut first) = (Vec::new(), 0, 0);
        while first < samples.len() {
            let mut bytes = vec![0; room];
            let mut body = Writer::new(&mut bytes);
            ResultBlocks::begin(1, &mut body).unwrap();
            let rest = &samples[first..];
            let n =
                ResultBlocks::push_sparse(7, first as u32, rest, bits, floor, &mut body).unwrap();
            assert!(n > 0);
            len += body.len() - 4 - 16;
            let view = ResultBlocks::new(body.written()).unwrap();
            let blocks: Vec<_> = view.iter().collect();
            let [ResultBlock::Sparse { index: 7, first: at, span, kept }] = blocks[..] else {
                panic!("{blocks:?}")
            };
            assert_eq!((at as usize, span as usize, kept.bits()), (first, n, bits));
            back.resize(first + n, floor.code);
            for sample in kept {
                let (place, code) = sample.unwrap();
                back[first + place] = code;
            }
            first += n;
        }
        (back, len)
    }

    #[test]
    fn near_the_floor_only() {
        let floor = Floor { code: 130, channels: 3, keeps_all: |channel| channel == 2 };
        let samples = [80, 81, 82, 129, 130, 60, 131, 0, 255, 9, 200, 131];
        let (back, len) = round_trip(&samples, 8, 200, &floor);
        assert_eq!(back, [80, 81, 82, 130, 130, 60, 131, 130, 255, 130, 200, 131]);
        // One byte each for the first row; 60 after a gap of 2; the others two bytes.
        assert_eq!((len, floor.packed_len(0, &samples, 8)), (3 + 2 + 2 + 2 + 2 + 2, 13));
        let mut dense = samples;
        floor.apply(0, &mut dense);
        assert_eq!(dense[..], back);
        let mut rest = [1, 1, 1];
        floor.apply(5, &mut rest);
        assert_eq!(rest, [1, 130, 130], "place 5 is channel 2");
    }

    #[test]
    fn places_beyond_the_span_are_malformed() {
        let read = |bytes: &[u8], span| Kept::new(bytes, 8, span).unwrap().collect::<Vec<_>>();
        assert_eq!(read(&[0x83, 0x03, 0x3C], 3), [Ok((1, 131)), Ok((2, 60))]);
        assert_eq!(read(&[0x83, 0x03, 0x3C, 1], 2), [Ok((1, 131)), Err(Malformed::Place)]);
        assert_eq!(read(&[0x83], 9), [Err(Malformed::Truncated)]);
        assert_eq!(Kept::new(&[], 8, 0), Err(Malformed::Place));
        assert_eq!(Kept::new(&[], 0, 1), Err(Malformed::SampleBits));
        assert_eq!(Kept::new(&[], 17, 1), Err(Malformed::SampleBits));
    }

    proptest! {
        #[test]
        fn what_comes_back_is_the_dense_list_with_the_floor(
            codes in prop::collection::vec(any::<u16>(), 1..300), bits in 1u8..=16,
            channels in 1usize..40, whole in any::<u64>(), code in any::<u16>(), room in 27usize..300,
        ) {
            let codes: Vec<u16> = codes.into_iter().map(|c| c & top_code(bits)).collect();
            let keeps_all = |channel: usize| whole >> (channel % 64) & 1 == 1;
            let floor = Floor { code: code & top_code(bits), channels, keeps_all };
            let (back, len) = round_trip(&codes, bits, room, &floor);
            let mut dense = codes.clone();
            floor.apply(0, &mut dense);
            prop_assert_eq!(&back, &dense);
            for (place, (new, old)) in dense.iter().zip(&codes).enumerate() {
                let whole = place < channels || keeps_all(place % channels);
                prop_assert_eq!(*new, if whole { *old } else { (*old).max(floor.code) });
            }
            // Cut into blocks it can only be shorter by the gaps that are not counted on.
            prop_assert!(len <= floor.packed_len(0, &codes, bits));
            let all = round_trip(&codes, bits, 4000, &floor).1;
            prop_assert_eq!(all, floor.packed_len(0, &codes, bits));
            prop_assert_eq!(floor.packed_len(3, &codes[..0], bits), 0);
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..60), bits in 0u8..20, span in any::<u32>(),
        ) {
            if let Ok(kept) = Kept::new(&bytes, bits, span) {
                let places: Vec<_> = kept.map_while(Result::ok).map(|(place, _)| place).collect();
                prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(places.iter().all(|place| *place < span as usize));
            }
        }
    }
}
