//! Byte stuffing: consistent overhead byte stuffing (Cheshire and Baker, IEEE/ACM Transactions on
//! Networking 7, 1999), so that the byte zero appears on a line only between frames.
//!
//! Both directions move whole runs of bytes; a frame of membrane samples, in which zeros are rare,
//! is stuffed at close to the speed of a copy.

/// Most data bytes in one block; a block of this length is not followed by an implied zero.
const BLOCK: usize = 254;

/// Where the first zero byte of `bytes` is.
///
/// Looks at eight bytes at a time: `(w − 0x01…) & !w & 0x80…` is non-zero exactly if `w` holds a
/// zero byte.
#[must_use]
pub(crate) fn find_zero(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, tail) = bytes.as_chunks::<8>();
    for (k, word) in words.iter().enumerate() {
        let w = u64::from_le_bytes(*word);
        let hit = w.wrapping_sub(ONES) & !w & (ONES << 7);
        if hit != 0 {
            return Some(8 * k + hit.trailing_zeros() as usize / 8);
        }
    }
    tail.iter().position(|b| *b == 0).map(|at| 8 * words.len() + at)
}

/// Longest stuffed form of `len` bytes.
#[must_use]
pub(crate) const fn stuffed_len(len: usize) -> usize {
    len + len.div_ceil(BLOCK) + (len == 0) as usize
}

/// Stuffs slices, one after the other, into one output.
///
/// The caller guarantees room: `out` must hold [`stuffed_len`] of everything that is pushed.
pub(crate) struct Stuffer<'a> {
    out: &'a mut [u8],
    code_at: usize,
    run: usize,
}

impl<'a> Stuffer<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, code_at: 0, run: 0 }
    }

    pub(crate) fn push(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.run == BLOCK {
                self.close_block();
            }
            let chunk = &data[..data.len().min(BLOCK - self.run)];
            let zero = find_zero(chunk);
            let plain = zero.unwrap_or(chunk.len());
            let to = self.code_at + 1 + self.run;
            self.out[to..to + plain].copy_from_slice(&chunk[..plain]);
            self.run += plain;
            data = &data[plain..];
            if zero.is_some() {
                self.close_block();
                data = &data[1..];
            }
        }
    }

    /// Ends the frame and says how many bytes were written.
    pub(crate) fn finish(mut self) -> usize {
        self.close_block();
        self.code_at
    }

    fn close_block(&mut self) {
        self.out[self.code_at] = self.run as u8 + 1;
        self.code_at += self.run + 1;
        self.run = 0;
    }
}

/// Removes the stuffing in place and says how many bytes remain. `None` if a block runs past the
/// end or a zero stands where none may be.
pub(crate) fn unstuff_in_place(bytes: &mut [u8]) -> Option<usize> {
    let (mut read, mut write) = (0, 0);
    while read < bytes.len() {
        let code = usize::from(bytes[read]);
        let end = read + code;
        if code == 0 || end > bytes.len() {
            return None;
        }
        bytes.copy_within(read + 1..end, write);
        write += code - 1;
        read = end;
        if code != BLOCK + 1 && read < bytes.len() {
            bytes[write] = 0;
            write += 1;
        }
    }
    Some(write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn stuff(data: &[u8]) -> Vec<u8> {
        let mut out = vec![0; stuffed_len(data.len())];
        let mut stuffer = Stuffer::new(&mut out);
        let (a, b) = data.split_at(data.len() / 3);
        stuffer.push(a);
        stuffer.push(b);
        let n = stuffer.finish();
        out.truncate(n);
        out
    }

    #[test]
    fn published_examples() {
        assert_eq!(stuff(&[]), [1]);
        assert_eq!(stuff(&[0]), [1, 1]);
        assert_eq!(stuff(&[0, 0]), [1, 1, 1]);
        assert_eq!(stuff(&[0x11, 0x22, 0x00, 0x33]), [3, 0x11, 0x22, 2, 0x33]);
        assert_eq!(stuff(&[0x11, 0, 0, 0]), [2, 0x11, 1, 1, 1]);
        let ramp: Vec<u8> = (1..=254).collect();
        let full = stuff(&ramp);
        assert_eq!((full.len(), full[0]), (255, 255));
        let more: Vec<u8> = (1..=255).collect();
        let split = stuff(&more);
        assert_eq!((split[0], split[255], split[256]), (255, 2, 255));
    }

    proptest! {
        #[test]
        fn round_trip(data in prop::collection::vec(prop_oneof![3 => 1u8..=255, 1 => Just(0u8)], 0..1200)) {
            let mut stuffed = stuff(&data);
            prop_assert!(!stuffed.contains(&0));
            let n = unstuff_in_place(&mut stuffed).unwrap();
            prop_assert_eq!(&stuffed[..n], &data[..]);
        }

        #[test]
        fn long_runs_without_zero(len in 240usize..1100) {
            let data = vec![7u8; len];
            let mut stuffed = stuff(&data);
            prop_assert!(stuffed.len() <= stuffed_len(len));
            let n = unstuff_in_place(&mut stuffed).unwrap();
            prop_assert_eq!(&stuffed[..n], &data[..]);
        }

        #[test]
        fn zeros_are_found(data in prop::collection::vec(0u8..4, 0..40)) {
            prop_assert_eq!(find_zero(&data), data.iter().position(|b| *b == 0));
        }
    }
}
