//! Trials through the core, results into frames.

use super::{Outgoing, Phase, Run, SMALL, State, say};
use crate::core::{Core, Fault, Progress, Trial};
use spikeloop_hal::wire::{
    Digest, Digests, Floor, Full, Kind, Message, Refusal, RefusalCode, ResultBlocks, RunEnd, Writer,
};

/// Output: trials through the core, results into frames.
impl<C: Core> State<'_, C> {
    /// Adds the time since the core was polled to the run under way.
    pub(super) fn account(&mut self, now_ns: u64) {
        if let (Some(then), Some(run)) = (self.polled_at.take(), self.runs.front_mut()) {
            run.execute_ns += now_ns.saturating_sub(then);
        }
    }

    /// Whether anything moved.
    pub(super) fn advance(&mut self, window: &mut Outgoing<'_>, now_ns: u64) -> bool {
        if self.phase != Phase::Open {
            return false;
        }
        let drained = self.record.is_closed() && self.drain(window, now_ns);
        if self.record.is_closed() {
            return drained;
        }
        let ended = self.end_run(window, now_ns);
        match self.feed_core().and_then(|fed| Ok(self.poll_core(now_ns)? || fed)) {
            Ok(moved) => moved || drained || ended,
            Err(Fault(number)) => self.fault(window, number, now_ns),
        }
    }

    fn fault(&mut self, window: &mut Outgoing<'_>, number: u32, now_ns: u64) -> bool {
        let room = window.has_room(SMALL);
        if room {
            let code = RefusalCode::Fault as u8;
            let refusal = Refusal { code, kind: 0, sequence: 0, got: number, limit: 0 };
            self.refuse(window, refusal, now_ns);
        }
        room
    }

    /// Moves the record into result frames. Whether the trial is done with.
    fn drain(&mut self, window: &mut Outgoing<'_>, now_ns: u64) -> bool {
        loop {
            if self.fill_body().is_ok() {
                self.record.open();
                if let Some(run) = self.runs.front_mut() {
                    run.done += 1;
                }
                self.health.trials += 1;
                return true;
            }
            if self.flush(window, now_ns).is_err() {
                return false;
            }
        }
    }

    fn fill_body(&mut self) -> Result<(), Full> {
        let mut body = Writer::resume(self.body, self.body_len);
        if body.is_empty() {
            let run = self.runs.front().map_or(0, |run| run.run);
            ResultBlocks::begin(run, &mut body)?;
        }
        // Configuration waits for the run to end: this is what the trial was recorded with.
        let (core, samples) = (&self.core, usize::from(self.recording.samples));
        let channels = core.samples_per_trial().checked_div(samples).unwrap_or(0);
        let code = self.recording.floor.filter(|_| channels > 0);
        let keeps_all = |channel| core.keeps_all(channel);
        let floor = code.map(|code| Floor { code, channels, keeps_all });
        let drained = self.record.drain(floor.as_ref(), &mut body);
        self.body_len = body.len();
        drained
    }

    pub(super) fn flush(&mut self, window: &mut Outgoing<'_>, now_ns: u64) -> Result<(), Full> {
        if self.body_len > 0 {
            let body = &self.body[..self.body_len];
            window.send(Kind::Result, body, now_ns)?;
            self.returned.add(body);
            self.body_len = 0;
        }
        Ok(())
    }

    /// Closes the run in front if all its trials are in frames.
    fn end_run(&mut self, window: &mut Outgoing<'_>, now_ns: u64) -> bool {
        let Some(run) = self.runs.front().copied() else { return false };
        // The time of the last poll is known at the next one.
        if run.done < run.trials || self.polled_at.is_some() {
            return false;
        }
        if self.flush(window, now_ns).is_err() {
            return false;
        }
        let Run { run, trials, execute_ns, received, .. } = run;
        let received = received.unwrap_or_default();
        let digests = Some(Digests { received, returned: self.returned.value() });
        let end = RunEnd { run, trials, execute_ns, digests };
        let said = say(window, &Message::RunEnd(end), now_ns).is_ok();
        if said {
            self.returned = Digest::default();
            self.runs.pop_front();
        }
        said
    }

    /// Hands trials and events to the core as far as it takes them.
    fn feed_core(&mut self) -> Result<bool, Fault> {
        let mut moved = false;
        loop {
            while let Some(event) = self.schedule.next_event() {
                if !self.core.inject(event) {
                    return Ok(moved);
                }
                self.schedule.injected();
                moved = true;
            }
            if core::mem::take(&mut self.injecting) {
                self.core.seal();
                moved = true;
            }
            // Behind a run of which everything is done nothing begins before its end is said: the core
            // would not be polled until then.
            if self.runs.front().is_none_or(|run| run.done == run.trials) || !self.core.ready() {
                return Ok(moved);
            }
            let Some(run) = self.runs.iter_mut().find(|run| run.begun < run.trials) else {
                return Ok(moved);
            };
            let Some(trial) = self.schedule.begin() else { return Ok(moved) };
            run.begun += 1;
            self.core.begin(Trial { more: run.begun < run.trials, ..trial })?;
            self.injecting = true;
            moved = true;
        }
    }

    /// Lets the core work on the oldest trial. Whether to poll it again at once.
    fn poll_core(&mut self, now_ns: u64) -> Result<bool, Fault> {
        let Some(run) = self.runs.front() else { return Ok(false) };
        if run.begun == run.done {
            return Ok(false);
        }
        let outcome = match self.core.poll(now_ns, &mut self.record)? {
            Progress::Starved => return Ok(false),
            progress @ (Progress::Running | Progress::Working) => {
                self.polled_at = Some(now_ns);
                return Ok(progress == Progress::Running);
            }
            Progress::Done(outcome) => outcome,
        };
        self.polled_at = Some(now_ns);
        let health = &mut self.health;
        health.dropped_inputs += u64::from(outcome.dropped_inputs);
        health.dropped_spikes += u64::from(outcome.dropped_spikes) + u64::from(self.record.lost());
        health.stalled_trials += u64::from(outcome.stalled);
        self.record.close(outcome, run.done);
        Ok(true)
    }
}
