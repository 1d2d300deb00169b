//! Who says what is wrong: error events at the output, one step at a time.

use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// What the output should do in a trial.
#[derive(Clone, Copy, Debug)]
pub enum Teacher<'a> {
    /// Spikes at given times: +1 for every target spike, −1 for every spike.
    Spikes(&'a SpikeTrains),
    /// At least one spike in every window, none elsewhere: −1 for every spike outside a window, +1 at
    /// the end of a window that had none. Windows of one neuron do not overlap; they are in ascending
    /// order of their end.
    Windows(&'a [Window]),
}

/// A time in which a neuron has to spike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Output neuron.
    pub unit: u16,
    /// First step.
    pub begin: u32,
    /// Step after the last, at which a missed window is an error.
    pub end: u32,
}

/// Where a teacher is in its trial.
#[derive(Clone, Debug, Default)]
pub(super) struct Attention {
    /// Windows before this are over.
    next: usize,
    /// Whether the windows from `next` on had a spike.
    seen: Vec<bool>,
}

/// What a trial of windows came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Error events of missing spikes.
    pub missed: usize,
    /// Error events of spikes that should not be.
    pub wrong: usize,
}

impl Attention {
    pub(super) fn begin(&mut self, teacher: Teacher<'_>) {
        self.next = 0;
        self.seen.clear();
        if let Teacher::Windows(windows) = teacher {
            self.seen.resize(windows.len(), false);
        }
    }

    /// Error events of a step: pairs of neuron and sign.
    pub(super) fn judge<F: Real>(
        &mut self,
        teacher: Teacher<'_>,
        step: usize,
        spikes: &[u16],
        errors: &mut Vec<(u16, F)>,
        score: &mut Score,
    ) {
        errors.clear();
        match teacher {
            Teacher::Spikes(targets) => {
                let wanted = targets.at(0, step);
                for id in spikes.iter().filter(|id| !wanted.contains(id)) {
                    errors.push((*id, -F::one()));
                    score.wrong += 1;
                }
                for id in wanted.iter().filter(|id| !spikes.contains(id)) {
                    errors.push((*id, F::one()));
                    score.missed += 1;
                }
            }
            Teacher::Windows(windows) => {
                while let Some(over) = windows.get(self.next).filter(|w| w.end as usize <= step) {
                    if !self.seen[self.next] {
                        errors.push((over.unit, F::one()));
                        score.missed += 1;
                    }
                    self.next += 1;
                }
                for id in spikes {
                    let open = (self.next..windows.len())
                        .find(|k| windows[*k].unit == *id && (windows[*k].begin as usize) <= step);
                    match open {
                        Some(k) => self.seen[k] = true,
                        None => {
                            errors.push((*id, -F::one()));
                            score.wrong += 1;
                        }
                    }
                }
            }
        }
    }
}

/// Whether each neuron of the output spiked as often as its target, each spike within `tolerance`
/// steps of the target spike of the same rank. `spikes` and `targets`: pairs of step and neuron in
/// ascending order of time.
#[must_use]
pub fn on_target(spikes: &[(u32, u16)], targets: &[(u32, u16)], tolerance: u32) -> bool {
    if spikes.len() != targets.len() {
        return false;
    }
    let ordered = |list: &[(u32, u16)]| {
        let mut list: Vec<(u16, u32)> = list.iter().map(|(step, id)| (*id, *step)).collect();
        list.sort_unstable();
        list
    };
    let pairs = ordered(spikes).into_iter().zip(ordered(targets));
    pairs.into_iter().all(|(s, t)| s.0 == t.0 && s.1.abs_diff(t.1) <= tolerance)
}
