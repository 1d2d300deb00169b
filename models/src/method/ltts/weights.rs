//! A weight matrix in tiles of postsynaptic units, so that one tile with its state stays in cache
//! while it walks through time, and tiles can be walked by several threads.

use std::ops::Range;

use ndarray::Array2;

use crate::kernel::aligned::Aligned;
use crate::kernel::rows::padded;
use crate::real::Real;

/// Postsynaptic units of a tile; the last one may be narrower.
pub(crate) const TILE: usize = 64;

/// Units `first .. first + units` of all postsynaptic ones, padded to `width`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: usize,
    pub(crate) units: usize,
    pub(crate) width: usize,
}

impl Span {
    /// The tiles of `post` units.
    pub(crate) fn all(post: usize) -> Vec<Self> {
        (0..post)
            .step_by(TILE)
            .map(|first| {
                let units = TILE.min(post - first);
                Self { first, units, width: padded(units) }
            })
            .collect()
    }

    /// Units with padding, among all padded units.
    pub(crate) fn range(&self) -> Range<usize> {
        self.first..self.first + self.width
    }

    /// The units of this tile among ascending `ids`, counted from the first of the tile.
    pub(crate) fn own<'a>(&self, ids: &'a [u16]) -> impl Iterator<Item = usize> + 'a {
        let (first, end) = (self.first, self.first + self.units);
        let from = ids.partition_point(|id| usize::from(*id) < first);
        ids[from..]
            .iter()
            .map(|id| usize::from(*id))
            .take_while(move |id| *id < end)
            .map(move |id| id - first)
    }
}

/// `[pre, post]`.
#[derive(Clone, Debug)]
pub(crate) struct Weights<F> {
    pre: usize,
    post: usize,
    /// Each `[pre, width]`.
    pub(crate) tiles: Vec<Aligned<F>>,
}

impl<F: Real> Weights<F> {
    pub(crate) fn zeros(pre: usize, post: usize) -> Self {
        let tiles = Span::all(post).iter().map(|s| Aligned::zeros(pre * s.width)).collect();
        Self { pre, post, tiles }
    }

    pub(crate) fn get(&self, pre: usize, post: usize) -> F {
        let tile = &self.tiles[post / TILE];
        tile[pre * (tile.len() / self.pre) + post % TILE]
    }

    pub(crate) fn set(&mut self, pre: usize, post: usize, to: F) {
        let tile = &mut self.tiles[post / TILE];
        let width = tile.len() / self.pre;
        tile[pre * width + post % TILE] = to;
    }

    pub(crate) fn to_array(&self) -> Array2<F> {
        Array2::from_shape_fn((self.pre, self.post), |(pre, post)| self.get(pre, post))
    }

    /// The numbers of `array`, whose shape must be `[pre, post]`.
    pub(crate) fn copy_from(&mut self, array: &Array2<F>) {
        for ((pre, post), value) in array.indexed_iter() {
            self.set(pre, post, *value);
        }
    }

    pub(crate) fn shape(&self) -> [usize; 2] {
        [self.pre, self.post]
    }
}
