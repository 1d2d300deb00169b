//! One sample through one layer: spike times forward, times of the inputs backward.
//!
//! The inputs that spike, neurons and pulses together, are sorted by time once for the whole layer;
//! all receiving neurons then take each input together. Between two inputs the membrane is concave
//! up to its peak, so its tangent at the earlier one lies above it: the exact crossing is computed
//! only for neurons whose tangent reaches the threshold before the later input, for most neurons
//! once. Spike times that were measured ([`Pass::observe`]) are not searched: only the sums and the
//! slope at them are computed, from the inputs that came before.

use super::kernel::Kernel;
use super::network::Dense;
use crate::kernel::aligned::Aligned;
use crate::kernel::kernel;
use crate::kernel::rows::PAD;

/// Inputs later than this many time constants after the first one count as not spiking: keeps all
/// exponentials within the range of `f64`.
pub(crate) const HORIZON: f64 = 300.0;
/// Where no spike is.
const NEVER: f64 = -1.0;
/// Relative rounding that the search for crossings allows for.
const ROUNDING: f64 = 1e-12;
/// Least slope dV/dx at a spike, in thresholds per time constant, that derivatives divide by. They
/// diverge where V only grazes the threshold.
const LEAST_SLOPE: f64 = 1e-9;

/// State of one layer for one sample; its memory is used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pass {
    /// Inputs that spike, in order of time: row of the weights, time since the first one in time
    /// constants, and (p, q) of the kernel. `start` is the time of the first one.
    start: f64,
    pub(crate) rows: Vec<u16>,
    pub(crate) x: Vec<f64>,
    pub(crate) p: Vec<f64>,
    pub(crate) q: Vec<f64>,
    /// Spike time of each neuron; infinite = none.
    pub(crate) times: Vec<f64>,
    /// The same since the first input in time constants; negative = none. Padded, as all that
    /// follow.
    pub(crate) x_out: Aligned<f64>,
    /// `∂t/∂w = p weight_p + q weight_q` for inputs before `x_out`.
    pub(crate) weight_p: Aligned<f64>,
    pub(crate) weight_q: Aligned<f64>,
    /// `∂t/∂t_i = w_i (p time_p + q time_q)` for inputs before `x_out`.
    time_p: Aligned<f64>,
    time_q: Aligned<f64>,
    /// Derivative of the loss by the spike time; 0 for neurons that do not spike.
    pub(crate) delta: Aligned<f64>,
    events: Vec<(f64, u16)>,
    a: Aligned<f64>,
    b: Aligned<f64>,
    limit: Aligned<f64>,
    found: Vec<u32>,
}

impl Pass {
    /// [`Self::forward`], or [`Self::observe`] where there are measured times.
    pub(crate) fn run(
        &mut self,
        dense: &Dense,
        kernel: &Kernel,
        threshold: f64,
        inputs: impl Iterator<Item = (f64, u16)>,
        measured: Option<(&[f64], f64)>,
    ) {
        match measured {
            None => self.forward(dense, kernel, threshold, inputs),
            Some(found) => self.observe(dense, kernel, threshold, inputs, found),
        }
    }

    /// Spike times of `dense` for inputs at `inputs` (time, neuron) and its pulses.
    pub(crate) fn forward(
        &mut self,
        dense: &Dense,
        kernel: &Kernel,
        threshold: f64,
        inputs: impl Iterator<Item = (f64, u16)>,
    ) {
        self.sort(dense, kernel, inputs);
        let threshold = threshold / kernel.gain();
        self.reset(dense, threshold);
        let mut open = dense.post;
        let mut first = 0;
        while first < self.x.len() && open > 0 {
            let (now, end, next) = self.add(dense, first);
            open -= self.cross(kernel, threshold, now, next);
            first = end;
        }
    }

    /// The same for spikes that were measured at `times` (infinite = none): the sums over the inputs
    /// before them and the slope there, at least `least_slope` thresholds per time constant. A spike
    /// before every input has no derivatives.
    pub(crate) fn observe(
        &mut self,
        dense: &Dense,
        kernel: &Kernel,
        threshold: f64,
        inputs: impl Iterator<Item = (f64, u16)>,
        (times, least_slope): (&[f64], f64),
    ) {
        self.sort(dense, kernel, inputs);
        let threshold = threshold / kernel.gain();
        self.reset(dense, threshold);
        self.times.copy_from_slice(times);
        let rate = 1.0 / kernel.time_constant();
        for (x, t) in self.x_out.iter_mut().zip(times).filter(|(_, t)| t.is_finite()) {
            *x = (*t - self.start) * rate;
        }
        let mut open = self.x_out.iter().filter(|x| **x >= 0.0).count();
        let mut first = 0;
        while first < self.x.len() && open > 0 {
            let (now, end, next) = self.add(dense, first);
            for k in 0..dense.post {
                let x = self.x_out[k];
                if now <= x && x < next {
                    self.derive(kernel, threshold, k, least_slope.max(LEAST_SLOPE));
                    open -= 1;
                }
            }
            first = end;
        }
    }

    /// Forgets the last sample; `threshold` per gain.
    fn reset(&mut self, dense: &Dense, threshold: f64) {
        for vector in [&mut self.a, &mut self.b, &mut self.delta] {
            vector.resize(dense.stride);
            vector.fill(0.0);
        }
        for vector in [&mut self.weight_p, &mut self.weight_q, &mut self.time_p, &mut self.time_q] {
            vector.resize(dense.stride);
            vector.fill(0.0);
        }
        self.x_out.resize(dense.stride);
        self.x_out.fill(NEVER);
        self.limit.resize(dense.stride);
        self.limit.fill(f64::INFINITY);
        self.limit[..dense.post].fill(threshold * (1.0 - ROUNDING));
        self.times.clear();
        self.times.resize(dense.post, f64::INFINITY);
    }

    /// Adds the inputs that come together with input `first`; returns when that is, the first input
    /// after them, and when that one comes.
    fn add(&mut self, dense: &Dense, first: usize) -> (f64, usize, f64) {
        let now = self.x[first];
        let end = first + self.x[first..].iter().take_while(|x| **x == now).count();
        add_rows(
            &mut self.a,
            &mut self.b,
            &dense.weights,
            &self.rows[first..end],
            &self.p[first..end],
            &self.q[first..end],
        );
        (now, end, self.x.get(end).copied().unwrap_or(f64::INFINITY))
    }

    /// Sorts the inputs and computes (p, q) of each.
    fn sort(&mut self, dense: &Dense, kernel: &Kernel, inputs: impl Iterator<Item = (f64, u16)>) {
        self.events.clear();
        self.events.extend(inputs.filter(|(t, _)| t.is_finite()));
        let pulses = dense.pulses.iter().enumerate();
        self.events.extend(pulses.map(|(k, t)| (*t, (dense.pre + k) as u16)));
        // Stable: takes runs that are in order, as inputs are, as they are.
        self.events.sort_by(|l, r| l.0.total_cmp(&r.0).then(l.1.cmp(&r.1)));
        self.rows.clear();
        self.x.clear();
        self.p.clear();
        self.q.clear();
        self.start = self.events.first().map_or(0.0, |e| e.0);
        let start = self.start;
        let rate = 1.0 / kernel.time_constant();
        let mut last = (0.0, kernel.input(0.0));
        for &(t, row) in &self.events {
            let x = (t - start) * rate;
            if x > HORIZON {
                break;
            }
            if x != last.0 {
                last = (x, kernel.input(x));
            }
            self.rows.push(row);
            self.x.push(x);
            self.p.push(last.1.0);
            self.q.push(last.1.1);
        }
    }

    /// Finds the neurons that cross the threshold from `now` to `next`; returns how many.
    fn cross(&mut self, kernel: &Kernel, threshold: f64, now: f64, next: f64) -> usize {
        let here = kernel.probe(now);
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        if next.is_finite() {
            let (c, d) = (here.f + (next - now) * here.df, here.g + (next - now) * here.dg);
            candidates(&mut found, &self.a, &self.b, &self.limit, c, d);
        } else {
            let open = self.limit.iter().enumerate().filter(|(_, limit)| limit.is_finite());
            found.extend(open.map(|(k, _)| k as u32));
        }
        let tolerance = ROUNDING * (1.0 + now);
        let mut crossed = 0;
        for k in found.iter().map(|k| *k as usize) {
            let (a, b) = (self.a[k], self.b[k]);
            let Some(rise) = kernel.rise(a, b, threshold) else { continue };
            // A rise before `now` belongs to inputs that had not all come; V at `now` then lies
            // past the peak. Above the threshold it can only be by rounding.
            let late = rise >= now - tolerance || a * here.f - b * here.g >= threshold;
            if !late || rise > next {
                continue;
            }
            self.fire(kernel, threshold, k, rise.max(now));
            crossed += 1;
        }
        self.found = found;
        crossed
    }

    /// Neuron `k` spikes at `x`.
    fn fire(&mut self, kernel: &Kernel, threshold: f64, k: usize, x: f64) {
        let tau = kernel.time_constant();
        self.limit[k] = f64::INFINITY;
        self.times[k] = self.start + tau * x;
        // As from a measured time, so that injected times give the same bits.
        self.x_out[k] = (self.times[k] - self.start) * (1.0 / tau);
        self.derive(kernel, threshold, k, LEAST_SLOPE);
    }

    /// Keeps what the derivatives of the spike of neuron `k` need.
    fn derive(&mut self, kernel: &Kernel, threshold: f64, k: usize, least_slope: f64) {
        let at = kernel.probe(self.x_out[k]);
        let slope = self.a[k] * at.df - self.b[k] * at.dg;
        let inverse = 1.0 / slope.max(least_slope * threshold);
        let tau = kernel.time_constant();
        self.weight_p[k] = -tau * at.f * inverse;
        self.weight_q[k] = tau * at.g * inverse;
        self.time_p[k] = at.df * inverse;
        self.time_q[k] = -at.dg * inverse;
    }

    /// Derivative of the loss by the time of input `i` (in order of time), each derivative of a
    /// spike time limited to ± `clip`.
    pub(crate) fn input_gradient(&self, dense: &Dense, i: usize, clip: f64) -> f64 {
        let mut lanes = [0.0; PAD];
        time_gradient(
            &mut lanes,
            dense.row(usize::from(self.rows[i])),
            &self.x_out,
            &self.time_p,
            &self.time_q,
            &self.delta,
            [self.x[i], self.p[i], self.q[i], clip],
        );
        lanes.iter().sum()
    }

    /// Adds the derivatives of the loss by the weights of input `i` (in order of time).
    pub(crate) fn add_weight_gradient(&self, row: &mut [f64], i: usize, clip: f64) {
        weight_gradient(
            row,
            &self.x_out,
            &self.weight_p,
            &self.weight_q,
            &self.delta,
            [self.x[i], self.p[i], self.q[i], clip],
        );
    }
}

kernel! {
    /// `a += p w`, `b += q w` for the rows given, one after the other.
    fn add_rows[](a: &mut [f64], b: &mut [f64], weights: &[f64], rows: &[u16], p: &[f64], q: &[f64]) {
        let stride = a.len();
        for ((row, p), q) in rows.iter().zip(p).zip(q) {
            let row = &weights[usize::from(*row) * stride..][..stride];
            for ((a, b), w) in a.iter_mut().zip(b.iter_mut()).zip(row) {
                *a += *p * *w;
                *b += *q * *w;
            }
        }
    }
}

kernel! {
    /// Which units have `a c − b d ≥ limit`.
    fn candidates[](found: &mut Vec<u32>, a: &[f64], b: &[f64], limit: &[f64], c: f64, d: f64) {
        let blocks = a.chunks_exact(PAD).zip(b.chunks_exact(PAD)).zip(limit.chunks_exact(PAD));
        for (block, ((a, b), limit)) in blocks.enumerate() {
            let mut hit = [false; PAD];
            let mut any = false;
            for k in 0..PAD {
                hit[k] = a[k] * c - b[k] * d >= limit[k];
                any |= hit[k];
            }
            if any {
                for (k, _) in hit.iter().enumerate().filter(|(_, hit)| **hit) {
                    found.push((block * PAD + k) as u32);
                }
            }
        }
    }
}

kernel! {
    /// `lanes[k mod PAD] += δ_k clip(w_k (p P_k + q Q_k))` where `x < x_k`; `at` = (x, p, q, clip).
    fn time_gradient[](
        lanes: &mut [f64; PAD],
        row: &[f64],
        x_out: &[f64],
        for_p: &[f64],
        for_q: &[f64],
        delta: &[f64],
        at: [f64; 4],
    ) {
        let [x, p, q, clip] = at;
        let blocks = row.chunks_exact(PAD).zip(x_out.chunks_exact(PAD)).zip(for_p.chunks_exact(PAD));
        let blocks = blocks.zip(for_q.chunks_exact(PAD)).zip(delta.chunks_exact(PAD));
        for ((((row, x_out), for_p), for_q), delta) in blocks {
            for k in 0..PAD {
                let slope = row[k] * (p * for_p[k] + q * for_q[k]);
                let slope = if slope < -clip { -clip } else { slope };
                let slope = if slope > clip { clip } else { slope };
                lanes[k] += if x < x_out[k] { delta[k] * slope } else { 0.0 };
            }
        }
    }
}

kernel! {
    /// `row += δ clip(p P + q Q)` where `x < x_out`; `at` = (x, p, q, clip).
    fn weight_gradient[](
        row: &mut [f64],
        x_out: &[f64],
        for_p: &[f64],
        for_q: &[f64],
        delta: &[f64],
        at: [f64; 4],
    ) {
        let [x, p, q, clip] = at;
        let units = row.iter_mut().zip(x_out).zip(for_p).zip(for_q).zip(delta);
        for ((((row, x_out), for_p), for_q), delta) in units {
            let slope = p * *for_p + q * *for_q;
            let slope = if slope < -clip { -clip } else { slope };
            let slope = if slope > clip { clip } else { slope };
            *row += if x < *x_out { *delta * slope } else { 0.0 };
        }
    }
}
