//! A step after every bin.
//!
//! With teacher forcing the weights of a neuron meet nothing but the given spikes and its own
//! membrane: every row of J learns alone. So a few rows walk through all bins and patterns while
//! they and their moments stay in the nearest cache, instead of the whole matrix once per bin, and
//! rows can be shared out among threads.

use rayon::prelude::*;

use super::adam::{Step, ascend, rest, shrink};
use super::config::Factors;
use super::dynamics::Escape;
use super::pattern::Pattern;
use super::teacher::{Teacher, width};
use super::weights::Weights;
use crate::kernel::aligned::Aligned;
use crate::kernel::kernel;
use crate::kernel::rows::PAD;
use crate::real::Real;

/// Rows that walk together and share the traces that they read.
const TOGETHER: usize = 4;

kernel! {
    /// Σ aₖ bₖ in a fixed order: sixteen sums, added in pairs. Lengths are multiples of [`PAD`].
    fn dot[F: Real](a: &[F], b: &[F]) -> F {
        let mut sums = [[F::zero(); PAD]; 2];
        let (a, b) = (a.as_chunks::<PAD>().0, b.as_chunks::<PAD>().0);
        for (a, b) in a.chunks(2).zip(b.chunks(2)) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                for k in 0..PAD {
                    sum[k] += a[k] * b[k];
                }
            }
        }
        let [mut sum, other] = sums;
        for k in 0..PAD {
            sum[k] += other[k];
        }
        let mut half = PAD / 2;
        while half > 0 {
            for k in 0..half {
                sum[k] += sum[k + half];
            }
            half /= 2;
        }
        sum[0]
    }
}

kernel! {
    /// One bin of the eligibilities of a conductance: `e = keep · e + force · ŝ`.
    fn eligibility[F: Real](e: &mut [F], s_hat: &[F], keep: F, force: F) {
        for (e, s) in e.iter_mut().zip(s_hat) {
            *e = keep * *e + force * *s;
        }
    }
}

kernel! {
    /// Plain ascent that stays at or above 0: `w = max(0, w + step · e)`.
    fn climb[F: Real](w: &mut [F], e: &[F], step: F) {
        for (w, e) in w.iter_mut().zip(e) {
            let next = *w + step * *e;
            *w = if next > F::zero() { next } else { F::zero() };
        }
    }
}

/// What all rows read.
#[derive(Clone, Copy)]
struct Lesson<'a, F> {
    factors: Factors<F>,
    escape: Escape<F>,
    patterns: &'a [Pattern<F>],
    teachers: &'a [Teacher<F>],
    active: &'a [u16],
    /// One for every bin that is learned from, in order.
    steps: &'a [Step<F>],
    /// The same for conductances: rates.
    rates: &'a [F],
}

/// Rows of weights and moments `[post, active]`, and the traces.
#[derive(Clone, Debug)]
pub(crate) struct Online<F> {
    active: Vec<u16>,
    teachers: Vec<Teacher<F>>,
    /// J, or J⁺ and J⁻. Taken from the network before and brought back after an epoch.
    rows: Vec<Aligned<F>>,
    /// Moments of J; nothing for conductances, whose eligibilities do not outlive an epoch.
    pub(crate) mean: Aligned<F>,
    pub(crate) square: Aligned<F>,
}

/// The numbers of one epoch.
pub(crate) struct Epoch<'a, F> {
    pub(crate) escape: Escape<F>,
    pub(crate) patterns: &'a [Pattern<F>],
    pub(crate) steps: &'a [Step<F>],
    pub(crate) rates: &'a [F],
}

impl<F: Real> Online<F> {
    pub(crate) fn new(factors: Factors<F>, patterns: &[Pattern<F>], neurons: usize) -> Self {
        let active = super::teacher::active(patterns);
        let len = neurons * width(&active);
        let matrices = if factors.reversal.is_some() { 2 } else { 1 };
        let moments = if matrices == 1 { len } else { 0 };
        Self {
            teachers: patterns.iter().map(|p| Teacher::new(factors, p, &active)).collect(),
            rows: vec![Aligned::zeros(len); matrices],
            mean: Aligned::zeros(moments),
            square: Aligned::zeros(moments),
            active,
        }
    }

    /// Learns from every bin once; returns `Σ |s* − p|`, in the order of the rows.
    pub(crate) fn epoch(
        &mut self,
        factors: Factors<F>,
        matrices: &mut [Weights<F>],
        epoch: &Epoch<'_, F>,
    ) -> f64 {
        for (rows, weights) in self.rows.iter_mut().zip(&*matrices) {
            copy(&self.active, weights, rows);
        }
        let lesson = Lesson {
            factors,
            escape: epoch.escape,
            patterns: epoch.patterns,
            teachers: &self.teachers,
            active: &self.active,
            steps: epoch.steps,
            rates: epoch.rates,
        };
        let width = width(&self.active);
        let chunk = TOGETHER * width;
        let sums: Vec<f64> = match (self.rows.as_mut_slice(), factors.reversal) {
            ([plus, minus], Some(reversal)) => plus
                .par_chunks_mut(chunk)
                .zip(minus.par_chunks_mut(chunk))
                .enumerate()
                .map(|(k, (plus, minus))| {
                    lesson.conductances(k * TOGETHER, [plus, minus], reversal)
                })
                .collect(),
            ([rows, ..], _) => rows
                .par_chunks_mut(chunk)
                .zip(self.mean.par_chunks_mut(chunk))
                .zip(self.square.par_chunks_mut(chunk))
                .enumerate()
                .map(|(k, ((w, m), q))| lesson.currents(k * TOGETHER, w, m, q))
                .collect(),
            ([], _) => Vec::new(),
        };
        for (rows, weights) in self.rows.iter().zip(matrices) {
            bring_back(&self.active, rows, weights);
        }
        sums.iter().sum()
    }
}

fn copy<F: Real>(active: &[u16], from: &Weights<F>, rows: &mut [F]) {
    for (post, row) in rows.chunks_exact_mut(width(active)).enumerate() {
        for (to, pre) in row.iter_mut().zip(active) {
            *to = from.get(usize::from(*pre), post);
        }
    }
}

fn bring_back<F: Real>(active: &[u16], rows: &[F], to: &mut Weights<F>) {
    for (post, row) in rows.chunks_exact(width(active)).enumerate() {
        for (from, pre) in row.iter().zip(active) {
            to.set(usize::from(*pre), post, *from);
        }
    }
}

impl<F: Real> Lesson<'_, F> {
    /// Neurons `first ..`, as many as there are rows in `w`, with their moments.
    fn currents(&self, first: usize, w: &mut [F], m: &mut [F], q: &mut [F]) -> f64 {
        let (f, width) = (self.factors, width(self.active));
        let rows = w.len() / width;
        // Rows whose means are all 0 rest while δ is 0: bins in which a row rested.
        let (mut rests, mut resting) = ([0_u32; TOGETHER], [false; TOGETHER]);
        let own = self.self_connections(first);
        let mut steps = self.steps.iter();
        let mut deviation = 0.0;
        for (pattern, teacher) in self.patterns.iter().zip(self.teachers) {
            let mut v = [f.v0; TOGETHER];
            for (t, step) in (0..teacher.steps - 1).zip(&mut steps) {
                let (s_hat, e) = (teacher.s_hat(t), teacher.e(t + 1));
                let drive = pattern.drive().row(t);
                for r in 0..rows {
                    let neuron = first + r;
                    let fires = teacher.fires(neuron);
                    let range = r * width..(r + 1) * width;
                    let u = dot(&w[range.clone()], s_hat);
                    v[r] = f.keep * v[r] + f.input * (u + drive[neuron] + f.h);
                    if fires[t] {
                        v[r] -= f.s_inh;
                    }
                    let delta = self.escape.residual(v[r], fires[t + 1]);
                    deviation += delta.wide().abs();
                    if resting[r] && delta == F::zero() {
                        rests[r] += 1;
                        continue;
                    }
                    let (w, q) = (&mut w[range.clone()], &mut q[range.clone()]);
                    wake(q, &mut rests[r]);
                    resting[r] = !ascend(w, &mut m[range], q, e, step.scale * delta, *step);
                    own[r].into_iter().for_each(|k| w[k] = F::zero());
                }
            }
        }
        for (r, rests) in rests.iter_mut().enumerate().take(rows) {
            wake(&mut q[r * width..(r + 1) * width], rests);
        }
        deviation
    }

    /// The same with J⁺ and J⁻, each row with two eligibilities of its own: its leak depends on the
    /// conductances.
    fn conductances(&self, first: usize, [plus, minus]: [&mut [F]; 2], reversal: F) -> f64 {
        let (f, width, inverse) = (self.factors, width(self.active), F::one() / reversal);
        let rows = plus.len() / width;
        let mut e = [vec![F::zero(); plus.len()], vec![F::zero(); plus.len()]];
        let own = self.self_connections(first);
        let mut rates = self.rates.iter();
        let mut deviation = 0.0;
        for (pattern, teacher) in self.patterns.iter().zip(self.teachers) {
            let mut v = [f.v0; TOGETHER];
            e.iter_mut().for_each(|e| e.fill(F::zero()));
            for (t, rate) in (0..teacher.steps - 1).zip(&mut rates) {
                let (s_hat, drive) = (teacher.s_hat(t), pattern.drive().row(t));
                for r in 0..rows {
                    let neuron = first + r;
                    let fires = teacher.fires(neuron);
                    let range = r * width..(r + 1) * width;
                    let (plus, minus) = (&mut plus[range.clone()], &mut minus[range.clone()]);
                    let g = [dot(plus, s_hat), dot(minus, s_hat)];
                    let forces = [F::one() - v[r] * inverse, -F::one() - v[r] * inverse];
                    let keep = f.keep - f.input * (g[0] + g[1]) * inverse;
                    let current = g[0] * forces[0] + g[1] * forces[1];
                    v[r] = f.keep * v[r] + f.input * (current + drive[neuron] + f.h);
                    if fires[t] {
                        v[r] -= f.s_inh;
                    }
                    let delta = self.escape.residual(v[r], fires[t + 1]);
                    deviation += delta.wide().abs();
                    for ((w, e), force) in [plus, minus].into_iter().zip(&mut e).zip(forces) {
                        let e = &mut e[range.clone()];
                        eligibility(e, s_hat, keep, f.input * force);
                        climb(w, e, *rate * delta);
                        own[r].into_iter().for_each(|k| w[k] = F::zero());
                    }
                }
            }
        }
        deviation
    }

    /// Where in its row each of the neurons `first ..` stands itself, if it is active.
    fn self_connections(&self, first: usize) -> [Option<usize>; TOGETHER] {
        std::array::from_fn(|r| {
            self.active.binary_search_by_key(&(first + r), |id| usize::from(*id)).ok()
        })
    }
}

/// Makes up for the bins in which a row rested.
fn wake<F: Real>(square: &mut [F], rests: &mut u32) {
    if *rests > 0 {
        shrink(square, rest(*rests));
        *rests = 0;
    }
}
