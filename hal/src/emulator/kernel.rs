//! The time loop over one or several blocks of sixteen neurons.
//!
//! The common case of a sub-step (no spike, no release from the reset) stays in vector registers. Lanes
//! that may cross their threshold, or are released in this sub-step, are computed again one by one,
//! piece by piece between events ([`Pieces`]), with the crossing located by a cubic.

use super::crossing::first_crossing;
use super::lanes::{Lanes, Row, WIDTH};
use super::physics::{Block, PARTS};
use super::unit::Unit;

/// A presynaptic spike on the grid of sub-steps. Sorted by `(step, frac != 0, row)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) step: u32,
    /// Row of the weight matrix as the host numbers it.
    pub(crate) row: u32,
    /// Position in the sub-step, 0 ≤ frac < 1.
    pub(crate) frac: f32,
}

impl Event {
    /// Key of the order in which events are applied.
    pub(crate) fn key(&self) -> u64 {
        u64::from(self.step) << 32 | u64::from(self.frac != 0.0) << 31 | u64::from(self.row)
    }
}

/// A neuron crossed its threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fired {
    pub(crate) step: u32,
    pub(crate) frac: f32,
    pub(crate) neuron: u32,
}

/// What one or several blocks need for a trial.
#[derive(Clone, Copy)]
pub(crate) struct Bundle<'a> {
    pub(crate) blocks: &'a [Block],
    /// `[row, block, lane]`, rows as in `compact`.
    pub(crate) weights: &'a [Row],
    /// Rows with a weight that is not zero.
    pub(crate) rows: &'a [u64],
    /// Row of `weights` for each row of the host.
    pub(crate) compact: &'a [u32],
    /// Length of a sub-step in µs.
    pub(crate) step_us: f32,
}

impl Bundle<'_> {
    /// The weights of `row`, if any is not zero.
    #[inline(always)]
    fn weights_of<const B: usize>(&self, row: u32) -> Option<&[Row; B]> {
        let at = self.compact[row as usize] as usize;
        if self.rows[at / 64] >> (at % 64) & 1 == 0 {
            return None;
        }
        self.weights[at * B..].first_chunk()
    }
}

/// State of one block between sub-steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) v: Row,
    pub(crate) e: Row,
    pub(crate) i: Row,
    pub(crate) threshold: Row,
    pub(crate) held: u16,
    pub(crate) release: [u32; WIDTH],
    pub(crate) release_frac: Row,
}

impl Stored {
    pub(crate) const EMPTY: Self = Self {
        v: Row::ZERO,
        e: Row::ZERO,
        i: Row::ZERO,
        threshold: Row::ZERO,
        held: 0,
        release: [0; WIDTH],
        release_frac: Row::ZERO,
    };
}

/// The part of the state that lives in registers.
pub(crate) struct Live<L: Lanes, const B: usize> {
    pub(crate) v: [L::F; B],
    pub(crate) e: [L::F; B],
    pub(crate) i: [L::F; B],
}

impl<L: Unit, const B: usize> Live<L, B> {
    #[inline(always)]
    pub(crate) fn load(stored: &[Stored; B]) -> Self {
        let zero = [L::splat(0.0); B];
        let mut live = Self { v: zero, e: zero, i: zero };
        let mut b = 0;
        while b < B {
            live.v[b] = L::load(&stored[b].v.0);
            live.e[b] = L::load(&stored[b].e.0);
            live.i[b] = L::load(&stored[b].i.0);
            b += 1;
        }
        live
    }

    #[inline(always)]
    pub(crate) fn save(&self, stored: &mut [Stored; B]) {
        let mut b = 0;
        while b < B {
            stored[b].v = Row(L::store(self.v[b]));
            stored[b].e = Row(L::store(self.e[b]));
            stored[b].i = Row(L::store(self.i[b]));
            b += 1;
        }
    }

    /// The membrane as the converter sees it now: shifted in time by the skew of the channel.
    #[inline(always)]
    pub(crate) fn sample(&self, bundle: &Bundle<'_>, stored: &[Stored; B], into: &mut [Row; B]) {
        let mut b = 0;
        while b < B {
            let block = &bundle.blocks[b];
            let drive = L::add(self.e[b], self.i[b]);
            let slope = L::fma(L::load(&block.leak.0), self.v[b], drive);
            let slope = L::select(stored[b].held, L::splat(0.0), slope);
            into[b] = Row(L::store(L::fma(L::load(&block.adc_skew.0), slope, self.v[b])));
            b += 1;
        }
    }

    /// One sub-step. `events` are those of this sub-step.
    #[inline(always)]
    pub(crate) fn advance(
        &mut self,
        bundle: &Bundle<'_>,
        stored: &mut [Stored; B],
        step: u32,
        events: &[Event],
        fired: &mut Vec<Fired>,
    ) {
        let zero = L::splat(0.0);
        let blocks: &[Block; B] = match bundle.blocks.first_chunk() {
            Some(blocks) => blocks,
            None => return,
        };
        let mut on_grid = 0;
        while on_grid < events.len() && events[on_grid].frac == 0.0 {
            if let Some(rows) = bundle.weights_of::<B>(events[on_grid].row) {
                let mut b = 0;
                while b < B {
                    let jump = L::load(&rows[b].0);
                    self.e[b] = L::add(self.e[b], L::max(jump, zero));
                    self.i[b] = L::add(self.i[b], L::min(jump, zero));
                    b += 1;
                }
            }
            on_grid += 1;
        }
        let later = &events[on_grid..];
        let mut next = Self { v: self.v, e: self.e, i: self.i };
        let mut b = 0;
        while b < B {
            let p = &blocks[b];
            let from_inh = L::mul(L::load(&p.couple_inh.0), self.i[b]);
            let drive = L::fma(L::load(&p.couple_exc.0), self.e[b], from_inh);
            next.v[b] = L::fma(L::load(&p.mem.0), self.v[b], drive);
            next.e[b] = L::mul(L::load(&p.exc.0), self.e[b]);
            next.i[b] = L::mul(L::load(&p.inh.0), self.i[b]);
            b += 1;
        }
        for event in later {
            next.add_late(bundle, blocks, event);
        }
        let h = L::splat(bundle.step_us);
        let mut slow = [0_u16; B];
        let mut any = 0;
        let mut b = 0;
        while b < B {
            let (p, s) = (&blocks[b], &stored[b]);
            next.v[b] = L::select(s.held, L::load(&p.reset.0), next.v[b]);
            // Above threshold at the end, or the tangent at the end, drawn back to the start, is
            // above it: necessary for a concave membrane to have been above in between.
            let slope = L::fma(L::load(&p.leak.0), next.v[b], L::add(next.e[b], next.i[b]));
            let highest = L::max(next.v[b], L::fnma(h, slope, next.v[b]));
            slow[b] = L::gt(highest, L::load(&s.threshold.0)) & !s.held;
            any |= slow[b] | s.held;
            b += 1;
        }
        if any != 0 {
            let mut b = 0;
            while b < B {
                let releasing = releases(&stored[b], step);
                if slow[b] | releasing != 0 {
                    let before = [L::store(self.v[b]), L::store(self.e[b]), L::store(self.i[b])];
                    let mut after = [L::store(next.v[b]), L::store(next.e[b]), L::store(next.i[b])];
                    let pieces = Pieces { bundle, block: b, step, events: later };
                    let lanes = slow[b] | releasing;
                    L::pieces(&pieces, lanes, &before, &mut after, &mut stored[b], fired);
                    next.v[b] = L::load(&after[0]);
                    next.e[b] = L::load(&after[1]);
                    next.i[b] = L::load(&after[2]);
                }
                b += 1;
            }
        }
        *self = next;
    }

    /// Adds an event inside the sub-step to the state at its end.
    #[inline(always)]
    fn add_late(&mut self, bundle: &Bundle<'_>, blocks: &[Block; B], event: &Event) {
        let Some(rows) = bundle.weights_of::<B>(event.row) else { return };
        let (part, weight) = place(1.0 - event.frac);
        let (zero, weight) = (L::splat(0.0), L::splat(weight));
        let mut b = 0;
        while b < B {
            let t = &blocks[b].tables;
            let jump = L::load(&rows[b].0);
            let (exc, inh) = (L::max(jump, zero), L::min(jump, zero));
            self.e[b] = L::fma(exc, between::<L>(&t.exc, part, weight), self.e[b]);
            self.i[b] = L::fma(inh, between::<L>(&t.inh, part, weight), self.i[b]);
            self.v[b] = L::fma(exc, between::<L>(&t.couple_exc, part, weight), self.v[b]);
            self.v[b] = L::fma(inh, between::<L>(&t.couple_inh, part, weight), self.v[b]);
            b += 1;
        }
    }
}

/// A table between two of its entries.
#[inline(always)]
fn between<L: Lanes>(table: &[Row; PARTS + 1], part: usize, weight: L::F) -> L::F {
    let low = L::load(&table[part].0);
    L::fma(weight, L::sub(L::load(&table[part + 1].0), low), low)
}

/// Lanes whose refractory time ends in this sub-step.
#[inline]
fn releases(stored: &Stored, step: u32) -> u16 {
    if stored.held == 0 {
        return 0;
    }
    let mut mask = 0;
    for lane in 0..WIDTH {
        mask |= u16::from(stored.release[lane] <= step) << lane;
    }
    mask & stored.held
}

/// Table entry below `x` (a fraction of the sub-step) and the weight of the next one.
#[inline(always)]
fn place(x: f32) -> (usize, f32) {
    let scaled = x * PARTS as f32;
    let part = (scaled as usize).min(PARTS - 1);
    (part, scaled - part as f32)
}

/// State of sixteen lanes: membrane, excitatory and inhibitory current.
pub(crate) type Three = [[f32; WIDTH]; 3];

/// One sub-step of single lanes, piece by piece between events, releases and crossings.
pub(crate) struct Pieces<'a, 'b> {
    bundle: &'a Bundle<'b>,
    block: usize,
    step: u32,
    /// Events inside the sub-step.
    events: &'a [Event],
}

/// Decays and couplings over a piece.
struct Factors {
    mem: f32,
    exc: f32,
    inh: f32,
    couple_exc: f32,
    couple_inh: f32,
}

impl Pieces<'_, '_> {
    /// Computes `lanes` from the state `before` the sub-step to the one `after` it.
    #[inline(always)]
    pub(crate) fn run(
        &self,
        lanes: u16,
        before: &Three,
        after: &mut Three,
        stored: &mut Stored,
        fired: &mut Vec<Fired>,
    ) {
        let mut rest = lanes;
        while rest != 0 {
            let lane = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let start = [before[0][lane], before[1][lane], before[2][lane]];
            let end = self.lane(lane, start, stored, fired);
            for (list, x) in after.iter_mut().zip(end) {
                list[lane] = x;
            }
        }
    }

    #[inline(always)]
    fn factors(&self, lane: usize, x: f32) -> Factors {
        let t = &self.bundle.blocks[self.block].tables;
        let (part, weight) = place(x);
        let at = |table: &[Row; PARTS + 1]| {
            let (low, high) = (table[part].0[lane], table[part + 1].0[lane]);
            weight.mul_add(high - low, low)
        };
        Factors {
            mem: at(&t.mem),
            exc: at(&t.exc),
            inh: at(&t.inh),
            couple_exc: at(&t.couple_exc),
            couple_inh: at(&t.couple_inh),
        }
    }

    /// Time and strength of the first event for `lane` later than the `seen` ones, in order of time.
    #[inline(always)]
    fn next_event(&self, lane: usize, after: (f32, usize)) -> Option<((f32, usize), f32)> {
        let width = self.bundle.blocks.len();
        let mut best: Option<(f32, usize)> = None;
        for (k, event) in self.events.iter().enumerate() {
            let key = (event.frac, k);
            if key > after && best.is_none_or(|b| key < b) {
                best = Some(key);
            }
        }
        let key = best?;
        let row = self.bundle.compact[self.events[key.1].row as usize] as usize;
        Some((key, self.bundle.weights[row * width + self.block].0[lane]))
    }

    #[inline(always)]
    fn lane(
        &self,
        lane: usize,
        start: [f32; 3],
        stored: &mut Stored,
        fired: &mut Vec<Fired>,
    ) -> [f32; 3] {
        let block = &self.bundle.blocks[self.block];
        let (leak, reset) = (block.leak.0[lane], block.reset.0[lane]);
        let threshold = stored.threshold.0[lane];
        let bit = 1_u16 << lane;
        let [mut v, mut e, mut i] = start;
        let (mut t, mut done) = (0.0_f32, false);
        let mut seen = (-1.0_f32, 0);
        loop {
            let event = self.next_event(lane, seen);
            let held = stored.held & bit != 0;
            let release = if held && stored.release[lane] <= self.step {
                stored.release_frac.0[lane]
            } else {
                2.0
            };
            let event_at = event.map_or(1.0, |(key, _)| key.0);
            let until = release.min(event_at).max(t);
            let f = self.factors(lane, until - t);
            if held {
                (v, e, i) = (reset, e * f.exc, i * f.inh);
            } else {
                let end = f.mem.mul_add(v, f.couple_exc.mul_add(e, f.couple_inh * i));
                let (e_end, i_end) = (e * f.exc, i * f.inh);
                let span = (until - t) * self.bundle.step_us;
                let slope =
                    [leak.mul_add(v, e + i) * span, leak.mul_add(end, e_end + i_end) * span];
                let crossing =
                    if done { None } else { first_crossing(v, slope[0], end, slope[1], threshold) };
                if let Some(s) = crossing {
                    let elapsed = s * (until - t);
                    let f = self.factors(lane, elapsed);
                    t += elapsed;
                    (v, e, i, done) = (reset, e * f.exc, i * f.inh, true);
                    stored.held |= bit;
                    let frac = t + block.refractory_frac.0[lane];
                    let carry = frac as u32;
                    stored.release[lane] = self.step + block.refractory[lane] + carry;
                    stored.release_frac.0[lane] = frac - carry as f32;
                    fired.push(Fired { step: self.step, frac: t, neuron: block.neuron[lane] });
                    continue;
                }
                (v, e, i) = (end, e_end, i_end);
            }
            t = until;
            if release <= event_at {
                stored.held &= !bit;
            } else if let Some((key, jump)) = event {
                e += jump.max(0.0);
                i += jump.min(0.0);
                seen = key;
            } else {
                return [v, e, i];
            }
        }
    }
}
