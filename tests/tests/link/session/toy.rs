//! A chip with made-up physics that touches everything a host can set and see: whatever gets lost or
//! swapped on the way shows in its spikes or samples.

use spikeloop_firmware::board::Registers;
use spikeloop_firmware::{Core, Emit, Fault, Outcome, Progress, Trial, Write};
use spikeloop_hal::limits::check_run;
use spikeloop_hal::{
    Adc, Buffers, Capabilities, Chip, ChipConfig, Error, Health, Identity, Law, Observables,
    PROTOCOL_VERSION, Parameter, ParameterSpec, SpikeEvent, Stimulus, Ticket, Unit,
};
use std::collections::VecDeque;

/// The trial whose sampling stalls.
pub const STALLS: u64 = 666;
/// The trial on which the chip fails.
pub const FAILS: u64 = 13;

pub fn capabilities() -> Capabilities {
    let spec = |parameter, code_max| ParameterSpec {
        parameter,
        unit: Unit::Lsb,
        code_min: 0,
        code_max,
        code_default: 3,
        law: Law::Proportional { at_reference: 1.0, reference: 1.0 },
    };
    Capabilities {
        protocol: PROTOCOL_VERSION,
        identity: Identity { kind: "toy".try_into().unwrap(), serial: 0xC0FFEE, firmware: 1 << 16 },
        neurons: 20,
        inputs: 12,
        recurrent: true,
        weight_min: -63,
        weight_max: 63,
        tick_ns: 100,
        max_duration: 100_000,
        adc: Some(Adc {
            bits: 10,
            min_period: 2,
            reliable_min: 50,
            reliable_max: 1000,
            reference: true,
        }),
        buffers: Buffers {
            trials: 40,
            stimulus_events: 6000,
            spikes_per_trial: 300,
            trace_bytes: 40 * 20 * 50 * 2,
            runs_in_flight: 3,
            frame_body: 256,
        },
        parameters: [spec(Parameter::Threshold, 1022), spec(Parameter::TauMem, 500)]
            .into_iter()
            .collect(),
    }
}

/// What one trial brings back: spikes, samples, lost spikes, stalled.
pub fn trial(
    caps: &Capabilities,
    config: &ChipConfig,
    stimulus: &Stimulus,
) -> (Vec<SpikeEvent>, Vec<u16>, u32, bool) {
    let mut spikes = Vec::new();
    for event in &stimulus.events {
        for (neuron, weight) in config.row(usize::from(event.id)).iter().enumerate() {
            let tick = event.tick + u32::from(weight.unsigned_abs()) + (stimulus.trial % 3) as u32;
            let fires = config.enabled[neuron] && config.spiking[neuron] && *weight > 0;
            if fires && tick < stimulus.duration && config.recording.spikes {
                spikes.push(SpikeEvent::new(tick, neuron as u16));
            }
        }
    }
    spikes.sort();
    let lost = spikes.len().saturating_sub(caps.buffers.spikes_per_trial as usize);
    spikes.truncate(caps.buffers.spikes_per_trial as usize);
    let codes = |parameter| config.codes(parameter).unwrap();
    let samples = (0..u32::from(config.recording.samples))
        .flat_map(|k| config.recording.traces.iter().map(move |id| (k, usize::from(*id))))
        .map(|(k, n)| {
            let column: i32 = (0..config.sources()).map(|s| i32::from(config.row(s)[n])).sum();
            let value = i32::from(codes(Parameter::TauMem)[n])
                + 5 * i32::from(codes(Parameter::Threshold)[n])
                + column
                + (k * config.recording.sample_period) as i32
                + stimulus.trial as i32;
            config.recording.reference.unwrap_or((value & 0x3FF) as u16)
        })
        .collect();
    (spikes, samples, lost as u32, stimulus.trial == STALLS)
}

/// What a floor makes of the samples of a trial.
fn floored(config: &ChipConfig, samples: &mut [u16]) {
    let Some(floor) = config.recording.floor else { return };
    let traces = &config.recording.traces;
    for (row, codes) in samples.chunks_mut(traces.len().max(1)).enumerate() {
        for (code, id) in codes.iter_mut().zip(traces) {
            let n = usize::from(*id);
            if row > 0 && config.enabled[n] && config.spiking[n] {
                *code = floor.max(*code);
            }
        }
    }
}

/// The toy in process.
pub struct ToyChip {
    caps: Capabilities,
    config: ChipConfig,
    done: VecDeque<(u64, Observables)>,
    next: u64,
    health: Health,
}

impl ToyChip {
    pub fn new(caps: Capabilities) -> Self {
        let config = ChipConfig::power_up(&caps);
        Self { caps, config, done: VecDeque::new(), next: 0, health: Health::default() }
    }
}

impl Chip for ToyChip {
    fn capabilities(&self) -> &Capabilities {
        &self.caps
    }

    fn configure(&mut self, config: &ChipConfig) -> Result<(), Error> {
        config.check(&self.caps)?;
        self.config.clone_from(config);
        Ok(())
    }

    fn submit(&mut self, stimuli: &[Stimulus]) -> Result<Ticket, Error> {
        let limit = self.caps.buffers.runs_in_flight;
        if self.done.len() >= usize::from(limit) {
            return Err(Error::TooManyRuns { limit });
        }
        check_run(&self.caps, &self.config.recording, stimuli)?;
        if stimuli.iter().any(|stimulus| stimulus.trial == FAILS) {
            return Err(Error::Stimulus { trial: 0, reason: "unlucky" });
        }
        let mut out = Observables::default();
        out.clear();
        for (k, stimulus) in stimuli.iter().enumerate() {
            let (spikes, mut samples, lost, stalled) = trial(&self.caps, &self.config, stimulus);
            floored(&self.config, &mut samples);
            out.spikes.extend(spikes);
            out.offsets.push(out.spikes.len() as u32);
            self.health.saturated_samples +=
                samples.iter().filter(|code| **code == 0 || **code == 0x3FF).count() as u64;
            out.samples.extend(samples);
            out.dropped_events += u64::from(lost);
            if stalled {
                out.stalled.push(k as u32);
            }
            self.health.trials += 1;
            self.health.dropped_spikes += u64::from(lost);
            self.health.stalled_trials += u64::from(stalled);
        }
        self.next += 1;
        self.done.push_back((self.next - 1, out));
        Ok(Ticket(self.next - 1))
    }

    fn collect(&mut self, ticket: Ticket, into: &mut Observables) -> Result<(), Error> {
        match self.done.front() {
            Some((number, _)) if *number == ticket.0 => {}
            _ => return Err(Error::UnknownTicket { ticket: ticket.0 }),
        }
        *into = self.done.pop_front().unwrap().1;
        Ok(())
    }

    fn health(&self) -> Health {
        self.health
    }
}

/// The same physics on a core in real time: a FIFO of four events, one event a poll, results in
/// pieces, one trial at a time.
pub struct RealTimeCore {
    caps: Capabilities,
    registers: Registers,
    stimulus: Option<Stimulus>,
    fifo: VecDeque<SpikeEvent>,
    sealed: bool,
    results: Option<(Vec<SpikeEvent>, Vec<u16>, u32, bool)>,
}

impl RealTimeCore {
    pub fn new(caps: Capabilities) -> Self {
        Self {
            registers: Registers::power_up(&caps),
            caps,
            stimulus: None,
            fifo: VecDeque::new(),
            sealed: false,
            results: None,
        }
    }
}

impl Core for RealTimeCore {
    fn capabilities(&self) -> &Capabilities {
        &self.caps
    }

    fn reset(&mut self) {
        *self = Self::new(self.caps.clone());
    }

    fn write(&mut self, write: Write<'_>) -> Result<(), Fault> {
        assert!(self.stimulus.is_none(), "writes come between trials");
        self.registers.apply(&write);
        Ok(())
    }

    fn samples_per_trial(&self) -> usize {
        self.registers.samples_per_trial()
    }

    fn ready(&self) -> bool {
        self.stimulus.is_none()
    }

    fn begin(&mut self, trial: Trial) -> Result<(), Fault> {
        assert!(self.ready());
        let (number, duration) = (trial.number, trial.duration);
        self.stimulus = Some(Stimulus { trial: number, duration, events: Vec::new() });
        self.sealed = false;
        Ok(())
    }

    fn inject(&mut self, event: SpikeEvent) -> bool {
        let room = self.fifo.len() < 4;
        if room {
            self.fifo.push_back(event);
        }
        room
    }

    fn seal(&mut self) {
        self.sealed = true;
    }

    fn poll<E: Emit>(&mut self, _now_ns: u64, emit: &mut E) -> Result<Progress, Fault> {
        let stimulus = self.stimulus.as_mut().expect("polled only while a trial is under way");
        if let Some(event) = self.fifo.pop_front() {
            assert!(stimulus.events.last().is_none_or(|last| last.tick <= event.tick));
            stimulus.events.push(event);
            return Ok(Progress::Running);
        }
        if !self.sealed {
            return Ok(Progress::Running);
        }
        let results = self
            .results
            .get_or_insert_with(|| trial(&self.caps, self.registers.config(), stimulus));
        let n = results.0.len().min(7);
        emit.spikes(&results.0.drain(..n).collect::<Vec<_>>());
        let n = results.1.len().min(5);
        emit.samples(&results.1.drain(..n).collect::<Vec<_>>());
        if !(results.0.is_empty() && results.1.is_empty()) {
            return Ok(Progress::Running);
        }
        let (_, _, dropped_spikes, stalled) = self.results.take().unwrap();
        self.stimulus = None;
        Ok(Progress::Done(Outcome { stalled, dropped_inputs: 0, dropped_spikes }))
    }
}
