//! Vectors that start at a cache line, so that no vector load crosses one.

use std::ops::{Deref, DerefMut};

use super::rows::PAD;
use crate::real::Real;

/// One vector of units.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Block<F>([F; PAD]);

/// A slice of a multiple of [`PAD`] numbers, aligned to 64 bytes.
#[derive(Clone, Debug)]
pub(crate) struct Aligned<F> {
    blocks: Vec<Block<F>>,
}

impl<F> Default for Aligned<F> {
    fn default() -> Self {
        Self { blocks: Vec::new() }
    }
}

impl<F: Real> Aligned<F> {
    /// `len` zeros; `len` is a multiple of [`PAD`].
    pub(crate) fn zeros(len: usize) -> Self {
        let mut aligned = Self::default();
        aligned.resize(len);
        aligned
    }

    /// Cuts, or fills with zeros, to `len`, a multiple of [`PAD`].
    pub(crate) fn resize(&mut self, len: usize) {
        debug_assert_eq!(len % PAD, 0);
        self.blocks.resize(len / PAD, Block([F::zero(); PAD]));
    }
}

impl<F> Deref for Aligned<F> {
    type Target = [F];

    #[inline(always)]
    fn deref(&self) -> &[F] {
        // SAFETY: `Block` is `repr(C)` with one array whose size (64 or 128 bytes) is a multiple of
        // the alignment, so the blocks are `PAD · len` numbers in a row.
        unsafe { std::slice::from_raw_parts(self.blocks.as_ptr().cast(), self.blocks.len() * PAD) }
    }
}

impl<F> DerefMut for Aligned<F> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [F] {
        // SAFETY: as in `deref`; the borrow is exclusive.
        unsafe {
            std::slice::from_raw_parts_mut(self.blocks.as_mut_ptr().cast(), self.blocks.len() * PAD)
        }
    }
}

impl<F: Real> AsRef<[F]> for Aligned<F> {
    fn as_ref(&self) -> &[F] {
        self
    }
}

const _: () = assert!(
    std::mem::size_of::<Block<f32>>() == 4 * PAD && std::mem::size_of::<Block<f64>>() == 8 * PAD
);
