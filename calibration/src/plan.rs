//! A calibration from beginning to end.
//!
//! ```text
//! prelude     converter ─► rest (always firing?) ─► values with one code for all
//! search      relaxation: tau_mem, reset, refractory ─► responses: tau_syn ─► weights ─► gain
//!             ─► rest: leak ─► ramp: threshold
//! postlude    converter again ─► everything again ─► one refinement ─► everything again ─► f-I
//! ```
//!
//! Time constants come first because gain, leak (a current offset moves the rest by τ_mem times itself) and the ramp
//! depend on them; the potentials come last. Everything is measured anew at the end with another measurement
//! of the converter: cells disturb each other, and a search flatters its own result.
//!
//! A stage that is finished is kept: a calibration that is interrupted goes on there ([`Progress`]).

use crate::bench::{Bench, Cost};
use crate::error::Error;
use crate::estimate::{Estimate, Flag};
use crate::measure::psp::{self, Purpose, Responses, TimeConstants};
use crate::measure::rate::Rates;
use crate::measure::relaxation::Relaxation;
use crate::measure::rest::Rest;
use crate::measure::threshold::Threshold;
use crate::measure::weights::Weights;
use crate::measure::{Converter, Effort};
use crate::result::{Calibration, Failure, ParameterResult, Provenance, RawData};
use crate::search::{Algorithm, Goal, Search};
use crate::targets::{Options, Target, TargetFile, theta};
use serde::{Deserialize, Serialize};
use spikeloop_hal::{Capabilities, ChipConfig, Parameter, Unit};
use std::collections::BTreeMap;

/// Parts of a calibration, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Converter channels.
    Converter,
    /// Leak and threshold with one code for all; neurons that fire on their own.
    Before,
    /// τ_mem, reset, refractory time.
    Relaxation,
    /// τ_syn.
    TimeConstants,
    /// Weights.
    Weights,
    /// Gain.
    Gain,
    /// Leak.
    Leak,
    /// Threshold.
    Threshold,
    /// Everything again.
    Verification,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 9] = [
        Self::Converter,
        Self::Before,
        Self::Relaxation,
        Self::TimeConstants,
        Self::Weights,
        Self::Gain,
        Self::Leak,
        Self::Threshold,
        Self::Verification,
    ];

    /// In words.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Converter => "converter channels",
            Self::Before => "leak and threshold before",
            Self::Relaxation => "tau_mem, reset, refractory",
            Self::TimeConstants => "tau_syn",
            Self::Weights => "weights",
            Self::Gain => "gain",
            Self::Leak => "leak",
            Self::Threshold => "threshold",
            Self::Verification => "everything again",
        }
    }
}

/// Share of the neurons whose gain may be out of reach before the common target is lowered.
const OUT_OF_REACH: f64 = 0.002;
/// The common gain is not lowered below this share of what was wanted: weights would run out of codes.
const LOWEST_GAIN: f64 = 0.6;

type PerNeuron = Vec<Estimate>;
type Measured = BTreeMap<Parameter, PerNeuron>;

/// Where a calibration stands: everything it needs to go on after an interruption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The chip.
    pub chip: String,
    /// Its firmware.
    pub firmware: u32,
    /// Targets and options it was started with.
    pub targets: Vec<Target>,
    /// Options it was started with.
    pub options: Options,
    /// Stages that are finished.
    pub finished: Vec<Stage>,
    codes: Vec<(Parameter, Vec<u16>)>,
    converter: Converter,
    before: Measured,
    latest: Measured,
    round_trips: BTreeMap<Parameter, u64>,
    weights: Option<Weights>,
    /// Target of both gains, if not every neuron reaches the one wanted.
    gain_target: Option<f64>,
    firing: Vec<bool>,
    cost: Cost,
}

/// A calibration in progress.
pub struct Plan<'a> {
    bench: &'a mut Bench,
    caps: Capabilities,
    effort: Effort,
    config: ChipConfig,
    progress: Progress,
    goals: Vec<Goal>,
    /// Whether the target of the gains may be moved: nobody named it.
    gain_is_free: bool,
    cost_before: Cost,
    raw: RawData,
    responses: Option<Responses>,
}

impl<'a> Plan<'a> {
    /// A plan for the chip on the bench, from the start or from where `progress` stands.
    ///
    /// # Errors
    /// [`Error::TargetFile`], [`Error::MissingParameter`].
    pub fn new(
        bench: &'a mut Bench,
        targets: &TargetFile,
        progress: Option<Progress>,
    ) -> Result<Self, Error> {
        let caps = bench.capabilities().clone();
        let resolved = targets.resolve(&caps)?;
        let options = targets.options;
        let mut config = ChipConfig::power_up(&caps);
        let (chip, firmware) = (caps.identity.to_string(), caps.identity.firmware);
        let fits = |p: &Progress| {
            p.chip == chip
                && p.firmware == firmware
                && p.targets == resolved
                && p.options == options
        };
        let progress = match progress.filter(fits) {
            Some(progress) => {
                for (parameter, codes) in &progress.codes {
                    if let Some(cells) = config.codes_mut(*parameter)
                        && cells.len() == codes.len()
                    {
                        cells.copy_from_slice(codes);
                    }
                }
                progress
            }
            None => Progress {
                chip,
                firmware,
                targets: resolved,
                options,
                finished: Vec::new(),
                codes: Vec::new(),
                converter: Converter::ideal(&caps),
                before: Measured::new(),
                latest: Measured::new(),
                round_trips: BTreeMap::new(),
                weights: None,
                gain_target: None,
                firing: vec![false; usize::from(caps.neurons)],
                cost: Cost::default(),
            },
        };
        let mut plan = Self {
            effort: Effort { repeats: options.repeats },
            cost_before: bench.cost(),
            goals: Vec::new(),
            gain_is_free: !targets.targets.keys().any(|name| name.starts_with("gain")),
            raw: RawData::default(),
            responses: None,
            bench,
            caps,
            config,
            progress,
        };
        plan.goals = plan.make_goals();
        Ok(plan)
    }

    fn make_goals(&self) -> Vec<Goal> {
        let theta = self.theta();
        let targets = self.progress.targets.iter();
        targets
            .filter_map(|t| {
                let spec = *self.caps.parameter(t.parameter)?;
                let scale = if spec.unit == Unit::Lsb { theta } else { t.value.abs() };
                let tolerance = self.progress.options.tolerance * scale;
                let mut target = t.value.clamp(t.feasible.0, t.feasible.1);
                if matches!(t.parameter, Parameter::GainExc | Parameter::GainInh) {
                    target = self.progress.gain_target.unwrap_or(target);
                }
                Some(Goal { spec, target, tolerance })
            })
            .collect()
    }

    fn theta(&self) -> f64 {
        theta(&self.progress.targets)
    }

    /// Targets that the chip cannot reach by design: reported, the nearest value is taken instead.
    #[must_use]
    pub fn unreachable(&self) -> Vec<Target> {
        self.progress.targets.iter().filter(|t| !t.is_feasible()).copied().collect()
    }

    /// Where this stands.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Runs everything that is not finished. `after` is called after each stage with the state to be kept.
    ///
    /// # Errors
    /// Failures of the chip; the progress handed to `after` last can be continued.
    pub fn run(
        mut self,
        time: String,
        temperature_c: Option<f32>,
        after: &mut dyn FnMut(Stage, &Progress) -> Result<(), Error>,
    ) -> Result<(Calibration, RawData), Error> {
        for stage in Stage::ALL {
            if self.progress.finished.contains(&stage) || stage == Stage::Verification {
                continue;
            }
            self.stage(stage)?;
            self.progress.finished.push(stage);
            self.progress.codes.clone_from(&self.config.parameters);
            let spent = self.bench.cost() - self.cost_before;
            self.progress.cost += spent;
            self.cost_before = self.bench.cost();
            after(stage, &self.progress)?;
        }
        self.verify()?;
        let rates = Rates::measure(self.bench, &self.config, self.effort)?;
        after(Stage::Verification, &self.progress)?;
        Ok(self.finish(rates, time, temperature_c))
    }

    fn stage(&mut self, stage: Stage) -> Result<(), Error> {
        use Parameter as P;
        match stage {
            Stage::Converter => {
                self.progress.converter =
                    Converter::measure(self.bench, &self.config, self.effort)?;
                Ok(())
            }
            Stage::Before => self.before(),
            _ if self.caps.adc.is_none() => match stage {
                Stage::Threshold => self.search(&[P::Threshold], Self::rheobase),
                _ => Ok(()),
            },
            Stage::Relaxation => {
                self.search(&[P::TauMem, P::ResetPotential, P::Refractory], Self::relaxation)
            }
            Stage::TimeConstants => self.search(&[P::TauSynExc, P::TauSynInh], Self::tau_syn),
            Stage::Weights => {
                self.progress.weights = Weights::measure(
                    self.bench,
                    &self.config,
                    &self.progress.converter,
                    self.effort,
                )?;
                Ok(())
            }
            Stage::Gain => {
                self.lower_gain()?;
                self.search(&[P::GainExc, P::GainInh], Self::gain)
            }
            Stage::Leak => self.search(&[P::LeakPotential], Self::rest),
            Stage::Threshold => self.search(&[P::Threshold], Self::threshold),
            Stage::Verification => Ok(()),
        }
    }

    /// What only shows before anything is set.
    fn before(&mut self) -> Result<(), Error> {
        let rest = Rest::measure(self.bench, &self.config, &self.progress.converter, self.effort)?;
        self.progress.firing = rest.firing;
        if self.caps.adc.is_none() {
            return Ok(());
        }
        self.progress.before.insert(Parameter::LeakPotential, rest.potential);
        let before = self.threshold()?;
        self.progress.before.extend(before);
        for parameter in [Parameter::LeakPotential, Parameter::Threshold] {
            *self.progress.round_trips.entry(parameter).or_default() += 1;
        }
        Ok(())
    }

    /// Searches the codes of parameters that one experiment measures together.
    fn search(
        &mut self,
        parameters: &[Parameter],
        measure: fn(&mut Self) -> Result<Measured, Error>,
    ) -> Result<(), Error> {
        let goals: Vec<Goal> =
            self.goals.iter().filter(|g| parameters.contains(&g.spec.parameter)).copied().collect();
        if goals.is_empty() && parameters.iter().all(|p| self.caps.parameter(*p).is_none()) {
            return Ok(());
        }
        let options = self.progress.options;
        let mut searches: Vec<(Parameter, Box<dyn Search>, bool)> = goals
            .iter()
            .map(|goal| {
                let parameter = goal.spec.parameter;
                let codes = self.config.codes(parameter).unwrap_or(&[]);
                let seed = options.seed.wrapping_add(parameter as u64);
                (parameter, options.algorithm.start(*goal, codes, seed), true)
            })
            .collect();
        for (parameter, search, _) in &searches {
            self.set(*parameter, &search.first());
        }
        loop {
            let measured = measure(self)?;
            for (parameter, values) in &measured {
                self.progress.before.entry(*parameter).or_insert_with(|| values.clone());
            }
            for parameter in parameters {
                *self.progress.round_trips.entry(*parameter).or_default() += 1;
            }
            let mut going = false;
            for (parameter, search, active) in &mut searches {
                let Some(values) = measured.get(parameter) else { continue };
                if !*active {
                    continue;
                }
                match search.next(values) {
                    Some(codes) => {
                        self.set(*parameter, &codes);
                        going = true;
                    }
                    None => {
                        self.set(*parameter, &search.best());
                        *active = false;
                    }
                }
            }
            self.progress.latest.extend(measured);
            if !going {
                return Ok(());
            }
        }
    }

    fn set(&mut self, parameter: Parameter, codes: &[u16]) {
        if let Some(cells) = self.config.codes_mut(parameter) {
            cells.copy_from_slice(codes);
        }
    }

    fn relaxation(&mut self) -> Result<Measured, Error> {
        let converter = &self.progress.converter;
        let seen = Relaxation::measure(self.bench, &self.config, converter, self.effort)?;
        let mut out = Measured::new();
        if let Some(seen) = seen {
            out.insert(Parameter::TauMem, seen.tau_mem.clone());
            out.insert(Parameter::ResetPotential, seen.reset.clone());
            out.insert(Parameter::Refractory, seen.refractory.clone());
            self.raw.relaxation = Some(seen);
        }
        Ok(out)
    }

    fn tau_syn(&mut self) -> Result<Measured, Error> {
        let converter = &self.progress.converter;
        let responses =
            psp::record(self.bench, &self.config, converter, Purpose::TimeConstants, self.effort)?;
        let Some(responses) = responses else { return Ok(Measured::new()) };
        let fast = self.fast_membranes(responses.design_us.0);
        let seen: TimeConstants = psp::time_constants(&self.caps, responses, &fast);
        for (own, new) in self.progress.converter.skew_us.iter_mut().zip(&seen.skew_us) {
            if new.is_good() {
                *own = *new;
            }
        }
        let mut out = Measured::new();
        out.insert(Parameter::TauSynExc, seen.tau_syn[0].clone());
        out.insert(Parameter::TauSynInh, seen.tau_syn[1].clone());
        self.raw.psp = Some(seen);
        Ok(out)
    }

    /// τ_mem of every neuron at the code of the shortest one, from how far it is off at its own code.
    fn fast_membranes(&self, design_us: f64) -> Vec<Estimate> {
        let own = self.design(Parameter::TauMem);
        let latest = self.progress.latest.get(&Parameter::TauMem);
        (0..usize::from(self.caps.neurons))
            .map(|n| match (latest.map(|l| l[n]), own.get(n)) {
                (Some(e), Some(design)) if e.is_good() => {
                    let factor = design_us / design;
                    Estimate::good(factor * e.value, factor * e.sigma)
                }
                _ => Estimate::good(design_us, 0.15 * design_us),
            })
            .collect()
    }

    /// Design values at the present codes.
    fn design(&self, parameter: Parameter) -> Vec<f64> {
        match (self.caps.parameter(parameter), self.config.codes(parameter)) {
            (Some(spec), Some(codes)) => codes.iter().map(|c| f64::from(spec.value(*c))).collect(),
            _ => Vec::new(),
        }
    }

    /// Estimates of a time constant at the present codes, or its design value with a wide error.
    fn known(&self, parameter: Parameter, otherwise: Parameter) -> PerNeuron {
        let parameter =
            if self.caps.parameter(parameter).is_some() { parameter } else { otherwise };
        if let Some(values) = self.progress.latest.get(&parameter) {
            return values.clone();
        }
        self.design(parameter).iter().map(|d| Estimate::good(*d, 0.05 * d)).collect()
    }

    /// A gain that all neurons have in common is free: weights are scaled by it. If some neurons cannot reach the
    /// one of the design, both signs aim at what nearly all of them reach.
    fn lower_gain(&mut self) -> Result<(), Error> {
        if !self.gain_is_free || self.progress.options.algorithm != Algorithm::Model {
            return Ok(());
        }
        let measured = self.gain()?;
        let mut lowest = f64::INFINITY;
        let mut wanted = f64::INFINITY;
        for (parameter, values) in &measured {
            *self.progress.round_trips.entry(*parameter).or_default() += 1;
            let Some(goal) = self.goals.iter().find(|g| g.spec.parameter == *parameter) else {
                continue;
            };
            wanted = wanted.min(goal.target);
            let spec = goal.spec;
            let most = f64::from(spec.value(spec.code_min).max(spec.value(spec.code_max)));
            let design = self.design(*parameter);
            let mut reach: Vec<f64> = values
                .iter()
                .zip(&design)
                .filter(|(e, _)| e.is_good())
                .map(|(e, design)| e.value * most / design)
                .collect();
            reach.sort_by(f64::total_cmp);
            let at = (reach.len() as f64 * OUT_OF_REACH) as usize;
            lowest = lowest.min(reach.get(at).copied().unwrap_or(f64::INFINITY));
        }
        for (parameter, values) in measured {
            self.progress.before.entry(parameter).or_insert(values);
        }
        // A margin for the end of the range, where codes cannot correct upwards any more.
        let target = 0.98 * lowest;
        if target < wanted {
            self.progress.gain_target = Some(target.max(LOWEST_GAIN * wanted));
            self.goals = self.make_goals();
        }
        Ok(())
    }

    fn gain(&mut self) -> Result<Measured, Error> {
        let converter = &self.progress.converter;
        let responses =
            psp::record(self.bench, &self.config, converter, Purpose::Gain, self.effort)?;
        let Some(responses) = responses else { return Ok(Measured::new()) };
        let out = self.gain_of(&responses);
        self.responses = Some(responses);
        Ok(out)
    }

    fn gain_of(&self, responses: &Responses) -> Measured {
        let tau_mem = self.known(Parameter::TauMem, Parameter::TauMem);
        let exc = self.known(Parameter::TauSynExc, Parameter::TauSynExc);
        let inh = self.known(Parameter::TauSynInh, Parameter::TauSynExc);
        let spread = self.progress.weights.as_ref().map_or(0.0, |w| w.synapse_spread);
        let [exc, inh] = psp::gains(&self.caps, responses, &tau_mem, &[exc, inh], spread);
        Measured::from([(Parameter::GainExc, exc), (Parameter::GainInh, inh)])
    }

    fn rest(&mut self) -> Result<Measured, Error> {
        let rest = Rest::measure(self.bench, &self.config, &self.progress.converter, self.effort)?;
        self.progress.firing = rest.firing;
        self.raw.rest = rest.quiet;
        Ok(Measured::from([(Parameter::LeakPotential, rest.potential)]))
    }

    fn threshold(&mut self) -> Result<Measured, Error> {
        let converter = &self.progress.converter;
        let seen = Threshold::measure(self.bench, &self.config, converter, self.effort)?;
        let mut out = Measured::new();
        if let Some(seen) = seen {
            out.insert(Parameter::Threshold, seen.threshold.clone());
            self.raw.threshold = Some(seen);
        }
        Ok(out)
    }

    /// Threshold from spikes alone: the input at which a neuron begins to fire, in LSB of the design's gain.
    fn rheobase(&mut self) -> Result<Measured, Error> {
        let rates = Rates::measure(self.bench, &self.config, self.effort)?;
        let Some(effective) = rates.thresholds(&self.caps, &self.config) else {
            return Ok(Measured::new());
        };
        Ok(Measured::from([(Parameter::Threshold, effective)]))
    }

    /// Everything again, one refinement, everything again.
    fn verify(&mut self) -> Result<(), Error> {
        if self.caps.adc.is_none() {
            let measured = self.rheobase()?;
            self.progress.latest.extend(measured);
            return Ok(());
        }
        for round in 0..2 {
            if round == 1 && !self.refine() {
                break;
            }
            let skew = self.progress.converter.skew_us.clone();
            self.progress.converter = Converter::measure(self.bench, &self.config, self.effort)?;
            self.progress.converter.skew_us = skew;
            // τ_mem first: the others are evaluated with it, and after a refinement the earlier value belongs to
            // other codes.
            for measure in [
                Self::relaxation as fn(&mut Self) -> Result<Measured, Error>,
                Self::tau_syn,
                Self::gain,
                Self::rest,
                Self::threshold,
            ] {
                let measured = measure(self)?;
                for parameter in measured.keys() {
                    *self.progress.round_trips.entry(*parameter).or_default() += 1;
                }
                self.progress.latest.extend(measured);
            }
        }
        Ok(())
    }

    /// Moves the codes of what is clearly off; whether anything moved.
    fn refine(&mut self) -> bool {
        let mut moved = false;
        for goal in self.goals.clone() {
            let parameter = goal.spec.parameter;
            let Some(values) = self.progress.latest.get(&parameter) else { continue };
            let codes = self.config.codes(parameter).unwrap_or(&[]).to_vec();
            let mut search = crate::search::Model::new(goal, &codes);
            let Some(next) = search.next(values) else { continue };
            let mut kept = codes.clone();
            for n in 0..codes.len() {
                let off = (values[n].value - goal.target).abs();
                if off > 0.5 * goal.tolerance + 2.0 * values[n].sigma {
                    kept[n] = next[n];
                }
            }
            moved |= kept != codes;
            self.set(parameter, &kept);
        }
        moved
    }

    fn finish(
        mut self,
        rates: Rates,
        time: String,
        temperature_c: Option<f32>,
    ) -> (Calibration, RawData) {
        self.progress.cost += self.bench.cost() - self.cost_before;
        let mut unavailable = Vec::new();
        let mut parameters = Vec::new();
        for goal in &self.goals {
            let parameter = goal.spec.parameter;
            let latest = self.progress.latest.get(&parameter);
            let before = self.progress.before.get(&parameter);
            match (latest, before) {
                (Some(after), Some(before)) => parameters.push(self.judge(goal, before, after)),
                _ if goal.spec.code_min == goal.spec.code_max => {}
                _ => unavailable.push(format!(
                    "{}: needs membrane read-back, this chip returns spikes only",
                    parameter.name()
                )),
            }
        }
        for (parameter, what) in
            [(Parameter::OffsetExc, "excitatory"), (Parameter::OffsetInh, "inhibitory")]
        {
            if self.caps.parameter(parameter).is_some() && self.caps.adc.is_some() {
                unavailable.push(format!("{}: the current of the {what} input's reference cannot be told from the leak potential, which takes it back", parameter.name()));
            }
        }
        if self.caps.adc.is_some() && !self.progress.converter.referenced {
            unavailable.push("converter: no reference potential, so potentials contain the offset of their channel".into());
        }
        let mut notes = Vec::new();
        if let Some(gain) = self.progress.gain_target {
            notes.push(format!(
                "gain: not every neuron reaches the design's, so all aim at {gain:.4} LSB/us/code; weights are scaled accordingly"
            ));
        }
        let failures = self.failures(&parameters);
        let calibration = Calibration {
            format: Calibration::FORMAT,
            provenance: Provenance {
                kind: self.caps.identity.kind.to_string(),
                chip: self.progress.chip.clone(),
                firmware: self.progress.firmware,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                temperature_c,
                time,
            },
            options: self.progress.options,
            parameters,
            converter: self.progress.converter,
            threshold_noise: self.raw.threshold.as_ref().map_or(Vec::new(), |t| t.noise.clone()),
            weights: self.progress.weights,
            rates,
            failures,
            unavailable,
            notes,
            cost: self.progress.cost,
        };
        (calibration, self.raw)
    }

    fn judge(&self, goal: &Goal, before: &PerNeuron, after: &PerNeuron) -> ParameterResult {
        let parameter = goal.spec.parameter;
        let codes = self.config.codes(parameter).unwrap_or(&[]).to_vec();
        let scale = if goal.spec.unit == Unit::Lsb { self.theta() } else { goal.target.abs() };
        let accept = self.progress.options.accept * scale;
        let verdict = after
            .iter()
            .zip(&codes)
            .map(|(estimate, code)| {
                let off = (estimate.value - goal.target).abs();
                let at_end = *code == goal.spec.code_min || *code == goal.spec.code_max;
                match estimate.is_good() {
                    false => estimate.flag,
                    true if off <= accept => Flag::Good,
                    true if at_end => Flag::OutOfReach,
                    true => Flag::NotConverged,
                }
            })
            .collect();
        let target = self.progress.targets.iter().find(|t| t.parameter == parameter);
        ParameterResult {
            parameter,
            unit: goal.spec.unit,
            target: Target {
                parameter,
                value: match self.progress.gain_target {
                    Some(_) if goal.spec.unit == Unit::LsbPerMicrosecondPerCode => goal.target,
                    _ => target.map_or(goal.target, |t| t.value),
                },
                feasible: target.map_or((goal.target, goal.target), |t| t.feasible),
            },
            codes,
            before: before.clone(),
            after: after.clone(),
            shared_error: self.shared_error(parameter),
            verdict,
            round_trips: self.progress.round_trips.get(&parameter).copied().unwrap_or(0),
        }
    }

    /// Gains are measured as the mean over the same rows again and again.
    fn shared_error(&self, parameter: Parameter) -> f64 {
        let sign = match parameter {
            Parameter::GainExc => 0,
            Parameter::GainInh => 1,
            _ => return 0.0,
        };
        let spread = self.progress.weights.as_ref().map_or(0.0, |w| w.synapse_spread);
        let rows = self.responses.as_ref().map_or(1, |r| r.all_rows(sign));
        spread / (rows.max(1) as f64).sqrt()
    }

    /// Every neuron that failed, with its first reason.
    fn failures(&self, parameters: &[ParameterResult]) -> Vec<Failure> {
        let neurons = usize::from(self.caps.neurons);
        let mut failures = Vec::new();
        for n in 0..neurons {
            if self.progress.firing[n] {
                let reason = Flag::AlwaysFiring;
                failures.push(Failure { neuron: n as u16, parameter: None, reason });
                continue;
            }
            let bad = parameters.iter().find(|p| p.verdict[n] != Flag::Good);
            if let Some(bad) = bad {
                let reason = bad.verdict[n];
                // A neuron that does not fire at all is not to be blamed on the parameter that showed it.
                let whole = matches!(reason, Flag::Silent | Flag::Unresponsive);
                let parameter = (!whole).then_some(bad.parameter);
                failures.push(Failure { neuron: n as u16, parameter, reason });
            }
        }
        failures
    }
}
