//! Parity: why a chip does not do what the model says.
//!
//! ```text
//! chip ─ probe (or its calibration) ─► twin ─┬─► ideal, ideal + one cause, twin − one cause, twin   (emulated)
//!   └── the batch, twice ────────────────────┴─► distances ─► shares ─► first suspect
//! ```
//!
//! The same batch runs on the chip and on chips that could have been ([`Cause`] by cause, see
//! `counterfactual.rs`). Whatever brings the ideal chip closest to the real one, and the twin furthest from it,
//! is to blame. Lost events are counted by the chip itself, and what it lost is taken out of the comparison. The chip runs
//! the batch twice, so that noise from trial to trial is not blamed on anything; spikes that come at other times
//! in both, more so than the thresholds' noise explains, have a jitter, which belongs to [`Cause::Timing`].

mod behaviour;
mod blame;
mod cause;
mod compare;
mod counterfactual;
mod distance;
pub mod probe;

pub use behaviour::{Behaviour, LayerBehaviour, Spike};
pub use blame::{Suspect, Verdict};
pub use cause::Cause;
pub use compare::{Difference, Divergence, LayerDifference};
pub use counterfactual::Assumed;

use crate::bench::{Bench, Cost};
use crate::error::Error;
use crate::measure::Effort;
use crate::measure::synapses::Synapses;
use crate::result::Calibration;
use crate::translation::{Codes, Translation};
use crate::twin;
use behaviour::Raw;
use blame::{Base, Evidence};
use cause::Causes;
use counterfactual::{Aims, Scene};
use distance::Ruler;
use serde::{Deserialize, Serialize};
use spikeloop_hal::{Capabilities, Chip, ChipConfig, Health, Parameter, Runner, Stimulus};
use spikeloop_models::inference::LayerRecording;
use spikeloop_models::spike_train::SpikeTrains;

/// Trial numbers of the two runs of the chip.
const FIRST_TRIAL: u64 = 3 << 48;
const SECOND_TRIAL: u64 = FIRST_TRIAL + (1 << 40);

/// A network as it runs on a chip, and the batch.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// How the network was translated, after the weights were written.
    pub translation: &'a Translation,
    /// The configuration of the chip, weights included.
    pub config: &'a ChipConfig,
    /// The model's weights in codes but neither rounded nor clipped: row-major `[source, neuron]` as
    /// [`ChipConfig::weights`].
    pub wanted: &'a [f32],
    /// Weights outside the range of codes.
    pub clipped: usize,
    /// Input spikes.
    pub inputs: &'a SpikeTrains,
    /// What the model does with them: one recording a sample, in it one a layer.
    pub model: &'a [Vec<LayerRecording<f32>>],
    /// What the model takes for granted.
    pub assumed: Assumed,
    /// A calibration of the chip, and how it is used; without one the chip is measured.
    pub calibration: Option<(&'a Calibration, Codes)>,
    /// Effort of measurements.
    pub effort: Effort,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events that the chip lost in one run of the batch, in and out.
    pub lost: u64,
    /// Of these, events that did not reach a synapse.
    pub lost_inputs: u64,
    /// Spikes that the chip returned.
    pub spikes: u64,
    /// Samples at a rail of the converter.
    pub railed_samples: u64,
    /// Samples.
    pub samples: u64,
    /// Weights outside the range of codes.
    pub clipped_weights: u64,
    /// Weights that are not zero.
    pub weights: u64,
}

/// How everything differs from the chip, layer by layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Against the model on its own grid.
    pub model: Vec<LayerDifference>,
    /// Against the model without its grid: the chip with nothing wrong.
    pub ideal: Vec<LayerDifference>,
    /// Against the digital twin.
    pub twin: Vec<LayerDifference>,
    /// The second run of the chip against the first.
    pub repeat: Vec<LayerDifference>,
}

/// The report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parity {
    /// Samples of the batch.
    pub samples: usize,
    /// Who is to blame.
    pub verdict: Verdict,
    /// Differences by layer.
    pub layers: Comparison,
    /// First divergence of each sample that diverges from the ideal chip.
    pub divergences: Vec<Divergence>,
    /// What was counted.
    pub counts: Counts,
    /// Time from a spike to its effect on the next layer, µs, where it was measured.
    pub axonal_delay_us: Option<f64>,
    /// Jitter of spike times that noise of the thresholds does not explain, µs.
    pub jitter_us: f64,
    /// What measuring the chip has cost.
    pub cost: Cost,
    /// What could not be examined, and why.
    pub notes: Vec<String>,
}

impl Parity {
    /// The earliest divergence of all samples.
    #[must_use]
    pub fn first_divergence(&self) -> Option<&Divergence> {
        self.divergences.iter().min_by(|a, b| a.time_us.total_cmp(&b.time_us))
    }
}

/// Everything that a page shows beside the report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pictures {
    /// The model on its grid.
    pub model: Behaviour,
    /// The chip with nothing wrong.
    pub ideal: Behaviour,
    /// The twin.
    pub twin: Behaviour,
    /// The chip.
    pub chip: Behaviour,
    /// Root of the mean squared difference of membranes in each step, in θ: ideal, twin and second run against
    /// the chip; empty without membranes.
    pub membrane_over_time: [Vec<f64>; 3],
}

/// Runs the batch on everything and judges. The chip comes back with the configuration of the request.
///
/// # Errors
/// Failures of the chip; a calibration of another chip.
pub fn examine(
    chip: Box<dyn Chip>,
    request: &Request<'_>,
) -> Result<(Parity, Pictures, Box<dyn Chip>), Error> {
    let caps = chip.capabilities().clone();
    let mut bench = Bench::new(chip, 1 << 12);
    let subject = Subject::measure(&mut bench, &caps, request)?;
    let cost = bench.cost();
    let mut runner = Runner::new(bench.into_chip());
    let theta = subject.aims.theta();
    let runs =
        [FIRST_TRIAL, SECOND_TRIAL].map(|trial| run(&mut runner, &caps, request, trial, theta));
    let [first, second] = runs;
    let ((first, mut counts), (second, again)) = (first?, second?);
    counts.lost = counts.lost.max(again.lost);
    counts.lost_inputs = counts.lost_inputs.max(again.lost_inputs);
    counts.clipped_weights = request.clipped as u64;
    counts.weights = request.wanted.iter().filter(|w| **w != 0.0).count() as u64;
    let scene = subject.scene(&caps, request);
    let trial = Trial { scene: &scene, request, chip: [first, second], counts };
    let (mut parity, pictures) = trial.judge()?;
    parity.axonal_delay_us = subject.delay_us;
    parity.cost = cost;
    parity.notes.extend(subject.notes);
    Ok((parity, pictures, runner.into_chip()))
}

/// The chip as measured.
struct Subject {
    twin: spikeloop_hal::emulator::DrawnChip,
    aims: Aims,
    delay_us: Option<f64>,
    notes: Vec<String>,
}

impl Subject {
    fn measure(
        bench: &mut Bench,
        caps: &Capabilities,
        request: &Request<'_>,
    ) -> Result<Self, Error> {
        let Request { config, effort, .. } = *request;
        let mut notes = Vec::new();
        let known = match request.calibration {
            Some((calibration, Codes::Calibrated)) => {
                calibration.check(caps)?;
                calibration.clone()
            }
            _ => probe::measure(bench, config, effort)?,
        };
        if caps.adc.is_none() {
            notes.push("the chip has no membrane read-back: thresholds, time constants, gains and timing could not be examined".to_owned());
        }
        let synapses = Synapses::measure(bench, &known, effort)?.unwrap_or_default();
        let mut twin = twin::describe(caps, &known, &synapses);
        let mut delay_us = None;
        if needs_delay(request.translation) {
            delay_us = probe::axonal_delay(bench, config, &known, effort)?;
            if let Some(us) = delay_us {
                twin.profile.time.axonal_delay_us = us.max(twin.profile.time.max_step_ns / 1000.0);
            }
        }
        if bench.cost().dropped_events > 0 {
            notes.push(
                "events were lost while the chip was measured: its values are less certain"
                    .to_owned(),
            );
        }
        let aims = aims(caps, request);
        Ok(Self { twin, aims, delay_us, notes })
    }

    fn scene<'a>(&self, caps: &'a Capabilities, request: &Request<'a>) -> Scene<'a> {
        let mut stimuli = Vec::new();
        let samples = 0..request.inputs.samples();
        request.translation.stimuli(request.inputs, samples, FIRST_TRIAL, &mut stimuli);
        Scene {
            translation: request.translation,
            caps,
            config: request.config,
            wanted: request.wanted,
            twin: self.twin.clone(),
            aims: self.aims.clone(),
            assumed: request.assumed,
            stimuli,
        }
    }
}

/// Whether spikes of the chip drive neurons of the chip.
fn needs_delay(translation: &Translation) -> bool {
    let layers = 0..translation.placement().layers();
    let on_chip = layers.filter(|l| translation.on_chip(*l)).count();
    on_chip > 1 || translation.layers.iter().any(|layer| layer.recurrent)
}

/// What the translation aims at.
fn aims(caps: &Capabilities, request: &Request<'_>) -> Aims {
    let aim = |p: Parameter, otherwise: f64| {
        let design = caps.parameter(p).map(|spec| f64::from(spec.value(spec.code_default)));
        let target = match request.calibration {
            Some((calibration, Codes::Calibrated)) => {
                calibration.parameter(p).map(|found| found.target.value)
            }
            _ => None,
        };
        target.or(design).unwrap_or(otherwise)
    };
    let design = |p: Parameter| -> Vec<f64> {
        let codes = request.config.codes(p).unwrap_or(&[]);
        match caps.parameter(p) {
            Some(spec) => codes.iter().map(|code| f64::from(spec.value(*code))).collect(),
            None => vec![1.0; usize::from(caps.neurons)],
        }
    };
    let (mut tau_mem, mut tau_syn) = (design(Parameter::TauMem), design(Parameter::TauSynExc));
    let translation = request.translation;
    for l in (0..translation.placement().layers()).filter(|l| translation.on_chip(*l)) {
        for id in translation.placement().layer(l) {
            tau_mem[usize::from(*id)] = translation.layers[l].tau_mem_us;
            tau_syn[usize::from(*id)] = translation.layers[l].tau_syn_us;
        }
    }
    let leak = aim(Parameter::LeakPotential, 0.0);
    let gain = aim(Parameter::GainExc, 1.0);
    Aims {
        tau_mem,
        tau_syn,
        leak,
        reset: aim(Parameter::ResetPotential, leak),
        threshold: aim(Parameter::Threshold, leak + 1.0),
        gain: [gain, aim(Parameter::GainInh, gain)],
    }
}

/// The batch on the chip.
fn run(
    runner: &mut Runner,
    caps: &Capabilities,
    request: &Request<'_>,
    first_trial: u64,
    theta_lsb: f64,
) -> Result<(Behaviour, Counts), Error> {
    let Request { translation, inputs, .. } = *request;
    let before: Health = runner.chip().health();
    runner.chip_mut().configure(request.config)?;
    let samples = inputs.samples();
    let most = (0..samples).map(|k| inputs.count(k)).max().unwrap_or(0);
    let part = translation.trials_per_run(most);
    let mut raw = Raw { spikes: Vec::new(), offsets: vec![0], samples: Vec::new(), trials: 0 };
    let mut counts = Counts::default();
    let rails = translation.rails();
    let mut next = 0;
    loop {
        while next < samples && runner.has_room() {
            let range = next..(next + part).min(samples);
            next = range.end;
            let mut stimuli: Vec<Stimulus> = runner.stimuli();
            let first = first_trial + range.start as u64;
            translation.stimuli(inputs, range, first, &mut stimuli);
            runner.submit(stimuli)?;
        }
        let Some(seen) = runner.collect()? else { break };
        let base = raw.spikes.len() as u32;
        raw.trials += seen.trials();
        raw.spikes.extend_from_slice(&seen.spikes);
        raw.offsets.extend(seen.offsets.iter().skip(1).map(|o| base + o));
        raw.samples.extend(seen.samples.iter().map(|s| f32::from(*s)));
        let railed = seen.samples.iter().filter(|s| **s <= rails.0 || **s >= rails.1);
        counts.railed_samples += railed.count() as u64;
        counts.lost += seen.dropped_events;
        runner.recycle(seen);
    }
    counts.samples = raw.samples.len() as u64;
    counts.spikes = raw.spikes.len() as u64;
    counts.lost_inputs = runner.chip().health().dropped_inputs - before.dropped_inputs;
    Ok((Behaviour::of_run(translation, caps, &raw, theta_lsb), counts))
}

/// Everything that is needed to judge.
struct Trial<'a> {
    scene: &'a Scene<'a>,
    request: &'a Request<'a>,
    /// Two runs.
    chip: [Behaviour; 2],
    counts: Counts,
}

impl Trial<'_> {
    fn dt_us(&self) -> f32 {
        self.request.translation.grid().dt_us
    }

    /// Mean squared distance to both runs of the chip; `lost` says whether what the chip lost is forgiven.
    fn distance(&self, ruler: &Ruler, of: &Behaviour, lost: bool) -> Vec<f64> {
        let outward = (self.counts.lost - self.counts.lost_inputs) as usize;
        let one = |chip: &Behaviour| match lost && outward > 0 {
            true => {
                let left = compare::without_lost(of, chip, outward, self.dt_us());
                ruler.distance(&left, chip)
            }
            false => ruler.distance(of, chip),
        };
        let [a, b] = [one(&self.chip[0]), one(&self.chip[1])];
        a.iter().zip(b).map(|(a, b)| 0.5 * (a + b)).collect()
    }

    fn judge(&self) -> Result<(Parity, Pictures), Error> {
        let ideal = self.scene.run(Causes::NONE)?;
        let twin = self.scene.run(Causes::ALL)?;
        let ruler = Ruler::new(self.request.translation, &ideal, &self.chip[0]);
        let noise: Vec<f64> =
            ruler.distance(&self.chip[0], &self.chip[1]).iter().map(|d| 0.5 * d).collect();
        let base = Base {
            ideal: self.distance(&ruler, &ideal, false),
            twin: self.distance(&ruler, &twin, true),
            noise,
        };
        let jitter_us = self.jitter()?;
        let mut evidence = Vec::new();
        for cause in Cause::ALL {
            evidence.push(self.evidence(&ruler, &base, (&ideal, &twin), cause, jitter_us)?);
        }
        let dt = self.dt_us();
        let chip = &self.chip[0];
        let model = Behaviour::of_model(self.request.translation, self.request.model);
        let parity = Parity {
            samples: chip.samples,
            verdict: blame::judge(&base, &evidence),
            layers: Comparison {
                model: compare::layers(&model, chip, dt),
                ideal: compare::layers(&ideal, chip, dt),
                twin: compare::layers(&twin, chip, dt),
                repeat: compare::layers(&self.chip[1], chip, dt),
            },
            divergences: compare::first(&ideal, chip, dt),
            counts: self.counts,
            jitter_us,
            ..Parity::default()
        };
        let membrane_over_time =
            [&ideal, &twin, &self.chip[1]].map(|of| compare::membrane_over_time(of, chip));
        let chip = self.chip[0].clone();
        Ok((parity, Pictures { model, ideal, twin, chip, membrane_over_time }))
    }

    fn evidence(
        &self,
        ruler: &Ruler,
        base: &Base,
        (ideal, twin): (&Behaviour, &Behaviour),
        cause: Cause,
        jitter_us: f64,
    ) -> Result<Evidence, Error> {
        let mut direct = vec![0.0; base.ideal.len()];
        if cause == Cause::LostEvents {
            let with = self.distance(ruler, ideal, true);
            let without = self.distance(ruler, twin, false);
            return Ok(Evidence { cause, with, without, direct });
        }
        let with = self.distance(ruler, &self.scene.run(Causes::NONE.with(cause))?, false);
        let without = self.distance(ruler, &self.scene.run(Causes::ALL.without(cause))?, true);
        if cause == Cause::Timing && jitter_us > 0.0 {
            // Noise that the jitter explains is not noise.
            let shaken = self.scene.run_with_jitter(Causes::NONE, jitter_us)?;
            let explained = ruler.distance(&shaken, ideal);
            direct = explained.iter().zip(&base.noise).map(|(e, n)| e.min(*n)).collect();
        }
        Ok(Evidence { cause, with, without, direct })
    }

    /// Jitter of spike times beyond what the noise of the thresholds does, µs.
    fn jitter(&self) -> Result<f64, Error> {
        let dt = self.dt_us();
        let seen = compare::time_noise(&self.chip[0], &self.chip[1], dt);
        let expected =
            compare::time_noise(&self.scene.run_noisy(1)?, &self.scene.run_noisy(2)?, dt);
        Ok((seen * seen - expected * expected).max(0.0).sqrt())
    }
}

/// Weights of a network on a chip.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The configuration, weights included.
    pub config: ChipConfig,
    /// The same weights, neither rounded nor clipped: see [`Request::wanted`].
    pub wanted: Vec<f32>,
    /// Weights outside the range of codes.
    pub clipped: usize,
}

/// Feed-forward weights `[pre, post]` and recurrent ones `[post, post]` of a layer, row-major.
pub type LayerWeights<'a> = (&'a [f32], Option<&'a [f32]>);

/// Writes the weights of all layers as codes, and keeps what they were.
///
/// # Errors
/// [`Error::Shape`].
pub fn write_weights(
    translation: &mut Translation,
    caps: &Capabilities,
    layers: &[LayerWeights<'_>],
) -> Result<Written, Error> {
    let mut config = translation.configuration();
    let mut wanted = vec![0.0; config.weights.len()];
    let mut clipped = 0;
    for (l, (weights, recurrent)) in layers.iter().enumerate() {
        let report = translation.write_weights(l, weights, *recurrent, &mut config)?;
        clipped += report.clipped;
        if !translation.on_chip(l) {
            continue;
        }
        let circuits = translation.placement().layer(l);
        let mut keep = |source: usize, row: &[f32]| {
            for (id, w) in circuits.iter().zip(row) {
                wanted[source * usize::from(caps.neurons) + usize::from(*id)] = w * report.scale;
            }
        };
        let neuron = |l: usize, j: usize| {
            usize::from(caps.inputs) + usize::from(translation.placement().layer(l)[j])
        };
        for (j, row) in weights.chunks_exact(circuits.len()).enumerate() {
            keep(if l == 0 { j } else { neuron(l - 1, j) }, row);
        }
        for (j, row) in recurrent.unwrap_or(&[]).chunks_exact(circuits.len()).enumerate() {
            keep(neuron(l, j), row);
        }
    }
    Ok(Written { config, wanted, clipped })
}
