//! What the way to a chip can carry: latency, throughput of each direction, bytes for a spike.
//!
//! Only ordinary runs are used, so that the same measurement works for every chip, with or without a link.
//! The chip's own time is part of what is measured; it is told beside it.

use serde::Serialize;
use spikeloop_hal::{
    Chip, ChipConfig, Error, LinkUse, Observables, Recording, SpikeEvent, Stimulus, TimeSplit,
};
use std::collections::VecDeque;
use std::time::Instant;

/// What is measured, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Empty runs, one after the other.
    pub round_trips: usize,
    /// Least number of runs for a throughput.
    pub runs: usize,
    /// Time spent on each throughput, in seconds, at least.
    pub seconds: f64,
}

/// Round trips of an empty run, in µs.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// Half of them are shorter.
    pub median_us: f64,
    /// One in a hundred is longer.
    pub p99_us: f64,
    /// The longest.
    pub longest_us: f64,
    /// How many ended between two powers of two: (lower bound in µs, number).
    pub histogram: Vec<(f64, usize)>,
}

/// One direction under load.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Throughput {
    /// Spikes or samples of the runs a second.
    pub units_per_s: f64,
    /// Bytes on the link a second, in the busier direction; `None` without a link.
    pub bytes_per_s: Option<f64>,
    /// Bytes on the link in this direction for each unit, everything included; `None` without a link.
    pub bytes_per_unit: Option<f64>,
    /// Share of the time that the device spent on executing.
    pub executing: f64,
}

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Empty runs.
    pub latency: Latency,
    /// Input spikes to the chip.
    pub input_spikes: Throughput,
    /// Membrane samples from the chip; `None` if it has no converter.
    pub samples: Option<Throughput>,
    /// What the link carried in all; `None` without a link.
    pub link: Option<LinkUse>,
}

/// Measures. The chip is left in a state of its own: nothing enabled.
///
/// # Errors
/// If the chip or the link fails.
pub fn measure(chip: &mut dyn Chip, effort: Effort) -> Result<Measured, Error> {
    let quiet = ChipConfig::power_up(chip.capabilities());
    chip.configure(&quiet)?;
    let latency = latency(chip, effort)?;
    let dense = dense_stimuli(chip);
    let events = dense.iter().map(|stimulus| stimulus.events.len() as u64).sum::<u64>();
    let input_spikes = load(chip, &dense, events, Direction::Up, effort)?;
    let samples = match sampling(chip) {
        Some((config, stimuli, count)) => {
            chip.configure(&config)?;
            let measured = load(chip, &stimuli, count, Direction::Down, effort)?;
            chip.configure(&quiet)?;
            Some(measured)
        }
        None => None,
    };
    Ok(Measured { latency, input_spikes, samples, link: chip.link_use() })
}

fn latency(chip: &mut dyn Chip, effort: Effort) -> Result<Latency, Error> {
    let nothing = [Stimulus { duration: 1, ..Stimulus::default() }];
    let mut out = Observables::default();
    let mut times = Vec::with_capacity(effort.round_trips);
    for _ in 0..effort.round_trips {
        let start = Instant::now();
        let ticket = chip.submit(&nothing)?;
        chip.collect(ticket, &mut out)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(Latency {
        median_us: at(0.5),
        p99_us: at(0.99),
        longest_us: at(1.0),
        histogram: histogram(&times),
    })
}

/// Ascending times in classes of a factor of two.
fn histogram(times: &[f64]) -> Vec<(f64, usize)> {
    let mut classes: Vec<(f64, usize)> = Vec::new();
    for time in times {
        let lower = time.max(1.0).log2().floor().exp2();
        match classes.last_mut() {
            Some((bound, count)) if *bound == lower => *count += 1,
            _ => classes.push((lower, 1)),
        }
    }
    classes
}

/// Trials as those of MNIST at 16x16 pixels: 57 spikes in 20 steps of 1.7 µs, as many as fit into a run.
fn dense_stimuli(chip: &dyn Chip) -> Vec<Stimulus> {
    const SPIKES: u32 = 57;
    const STEPS: u32 = 20;
    let caps = chip.capabilities();
    let buffers = &caps.buffers;
    let trials = buffers.trials.min(buffers.stimulus_events / SPIKES).clamp(1, 100);
    let duration = caps.ticks(34.0).clamp(1, caps.max_duration);
    let step = duration / STEPS;
    // 101 is prime to the sizes of arrays: every line is met.
    let event = |k: u32| {
        SpikeEvent::new(k * STEPS / SPIKES * step, (k * 101 % u32::from(caps.inputs)) as u16)
    };
    let events: Vec<_> = (0..SPIKES).map(event).collect();
    (0..u64::from(trials))
        .map(|trial| Stimulus { trial, duration, events: events.clone() })
        .collect()
}

/// A configuration that samples all neurons, trials that fill the trace memory, and their samples.
fn sampling(chip: &dyn Chip) -> Option<(ChipConfig, Vec<Stimulus>, u64)> {
    let caps = chip.capabilities();
    let adc = caps.adc?;
    let samples = 20u16;
    let period = adc.min_period.max(caps.ticks(1.7));
    let mut config = ChipConfig::power_up(caps);
    config.enabled.fill(true);
    config.recording = Recording {
        traces: (0..caps.neurons).collect(),
        sample_period: period,
        samples,
        ..Recording::default()
    };
    let each = u64::from(caps.neurons) * u64::from(samples);
    let bytes = each * u64::from(caps.bytes_per_sample());
    let fit = (u64::from(caps.buffers.trace_bytes) / bytes).min(u64::from(caps.buffers.trials));
    let trials = fit.min(25);
    let duration = (period * u32::from(samples)).min(caps.max_duration);
    let stimuli = (0..trials).map(|trial| Stimulus { trial, duration, events: Vec::new() });
    (trials > 0).then(|| (config, stimuli.collect(), trials * each))
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Up,
    Down,
}

/// Runs in flight, one behind the other, for as long as it takes.
fn load(
    chip: &mut dyn Chip,
    stimuli: &[Stimulus],
    units: u64,
    direction: Direction,
    effort: Effort,
) -> Result<Throughput, Error> {
    let depth = usize::from(chip.capabilities().buffers.runs_in_flight);
    let mut out = Observables::default();
    // Once for the caches, and so that the counters of the link stand at a fresh run.
    let ticket = chip.submit(stimuli)?;
    chip.collect(ticket, &mut out)?;
    let before = chip.link_use();
    let start = Instant::now();
    let (mut waiting, mut done, mut time) = (VecDeque::new(), 0, TimeSplit::default());
    loop {
        let more =
            done + waiting.len() < effort.runs || start.elapsed().as_secs_f64() < effort.seconds;
        while more && waiting.len() < depth {
            waiting.push_back(chip.submit(stimuli)?);
        }
        let Some(ticket) = waiting.pop_front() else { break };
        chip.collect(ticket, &mut out)?;
        time += out.time;
        done += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let total = (units * done as u64) as f64;
    let bytes = before.zip(chip.link_use()).map(|(before, after)| {
        let up = (after.bytes_up - before.bytes_up) as f64;
        let down = (after.bytes_down - before.bytes_down) as f64;
        if direction == Direction::Up { up } else { down }
    });
    Ok(Throughput {
        units_per_s: total / seconds,
        bytes_per_s: bytes.map(|bytes| bytes / seconds),
        bytes_per_unit: bytes.map(|bytes| bytes / total),
        executing: time.execute_ns as f64 * 1e-9 / seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use spikeloop_hal::{OpenOptions, Selector};

    #[test]
    fn times_are_counted_in_classes() {
        assert_eq!(histogram(&[0.5, 1.5, 3.0, 3.9, 70.0]), [(1.0, 2), (2.0, 2), (64.0, 1)]);
        assert_eq!(histogram(&[]), []);
    }

    #[test]
    fn a_chip_in_this_process_has_no_link_and_is_measured_all_the_same() {
        let selector: Selector = "emu:preset=bss2-cal,neurons=16,inputs=8".parse().unwrap();
        let mut chip = selector.open(&OpenOptions::default()).unwrap();
        let effort = Effort { round_trips: 5, runs: 3, seconds: 0.0 };
        let measured = measure(chip.as_mut(), effort).unwrap();
        assert!(measured.link.is_none() && measured.input_spikes.bytes_per_unit.is_none());
        assert!(measured.input_spikes.units_per_s > 0.0 && measured.samples.is_some());
        assert_eq!(measured.latency.histogram.iter().map(|(_, n)| n).sum::<usize>(), 5);
    }
}
