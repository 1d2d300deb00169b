//! Packing of spikes and samples: the two bodies that decide how much a link can carry.
//!
//! Spikes: one number `(delta << address_bits) | address` each, in groups of seven bits, low group
//! first, top bit set on all but the last byte. A delta is the time in ticks since the spike before
//! it in the same block, or since the start of the trial for the first. With 256 addresses a spike
//! takes one byte (same tick, lower half), two (delta below 64), three (below 8192).
//!
//! Samples: `bits` each, low bit first, without gaps; the last byte is filled with zeros.

use super::cursor::Writer;
use super::error::Malformed;
use crate::event::{NeuronId, SpikeEvent, Tick};

/// Longest packed spike: 32 bits of time and 16 of address in groups of seven.
pub const MAX_EVENT_LEN: usize = 7;

/// Bits that addresses `0 .. count` need: 1 to 16.
#[must_use]
pub const fn address_bits(count: u16) -> u8 {
    if count <= 2 { 1 } else { (u16::BITS - (count - 1).leading_zeros()) as u8 }
}

/// Packs as many of `events` as fit, which must be in ascending order of time, and says how many.
///
/// The first delta counts from the start of the trial, so that every block stands alone.
pub fn pack_events(events: &[SpikeEvent], address_bits: u8, out: &mut Writer<'_>) -> usize {
    let free = out.free();
    let (mut at, mut before, mut packed) = (0, 0, 0);
    for event in events {
        let Some(slot) = free.get_mut(at..at + MAX_EVENT_LEN) else { break };
        let delta = event.tick.wrapping_sub(before);
        before = event.tick;
        at += put_varint(u64::from(delta) << address_bits | u64::from(event.id), slot);
        packed += 1;
    }
    out.advance(at);
    packed
}

/// Bytes of a number in groups of seven bits.
#[must_use]
pub const fn number_len(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

pub(super) fn put_varint(mut value: u64, slot: &mut [u8]) -> usize {
    let mut n = 0;
    for byte in slot {
        n += 1;
        if value < 0x80 {
            *byte = value as u8;
            break;
        }
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    n
}

/// Spikes of one block, still packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events<'a> {
    bytes: &'a [u8],
    address_bits: u8,
    tick: Tick,
    broken: bool,
}

impl<'a> Events<'a> {
    /// Spikes packed in `bytes`, with addresses of `address_bits` bits.
    ///
    /// # Errors
    /// [`Malformed::AddressBits`] above 16.
    pub const fn new(bytes: &'a [u8], address_bits: u8) -> Result<Self, Malformed> {
        if address_bits > 16 {
            return Err(Malformed::AddressBits);
        }
        Ok(Self { bytes, address_bits, tick: 0, broken: false })
    }

    /// How many bits an address has here.
    #[must_use]
    pub const fn address_bits(&self) -> u8 {
        self.address_bits
    }

    /// How many spikes these bytes are if they are well-formed, without reading them: each ends with
    /// a byte whose top bit is clear.
    #[must_use]
    pub fn announced(&self) -> usize {
        self.bytes.iter().filter(|byte| **byte & 0x80 == 0).count()
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (k, byte) in self.bytes.iter().take(MAX_EVENT_LEN).enumerate() {
            value |= u64::from(byte & 0x7F) << (7 * k);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[k + 1..];
                // A last group of zero could have been left out: one spike, one spelling.
                return if k > 0 && *byte == 0 { Err(Malformed::Varint) } else { Ok(value) };
            }
        }
        Err(if self.bytes.len() < MAX_EVENT_LEN { Malformed::Truncated } else { Malformed::Varint })
    }

    fn step(&mut self) -> Result<SpikeEvent, Malformed> {
        let value = self.varint()?;
        let delta = Tick::try_from(value >> self.address_bits).map_err(|_| Malformed::Time)?;
        self.tick = self.tick.checked_add(delta).ok_or(Malformed::Time)?;
        let mask = (1u64 << self.address_bits) - 1;
        Ok(SpikeEvent::new(self.tick, (value & mask) as NeuronId))
    }
}

impl Iterator for Events<'_> {
    type Item = Result<SpikeEvent, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() || self.broken {
            return None;
        }
        let step = self.step();
        self.broken = step.is_err();
        Some(step)
    }
}

/// Bytes that `count` samples of `bits` bits take.
#[must_use]
pub const fn packed_len(count: usize, bits: u8) -> usize {
    (count * bits as usize).div_ceil(8)
}

/// How many samples of `bits` bits fit into `bytes` bytes.
#[must_use]
pub const fn samples_in(bytes: usize, bits: u8) -> usize {
    if bits == 0 { 0 } else { bytes * 8 / bits as usize }
}

/// Packs samples into the front of `out`, which must have [`packed_len`] bytes, and says how many
/// bytes that took. Codes above the range are sent as the highest code.
pub fn pack_samples(samples: &[u16], bits: u8, out: &mut [u8]) -> usize {
    let top = top_code(bits);
    let len = packed_len(samples.len(), bits).min(out.len());
    let out = &mut out[..len];
    match bits {
        8 => out.iter_mut().zip(samples).for_each(|(byte, code)| *byte = (*code).min(top) as u8),
        16 => out
            .chunks_exact_mut(2)
            .zip(samples)
            .for_each(|(pair, code)| pair.copy_from_slice(&code.to_le_bytes())),
        _ => pack_odd(samples, bits, top, out),
    }
    len
}

fn pack_odd(samples: &[u16], bits: u8, top: u16, out: &mut [u8]) {
    let (mut held, mut have) = (0u32, 0);
    let mut slots = out.iter_mut();
    for code in samples {
        held |= u32::from((*code).min(top)) << have;
        have += bits;
        while have >= 8 {
            let Some(slot) = slots.next() else { return };
            *slot = held as u8;
            held >>= 8;
            have -= 8;
        }
    }
    if have > 0
        && let Some(slot) = slots.next()
    {
        *slot = held as u8;
    }
}

/// Highest code of a converter of `bits` bits (1 to 16).
#[must_use]
pub const fn top_code(bits: u8) -> u16 {
    if bits >= 16 { u16::MAX } else { (1 << bits) - 1 }
}

/// Samples of one block, still packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Samples<'a> {
    bytes: &'a [u8],
    bits: u8,
    count: usize,
}

impl<'a> Samples<'a> {
    /// `count` samples of `bits` bits, packed in `bytes`.
    ///
    /// # Errors
    /// [`Malformed::SampleBits`] for a width outside 1 to 16 or padding that is not zero,
    /// [`Malformed::Truncated`] if `bytes` is not exactly as long as the samples take.
    pub const fn new(bytes: &'a [u8], bits: u8, count: usize) -> Result<Self, Malformed> {
        if bits == 0 || bits > 16 {
            return Err(Malformed::SampleBits);
        }
        if bytes.len() != packed_len(count, bits) {
            return Err(Malformed::Truncated);
        }
        let used = count * bits as usize % 8;
        if used != 0 && bytes[bytes.len() - 1] >> used != 0 {
            return Err(Malformed::SampleBits);
        }
        Ok(Self { bytes, bits, count })
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bits of a sample.
    #[must_use]
    pub const fn bits(&self) -> u8 {
        self.bits
    }

    /// Writes the samples to the front of `out`, as far as it reaches.
    pub fn unpack(&self, out: &mut [u16]) {
        let n = self.count.min(out.len());
        let out = &mut out[..n];
        match self.bits {
            8 => out.iter_mut().zip(self.bytes).for_each(|(code, byte)| *code = u16::from(*byte)),
            16 => out
                .iter_mut()
                .zip(self.bytes.as_chunks::<2>().0)
                .for_each(|(code, pair)| *code = u16::from_le_bytes(*pair)),
            _ => self.unpack_odd(out),
        }
    }

    fn unpack_odd(&self, out: &mut [u16]) {
        let (mut held, mut have) = (0u32, 0);
        let mut bytes = self.bytes.iter();
        for code in out {
            while have < self.bits {
                held |= u32::from(bytes.next().copied().unwrap_or(0)) << have;
                have += 8;
            }
            *code = held as u16 & top_code(self.bits);
            held >>= self.bits;
            have -= self.bits;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn events(bits: u8) -> impl Strategy<Value = Vec<SpikeEvent>> {
        let id = 0..=top_code(bits.max(1));
        let event = (prop_oneof![4 => 0u32..300, 1 => any::<u32>()], id);
        prop::collection::vec(event, 0..80).prop_map(|list| {
            let mut list: Vec<_> = list.into_iter().map(|(t, id)| SpikeEvent::new(t, id)).collect();
            list.sort_by_key(|event| event.tick);
            list
        })
    }

    fn packed(list: &[SpikeEvent], bits: u8) -> Vec<u8> {
        let mut out = vec![0; list.len() * MAX_EVENT_LEN + MAX_EVENT_LEN];
        let mut writer = Writer::new(&mut out);
        assert_eq!(pack_events(list, bits, &mut writer), list.len());
        writer.written().to_vec()
    }

    #[test]
    fn sizes_are_as_documented() {
        let size = |tick, id| packed(&[SpikeEvent::new(tick, id)], 8).len();
        assert_eq!([size(0, 127), size(0, 128), size(63, 255), size(64, 0)], [1, 2, 2, 3]);
        assert_eq!(packed(&[SpikeEvent::new(u32::MAX, u16::MAX)], 16).len(), MAX_EVENT_LEN);
        assert_eq!([1, 2, 3, 256, 257, 65535].map(address_bits), [1, 1, 2, 8, 9, 16]);
    }

    #[test]
    fn only_the_shortest_spelling_is_accepted() {
        let mut list = Events::new(&[0x85, 0x00], 8).unwrap();
        assert_eq!(list.next(), Some(Err(Malformed::Varint)));
        assert_eq!(list.next(), None);
        assert_eq!(Events::new(&[0x85], 8).unwrap().next(), Some(Err(Malformed::Truncated)));
        let far = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F];
        assert_eq!(Events::new(&far, 8).unwrap().next(), Some(Err(Malformed::Time)));
        assert_eq!(Samples::new(&[0xFF], 5, 1), Err(Malformed::SampleBits));
        assert_eq!(Samples::new(&[0x1F], 5, 2), Err(Malformed::Truncated));
    }

    proptest! {
        #[test]
        fn spikes_survive(bits in 1u8..=16, seed in any::<u64>(), list in (1u8..=16).prop_flat_map(events)) {
            let _ = seed;
            let list: Vec<_> = list.into_iter().map(|e| SpikeEvent::new(e.tick, e.id & top_code(bits))).collect();
            let bytes = packed(&list, bits);
            let back: Result<Vec<_>, _> = Events::new(&bytes, bits).unwrap().collect();
            prop_assert_eq!(back.unwrap(), list);
        }

        #[test]
        fn samples_survive(bits in 1u8..=16, raw in prop::collection::vec(any::<u16>(), 0..70)) {
            let codes: Vec<u16> = raw.iter().map(|c| c & top_code(bits)).collect();
            let mut out = vec![0xAA; packed_len(codes.len(), bits)];
            let n = pack_samples(&codes, bits, &mut out);
            prop_assert_eq!(n, out.len());
            let view = Samples::new(&out, bits, codes.len()).unwrap();
            let mut back = vec![0; codes.len()];
            view.unpack(&mut back);
            prop_assert_eq!(back, codes);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), bits in 0u8..20) {
            if let Ok(list) = Events::new(&bytes, bits) {
                let _ = list.count();
            }
            let _ = Samples::new(&bytes, bits, bytes.len());
        }
    }
}
