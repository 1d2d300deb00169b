//! How the units of a layer are connected to those below: fully, or by a convolution.
//!
//! A fully connected layer is a convolution of kernel 1 on an image of one pixel. Units stand in
//! the order row, column, channel; the weights of one (input channel, kernel row, kernel column) to
//! all output channels stand together, so that a spike adds contiguous rows:
//!
//! ```text
//! U[y, x, c] = b[c] + Σ_{i, j, k} W[i, j, k, c] P[y + j − K/2, x + k − K/2, i]      0 outside
//! ```

use serde::{Deserialize, Serialize};

use super::kernel::weighted;
use crate::error::{ModelError, Result};
use crate::kernel::kernel;
use crate::kernel::rows::{gather, padded};
use crate::real::Real;

/// Arrangement of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Units at each pixel.
    pub channels: usize,
}

impl Shape {
    /// Units without arrangement.
    #[must_use]
    pub fn flat(units: usize) -> Self {
        Self { height: 1, width: 1, channels: units }
    }

    /// Number of units.
    #[must_use]
    pub fn units(self) -> usize {
        self.height * self.width * self.channels
    }
}

fn one() -> usize {
    1
}

/// What a layer is. In a configuration: `{ kind = "conv", channels = 64, kernel = 7, pool = 2 }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayerKind {
    /// Every unit sees all units below.
    Dense {
        /// Units.
        units: usize,
    },
    /// Convolution with zero padding that keeps the size of the image, then pooling of the membrane
    /// by its maximum.
    Conv {
        /// Output channels.
        channels: usize,
        /// Rows and columns of the kernel; odd.
        kernel: usize,
        /// Rows and columns that are pooled; incomplete blocks at the edge are left out.
        #[serde(default = "one")]
        pool: usize,
    },
}

/// A layer kind on top of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) input: Shape,
    /// Of the membranes.
    pub(super) membranes: Shape,
    /// Of the units that send spikes, after pooling.
    pub(super) units: Shape,
    pub(super) kernel: usize,
    pub(super) pool: usize,
    /// Channels of the membranes, padded.
    pub(super) stride: usize,
}

impl Geometry {
    pub(super) fn new(kind: LayerKind, below: Shape, layer: usize) -> Result<Self> {
        let sized = |what, got: usize| {
            let max = usize::from(u16::MAX);
            if got == 0 || got > max { Err(ModelError::Size { what, got, max }) } else { Ok(()) }
        };
        let (input, membranes, kernel, pool) = match kind {
            LayerKind::Dense { units } => (Shape::flat(below.units()), Shape::flat(units), 1, 1),
            LayerKind::Conv { channels, kernel, pool } => {
                if kernel % 2 == 0 {
                    let problem =
                        "has an even kernel, which cannot keep the size of the image: make it odd";
                    return Err(ModelError::Architecture { layer, problem });
                }
                sized("network.layers.pool", pool)?;
                if pool > below.height.min(below.width) {
                    let problem = "pools more pixels than the image has: choose a smaller pool";
                    return Err(ModelError::Architecture { layer, problem });
                }
                (below, Shape { channels, ..below }, kernel, pool)
            }
        };
        let units = Shape {
            height: membranes.height / pool,
            width: membranes.width / pool,
            channels: membranes.channels,
        };
        sized("units of a DECOLLE layer", units.units())?;
        sized("units below a DECOLLE layer", input.units())?;
        let stride = padded(membranes.channels);
        Ok(Self { input, membranes, units, kernel, pool, stride })
    }

    /// Rows of the weights.
    pub(super) fn rows(&self) -> usize {
        self.input.channels * self.kernel * self.kernel
    }

    /// Incoming connections of one unit.
    pub(super) fn fan_in(&self) -> usize {
        self.rows()
    }

    /// Length of an array with one entry a membrane, channels padded.
    pub(super) fn len(&self) -> usize {
        self.membranes.height * self.membranes.width * self.stride
    }

    pub(super) fn is_dense(&self) -> bool {
        self.len() == self.stride && self.kernel == 1
    }

    /// `out += W x` where `x` is 1 (no `values`) or `values[k]` at the units `ids`.
    pub(super) fn propagate<F: Real>(
        &self,
        out: &mut [F],
        weights: &[F],
        ids: &[u16],
        values: Option<&[F]>,
    ) {
        match values {
            _ if ids.is_empty() => {}
            None if self.is_dense() => gather(out, weights, ids),
            None => spread(out, weights, self, ids, &[]),
            Some(values) if self.is_dense() => weighted(out, weights, self.stride, ids, values),
            Some(values) => spread(out, weights, self, ids, values),
        }
    }
}

/// Image rows or columns `o = at + K/2 − k` inside `0..size`, with their `k`.
#[inline(always)]
fn reached(at: usize, kernel: usize, size: usize) -> impl Iterator<Item = (usize, usize)> {
    let top = at + kernel / 2;
    // o ≥ 0 and o < size as limits on k.
    let first = (top + 1).saturating_sub(size);
    (first..kernel.min(top + 1)).map(move |k| (k, top - k))
}

kernel! {
    /// Adds the weight rows of each unit of `ids` to the membranes around it.
    fn spread[F: Real](out: &mut [F], weights: &[F], g: &Geometry, ids: &[u16], values: &[F]) {
        let (stride, kernel) = (g.stride, g.kernel);
        for (n, id) in ids.iter().enumerate() {
            let value = values.get(n).copied().unwrap_or_else(F::one);
            let id = usize::from(*id);
            let (pixel, channel) = (id / g.input.channels, id % g.input.channels);
            let (y, x) = (pixel / g.input.width, pixel % g.input.width);
            for (ky, oy) in reached(y, kernel, g.input.height) {
                for (kx, ox) in reached(x, kernel, g.input.width) {
                    let row = &weights[((channel * kernel + ky) * kernel + kx) * stride..][..stride];
                    let to = &mut out[(oy * g.input.width + ox) * stride..][..stride];
                    for (o, w) in to.iter_mut().zip(row) {
                        *o += value * *w;
                    }
                }
            }
        }
    }
}

kernel! {
    /// Adds `Σ P δ` to the `kernel` weight rows of one input channel and kernel row, one sample.
    fn correlate[F: Real](rows: &mut [F], p: &[F], delta: &[F], g: &Geometry, channel: usize, ky: usize) {
        let stride = g.stride;
        for y in 0..g.input.height {
            let Some(oy) = (y + g.kernel / 2).checked_sub(ky).filter(|oy| *oy < g.input.height) else {
                continue;
            };
            for x in 0..g.input.width {
                let value = p[(y * g.input.width + x) * g.input.channels + channel];
                if value == F::zero() {
                    continue;
                }
                for (kx, ox) in reached(x, g.kernel, g.input.width) {
                    let row = &mut rows[kx * stride..][..stride];
                    let from = &delta[(oy * g.input.width + ox) * stride..][..stride];
                    for (r, d) in row.iter_mut().zip(from) {
                        *r += value * *d;
                    }
                }
            }
        }
    }
}
