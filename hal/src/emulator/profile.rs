//! A kind of chip: every nominal value and every magnitude of its imperfections.
//!
//! A profile is a TOML file. The presets are compiled in ([`PRESETS`]); a user's file has the same
//! form and unknown keys are refused by name. One *chip* of a kind is drawn from a profile and a
//! seed, see [`DrawnChip`](super::DrawnChip). `θ` always means threshold − leak.

use super::error::EmulatorError as Error;
use crate::caps::{
    Adc, Buffers, Capabilities, Identity, Law, PROTOCOL_VERSION, Parameter, ParameterSpec, Unit,
};
use crate::limits::check_capabilities;
use crate::nearest::{hint, nearest};
use serde::{Deserialize, Serialize};

/// Names of the compiled-in profiles and what they are.
pub const PRESETS: [(&str, &str); 7] = [
    (
        "bss2-chip66-uncal",
        "BrainScaleS-2 with the mismatch measured on one real chip, uncalibrated",
    ),
    ("bss2-cal", "BrainScaleS-2 with the residuals that its published calibration demands"),
    ("delgrad-hwaware", "small noise model that agrees with silicon on Yin-Yang (Göltz et al.)"),
    (
        "pnas-decal",
        "ideal but for tau_mem, tau_syn and theta detuned by N(1, sigma) (Cramer et al., PNAS 2022)",
    ),
    (
        "dynapse-like",
        "subthreshold chip: 20 % on every current, 4-bit weights, no membrane read-back",
    ),
    ("loihi-like", "digital core: 8-bit weights, 12-bit decays, 23-bit state"),
    ("fpga-ideal", "digital core without limits that matter: the reference of bit-exact designs"),
];

const FILES: [(&str, &str); 7] = [
    ("bss2-chip66-uncal", include_str!("presets/bss2-chip66-uncal.toml")),
    ("bss2-cal", include_str!("presets/bss2-cal.toml")),
    ("delgrad-hwaware", include_str!("presets/delgrad-hwaware.toml")),
    ("pnas-decal", include_str!("presets/pnas-decal.toml")),
    ("dynapse-like", include_str!("presets/dynapse-like.toml")),
    ("loihi-like", include_str!("presets/loihi-like.toml")),
    ("fpga-ideal", include_str!("presets/fpga-ideal.toml")),
];

/// A kind of chip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Name, as the chip reports it.
    pub name: String,
    /// One line for listings.
    pub description: String,
    /// Factor on every spread and shift of [`Mismatch`] and of the converter (not on noise).
    #[serde(default = "one")]
    pub sigma: f64,
    /// Sizes.
    pub size: Size,
    /// Time base.
    pub time: Time,
    /// Membrane converter, if there is one.
    pub adc: Option<AdcProfile>,
    /// Memories of the device.
    pub buffers: BufferProfile,
    /// Design values.
    pub nominal: Nominal,
    /// Settable parameters; what is absent stays at its design value.
    #[serde(default)]
    pub codes: Codes,
    /// What differs from neuron to neuron.
    #[serde(default)]
    pub mismatch: Mismatch,
    /// How parameter cells shift each other.
    #[serde(default)]
    pub crosstalk: CrosstalkProfile,
    /// What changes over hours and with temperature.
    #[serde(default)]
    pub drift: Drift,
    /// What differs from trial to trial.
    #[serde(default)]
    pub noise: Noise,
    /// The way out for spikes.
    #[serde(default)]
    pub bus: Bus,
    /// Defects.
    #[serde(default)]
    pub faults: Faults,
    /// Present: a discrete-time integer core; absent: analog physics.
    pub digital: Option<DigitalProfile>,
}

const fn one() -> f64 {
    1.0
}

/// Sizes of a chip.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Neuron circuits.
    pub neurons: u16,
    /// Input lines.
    pub inputs: u16,
    /// Whether neurons can drive neurons.
    pub recurrent: bool,
    /// Neurons that share a block offset.
    pub block: u16,
    /// Lowest weight code.
    pub weight_min: i8,
    /// Highest weight code.
    pub weight_max: i8,
}

/// Time base of a chip and of its emulation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// Length of a tick in nanoseconds.
    pub tick_ns: u32,
    /// Longest trial in microseconds.
    pub max_duration_us: f64,
    /// Grid of recorded spike times in ticks.
    pub stamp_ticks: u32,
    /// Longest integration step in nanoseconds.
    pub max_step_ns: f64,
    /// From a spike to its effect on other neurons of the chip, in microseconds.
    pub axonal_delay_us: f64,
}

/// The membrane converter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdcProfile {
    /// Resolution.
    pub bits: u8,
    /// Shortest sample period in microseconds.
    pub min_period_us: f64,
    /// Lowest sample to be trusted.
    pub reliable_min: u16,
    /// Highest sample to be trusted.
    pub reliable_max: u16,
    /// Spread of the channel offsets in converter steps.
    pub offset_lsb: f64,
    /// Spread of the channel gains (1 = 100 %), about a gain of one.
    pub gain: f64,
    /// Spread of the sampling instants of the channels in microseconds.
    pub skew_us: f64,
    /// Noise of each sample in converter steps (membrane and converter together).
    pub noise_lsb: f64,
    /// Probability that a parallel sample is taken one period early or late.
    pub jitter_probability: f64,
    /// Probability that the sampling of a trial stalls and its data are void.
    pub stall_probability: f64,
    /// Whether all channels can be connected to a known potential instead of the membranes.
    #[serde(default)]
    pub reference: bool,
}

/// Memories of the device, see [`Buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BufferProfile {
    /// Trials in one run.
    pub trials: u32,
    /// Stimulus events in one run.
    pub stimulus_events: u32,
    /// Spikes of one trial.
    pub spikes_per_trial: u32,
    /// Bytes of samples in one run.
    pub trace_bytes: u32,
    /// Runs submitted and not yet collected.
    pub runs_in_flight: u8,
    /// Longest frame body in bytes.
    pub frame_body: u16,
}

/// Design values of the neuron.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nominal {
    /// Leak potential in converter steps.
    pub leak_lsb: f64,
    /// Threshold in converter steps.
    pub threshold_lsb: f64,
    /// Reset potential in converter steps.
    pub reset_lsb: f64,
    /// Membrane time constant in microseconds.
    pub tau_mem_us: f64,
    /// Synaptic time constant in microseconds.
    pub tau_syn_us: f64,
    /// Time the membrane is clamped after a spike in microseconds.
    pub refractory_us: f64,
    /// Clock step of the refractory time in microseconds; 0 = continuous.
    pub refractory_step_us: f64,
    /// Jump of the slope of the membrane per weight code, LSB/µs.
    pub gain: f64,
}

impl Nominal {
    /// θ in converter steps.
    #[must_use]
    pub fn theta(&self) -> f64 {
        self.threshold_lsb - self.leak_lsb
    }
}

/// Range and scale of one parameter code.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// Code of the design value, which is also the code after power-up.
    pub reference: u16,
    /// Lowest code.
    pub min: u16,
    /// Highest code.
    pub max: u16,
    /// Change of the value per code, for potentials, offsets and the refractory time.
    pub slope: Option<f64>,
}

/// Which parameters can be set. Potentials, offsets and the refractory time are linear in their
/// code, gains proportional, time constants reciprocal (bias currents).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codes {
    /// Leak potential.
    pub leak_potential: Option<Code>,
    /// Reset potential.
    pub reset_potential: Option<Code>,
    /// Threshold.
    pub threshold: Option<Code>,
    /// Membrane time constant.
    pub tau_mem: Option<Code>,
    /// Excitatory synaptic time constant.
    pub tau_syn_exc: Option<Code>,
    /// Inhibitory synaptic time constant.
    pub tau_syn_inh: Option<Code>,
    /// Excitatory gain.
    pub gain_exc: Option<Code>,
    /// Inhibitory gain.
    pub gain_inh: Option<Code>,
    /// Excitatory current offset.
    pub offset_exc: Option<Code>,
    /// Inhibitory current offset.
    pub offset_inh: Option<Code>,
    /// Refractory time.
    pub refractory: Option<Code>,
}

/// Spread of one quantity over a chip: `mean + block · B + local · ε` with standard normal B, ε.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spread {
    /// Common shift.
    pub mean: f64,
    /// Standard deviation of what a block of neurons has in common.
    pub block: f64,
    /// Standard deviation inside a block.
    pub local: f64,
}

impl Spread {
    /// Standard deviation of one neuron's value over many chips.
    #[must_use]
    pub fn total(&self) -> f64 {
        libm::hypot(self.block, self.local)
    }
}

/// What differs from neuron to neuron. Time constants and gains: relative deviation from 1, the
/// factor is clipped to `clip_low ..= clip_high`. Potentials: in θ. Offsets: shift of the resting
/// potential in θ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mismatch {
    /// Lowest factor.
    pub clip_low: f64,
    /// Highest factor.
    pub clip_high: f64,
    /// Membrane time constant.
    pub tau_mem: Spread,
    /// Excitatory synaptic time constant.
    pub tau_syn_exc: Spread,
    /// Inhibitory synaptic time constant.
    pub tau_syn_inh: Spread,
    /// Correlation of the two synaptic time constants.
    pub tau_syn_correlation: f64,
    /// Excitatory gain of the neuron.
    pub gain_exc: Spread,
    /// Inhibitory gain of the neuron.
    pub gain_inh: Spread,
    /// Correlation of the two gains.
    pub gain_correlation: f64,
    /// Relative spread of the gain of a single synapse.
    pub synapse: f64,
    /// Leak potential.
    pub leak: Spread,
    /// Reset potential.
    pub reset: Spread,
    /// Correlation of leak and reset.
    pub leak_reset_correlation: f64,
    /// Threshold, additive.
    pub threshold: Spread,
    /// Correlation of leak and threshold.
    pub leak_threshold_correlation: f64,
    /// θ as a factor (clipped like the others), on top of the additive offset.
    pub theta: Spread,
    /// Current offset of the excitatory input.
    pub offset_exc: Spread,
    /// Current offset of the inhibitory input.
    pub offset_inh: Spread,
    /// Most clock steps by which the refractory time is off, uniform in `-n ..= n`.
    pub refractory_steps: u8,
}

impl Default for Mismatch {
    fn default() -> Self {
        let none = Spread::default();
        Self {
            clip_low: 0.15,
            clip_high: 10.0,
            tau_mem: none,
            tau_syn_exc: none,
            tau_syn_inh: none,
            tau_syn_correlation: 0.0,
            gain_exc: none,
            gain_inh: none,
            gain_correlation: 0.0,
            synapse: 0.0,
            leak: none,
            reset: none,
            leak_reset_correlation: 0.0,
            threshold: none,
            leak_threshold_correlation: 0.0,
            theta: none,
            offset_exc: none,
            offset_inh: none,
            refractory_steps: 0,
        }
    }
}

/// Crosstalk of parameter cells: all cells of a block at one code shift each other by `codes`, a cell
/// alone in its surroundings is not shifted. The law stands in the source of `crosstalk.rs`:
/// `code + codes · share`, the share being that of the other cells of the block that hold the same
/// code, cells up to `window` codes away counting linearly less. The factor `sigma` does not touch it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrosstalkProfile {
    /// Shift when all cells hold one code; 0 = none.
    pub codes: f64,
    /// Distance of codes from which cells do not see each other; 1 = only the same code counts.
    pub window: u16,
}

impl Default for CrosstalkProfile {
    fn default() -> Self {
        Self { codes: 0.0, window: 4 }
    }
}

/// Slow changes, see [`Environment`](super::Environment). The factor `sigma` does not touch them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drift {
    /// Standard deviation of the leak potential after long time, in θ.
    pub leak_theta: f64,
    /// Standard deviation of the threshold after long time, in θ.
    pub threshold_theta: f64,
    /// Correlation time in hours.
    pub hours: f64,
    /// Relative change of all time constants per kelvin, from 25 °C.
    pub tau_per_kelvin: f64,
}

impl Default for Drift {
    fn default() -> Self {
        Self { leak_theta: 0.0, threshold_theta: 0.0, hours: 8.0, tau_per_kelvin: 0.0 }
    }
}

/// What differs from trial to trial (the noise of samples stands with the converter).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Noise {
    /// Threshold of each neuron, redrawn each trial, in θ.
    pub threshold_theta: f64,
    /// Time of each spike on its way, in microseconds.
    pub spike_jitter_us: f64,
}

/// The bus that carries spikes out: a bucket that holds `burst` events and empties at
/// `rate_per_us`; spikes that find it full are lost. Absent or zero burst: nothing is ever lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bus {
    /// Events the bus can hold; 0 = no limit.
    pub burst: u32,
    /// Events it carries away per microsecond.
    pub rate_per_us: f64,
}

/// Defects, as probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// A neuron never fires and its membrane does not move.
    pub dead: f64,
    /// A neuron's comparator is stuck: it fires as fast as its refractory time allows.
    pub stuck: f64,
    /// One magnitude bit of a synapse's weight memory is stuck at 0 or 1.
    pub stuck_bit: f64,
}

/// A discrete-time integer core, see [`digital`](super::digital).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigitalProfile {
    /// Bits of the synaptic and membrane state, sign included.
    pub state_bits: u32,
    /// Fractional bits of the state below one converter step.
    pub fraction_bits: u32,
    /// Bits of a decay factor.
    pub decay_bits: u32,
    /// Most spikes that leave the core in one step; 0 = no limit.
    pub spikes_per_step: u32,
}

impl Profile {
    /// A compiled-in profile.
    ///
    /// # Errors
    /// [`EmulatorError::UnknownPreset`](super::EmulatorError::UnknownPreset) naming the nearest one.
    pub fn preset(name: &str) -> Result<Self, Error> {
        match FILES.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::from_toml(text),
            None => Err(Error::UnknownPreset {
                name: name.to_owned(),
                hint: hint(nearest(name, FILES.iter().map(|(known, _)| *known))),
            }),
        }
    }

    /// Reads a profile. Unknown keys are refused.
    ///
    /// # Errors
    /// [`EmulatorError::Profile`](super::EmulatorError::Profile) naming the key and the line, or the value that makes no sense.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let profile: Self =
            toml::from_str(text).map_err(|e| Error::Profile { reason: e.to_string() })?;
        profile.check()?;
        Ok(profile)
    }

    /// Refuses values that no chip can have.
    ///
    /// # Errors
    /// [`EmulatorError::Profile`](super::EmulatorError::Profile) naming the value and what is allowed.
    pub fn check(&self) -> Result<(), Error> {
        let ensure = |ok: bool, reason: &str| {
            if ok { Ok(()) } else { Err(Error::Profile { reason: reason.to_owned() }) }
        };
        let (size, time, nominal) = (&self.size, &self.time, &self.nominal);
        ensure((1..=4096).contains(&size.neurons), "size.neurons must be 1 ..= 4096")?;
        ensure((1..=4096).contains(&size.inputs), "size.inputs must be 1 ..= 4096")?;
        ensure(size.block >= 1, "size.block must be at least 1")?;
        ensure(
            size.weight_min <= 0 && size.weight_max > 0,
            "size.weight_min must be <= 0 < size.weight_max",
        )?;
        ensure((1..=1_000_000).contains(&time.tick_ns), "time.tick_ns must be 1 ..= 1000000")?;
        ensure((1..=1000).contains(&time.stamp_ticks), "time.stamp_ticks must be 1 ..= 1000")?;
        let steps_ok = time.max_step_ns >= 1.0 && time.max_step_ns <= 1e9;
        ensure(steps_ok, "time.max_step_ns must be 1 ..= 1e9")?;
        ensure(
            time.axonal_delay_us * 1000.0 >= time.max_step_ns || self.digital.is_some(),
            "time.axonal_delay_us must be at least time.max_step_ns: order would matter otherwise",
        )?;
        let ticks = time.max_duration_us * 1000.0 / f64::from(time.tick_ns);
        ensure((1.0..=2e9).contains(&ticks), "time.max_duration_us must be 1 ..= 2e9 ticks")?;
        ensure(nominal.theta() > 0.0, "nominal.threshold_lsb must be above nominal.leak_lsb")?;
        let taus = nominal.tau_mem_us > 0.0 && nominal.tau_syn_us > 0.0;
        ensure(taus, "nominal time constants must be positive")?;
        ensure(nominal.gain > 0.0, "nominal.gain must be positive")?;
        let refractory = nominal.refractory_us >= 0.0 && nominal.refractory_step_us >= 0.0;
        ensure(refractory, "nominal.refractory_us and refractory_step_us must not be negative")?;
        ensure((0.0..=100.0).contains(&self.sigma), "sigma must be 0 ..= 100")?;
        let clips =
            self.mismatch.clip_low > 0.0 && self.mismatch.clip_high >= self.mismatch.clip_low;
        ensure(clips, "mismatch.clip_low must be positive and not above clip_high")?;
        let (crosstalk, drift) = (&self.crosstalk, &self.drift);
        ensure(crosstalk.codes.abs() <= 100.0, "crosstalk.codes must be -100 ..= 100")?;
        ensure((1..=1024).contains(&crosstalk.window), "crosstalk.window must be 1 ..= 1024")?;
        ensure(
            (0.0..=1.0).contains(&drift.leak_theta) && (0.0..=1.0).contains(&drift.threshold_theta),
            "drift.leak_theta and drift.threshold_theta must be 0 ..= 1",
        )?;
        ensure((0.1..=1e6).contains(&drift.hours), "drift.hours must be 0.1 ..= 1e6")?;
        ensure(drift.tau_per_kelvin.abs() <= 0.1, "drift.tau_per_kelvin must be -0.1 ..= 0.1")?;
        if let Some(adc) = &self.adc {
            ensure((1..=16).contains(&adc.bits), "adc.bits must be 1 ..= 16")?;
            ensure(adc.min_period_us > 0.0, "adc.min_period_us must be positive")?;
        }
        if let Some(digital) = &self.digital {
            ensure((8..=31).contains(&digital.state_bits), "digital.state_bits must be 8 ..= 31")?;
            ensure(digital.fraction_bits <= 16, "digital.fraction_bits must be 0 ..= 16")?;
            ensure((4..=16).contains(&digital.decay_bits), "digital.decay_bits must be 4 ..= 16")?;
            let exact = self.mismatch == Mismatch::default()
                && self.noise == Noise::default()
                && self.crosstalk == CrosstalkProfile::default()
                && self.drift == Drift::default();
            ensure(
                exact,
                "a digital chip has no mismatch, noise, crosstalk or drift: remove those tables",
            )?;
        }
        Ok(())
    }

    /// Sets every imperfection to zero: spreads, crosstalk, drift, noise, losses and defects.
    #[must_use]
    pub fn ideal(mut self) -> Self {
        self.mismatch = Mismatch::default();
        self.crosstalk = CrosstalkProfile::default();
        self.drift = Drift::default();
        self.faults = Faults::default();
        if let Some(adc) = &mut self.adc {
            (adc.offset_lsb, adc.gain, adc.skew_us) = (0.0, 0.0, 0.0);
        }
        self.without_noise()
    }

    /// Sets everything to zero that differs from trial to trial; the chip stays the same.
    #[must_use]
    pub fn without_noise(mut self) -> Self {
        self.noise = Noise::default();
        self.bus = Bus::default();
        if let Some(adc) = &mut self.adc {
            (adc.noise_lsb, adc.jitter_probability, adc.stall_probability) = (0.0, 0.0, 0.0);
        }
        self
    }

    /// What a chip of this kind announces.
    ///
    /// # Errors
    /// [`EmulatorError::Profile`](super::EmulatorError::Profile) if the name is too long, a linear code lacks its
    /// slope, or a host would refuse such a chip.
    pub fn capabilities(&self, serial: u64) -> Result<Capabilities, Error> {
        let ticks = |us: f64| libm::round(us * 1000.0 / f64::from(self.time.tick_ns)) as u32;
        let kind = heapless::String::try_from(self.name.as_str())
            .map_err(|_| Error::Profile { reason: "name is longer than 48 bytes".to_owned() })?;
        let buffers = &self.buffers;
        let mut caps = Capabilities {
            protocol: PROTOCOL_VERSION,
            identity: Identity { kind, serial, firmware: 1 << 8 },
            neurons: self.size.neurons,
            inputs: self.size.inputs,
            recurrent: self.size.recurrent,
            weight_min: self.size.weight_min,
            weight_max: self.size.weight_max,
            tick_ns: self.time.tick_ns,
            max_duration: ticks(self.time.max_duration_us),
            adc: self.adc.map(|adc| Adc {
                bits: adc.bits,
                min_period: ticks(adc.min_period_us).max(1),
                reliable_min: adc.reliable_min,
                reliable_max: adc.reliable_max,
                reference: adc.reference,
            }),
            buffers: Buffers {
                trials: buffers.trials,
                stimulus_events: buffers.stimulus_events,
                spikes_per_trial: buffers.spikes_per_trial,
                trace_bytes: buffers.trace_bytes,
                runs_in_flight: buffers.runs_in_flight,
                frame_body: buffers.frame_body,
            },
            parameters: heapless::Vec::new(),
        };
        for parameter in Parameter::ALL {
            if let Some(code) = self.code(parameter) {
                // Eleven parameters fit into sixteen places.
                let _ = caps.parameters.push(self.spec(parameter, code)?);
            }
        }
        // What a host would refuse is no chip: a board of it could not be talked to.
        match check_capabilities(&caps) {
            Ok(()) => Ok(caps),
            Err(crate::Error::Announcement { reason }) => {
                Err(Error::Profile { reason: format!("no host would believe this chip: {reason}") })
            }
            Err(error) => Err(Error::Profile { reason: error.to_string() }),
        }
    }

    fn code(&self, parameter: Parameter) -> Option<Code> {
        let codes = &self.codes;
        match parameter {
            Parameter::LeakPotential => codes.leak_potential,
            Parameter::ResetPotential => codes.reset_potential,
            Parameter::Threshold => codes.threshold,
            Parameter::TauMem => codes.tau_mem,
            Parameter::TauSynExc => codes.tau_syn_exc,
            Parameter::TauSynInh => codes.tau_syn_inh,
            Parameter::GainExc => codes.gain_exc,
            Parameter::GainInh => codes.gain_inh,
            Parameter::OffsetExc => codes.offset_exc,
            Parameter::OffsetInh => codes.offset_inh,
            Parameter::Refractory => codes.refractory,
        }
    }

    /// Design value of `parameter` when it is not settable or stands at its reference code.
    #[must_use]
    pub fn design_value(&self, parameter: Parameter) -> f64 {
        let nominal = &self.nominal;
        match parameter {
            Parameter::LeakPotential => nominal.leak_lsb,
            Parameter::ResetPotential => nominal.reset_lsb,
            Parameter::Threshold => nominal.threshold_lsb,
            Parameter::TauMem => nominal.tau_mem_us,
            Parameter::TauSynExc | Parameter::TauSynInh => nominal.tau_syn_us,
            Parameter::GainExc | Parameter::GainInh => nominal.gain,
            Parameter::OffsetExc | Parameter::OffsetInh => 0.0,
            Parameter::Refractory => nominal.refractory_us,
        }
    }

    fn spec(&self, parameter: Parameter, code: Code) -> Result<ParameterSpec, Error> {
        let at_reference = self.design_value(parameter) as f32;
        let reference = f32::from(code.reference);
        let linear = || match code.slope {
            Some(slope) => Ok(Law::Linear { at_reference, reference, slope: slope as f32 }),
            None => Err(Error::Profile {
                reason: format!("codes.{} needs a slope: its law is linear", parameter.name()),
            }),
        };
        let (unit, law) = match parameter {
            Parameter::LeakPotential | Parameter::ResetPotential | Parameter::Threshold => {
                (Unit::Lsb, linear()?)
            }
            Parameter::TauMem | Parameter::TauSynExc | Parameter::TauSynInh => {
                (Unit::Microseconds, Law::Reciprocal { at_reference, reference })
            }
            Parameter::GainExc | Parameter::GainInh => {
                (Unit::LsbPerMicrosecondPerCode, Law::Proportional { at_reference, reference })
            }
            Parameter::OffsetExc | Parameter::OffsetInh => (Unit::LsbPerMicrosecond, linear()?),
            Parameter::Refractory => (Unit::Microseconds, linear()?),
        };
        let in_range =
            code.min <= code.reference && code.reference <= code.max && code.reference > 0;
        if !in_range {
            return Err(Error::Profile {
                reason: format!(
                    "codes.{} needs 0 < reference and min <= reference <= max",
                    parameter.name()
                ),
            });
        }
        let (code_min, code_max, code_default) = (code.min, code.max, code.reference);
        Ok(ParameterSpec { parameter, unit, code_min, code_max, code_default, law })
    }
}
