//! Device to host: result blocks become observables.

use super::Failure;
use crate::caps::Capabilities;
use crate::chip::{Health, Observables};
use crate::config::ChipConfig;
use crate::event::{SpikeEvent, Tick};
use crate::wire::{
    Digest, Events, Floor, Kept, Malformed, ResultBlock, ResultBlocks, Samples, TrialEnd, top_code,
};

/// Where the recording of a run has a floor.
#[derive(Clone, Debug)]
pub(super) struct PlannedFloor {
    code: u16,
    /// For each channel whether it comes back whole.
    whole: Box<[bool]>,
}

impl PlannedFloor {
    /// The floor that a device in this state has; `None` without one, or without channels.
    pub(super) fn of(config: &ChipConfig) -> Option<Self> {
        let recording = &config.recording;
        let code = recording.floor.filter(|_| !recording.traces.is_empty())?;
        let whole = recording.traces.iter().map(|id| config.keeps_all(*id)).collect();
        Some(Self { code, whole })
    }

    fn floor(&self) -> Floor<impl Fn(usize) -> bool> {
        Floor { code: self.code, channels: self.whole.len(), keeps_all: |k: usize| self.whole[k] }
    }
}

/// What the host expects of a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) run: u32,
    pub(super) trials: u32,
    pub(super) samples_per_trial: usize,
    pub(super) floor: Option<PlannedFloor>,
    /// Host time spent on encoding the run and the configuration before it.
    pub(super) encode_ns: u64,
    /// When the frames were handed over, on the session's clock.
    pub(super) submitted_ns: u64,
    /// How long the chip's own time is: a device in real time may take that long.
    pub(super) chip_ns: u64,
}

/// Facts of the chip that every block is checked against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    neurons: u16,
    top: u16,
}

impl Shape {
    pub(super) fn of(caps: &Capabilities) -> Self {
        Self { neurons: caps.neurons, top: caps.adc.map_or(0, |adc| top_code(adc.bits)) }
    }
}

/// One run on its way in.
pub(super) struct Assembler {
    pub(super) plan: Plan,
    pub(super) observables: Observables,
    /// What this run adds to the session's counters.
    pub(super) health: Health,
    pub(super) decode_ns: u64,
    /// Of everything that was sent for this run.
    pub(super) sent_digest: u32,
    /// Of all results.
    pub(super) returned: Digest,
    shape: Shape,
    trial: u32,
    last: Tick,
    first_sample: usize,
}

impl Assembler {
    pub(super) fn new(plan: Plan, shape: Shape, mut observables: Observables) -> Self {
        observables.clear();
        observables.samples.reserve(plan.samples_per_trial * plan.trials as usize);
        Self {
            plan,
            observables,
            health: Health::default(),
            decode_ns: 0,
            sent_digest: 0,
            returned: Digest::default(),
            shape,
            trial: 0,
            last: 0,
            first_sample: 0,
        }
    }

    /// The run begins again: what came back of it is void.
    pub(super) fn restart(&mut self) {
        self.observables.clear();
        self.health = Health::default();
        self.returned = Digest::default();
        (self.trial, self.last, self.first_sample) = (0, 0, 0);
    }

    /// Takes in the blocks of one result message.
    pub(super) fn accept(&mut self, blocks: &ResultBlocks<'_>) -> Result<(), Failure> {
        if blocks.run != self.plan.run {
            return Err(Failure::Protocol("results of a run that is not the oldest in flight"));
        }
        blocks.iter().try_for_each(|block| match block {
            ResultBlock::Spikes { index, events } => self.spikes(index, events),
            ResultBlock::Samples { index, first, samples } => self.samples(index, first, samples),
            ResultBlock::Sparse { index, first, span, kept } => {
                self.sparse(index, first, span, kept)
            }
            ResultBlock::End(end) => self.end(end),
        })
    }

    /// Whether the device may close the run.
    pub(super) fn is_complete(&self) -> bool {
        self.trial == self.plan.trials
    }

    fn in_order(&self, index: u32) -> Result<(), Failure> {
        if index == self.trial && index < self.plan.trials {
            Ok(())
        } else {
            Err(Failure::Protocol("trials must come back in order"))
        }
    }

    fn spikes(&mut self, index: u32, events: Events<'_>) -> Result<(), Failure> {
        self.in_order(index)?;
        let spikes = &mut self.observables.spikes;
        for event in events {
            let SpikeEvent { tick, id } = event.map_err(malformed)?;
            if id >= self.shape.neurons {
                return Err(Failure::Protocol("a spike of a neuron that does not exist"));
            }
            if tick < self.last {
                return Err(Failure::Protocol("spikes must come in ascending order of time"));
            }
            self.last = tick;
            spikes.push(SpikeEvent { tick, id });
        }
        Ok(())
    }

    fn samples(&mut self, index: u32, first: u32, samples: Samples<'_>) -> Result<(), Failure> {
        let at = self.places(index, first, samples.len(), 0)?;
        let new = &mut self.observables.samples[at..];
        samples.unpack(new);
        // A device may send what it need not.
        if let Some(floor) = &self.plan.floor {
            floor.floor().apply(first as usize, new);
        }
        self.count_saturated(at);
        Ok(())
    }

    fn sparse(&mut self, index: u32, first: u32, span: u32, kept: Kept<'_>) -> Result<(), Failure> {
        let code = self.plan.floor.as_ref().map_or(0, |floor| floor.code);
        let at = self.places(index, first, span as usize, code)?;
        let new = &mut self.observables.samples[at..];
        let Some(floor) = &self.plan.floor else {
            return Err(Failure::Protocol("samples were left out of a recording without a floor"));
        };
        for sample in kept {
            let (place, code) = sample.map_err(malformed)?;
            new[place] = code.min(self.shape.top);
        }
        floor.floor().apply(first as usize, new);
        self.count_saturated(at);
        Ok(())
    }

    /// Makes room for `count` samples of trial `index` from place `first` on; where they begin.
    fn places(
        &mut self,
        index: u32,
        first: u32,
        count: usize,
        fill: u16,
    ) -> Result<usize, Failure> {
        self.in_order(index)?;
        let held = &mut self.observables.samples;
        let have = held.len() - self.first_sample;
        if first as usize != have || count > self.plan.samples_per_trial - have {
            return Err(Failure::Protocol(
                "samples must come in order and not beyond the recording",
            ));
        }
        let at = held.len();
        held.resize(at + count, fill);
        Ok(at)
    }

    /// Counts samples at a rail among those from `at` on.
    fn count_saturated(&mut self, at: usize) {
        let (new, top) = (&self.observables.samples[at..], self.shape.top);
        let saturated = new.iter().filter(|code| **code == 0 || **code >= top).count();
        self.health.saturated_samples += saturated as u64;
    }

    fn end(&mut self, end: TrialEnd) -> Result<(), Failure> {
        self.in_order(end.index)?;
        let out = &mut self.observables;
        let spikes = out.spikes.len() - out.offsets.last().map_or(0, |at| *at as usize);
        let samples = out.samples.len() - self.first_sample;
        if spikes != end.spikes as usize || samples != end.samples as usize {
            return Err(Failure::Protocol("a trial ended with another count than was sent"));
        }
        if samples < self.plan.samples_per_trial && !end.stalled {
            return Err(Failure::Protocol("a trial ended before all samples were sent"));
        }
        out.offsets.push(out.spikes.len() as u32);
        out.samples.resize(self.first_sample + self.plan.samples_per_trial, 0);
        out.dropped_events += u64::from(end.dropped_inputs) + u64::from(end.dropped_spikes);
        if end.stalled {
            out.stalled.push(end.index);
        }
        self.health.trials += 1;
        self.health.dropped_inputs += u64::from(end.dropped_inputs);
        self.health.dropped_spikes += u64::from(end.dropped_spikes);
        self.health.stalled_trials += u64::from(end.stalled);
        self.first_sample = out.samples.len();
        self.trial += 1;
        self.last = 0;
        Ok(())
    }
}

fn malformed(why: Malformed) -> Failure {
    Failure::Malformed { kind: crate::wire::Kind::Result as u8, why }
}
