//! The gradient of a whole pattern at once.
//!
//! With teacher forcing all spikes are known before the run. So `J ŝ(t)` is the product of `J` with
//! the raster, filtered afterwards (both are linear), and the gradient `Σₜ δ(t+1) e(t+1)ᵀ` is the
//! residual, filtered backwards in time, times the raster:
//!
//! ```text
//! u(t) = β_s u(t−1) + c(t) J s*(t)              product with a raster of 0 and 1, scan
//! v(t+1) = (1 − 1/τ_m) v(t) + (u(t) + I(t) + h)/τ_m − s_inh s*(t)            scan
//! δ(t) = s*(t) − p(v(t))
//! q(t) = δ(t+1) + (1 − 1/τ_m) q(t+1),   f(t) = q(t) + β_s f(t+1)             scans, backwards
//! ΔJ = Σₜ c(t)/τ_m f(t) s*(t)ᵀ                  product with the raster
//! ```
//! Products with the raster are sums of weight rows at spikes: their work is the number of spikes
//! times N. With conductances the driving force makes the scan of v depend on u, and the backward
//! scan takes each bin's own factors; the rest stays the same.

use rayon::prelude::*;

use super::config::Factors;
use super::dynamics::{Escape, filter, membrane};
use super::measured::{Measured, Sight};
use super::pattern::Pattern;
use super::recurrent::Recurrent;
use super::weights::{Span, TILE};
use crate::kernel::aligned::Aligned;
use crate::kernel::kernel;
use crate::kernel::rows::{gather, scatter};
use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// Numbers smaller than this are 0 in the backward scan: denormal numbers are slow.
const NOTHING: f64 = 1e-30;

kernel! {
    /// `q = δ + keep · q`, `f = q + decay · f`, `out = gain · f`.
    fn backward_of_current[F: Real](q: &mut [F], f: &mut [F], out: &mut [F], delta: &[F], keep: F, decay: F, gain: F) {
        let nothing = F::of(NOTHING);
        for (((q, f), o), d) in q.iter_mut().zip(f).zip(out).zip(delta) {
            let next = *d + keep * *q;
            *q = if next.abs() < nothing { F::zero() } else { next };
            let next = *q + decay * *f;
            *f = if next.abs() < nothing { F::zero() } else { next };
            *o = gain * *f;
        }
    }
}

kernel! {
    /// `q = δ + keep ⊙ q`.
    fn backward_of_membrane[F: Real](q: &mut [F], delta: &[F], keep: &[F]) {
        for ((q, d), k) in q.iter_mut().zip(delta).zip(keep) {
            *q = *d + *k * *q;
        }
    }
}

kernel! {
    /// `f = force(v) q + decay · f`, `out = gain · f`, with the driving force `sign − v/E`.
    fn backward_of_conductance[F: Real](f: &mut [F], out: &mut [F], q: &[F], v: &[F], force: (F, F), decay: F, gain: F) {
        let (sign, inverse) = force;
        for (((f, o), q), v) in f.iter_mut().zip(out).zip(q).zip(v) {
            *f = (sign - *v * inverse) * *q + decay * *f;
            *o = gain * *f;
        }
    }
}

/// Memory of one tile.
#[derive(Clone, Debug)]
pub(crate) struct Tile<F> {
    /// ΔJ, or ΔJ⁺ and ΔJ⁻: each `[pre, width]`.
    pub(crate) gradient: Vec<Aligned<F>>,
    /// δ(t), `[time, width]`.
    delta: Aligned<F>,
    /// v(t), `[time, width]`; with conductances.
    v: Aligned<F>,
    /// 1 − 1/τ_m − (g⁺ + g⁻)/(E τ_m) of bin t, `[time, width]`; with conductances.
    keep: Aligned<F>,
    /// Rows a tile wide: u, f, and what is gathered or scattered.
    rows: Rows<F>,
}

#[derive(Clone, Debug)]
struct Rows<F> {
    u: Vec<Aligned<F>>,
    f: Vec<Aligned<F>>,
    v: Aligned<F>,
    q: Aligned<F>,
    row: Aligned<F>,
}

impl<F: Real> Tile<F> {
    fn new(of: &Recurrent<F>, span: Span, steps: usize) -> Self {
        let (pre, matrices) = (of.network().neurons, of.matrices.len());
        let row = || Aligned::<F>::zeros(span.width);
        let history = || Aligned::zeros(if matrices == 2 { steps * span.width } else { 0 });
        Self {
            gradient: vec![Aligned::zeros(pre * span.width); matrices],
            delta: Aligned::zeros(steps * span.width),
            v: history(),
            keep: history(),
            rows: Rows {
                u: vec![row(); matrices],
                f: vec![row(); matrices],
                v: row(),
                q: row(),
                row: row(),
            },
        }
    }
}

/// Memory of the gradient of all tiles.
#[derive(Clone, Debug)]
pub(crate) struct Offline<F> {
    pub(crate) tiles: Vec<Tile<F>>,
}

impl<F: Real> Offline<F> {
    pub(crate) fn new(of: &Recurrent<F>, patterns: &[Pattern<F>]) -> Self {
        let steps = patterns.iter().map(|p| p.drive().steps()).max().unwrap_or(0);
        let spans = Span::all(of.network().neurons);
        Self { tiles: spans.iter().map(|span| Tile::new(of, *span, steps)).collect() }
    }

    /// Sums ΔJ over `patterns` in every tile; returns `Σ |s* − p|`, in the order of the tiles.
    pub(crate) fn gradient(
        &mut self,
        of: &Recurrent<F>,
        patterns: &[Pattern<F>],
        escape: Escape<F>,
    ) -> f64 {
        let spans = Span::all(of.network().neurons);
        let sums: Vec<f64> = self
            .tiles
            .par_iter_mut()
            .zip(spans)
            .enumerate()
            .map(|(k, (tile, span))| {
                tile.gradient.iter_mut().for_each(|g| g.fill(F::zero()));
                let mut sum = 0.0;
                for pattern in patterns {
                    sum += tile.forward(of, k, span, pattern, escape);
                    tile.backward(of.factors, span, pattern, None);
                }
                tile.clear_diagonal(span);
                sum
            })
            .collect();
        sums.iter().sum()
    }

    /// The same from what was measured of each of `patterns`, with current synapses.
    pub(crate) fn gradient_measured(
        &mut self,
        of: &Recurrent<F>,
        patterns: &[Pattern<F>],
        runs: &[Measured<F>],
        escape: Escape<F>,
    ) -> f64 {
        let spans = Span::all(of.network().neurons);
        let sums: Vec<f64> = self
            .tiles
            .par_iter_mut()
            .zip(spans)
            .map(|(tile, span)| {
                tile.gradient.iter_mut().for_each(|g| g.fill(F::zero()));
                let mut sum = 0.0;
                for (pattern, run) in patterns.iter().zip(runs) {
                    sum += tile.take(of.factors, span, (pattern, run), escape);
                    tile.backward(of.factors, span, pattern, run.forgets(pattern.target()));
                }
                tile.clear_diagonal(span);
                sum
            })
            .collect();
        sums.iter().sum()
    }
}

impl<F: Real> Tile<F> {
    /// Walks the tile through `pattern` with teacher forcing and keeps δ.
    fn forward(
        &mut self,
        of: &Recurrent<F>,
        k: usize,
        span: Span,
        pattern: &Pattern<F>,
        escape: Escape<F>,
    ) -> f64 {
        let (f, width) = (of.factors, span.width);
        let (target, rows) = (pattern.target(), &mut self.rows);
        let mut deviation = 0.0;
        rows.u.iter_mut().for_each(|u| u.fill(F::zero()));
        rows.v.fill(f.v0);
        for t in 0..pattern.drive().steps() - 1 {
            let fired = target.at(0, t);
            for (u, weights) in rows.u.iter_mut().zip(&of.matrices) {
                rows.row.fill(F::zero());
                gather(&mut rows.row, &weights.tiles[k], fired);
                filter(u, &rows.row, f.syn, f.spike_gain(t));
            }
            if let (Some(reversal), [plus, minus]) = (f.reversal, rows.u.as_slice()) {
                let inverse = f.input / reversal;
                self.v[t * width..][..width].copy_from_slice(&rows.v);
                for ((k, p), m) in
                    self.keep[t * width..][..width].iter_mut().zip(&**plus).zip(&**minus)
                {
                    *k = f.keep - (*p + *m) * inverse;
                }
            }
            let drive = &pattern.drive().padded_row(t)[span.range()];
            membrane(&mut rows.v, &rows.u, drive, f);
            for id in span.own(fired) {
                rows.v[id] -= f.s_inh;
            }
            let delta = &mut self.delta[(t + 1) * width..][..width];
            deviation += residuals(delta, &rows.v, span, target.at(0, t + 1), escape);
        }
        deviation
    }

    /// Keeps δ of a measured run; returns Σ |δ|.
    fn take(
        &mut self,
        f: Factors<F>,
        span: Span,
        (pattern, run): (&Pattern<F>, &Measured<F>),
        escape: Escape<F>,
    ) -> f64 {
        let (mut sum, mut sight) = (0.0, Sight::new(f, run, span));
        for t in 1..pattern.drive().steps() {
            let delta = &mut self.delta[t * span.width..][..span.width];
            delta.fill(F::zero());
            let mut fires = span.own(pattern.target().at(0, t)).peekable();
            let mut fired = span.own(run.spikes.at(0, t)).peekable();
            for (k, d) in delta[..span.units].iter_mut().enumerate() {
                let spikes = (fires.next_if_eq(&k).is_some(), fired.next_if_eq(&k).is_some());
                *d = sight.residual(escape, (t, k), spikes);
                sum += d.wide().abs();
            }
        }
        sum
    }

    /// Walks back and adds to the gradient at the spikes. With `cut` the membranes forget what came
    /// before these spikes (current synapses).
    fn backward(
        &mut self,
        f: Factors<F>,
        span: Span,
        pattern: &Pattern<F>,
        cut: Option<&SpikeTrains>,
    ) {
        let (width, target, rows) = (span.width, pattern.target(), &mut self.rows);
        rows.q.fill(F::zero());
        rows.f.iter_mut().for_each(|f| f.fill(F::zero()));
        let last = pattern.drive().steps() - 2;
        for t in (0..=last).rev() {
            let delta = &self.delta[(t + 1) * width..][..width];
            let (fired, gain) = (target.at(0, t), f.spike_gain(t) * f.input);
            match (f.reversal, rows.f.as_mut_slice(), self.gradient.as_mut_slice()) {
                (Some(reversal), filtered @ [_, _], gradients @ [_, _]) => {
                    // After the last bin q is 0, whatever it is multiplied by.
                    let next = if t == last { t } else { t + 1 };
                    let keep = &self.keep[next * width..][..width];
                    backward_of_membrane(&mut rows.q, delta, keep);
                    let (v, inverse) = (&self.v[t * width..][..width], F::one() / reversal);
                    let signs = [F::one(), -F::one()];
                    for ((filtered, gradient), sign) in
                        filtered.iter_mut().zip(gradients).zip(signs)
                    {
                        let force = (sign, inverse);
                        backward_of_conductance(
                            filtered,
                            &mut rows.row,
                            &rows.q,
                            v,
                            force,
                            f.syn,
                            gain,
                        );
                        scatter(gradient, &rows.row, fired);
                    }
                }
                (_, [filtered, ..], [gradient, ..]) => {
                    // q holds what follows from v(t + 2), where a spike in t + 1 leaves nothing.
                    for id in cut.into_iter().flat_map(|spikes| span.own(spikes.at(0, t + 1))) {
                        rows.q[id] = F::zero();
                    }
                    backward_of_current(
                        &mut rows.q,
                        filtered,
                        &mut rows.row,
                        delta,
                        f.keep,
                        f.syn,
                        gain,
                    );
                    scatter(gradient, &rows.row, fired);
                }
                _ => {}
            }
        }
    }

    /// Self-connections are not learned.
    fn clear_diagonal(&mut self, span: Span) {
        for gradient in &mut self.gradient {
            for k in 0..span.units {
                gradient[(span.first + k) * span.width + k] = F::zero();
            }
        }
    }
}

/// δ of one bin of one tile; padding gets 0. Returns Σ |δ|.
fn residuals<F: Real>(
    delta: &mut [F],
    v: &[F],
    span: Span,
    fires: &[u16],
    escape: Escape<F>,
) -> f64 {
    let mut sum = 0.0;
    for (d, v) in delta.iter_mut().zip(&v[..span.units]) {
        *d = escape.residual(*v, false);
    }
    for id in span.own(fires) {
        delta[id] = escape.residual(v[id], true);
    }
    for d in &mut delta[..span.units] {
        sum += d.wide().abs();
    }
    delta[span.units..].fill(F::zero());
    sum
}

const _: () = assert!(TILE.is_multiple_of(crate::kernel::rows::PAD));
