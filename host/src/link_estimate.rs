//! What a training will ask of the link to its chip, told before it begins.

use crate::chip_loop::ChipLoop;
use crate::data::Split;
use crate::experiment::Experiment;
use spikeloop_hal::Selector;
use spikeloop_hal::selector::Address;
use spikeloop_hal::session::budget::Budget;
use spikeloop_models::spike_train::SpikeTrains;

/// Spikes that a trained network of some hundred neurons answers a sample with (Cramer et al., PNAS 2022,
/// report 20 for MNIST); nobody knows before the training.
const SPIKES: f64 = 20.0;

/// The first batch of `split` on this chip, if the chip is behind a link.
#[must_use]
pub fn first_batch(chip: &ChipLoop, split: &Split, experiment: &Experiment) -> Option<Budget> {
    chip.link_use()?;
    let samples = experiment.learning.batch.min(split.labels.len()) as u32;
    let indices: Vec<u32> = (0..samples).collect();
    let mut batch = SpikeTrains::default();
    split.encode(&indices, &experiment.grid(), &mut batch);
    Some(chip.budget(&batch, SPIKES))
}

/// Symbols a second of the serial line that `selector` names.
#[must_use]
pub fn baud(selector: &str) -> Option<u32> {
    match selector.parse() {
        Ok(Selector::Link(Address::Serial { baud, .. })) => Some(baud),
        _ => None,
    }
}

/// One line for the user.
#[must_use]
pub fn line(budget: &Budget, batch: usize, baud: Option<u32>) -> String {
    let (up, down) = (budget.up / 1e3, budget.down / 1e3);
    let what =
        format!("a batch of {batch} puts {up:.1} kB on the link and brings {down:.1} kB back");
    let needed = budget.needed_baud() / 1e6;
    match baud {
        None => format!("{what}, besides the weights that change"),
        Some(baud) => {
            let (rate, seconds) = (f64::from(baud) / 1e6, budget.seconds(f64::from(baud)));
            let chip = budget.chip_s;
            if budget.needed_baud() <= f64::from(baud) {
                format!("{what}: needs {needed:.1} Mbaud, the link has {rate:.1}")
            } else {
                format!(
                    "{what}: needs {needed:.1} Mbaud to keep up with the chip ({chip:.3} s), the link has {rate:.1}: {seconds:.2} s per batch"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_slow_is_named_with_what_it_costs() {
        let budget = Budget { up: 12_000.0, down: 320_000.0, chip_s: 1.0 };
        assert_eq!(
            line(&budget, 100, Some(1_000_000)),
            "a batch of 100 puts 12.0 kB on the link and brings 320.0 kB back: needs 3.2 Mbaud to keep up with the chip (1.000 s), the link has 1.0: 3.20 s per batch"
        );
        assert!(
            line(&budget, 100, Some(12_000_000)).ends_with("needs 3.2 Mbaud, the link has 12.0")
        );
        assert_eq!(baud("serial:/dev/ttyUSB0,baud=1000000"), Some(1_000_000));
        assert_eq!(baud("emu:"), None);
    }
}
