//! Crosstalk of parameter cells: many cells that hold nearly the same code shift each other.
//!
//! ```text
//! effective code of cell n = code_n + codes · share_n
//! share_n = Σ_{m ≠ n} max(0, 1 − |code_m − code_n| / window) / (cells − 1)
//! ```
//! The sum goes over the other cells of the same block of neurons and the same parameter, powered or
//! not. That such crosstalk exists is published for BrainScaleS-2; its size and this law are guesses,
//! made smooth so that a search over codes meets no steps. The refractory time is a digital counter
//! and has none.

use super::mismatch::DrawnChip;
use crate::caps::Parameter;
use crate::config::ChipConfig;

/// Shifts of all cells of a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crosstalk {
    /// For each parameter with crosstalk the shift in codes, `[neuron]`.
    shifts: Vec<(Parameter, Vec<f32>)>,
}

impl Crosstalk {
    /// The shifts that the codes of `config` cause on `chip`.
    pub(crate) fn new(chip: &DrawnChip, config: &ChipConfig) -> Self {
        let law = chip.profile.crosstalk;
        if law.codes == 0.0 {
            return Self::default();
        }
        let block = usize::from(chip.profile.size.block);
        let coupled = config.parameters.iter().filter(|(p, _)| *p != Parameter::Refractory);
        let shifts = coupled.map(|(parameter, codes)| {
            let mut shift = Vec::with_capacity(codes.len());
            for cells in codes.chunks(block) {
                shares(cells, law.window, |share| shift.push((law.codes * share) as f32));
            }
            (*parameter, shift)
        });
        Self { shifts: shifts.collect() }
    }

    /// Shift of a cell in codes.
    pub(crate) fn shift(&self, parameter: Parameter, neuron: usize) -> f32 {
        let cells = self.shifts.iter().find(|(p, _)| *p == parameter);
        cells.map_or(0.0, |(_, shift)| shift[neuron])
    }
}

/// The share of each of `cells`, in order, to `to`.
fn shares(cells: &[u16], window: u16, mut to: impl FnMut(f64)) {
    let others = cells.len().saturating_sub(1).max(1) as f64;
    let top = cells.iter().copied().max().map_or(0, usize::from);
    let mut count = vec![0_u32; top + 1];
    cells.iter().for_each(|code| count[usize::from(*code)] += 1);
    let reach = usize::from(window) - 1;
    for code in cells.iter().map(|code| usize::from(*code)) {
        let near = code.saturating_sub(reach)..=(code + reach).min(top);
        let sum: f64 = near
            .map(|c| f64::from(count[c]) * (1.0 - c.abs_diff(code) as f64 / f64::from(window)))
            .sum();
        // The cell itself was counted with weight one.
        to((sum - 1.0) / others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(cells: &[u16], window: u16) -> Vec<f64> {
        let mut out = Vec::new();
        shares(cells, window, |share| out.push(share));
        out
    }

    #[test]
    fn shares_are_as_documented() {
        assert_eq!(list(&[500; 9], 4), [1.0; 9]);
        assert_eq!(list(&[7], 4), [0.0]);
        assert_eq!(list(&[0, 4, 8, 1022], 4), [0.0; 4]);
        // 10 sees 11 at 3/4 and 12 at 1/2; 12 sees 11 and 10; 11 sees both at 3/4; 600 nothing.
        assert_eq!(list(&[10, 11, 12, 600], 4), [1.25 / 3.0, 0.5, 1.25 / 3.0, 0.0]);
        // A window of one: exactly the same code.
        assert_eq!(list(&[10, 11, 10], 1), [0.5, 0.0, 0.5]);
    }
}
