//! Value change dump (IEEE Std 1364-2005, section 18): spikes as events, membranes as reals.
//!
//! Trials stand one after the other on one time axis; `run`, `trial` (place in the run) and
//! `trial_number` say which one it is. A variable stands for each input line and each neuron that occurs.

use super::{ExportError, Exported, Output};
use crate::recording::walk::{Run, walk};
use spikeloop_hal::recording::Tape;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

/// Variables before those of neurons.
const RUN: usize = 0;
const TRIAL: usize = 1;
const NUMBER: usize = 2;
const FIRST: usize = 3;

/// Who occurs in what is exported.
#[derive(Default)]
struct Variables {
    inputs: BTreeSet<u16>,
    spikes: BTreeSet<u16>,
    membranes: BTreeSet<u16>,
}

/// Numbers of the variables, for every address.
struct Codes {
    inputs: Vec<usize>,
    spikes: Vec<usize>,
    membranes: Vec<usize>,
}

pub(super) fn write(
    tape: &mut Tape,
    only: Option<usize>,
    out: &Path,
) -> Result<Exported, ExportError> {
    let mut variables = Variables::default();
    walk(tape, only, |run| -> Result<(), ExportError> {
        variables.note(run);
        Ok(())
    })?;
    let mut output = Output::create(out)?;
    let failed = output.failed();
    let (scale, factor) = timescale(tape.capabilities().tick_ns);
    let chip = tape.capabilities().identity.to_string();
    let codes = variables.head(&chip, &scale, &mut output.file).map_err(&failed)?;
    let mut dump = Dump { to: &mut output.file, codes, factor, start: 0, changes: Vec::new() };
    walk(tape, only, |run| dump.run(run).map_err(&failed))?;
    dump.end().map_err(&failed)?;
    Ok(Exported { files: vec![output.close()?], ..Exported::default() })
}

/// The unit of time, and how many of it a tick is: a dump knows 1, 10 and 100 of a power of 1000 only.
pub(super) fn timescale(tick_ns: u32) -> (String, u64) {
    let units = [("s", 1_000_000_000_u64), ("ms", 1_000_000), ("us", 1000), ("ns", 1)];
    for (unit, ns) in units {
        let count = u64::from(tick_ns) / ns;
        if u64::from(tick_ns) % ns == 0 && matches!(count, 1 | 10 | 100) {
            return (format!("{count} {unit}"), 1);
        }
    }
    ("1 ns".into(), u64::from(tick_ns))
}

/// The short name of variable `k`: digits of base 94, all printable characters.
fn name(mut k: usize) -> String {
    let mut text = String::new();
    loop {
        text.push(char::from(b'!' + (k % 94) as u8));
        k /= 94;
        if k == 0 {
            return text;
        }
        k -= 1;
    }
}

impl Variables {
    fn note(&mut self, run: &Run<'_>) {
        self.inputs.extend(run.stimuli.iter().flat_map(|s| &s.events).map(|event| event.id));
        let Some(results) = run.results else { return };
        self.spikes.extend(results.observables.spikes.iter().map(|spike| spike.id));
        if run.samples_per_trial() > 0 {
            self.membranes.extend(&run.configuration.recording.traces);
        }
    }

    fn head(&self, chip: &str, scale: &str, to: &mut impl Write) -> io::Result<Codes> {
        writeln!(to, "$version spikeloop {} $end", env!("CARGO_PKG_VERSION"))?;
        writeln!(to, "$comment recording of chip {chip} $end")?;
        writeln!(to, "$timescale {scale} $end\n$scope module chip $end")?;
        for (k, what) in [(RUN, "run"), (TRIAL, "trial"), (NUMBER, "trial_number")] {
            writeln!(to, "$var reg 64 {} {what} $end", name(k))?;
        }
        let mut next = FIRST;
        let mut scope = |what: &str, kind: &str, prefix: &str, ids: &BTreeSet<u16>| {
            let mut codes = vec![0; ids.last().map_or(0, |id| usize::from(*id) + 1)];
            writeln!(to, "$scope module {what} $end")?;
            for id in ids {
                writeln!(to, "$var {kind} {} {prefix}{id} $end", name(next))?;
                codes[usize::from(*id)] = next;
                next += 1;
            }
            writeln!(to, "$upscope $end")?;
            io::Result::Ok(codes)
        };
        let inputs = scope("inputs", "event 1", "in", &self.inputs)?;
        let spikes = scope("spikes", "event 1", "n", &self.spikes)?;
        let membranes = scope("membranes", "real 64", "v", &self.membranes)?;
        writeln!(to, "$upscope $end\n$enddefinitions $end")?;
        Ok(Codes { inputs, spikes, membranes })
    }
}

/// The dump of trial after trial.
struct Dump<'a, W> {
    to: &'a mut W,
    codes: Codes,
    factor: u64,
    /// Where the next trial begins, in ticks.
    start: u64,
    /// Changes of one trial: tick, variable, and the code of a sample.
    changes: Vec<(u64, usize, Option<u16>)>,
}

impl<W: Write> Dump<'_, W> {
    fn run(&mut self, run: &Run<'_>) -> io::Result<()> {
        let settings = &run.configuration.recording;
        let (width, channels) = (run.samples_per_trial(), settings.traces.len().max(1));
        for (trial, stimulus) in run.stimuli.iter().enumerate() {
            self.changes.clear();
            let (codes, changes) = (&self.codes, &mut self.changes);
            let events = stimulus.events.iter();
            changes
                .extend(events.map(|e| (u64::from(e.tick), codes.inputs[usize::from(e.id)], None)));
            if let Some(results) = run.results.filter(|r| trial < r.observables.trials()) {
                let spikes = results.observables.spikes_of(trial).iter();
                let spikes =
                    spikes.map(|s| (u64::from(s.tick), codes.spikes[usize::from(s.id)], None));
                changes.extend(spikes);
                let samples = results.observables.samples.iter().skip(trial * width).take(width);
                changes.extend(samples.enumerate().filter_map(|(at, code)| {
                    let neuron = *settings.traces.get(at % channels)?;
                    let tick = (at / channels) as u64 * u64::from(settings.sample_period);
                    Some((tick, codes.membranes[usize::from(neuron)], Some(*code)))
                }));
            }
            self.changes.sort_by_key(|change| change.0);
            let numbers = [(RUN, run.number), (TRIAL, trial as u64), (NUMBER, stimulus.trial)];
            self.trial(numbers, u64::from(stimulus.duration))?;
        }
        Ok(())
    }

    fn trial(&mut self, numbers: [(usize, u64); 3], duration: u64) -> io::Result<()> {
        let Self { to, factor, start, changes, .. } = self;
        writeln!(to, "#{}", start.saturating_mul(*factor))?;
        for (variable, number) in numbers {
            writeln!(to, "b{number:b} {}", name(variable))?;
        }
        let mut now = 0;
        for (tick, variable, code) in changes.iter() {
            if *tick > now {
                now = *tick;
                writeln!(to, "#{}", start.saturating_add(now).saturating_mul(*factor))?;
            }
            match code {
                Some(code) => writeln!(to, "r{code} {}", name(*variable))?,
                None => writeln!(to, "1{}", name(*variable))?,
            }
        }
        // A tick apart, so that no two trials share a moment.
        *start = start.saturating_add(duration.max(now)).saturating_add(1);
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        writeln!(self.to, "#{}", self.start.saturating_mul(self.factor))
    }
}
