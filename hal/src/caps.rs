//! What a chip says it is, before anything else is said.
//!
//! [`Capabilities`] is plain data of a bounded size, so that a microcontroller can hold it and
//! send it. Everything a host must know to translate a network into codes stands here; nothing
//! that has to be measured does.

use heapless::{String, Vec};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Version of the wire protocol that this build speaks. Both sides must agree on it.
pub const PROTOCOL_VERSION: u16 = 2;

/// The longest name of a chip family or instance, in bytes.
pub const MAX_NAME: usize = 48;

/// The most parameters a chip can announce.
pub const MAX_PARAMETERS: usize = 16;

/// Which physical device this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Family or profile, e.g. `bss2-chip66-uncal`.
    pub kind: String<MAX_NAME>,
    /// Serial number: two chips of one kind differ here. For an emulated chip it is a hash of the
    /// drawn values, so that equal serials mean equal chips.
    pub serial: u64,
    /// Version of the device's firmware, `major << 16 | minor << 8 | patch`.
    pub firmware: u32,
}

impl core::fmt::Display for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{:016x}", self.kind, self.serial)
    }
}

/// A quantity that can be set for each neuron by an integer code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Parameter {
    /// Resting potential the membrane leaks to.
    LeakPotential,
    /// Potential the membrane is held at after a spike.
    ResetPotential,
    /// Potential that releases a spike.
    Threshold,
    /// Membrane time constant.
    TauMem,
    /// Time constant of the excitatory synaptic current.
    TauSynExc,
    /// Time constant of the inhibitory synaptic current.
    TauSynInh,
    /// Gain of the excitatory synaptic input.
    GainExc,
    /// Gain of the inhibitory synaptic input.
    GainInh,
    /// Reference of the excitatory input: a constant current offset.
    OffsetExc,
    /// Reference of the inhibitory input: a constant current offset.
    OffsetInh,
    /// Time the membrane is clamped after a spike.
    Refractory,
}

impl Parameter {
    /// Every parameter, in wire order.
    pub const ALL: [Parameter; 11] = [
        Parameter::LeakPotential,
        Parameter::ResetPotential,
        Parameter::Threshold,
        Parameter::TauMem,
        Parameter::TauSynExc,
        Parameter::TauSynInh,
        Parameter::GainExc,
        Parameter::GainInh,
        Parameter::OffsetExc,
        Parameter::OffsetInh,
        Parameter::Refractory,
    ];

    /// Snake-case name, as in configuration files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Parameter::LeakPotential => "leak_potential",
            Parameter::ResetPotential => "reset_potential",
            Parameter::Threshold => "threshold",
            Parameter::TauMem => "tau_mem",
            Parameter::TauSynExc => "tau_syn_exc",
            Parameter::TauSynInh => "tau_syn_inh",
            Parameter::GainExc => "gain_exc",
            Parameter::GainInh => "gain_inh",
            Parameter::OffsetExc => "offset_exc",
            Parameter::OffsetInh => "offset_inh",
            Parameter::Refractory => "refractory",
        }
    }
}

/// Physical unit of a parameter's nominal value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Unit {
    /// Steps of the membrane converter ("LSB"). Chips without a converter use the same scale for
    /// their potentials, so that threshold − leak is meaningful everywhere.
    Lsb,
    /// Microseconds of chip time.
    Microseconds,
    /// Jump of the membrane's slope at one presynaptic spike, per unit of weight code: LSB/µs.
    LsbPerMicrosecondPerCode,
    /// Constant drive of the membrane: LSB/µs.
    LsbPerMicrosecond,
}

/// How the design value of a parameter follows from its code. Individual neurons deviate from it:
/// that is the mismatch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Law {
    /// `value = at_reference + slope · (code − reference)`: voltages.
    Linear {
        /// Value at the reference code.
        at_reference: f32,
        /// Reference code.
        reference: f32,
        /// Change of the value per code.
        slope: f32,
    },
    /// `value = at_reference · code / reference`: gains set by a bias current.
    Proportional {
        /// Value at the reference code.
        at_reference: f32,
        /// Reference code.
        reference: f32,
    },
    /// `value = at_reference · reference / code`: time constants set by a bias current.
    Reciprocal {
        /// Value at the reference code.
        at_reference: f32,
        /// Reference code.
        reference: f32,
    },
}

impl Law {
    /// Design value at `code`.
    #[must_use]
    pub fn value(&self, code: f32) -> f32 {
        match *self {
            Law::Linear { at_reference, reference, slope } => {
                at_reference + slope * (code - reference)
            }
            Law::Proportional { at_reference, reference } => at_reference * code / reference,
            Law::Reciprocal { at_reference, reference } => {
                at_reference * reference / if code < 1.0 { 1.0 } else { code }
            }
        }
    }

    /// Code (not rounded, not clipped) whose design value is `value`. `None` where no code gives it.
    #[must_use]
    pub fn code(&self, value: f32) -> Option<f32> {
        match *self {
            Law::Linear { at_reference, reference, slope } => {
                (slope != 0.0).then(|| reference + (value - at_reference) / slope)
            }
            Law::Proportional { at_reference, reference } => {
                (at_reference != 0.0).then(|| reference * value / at_reference)
            }
            Law::Reciprocal { at_reference, reference } => {
                (value > 0.0).then(|| at_reference * reference / value)
            }
        }
    }
}

/// One settable parameter: range of its code and the law of its design value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterSpec {
    /// Which quantity.
    pub parameter: Parameter,
    /// Unit of the design value.
    pub unit: Unit,
    /// Lowest code.
    pub code_min: u16,
    /// Highest code.
    pub code_max: u16,
    /// Code after power-up.
    pub code_default: u16,
    /// Design value as a function of the code.
    pub law: Law,
}

impl ParameterSpec {
    /// The admissible code whose design value is nearest to `value`, and whether it had to be clipped.
    #[must_use]
    pub fn nearest_code(&self, value: f32) -> (u16, bool) {
        let Some(code) = self.law.code(value) else { return (self.code_default, true) };
        let rounded = if code.is_finite() { (code + 0.5) as i64 } else { i64::from(self.code_max) };
        let clipped = rounded.clamp(i64::from(self.code_min), i64::from(self.code_max));
        (clipped as u16, clipped != rounded)
    }

    /// Design value at `code`.
    #[must_use]
    pub fn value(&self, code: u16) -> f32 {
        self.law.value(f32::from(code))
    }
}

/// The membrane converter.
///
/// In text formats it is a table of its fields. In the binary format of the wire `reference` is bit 7
/// of `bits`, so that a chip without one is written as before the bit had a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adc {
    /// Resolution: samples are `0 ..= 2^bits − 1`.
    pub bits: u8,
    /// Shortest time between two samples of one neuron, in ticks.
    pub min_period: u32,
    /// Samples below this are not to be trusted (saturation).
    pub reliable_min: u16,
    /// Samples above this are not to be trusted (saturation).
    pub reliable_max: u16,
    /// Whether all channels can be connected to a known potential instead of the membranes, see
    /// [`Recording::reference`](crate::Recording::reference).
    pub reference: bool,
}

/// [`Adc`] as its fields.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Adc")]
struct AdcText {
    bits: u8,
    min_period: u32,
    reliable_min: u16,
    reliable_max: u16,
    #[serde(default)]
    reference: bool,
}

/// [`Adc`] on the wire: bit 7 of `bits` is `reference`.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Adc")]
struct AdcPacked {
    bits: u8,
    min_period: u32,
    reliable_min: u16,
    reliable_max: u16,
}

/// The bit of [`AdcPacked::bits`] that says that there is a reference; a resolution needs five.
const REFERENCE: u8 = 0x80;

impl Serialize for Adc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { bits, min_period, reliable_min, reliable_max, reference } = *self;
        if serializer.is_human_readable() {
            AdcText { bits, min_period, reliable_min, reliable_max, reference }
                .serialize(serializer)
        } else {
            let bits = bits & !REFERENCE | if reference { REFERENCE } else { 0 };
            AdcPacked { bits, min_period, reliable_min, reliable_max }.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Adc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let AdcText { bits, min_period, reliable_min, reliable_max, reference } =
                AdcText::deserialize(deserializer)?;
            Ok(Self { bits, min_period, reliable_min, reliable_max, reference })
        } else {
            let AdcPacked { bits, min_period, reliable_min, reliable_max } =
                AdcPacked::deserialize(deserializer)?;
            let (bits, reference) = (bits & !REFERENCE, bits & REFERENCE != 0);
            Ok(Self { bits, min_period, reliable_min, reliable_max, reference })
        }
    }
}

/// Limits of one run (one `submit`). A request beyond them is refused, never truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buffers {
    /// Trials in one run.
    pub trials: u32,
    /// Stimulus events in one run, over all trials.
    pub stimulus_events: u32,
    /// Spikes that the device can hold per trial; more are dropped and counted.
    pub spikes_per_trial: u32,
    /// Bytes of membrane samples in one run, over all trials. A device stores a sample of up to
    /// eight bits in one byte, of more bits in two.
    pub trace_bytes: u32,
    /// Runs that can be submitted before the first is collected.
    pub runs_in_flight: u8,
    /// Longest frame body the device accepts, in bytes.
    pub frame_body: u16,
}

/// What a chip says it is. The first message of every session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Protocol version the device speaks.
    pub protocol: u16,
    /// Which device.
    pub identity: Identity,
    /// Number of neuron circuits; neuron ids are `0 .. neurons`.
    pub neurons: u16,
    /// Number of input lines; input ids are `0 .. inputs`.
    pub inputs: u16,
    /// Whether neurons can drive neurons (the weight matrix then has `inputs + neurons` rows).
    pub recurrent: bool,
    /// Lowest weight code.
    pub weight_min: i8,
    /// Highest weight code.
    pub weight_max: i8,
    /// Length of a tick in nanoseconds of chip time.
    pub tick_ns: u32,
    /// Longest trial, in ticks.
    pub max_duration: u32,
    /// The membrane converter, if there is one.
    pub adc: Option<Adc>,
    /// Limits of one run.
    pub buffers: Buffers,
    /// Settable parameters of every neuron.
    pub parameters: Vec<ParameterSpec, MAX_PARAMETERS>,
}

impl Capabilities {
    /// Rows of the weight matrix: the inputs, then (on recurrent chips) the neurons.
    #[must_use]
    pub fn sources(&self) -> usize {
        usize::from(self.inputs) + if self.recurrent { usize::from(self.neurons) } else { 0 }
    }

    /// The specification of `parameter`, if the chip lets it be set.
    #[must_use]
    pub fn parameter(&self, parameter: Parameter) -> Option<&ParameterSpec> {
        self.parameters.iter().find(|spec| spec.parameter == parameter)
    }

    /// Bytes one sample takes in the device's trace memory.
    #[must_use]
    pub fn bytes_per_sample(&self) -> u32 {
        match self.adc {
            Some(adc) if adc.bits > 8 => 2,
            _ => 1,
        }
    }

    /// Ticks in `us` microseconds of chip time, rounded to the nearest.
    #[must_use]
    pub fn ticks(&self, us: f64) -> u32 {
        (us * 1000.0 / f64::from(self.tick_ns) + 0.5) as u32
    }

    /// Microseconds of chip time in `ticks`.
    #[must_use]
    pub fn microseconds(&self, ticks: u32) -> f64 {
        f64::from(ticks) * f64::from(self.tick_ns) / 1000.0
    }
}

#[cfg(all(test, feature = "std"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_converter_is_a_table_in_text_and_has_its_reference_in_bit_7_on_the_wire() {
        for reference in [false, true] {
            let adc =
                Adc { bits: 10, min_period: 17, reliable_min: 50, reliable_max: 1000, reference };
            let text = toml::to_string(&adc).unwrap();
            assert!(text.contains("bits = 10") && text.contains(&format!("= {reference}")));
            assert_eq!(toml::from_str::<Adc>(&text).unwrap(), adc);
            let mut scratch = [0; 16];
            let bytes = postcard::to_slice(&adc, &mut scratch).unwrap();
            assert_eq!(bytes[0], if reference { 138 } else { 10 });
            assert_eq!(postcard::from_bytes::<Adc>(bytes).unwrap(), adc);
        }
        // Text of a build without references.
        let old = "bits = 8\nmin_period = 1\nreliable_min = 0\nreliable_max = 9";
        assert!(!toml::from_str::<Adc>(old).unwrap().reference);
    }
}
