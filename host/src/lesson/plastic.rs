//! Devices that learn by themselves: giving one its rule, and what to do if it does not take it.

use super::LessonError;
use crate::chip_loop::LoopError;
use spikeloop_hal::wire::{PlasticityRule, RefusalCode};
use spikeloop_hal::{Chip, Error};

/// A failure of the chip.
pub(super) fn chip_error(error: Error) -> LessonError {
    LessonError::Loop(LoopError::Chip(error))
}

/// Gives the device behind `chip` its rule. `smaller` says how to make the network smaller.
///
/// # Errors
/// [`LessonError::Unfit`] if it does not learn, or not this, and failures of the chip.
pub(super) fn teach(
    chip: &mut dyn Chip,
    method: &'static str,
    smaller: &'static str,
    rule: &PlasticityRule<'_>,
) -> Result<(), LessonError> {
    let Some(plastic) = chip.plastic() else {
        let remedy = "an emulated chip does behind the wire (spikeloop emulate preset=loihi-like \
                      --pty b1, then --chip pty:b1); or learn on the host (--learn host)";
        return Err(unfit(method, "it does not learn by itself", remedy));
    };
    plastic.set_rule(rule).map_err(|error| untaught(method, smaller, error))?;
    // A refusal comes with the next answer: ask now, not after the first trial.
    plastic.read_weights(0, 0, 1).map_err(|error| untaught(method, smaller, error))?;
    Ok(())
}

/// Why a run that a device has learned in is not resumed.
pub(super) fn cannot_go_on(method: &'static str) -> LessonError {
    let problem = "what a device has learned stays in the device, so a run cannot go on";
    unfit(method, problem, "start a new run in another folder (--out)")
}

fn unfit(method: &'static str, problem: impl Into<String>, remedy: &'static str) -> LessonError {
    LessonError::Unfit { method, problem: problem.into(), remedy }
}

/// What a device says to a rule.
fn untaught(method: &'static str, smaller: &'static str, error: Error) -> LessonError {
    if let Error::Rule { needed, limit } = error {
        let problem = format!("the rule takes {needed} bytes, the device messages of {limit}");
        return unfit(method, problem, smaller);
    }
    let Error::Refused { refusal } = &error else { return chip_error(error) };
    match refusal.reason() {
        Some(RefusalCode::UnknownMessage) if refusal.limit > 0 => unfit(
            method,
            format!("the device learns by itself, but not by rule {}", refusal.limit - 1),
            "learn on the host (--learn host), or update its firmware",
        ),
        Some(RefusalCode::UnknownMessage) => unfit(
            method,
            "it is a device that does not learn by itself",
            "learn on the host (--learn host), or update its firmware",
        ),
        Some(RefusalCode::BeyondBuffers) => unfit(
            method,
            format!("the rule needs room for {}, the device has {}", refusal.got, refusal.limit),
            smaller,
        ),
        _ => chip_error(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spikeloop_hal::wire::{Kind, Refusal};

    #[test]
    fn what_a_device_lacks_is_told_apart() {
        let said = |code: RefusalCode, got, limit| {
            let kind = Kind::Plasticity as u8;
            let refusal = Refusal { code: code as u8, kind, sequence: 3, got, limit };
            untaught("decolle", "fewer units", Error::Refused { refusal }).to_string()
        };
        assert!(said(RefusalCode::UnknownMessage, 0x14, 0).contains("does not learn by itself"));
        let rule = said(RefusalCode::UnknownMessage, 0x14, 2);
        assert!(rule.contains("not by rule 1") && rule.contains("firmware"), "{rule}");
        let memory = said(RefusalCode::BeyondBuffers, 70_000, 65_536);
        assert!(memory.contains("70000") && memory.contains("fewer units"), "{memory}");
        assert!(said(RefusalCode::OutOfRange, 600, 512).contains("600"));
        let long = untaught("decolle", "fewer units", Error::Rule { needed: 5000, limit: 4096 });
        assert!(long.to_string().contains("fewer units"), "{long}");
    }
}
