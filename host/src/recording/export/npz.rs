//! NumPy arrays. Memory: all that is exported, unpacked.
//!
//! | array | shape | |
//! |---|---|---|
//! | `tick_ns` | `[1]` | length of a tick |
//! | `trials_run`, `trials_index`, `trials_number`, `trials_duration`, `trials_stalled` | `[trial]` | run, place in the run, number, ticks |
//! | `inputs_trial`, `inputs_tick`, `inputs_line` | `[event]` | `trial` is the place in `trials_*` |
//! | `spikes_trial`, `spikes_tick`, `spikes_neuron` | `[spike]` | |
//! | `samples_K` | `[trial, sample, channel]` | one array for each stretch of runs with the same recording settings |
//! | `samples_K_trial`, `samples_K_neuron`, `samples_K_period` | `[trial]`, `[channel]`, `[1]` | ticks between samples |

use super::{ExportError, Exported, Output};
use crate::recording::walk::{Run, walk};
use ndarray::{Array1, Array3};
use ndarray_npy::{NpzWriter, WritableElement, WriteNpzError};
use spikeloop_hal::SpikeEvent;
use spikeloop_hal::recording::Tape;
use std::io::{Seek, Write};
use std::path::Path;

/// Events of one kind.
#[derive(Default)]
struct Events {
    trial: Vec<u32>,
    tick: Vec<u32>,
    id: Vec<u16>,
}

impl Events {
    fn put(&mut self, trial: u32, events: &[SpikeEvent]) {
        self.trial.extend(events.iter().map(|_| trial));
        self.tick.extend(events.iter().map(|event| event.tick));
        self.id.extend(events.iter().map(|event| event.id));
    }
}

/// Samples of consecutive runs with the same settings.
struct Samples {
    neurons: Vec<u16>,
    period: u32,
    /// Samples of one trial, over all channels.
    width: usize,
    trial: Vec<u32>,
    codes: Vec<u16>,
}

#[derive(Default)]
struct Arrays {
    run: Vec<u64>,
    index: Vec<u32>,
    number: Vec<u64>,
    duration: Vec<u32>,
    stalled: Vec<bool>,
    inputs: Events,
    spikes: Events,
    samples: Vec<Samples>,
}

pub(super) fn write(
    tape: &mut Tape,
    only: Option<usize>,
    out: &Path,
) -> Result<Exported, ExportError> {
    let mut arrays = Arrays::default();
    walk(tape, only, |run| -> Result<(), ExportError> {
        arrays.put(run);
        Ok(())
    })?;
    let mut output = Output::create(out)?;
    let failed = output.failed();
    let zip = |error: WriteNpzError| failed(std::io::Error::other(error));
    let mut npz = NpzWriter::new(&mut output.file);
    npz.add_array("tick_ns", &Array1::from_elem(1, tape.capabilities().tick_ns)).map_err(&zip)?;
    arrays.write(&mut npz).map_err(&zip)?;
    npz.finish().map_err(&zip)?;
    Ok(Exported { files: vec![output.close()?], ..Exported::default() })
}

impl Arrays {
    fn put(&mut self, run: &Run<'_>) {
        let first = self.run.len();
        for (index, stimulus) in run.stimuli.iter().enumerate() {
            let row = self.run.len() as u32;
            self.run.push(run.number);
            self.index.push(index as u32);
            self.number.push(stimulus.trial);
            self.duration.push(stimulus.duration);
            self.stalled.push(false);
            self.inputs.put(row, &stimulus.events);
            if let Some(results) = run.results.filter(|r| index < r.observables.trials()) {
                self.spikes.put(row, results.observables.spikes_of(index));
            }
        }
        let Some(results) = run.results else { return };
        for k in &results.observables.stalled {
            if let Some(stalled) = self.stalled.get_mut(first + *k as usize) {
                *stalled = true;
            }
        }
        self.put_samples(run, first, &results.observables.samples);
    }

    fn put_samples(&mut self, run: &Run<'_>, first: usize, codes: &[u16]) {
        let settings = &run.configuration.recording;
        let (width, channels) = (run.samples_per_trial(), settings.traces.len());
        if width == 0 || channels == 0 || width % channels != 0 {
            return;
        }
        let fits = |s: &&mut Samples| {
            s.width == width && s.neurons == settings.traces && s.period == settings.sample_period
        };
        if self.samples.last_mut().filter(fits).is_none() {
            let (neurons, period) = (settings.traces.clone(), settings.sample_period);
            let (trial, codes) = (Vec::new(), Vec::new());
            self.samples.push(Samples { neurons, period, width, trial, codes });
        }
        if let Some(samples) = self.samples.last_mut() {
            samples.trial.extend((first as u32..).take(codes.len() / width));
            samples.codes.extend_from_slice(&codes[..codes.len() / width * width]);
        }
    }

    fn write<W: Write + Seek>(self, npz: &mut NpzWriter<W>) -> Result<(), WriteNpzError> {
        put(npz, "trials_run", self.run)?;
        put(npz, "trials_index", self.index)?;
        put(npz, "trials_number", self.number)?;
        put(npz, "trials_duration", self.duration)?;
        put(npz, "trials_stalled", self.stalled)?;
        for (name, id, events) in
            [("inputs", "line", self.inputs), ("spikes", "neuron", self.spikes)]
        {
            put(npz, &format!("{name}_trial"), events.trial)?;
            put(npz, &format!("{name}_tick"), events.tick)?;
            put(npz, &format!("{name}_{id}"), events.id)?;
        }
        for (k, samples) in self.samples.into_iter().enumerate() {
            let channels = samples.neurons.len();
            let shape = (samples.trial.len(), samples.width / channels, channels);
            // The shape is that of the list by construction: an empty array stands for a fault here.
            let codes = Array3::from_shape_vec(shape, samples.codes).unwrap_or_default();
            npz.add_array(format!("samples_{k}"), &codes)?;
            put(npz, &format!("samples_{k}_trial"), samples.trial)?;
            put(npz, &format!("samples_{k}_neuron"), samples.neurons)?;
            put(npz, &format!("samples_{k}_period"), vec![samples.period])?;
        }
        Ok(())
    }
}

fn put<T: WritableElement, W: Write + Seek>(
    npz: &mut NpzWriter<W>,
    name: &str,
    values: Vec<T>,
) -> Result<(), WriteNpzError> {
    npz.add_array(name, &Array1::from_vec(values))
}
