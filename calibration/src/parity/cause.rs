//! What can make a chip differ from its model, and what to do about it.

use serde::{Deserialize, Serialize};

/// A cause of divergence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Weights are rounded to whole codes.
    Quantisation,
    /// Threshold, leak and reset potentials.
    Threshold,
    /// Time constants of membranes and synapses.
    TimeConstants,
    /// Gain of neurons, synapses and converter channels.
    Gain,
    /// Weights at the end of the range of codes, membranes at the rails of the converter.
    Saturation,
    /// Events that did not get through.
    LostEvents,
    /// Axonal delay, refractory time, sampling instants, jitter of spikes.
    Timing,
    /// Neurons that never fire, or always.
    Defects,
}

impl Cause {
    /// All.
    pub const ALL: [Self; 8] = [
        Self::Quantisation,
        Self::Threshold,
        Self::TimeConstants,
        Self::Gain,
        Self::Saturation,
        Self::LostEvents,
        Self::Timing,
        Self::Defects,
    ];

    /// In words.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Quantisation => "quantisation",
            Self::Threshold => "threshold",
            Self::TimeConstants => "time constants",
            Self::Gain => "gain",
            Self::Saturation => "saturation",
            Self::LostEvents => "lost events",
            Self::Timing => "timing",
            Self::Defects => "defects",
        }
    }

    /// What belongs to it.
    #[must_use]
    pub fn scope(self) -> &'static str {
        match self {
            Self::Quantisation => "weights rounded to whole codes",
            Self::Threshold => "threshold, leak and reset potentials",
            Self::TimeConstants => "tau_mem, tau_syn",
            Self::Gain => "gain of neurons, synapses and converter channels",
            Self::Saturation => {
                "weights clipped at the code range, membranes at the converter's rails"
            }
            Self::LostEvents => "events dropped on the way in or out",
            Self::Timing => "axonal delay, refractory time, sampling instants, jitter",
            Self::Defects => "neurons that never or always fire",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Quantisation => {
                "learn with the chip in the loop, which sees the rounded weights; or spread each input over several lines, or raise the gain so that more codes are used"
            }
            Self::Threshold => {
                "calibrate the potentials (spikeloop calibrate); what is left is learned around in the loop"
            }
            Self::TimeConstants => {
                "calibrate the time constants (spikeloop calibrate), and train with --backward measured"
            }
            Self::Gain => {
                "calibrate the gains (spikeloop calibrate); the gain of single synapses cannot be set: train in the loop"
            }
            Self::Saturation => {
                "lower the codes a weight needs (a higher gain), limit weights while learning, or move leak and threshold away from the converter's rails"
            }
            Self::LostEvents => {
                "lower the firing rate (a spike penalty), spread inputs in time, or use a faster link out of the chip"
            }
            Self::Timing => {
                "train in the loop, with refractory time and delay in the model; set the refractory code to what the model assumes"
            }
            Self::Defects => "calibrate: neurons that fail are then left out",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Causes(u8);

impl Causes {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(u8::MAX);

    pub(super) fn has(self, cause: Cause) -> bool {
        self.0 & cause.bit() != 0
    }

    pub(super) fn with(self, cause: Cause) -> Self {
        Self(self.0 | cause.bit())
    }

    pub(super) fn without(self, cause: Cause) -> Self {
        Self(self.0 & !cause.bit())
    }
}
