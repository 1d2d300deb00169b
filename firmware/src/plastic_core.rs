//! A core that learns by itself around one that does not.
//!
//! It keeps what a trial left behind (input events, spikes, membranes), and when the host has sent what
//! that trial should have been, [`Learner`] goes over it and the weights that changed are written to the core
//! inside. All memory is lent.

use crate::core::{Core, Emit, Fault, Outcome, Progress, Trial, Unteachable, Write};
use crate::plasticity::{Learner, Record, Rule, Source, Synapse, Unit, Weight};
use spikeloop_hal::wire::{
    Learn, PlasticityRule, RuleKind, WEIGHT_SPAN_HEAD, WeightSpan, WeightSpans, Writer,
};
use spikeloop_hal::{Capabilities, SpikeEvent};

/// Memory for learning. What a rule or a trial needs beyond it is refused.
#[derive(Debug)]
pub struct PlasticMemory<'a> {
    /// One for every input line and hidden neuron of a rule.
    pub sources: &'a mut [Source],
    /// One for every neuron of a rule.
    pub units: &'a mut [Unit],
    /// One for every synapse of a rule.
    pub synapses: &'a mut [Synapse],
    /// One for every number of a rule's feedback.
    pub feedback: &'a mut [i16],
    /// Input events of a trial.
    pub inputs: &'a mut [SpikeEvent],
    /// Spikes of a trial.
    pub spikes: &'a mut [SpikeEvent],
    /// Samples of a trial.
    pub samples: &'a mut [u16],
    /// Events that teach, of a trial.
    pub errors: &'a mut [SpikeEvent],
}

/// A list in lent memory.
#[derive(Debug)]
struct List<'a, T> {
    items: &'a mut [T],
    len: usize,
    /// How many there were, with those that found no room.
    offered: usize,
}

impl<'a, T: Copy> List<'a, T> {
    fn new(items: &'a mut [T]) -> Self {
        Self { items, len: 0, offered: 0 }
    }

    fn clear(&mut self) {
        (self.len, self.offered) = (0, 0);
    }

    fn extend(&mut self, more: &[T]) {
        self.offered += more.len();
        let room = &mut self.items[self.len..];
        let count = room.len().min(more.len());
        room[..count].copy_from_slice(&more[..count]);
        self.len += count;
    }

    fn filled(&self) -> &[T] {
        &self.items[..self.len]
    }

    /// Whether everything found room.
    fn check(&self) -> Result<(), Unteachable> {
        if self.offered <= self.items.len() {
            return Ok(());
        }
        Err(Unteachable::Beyond { needed: self.offered as u32, limit: self.items.len() as u32 })
    }
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct PlasticCore<'a, C> {
    inner: C,
    rule: Option<Rule>,
    sources: &'a mut [Source],
    units: &'a mut [Unit],
    synapses: &'a mut [Synapse],
    feedback: &'a mut [i16],
    inputs: List<'a, SpikeEvent>,
    spikes: List<'a, SpikeEvent>,
    samples: List<'a, u16>,
    errors: List<'a, SpikeEvent>,
    /// The trial that was begun last.
    trial: Option<Trial>,
    /// Trials begun that have not ended.
    open: usize,
    /// It has been learned from.
    used: bool,
}

impl<'a, C: Core> PlasticCore<'a, C> {
    /// Puts learning around `inner`.
    #[must_use]
    pub fn new(inner: C, memory: PlasticMemory<'a>) -> Self {
        Self {
            inner,
            rule: None,
            sources: memory.sources,
            units: memory.units,
            synapses: memory.synapses,
            feedback: memory.feedback,
            inputs: List::new(memory.inputs),
            spikes: List::new(memory.spikes),
            samples: List::new(memory.samples),
            errors: List::new(memory.errors),
            trial: None,
            open: 0,
            used: false,
        }
    }

    /// The core inside.
    #[must_use]
    pub fn inner(&self) -> &C {
        &self.inner
    }

    /// The row of the weight matrix that a source has.
    fn matrix_row(&self, rule: &Rule, source: usize) -> u16 {
        match source.checked_sub(rule.inputs) {
            None => source as u16,
            Some(hidden) => self.inner.capabilities().inputs + rule.hidden_first + hidden as u16,
        }
    }

    /// Weights that differ from those of the core by more than the rounding were written by the host.
    fn load(&mut self, rule: &Rule) {
        for source in 0..rule.sources() {
            let (first, count, unit) = rule.row(source);
            let row = self.matrix_row(rule, source);
            for (synapse, unit) in self.synapses[first..first + count].iter_mut().zip(unit..) {
                let code = self.inner.weight(row, rule.neuron(unit)).unwrap_or(0);
                if Learner::code(synapse.weight) != code {
                    synapse.weight = Weight::from_num(code);
                }
            }
        }
    }

    /// Whether a rule fits this chip and this memory.
    fn check(&self, rule: &PlasticityRule<'_>) -> Result<(), Unteachable> {
        if let RuleKind::Other(number) = rule.kind {
            return Err(Unteachable::Rule(number));
        }
        let at_most = |got: usize, limit: usize| match got <= limit {
            true => Ok(()),
            false => Err(Unteachable::Range { got: got as u32, limit: limit as u32 }),
        };
        let caps = self.inner.capabilities();
        let neurons = usize::from(caps.neurons);
        let end_hidden = usize::from(rule.hidden_first) + usize::from(rule.hidden);
        at_most(usize::from(rule.inputs), usize::from(caps.inputs))?;
        at_most(end_hidden, neurons)?;
        at_most(usize::from(rule.output_first) + usize::from(rule.outputs), neurons)?;
        if rule.hidden > 0 {
            // Samples come in ascending order of the neurons.
            at_most(end_hidden, usize::from(rule.output_first))?;
            at_most(1, usize::from(caps.recurrent))?;
        }
        check_shape(rule)?;
        if rule.outputs == 0 || rule.weight_limit <= 0 || rule.delay == 0 {
            return Err(Unteachable::Range { got: 0, limit: 1 });
        }
        at_most(rule.weight_limit as usize, caps.weight_max.max(0) as usize)?;
        at_most(rule.weight_limit as usize, usize::from(caps.weight_min.unsigned_abs()))?;
        if rule.inputs > 0 && self.inner.weight(0, rule.output_first).is_none() {
            return Err(Unteachable::Never);
        }
        let numbers = Rule::new(rule);
        let room = |needed: usize, limit: usize| match needed <= limit {
            true => Ok(()),
            false => Err(Unteachable::Beyond { needed: needed as u32, limit: limit as u32 }),
        };
        room(numbers.sources(), self.sources.len())?;
        room(numbers.units(), self.units.len())?;
        room(numbers.synapses(), self.synapses.len())?;
        room(numbers.feedback(), self.feedback.len())
    }

    /// Whether the record is that of `trial`, whole, and as the rule needs it.
    fn check_record(&self, rule: &Rule, trial: u64) -> Result<Trial, Unteachable> {
        let last = self.trial.filter(|_| self.open == 0 && !self.used);
        let low = |number: u64| number as u32;
        let last = match last {
            Some(last) if last.number == trial => last,
            other => {
                let last = other.map_or(0, |trial| low(trial.number));
                return Err(Unteachable::Place { got: low(trial), last });
            }
        };
        self.inputs.check()?;
        self.spikes.check()?;
        self.samples.check()?;
        let needed = rule.units() * last.duration as usize;
        if self.samples.len != needed && rule.reads_membranes() {
            let got = self.samples.len as u32;
            return Err(Unteachable::Range { got, limit: needed as u32 });
        }
        Ok(last)
    }

    /// Gives the core the weights whose codes changed.
    fn write_back(&mut self, rule: &Rule) -> Result<(), Fault> {
        for source in 0..rule.sources() {
            let (first, count, unit) = rule.row(source);
            let row = self.matrix_row(rule, source);
            for k in 0..count {
                let neuron = rule.neuron(unit + k);
                let code = Learner::code(self.synapses[first + k].weight);
                if self.inner.weight(row, neuron) != Some(code) {
                    write_weight(&mut self.inner, row, neuron, code)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a rule has the parts that its kind needs, and no others.
fn check_shape(rule: &PlasticityRule<'_>) -> Result<(), Unteachable> {
    let at_most = |got: u16, limit: u16| match got <= limit {
        true => Ok(()),
        false => Err(Unteachable::Range { got: u32::from(got), limit: u32::from(limit) }),
    };
    at_most(rule.shared, if rule.hidden > 0 { rule.inputs } else { 0 })?;
    let alone = rule.kind == RuleKind::TargetSpikes && rule.hidden == 0;
    at_most(u16::from(rule.own), u16::from(alone))?;
    match rule.kind {
        RuleKind::LocalReadouts if rule.classes == 0 => {
            Err(Unteachable::Range { got: 0, limit: 1 })
        }
        RuleKind::LocalReadouts => Ok(()),
        _ => at_most(rule.classes, 0),
    }
}

fn write_weight<C: Core>(core: &mut C, row: u16, neuron: u16, code: i8) -> Result<(), Fault> {
    let mut bytes = [0; WEIGHT_SPAN_HEAD + 1];
    let mut body = Writer::new(&mut bytes);
    // The room is that of one weight.
    if WeightSpan::write(row, neuron, &[code], &mut body).is_ok()
        && let Ok(spans) = WeightSpans::new(body.written())
    {
        return spans.iter().try_for_each(|span| core.write(Write::Weights(span)));
    }
    Ok(())
}

/// Passes on what a core emits, and keeps it.
struct Tee<'t, 'a, E> {
    emit: &'t mut E,
    spikes: &'t mut List<'a, SpikeEvent>,
    samples: &'t mut List<'a, u16>,
}

impl<E: Emit> Emit for Tee<'_, '_, E> {
    fn spikes(&mut self, spikes: &[SpikeEvent]) {
        self.spikes.extend(spikes);
        self.emit.spikes(spikes);
    }

    fn samples(&mut self, samples: &[u16]) {
        self.samples.extend(samples);
        self.emit.samples(samples);
    }
}

impl<C: Core> Core for PlasticCore<'_, C> {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn reset(&mut self) {
        self.rule = None;
        self.trial = None;
        self.open = 0;
        self.inner.reset();
    }

    fn write(&mut self, write: Write<'_>) -> Result<(), Fault> {
        self.inner.write(write)?;
        if let (Some(rule), Write::Weights(_)) = (self.rule, write) {
            self.load(&rule);
        }
        Ok(())
    }

    fn set_rule(&mut self, rule: &PlasticityRule<'_>) -> Result<(), Unteachable> {
        self.check(rule)?;
        let numbers = Rule::new(rule);
        for (held, b) in self.feedback.iter_mut().zip(rule.feedback()) {
            *held = b;
        }
        if self.rule.is_some_and(|rule| rule.goes_on(&numbers)) {
            self.synapses.iter_mut().for_each(Synapse::forget);
        } else {
            self.synapses.fill(Synapse::default());
        }
        self.load(&numbers);
        self.rule = Some(numbers);
        self.trial = None;
        Ok(())
    }

    fn learn(&mut self, lesson: &Learn<'_>) -> Result<(), Unteachable> {
        let Some(rule) = self.rule else {
            return Err(Unteachable::Place { got: lesson.trial as u32, last: 0 });
        };
        let trial = self.check_record(&rule, lesson.trial)?;
        let events = lesson.events().map_err(|why| Unteachable::Malformed(why as u32))?;
        for event in events {
            let event = event.map_err(|why| Unteachable::Malformed(why as u32))?;
            if u32::from(event.id) >= rule.addresses {
                let limit = rule.addresses - 1;
                return Err(Unteachable::Range { got: u32::from(event.id), limit });
            }
            self.errors.extend(&[event]);
        }
        if lesson.more {
            return Ok(());
        }
        let whole = self.errors.check();
        let (sources, units) = (rule.sources(), rule.units());
        let mut learner = Learner {
            rule,
            sources: &mut self.sources[..sources],
            units: &mut self.units[..units],
            synapses: &mut self.synapses[..rule.synapses()],
            feedback: &self.feedback[..rule.feedback()],
        };
        if whole.is_ok() {
            learner.trial(&Record {
                duration: trial.duration,
                inputs: self.inputs.filled(),
                spikes: self.spikes.filled(),
                samples: self.samples.filled(),
                events: self.errors.filled(),
            });
        }
        self.errors.clear();
        self.used = true;
        whole?;
        if lesson.update {
            learner.update();
            self.write_back(&rule)?;
        }
        Ok(())
    }

    fn weight(&self, row: u16, neuron: u16) -> Option<i8> {
        self.inner.weight(row, neuron)
    }

    fn samples_per_trial(&self) -> usize {
        self.inner.samples_per_trial()
    }

    fn keeps_all(&self, channel: usize) -> bool {
        self.inner.keeps_all(channel)
    }

    fn ready(&self) -> bool {
        self.inner.ready()
    }

    fn begin(&mut self, trial: Trial) -> Result<(), Fault> {
        if self.open == 0 {
            self.spikes.clear();
            self.samples.clear();
        }
        self.trial = Some(trial);
        self.used = false;
        self.open += 1;
        self.inputs.clear();
        self.errors.clear();
        self.inner.begin(trial)
    }

    fn inject(&mut self, event: SpikeEvent) -> bool {
        let taken = self.inner.inject(event);
        if taken && self.rule.is_some() {
            self.inputs.extend(&[event]);
        }
        taken
    }

    fn seal(&mut self) {
        self.inner.seal();
    }

    fn poll<E: Emit>(&mut self, now_ns: u64, emit: &mut E) -> Result<Progress, Fault> {
        if self.rule.is_none() {
            let progress = self.inner.poll(now_ns, emit)?;
            if matches!(progress, Progress::Done(_)) {
                self.open = self.open.saturating_sub(1);
            }
            return Ok(progress);
        }
        let mut tee = Tee { emit, spikes: &mut self.spikes, samples: &mut self.samples };
        let progress = self.inner.poll(now_ns, &mut tee)?;
        if let Progress::Done(Outcome { stalled, .. }) = progress {
            self.open = self.open.saturating_sub(1);
            if self.open > 0 {
                // Only the last one is learned from.
                self.spikes.clear();
                self.samples.clear();
            }
            self.used |= stalled;
        }
        Ok(progress)
    }
}
