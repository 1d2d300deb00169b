//! Tables: one of input events and spikes, one of membrane samples.

use super::{ExportError, Exported, Output};
use crate::recording::walk::{Run, walk};
use spikeloop_hal::SpikeEvent;
use spikeloop_hal::recording::Tape;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `out` with `.spikes.csv` and `.samples.csv` in place of its ending.
pub(super) fn write(
    tape: &mut Tape,
    only: Option<usize>,
    out: &Path,
) -> Result<Exported, ExportError> {
    let mut spikes = Output::create(&named(out, "spikes"))?;
    let mut samples = Output::create(&named(out, "samples"))?;
    let failed = (spikes.failed(), samples.failed());
    let tick_us = tape.capabilities().microseconds(1);
    writeln!(spikes.file, "run,trial,trial_number,kind,neuron,tick,time_us").map_err(&failed.0)?;
    writeln!(samples.file, "run,trial,trial_number,neuron,sample,tick,time_us,code")
        .map_err(&failed.1)?;
    walk(tape, only, |run| {
        put_events(run, tick_us, &mut spikes.file).map_err(&failed.0)?;
        put_samples(run, tick_us, &mut samples.file).map_err(&failed.1)
    })?;
    Ok(Exported { files: vec![spikes.close()?, samples.close()?], ..Exported::default() })
}

fn named(out: &Path, what: &str) -> PathBuf {
    match out.extension() {
        Some(ending) if ending == "csv" => out.with_extension(format!("{what}.csv")),
        _ => {
            let mut name = out.as_os_str().to_owned();
            name.push(format!(".{what}.csv"));
            name.into()
        }
    }
}

fn put_events(run: &Run<'_>, tick_us: f64, to: &mut impl Write) -> io::Result<()> {
    for (trial, stimulus) in run.stimuli.iter().enumerate() {
        let mut put = |kind: &str, event: &SpikeEvent| {
            let (number, time) = (run.number, f64::from(event.tick) * tick_us);
            let (name, SpikeEvent { tick, id }) = (stimulus.trial, event);
            writeln!(to, "{number},{trial},{name},{kind},{id},{tick},{time}")
        };
        stimulus.events.iter().try_for_each(|event| put("input", event))?;
        if let Some(results) = run.results.filter(|r| trial < r.observables.trials()) {
            let spikes = results.observables.spikes_of(trial);
            spikes.iter().try_for_each(|event| put("spike", event))?;
        }
    }
    Ok(())
}

fn put_samples(run: &Run<'_>, tick_us: f64, to: &mut impl Write) -> io::Result<()> {
    let Some(results) = run.results else { return Ok(()) };
    let settings = &run.configuration.recording;
    let (width, channels) = (run.samples_per_trial(), settings.traces.len());
    if width == 0 || channels == 0 {
        return Ok(());
    }
    for (trial, samples) in results.observables.samples.chunks(width).enumerate() {
        let name = run.stimuli.get(trial).map_or(0, |s| s.trial);
        for (sample, codes) in samples.chunks(channels).enumerate() {
            let tick = sample as u64 * u64::from(settings.sample_period);
            let time = tick as f64 * tick_us;
            for (neuron, code) in settings.traces.iter().zip(codes) {
                let number = run.number;
                writeln!(to, "{number},{trial},{name},{neuron},{sample},{tick},{time},{code}")?;
            }
        }
    }
    Ok(())
}
