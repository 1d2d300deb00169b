//! The chip that was named: whether it answers, as what, how fast, and what gets lost on the way.

use super::{Finding, Places, State, ports};
use serde::Serialize;
use spikeloop_calibration::cache::Cache;
use spikeloop_hal::selector::Address;
use spikeloop_hal::wire::DeviceHealth;
use spikeloop_hal::{
    Capabilities, Chip, ChipConfig, Error, Health, Observables, OpenOptions, Recording, Selector,
    Session, SpikeEvent, Stimulus, link,
};
use std::path::Path;
use std::time::{Duration, Instant};

/// Most round trips that are measured, and for how long at most.
const PINGS: usize = 200;
const PING_TIME: Duration = Duration::from_secs(3);

/// A median round trip beyond this costs more than the chip itself in most trainings (a guess): a direct
/// USB connection answers within 1 ms, a local network too.
pub const SLOW_US: u64 = 5_000;

/// Trials that are run to see whether anything gets lost, and their length.
const TRIALS: u64 = 4;
const TRIAL_US: f64 = 100.0;

/// What a chip answered.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Its selector.
    pub selector: Selector,
    /// What it says it is.
    pub capabilities: Capabilities,
    /// Round trips, if it is behind a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Counters of the host's side.
    pub health: Health,
    /// Frames from the host that the device saw damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_damaged_frames: Option<u64>,
}

/// Round trips, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: usize,
    /// Half of them took at most this long.
    pub median_us: u64,
    /// 99 % of them took at most this long.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Latency {
    /// Of round trips that took these times; `None` if there is none.
    #[must_use]
    pub fn of(mut times_us: Vec<u64>) -> Option<Self> {
        times_us.sort_unstable();
        let count = times_us.len();
        let at = |share: f64| times_us.get(((count as f64 * share).ceil() as usize).max(1) - 1);
        Some(Self { count, median_us: *at(0.5)?, p99_us: *at(0.99)?, max_us: *times_us.last()? })
    }
}

/// Opens the chip, measures and tries it out.
#[must_use]
pub fn examine(
    selector: &Selector,
    places: &Places,
    options: &OpenOptions,
    cache: &Cache,
) -> (Vec<Finding>, Option<Answer>) {
    let subject = selector.to_string();
    match ask(selector, options) {
        Ok(answer) => {
            let mut findings = vec![answers(&subject, &answer.capabilities)];
            findings.extend(calibrations(&subject, &answer.capabilities, cache));
            findings.extend(answer.latency.map(|latency| speed(&subject, latency)));
            findings.extend(losses(&subject, &answer));
            (findings, Some(answer))
        }
        Err(error) => (vec![failure(&subject, &error, selector, places)], None),
    }
}

fn ask(selector: &Selector, options: &OpenOptions) -> Result<Answer, Error> {
    match selector {
        Selector::Link(address) => {
            let address = address.clone();
            let open = move || {
                let address = address.clone();
                async move { link::open(&address).await }
            };
            let mut session = Session::connect(open, options.session.clone())?;
            let latency = measure(|| session.ping())?;
            try_out(&mut session)?;
            let device = session.ping()?;
            Ok(answer(selector, &session, latency, Some(device)))
        }
        _ => {
            let mut chip = selector.open(options)?;
            try_out(&mut *chip)?;
            Ok(answer(selector, &*chip, None, None))
        }
    }
}

fn answer(
    selector: &Selector,
    chip: &dyn Chip,
    latency: Option<Latency>,
    device: Option<DeviceHealth>,
) -> Answer {
    Answer {
        selector: selector.clone(),
        capabilities: chip.capabilities().clone(),
        latency,
        health: chip.health(),
        device_damaged_frames: device.map(|device| device.damaged_frames),
    }
}

fn measure<T>(mut ping: impl FnMut() -> Result<T, Error>) -> Result<Option<Latency>, Error> {
    let begin = Instant::now();
    let mut times = Vec::with_capacity(PINGS);
    while times.len() < PINGS && begin.elapsed() < PING_TIME {
        let start = Instant::now();
        ping()?;
        times.push(start.elapsed().as_micros() as u64);
    }
    Ok(Latency::of(times))
}

/// Writes every weight twice, so that bytes go to the device, and runs some trials, so that some come back.
/// The neurons stay without input: what they do is no matter of the line. The session leaves the device as
/// it was found: the next begins at the power-up state.
fn try_out(chip: &mut dyn Chip) -> Result<(), Error> {
    let caps = chip.capabilities().clone();
    let mut config = ChipConfig::power_up(&caps);
    let codes = [caps.weight_min, caps.weight_max];
    config.weights.iter_mut().zip(codes.into_iter().cycle()).for_each(|(w, code)| *w = code);
    chip.configure(&config)?;
    config = ChipConfig::power_up(&caps);
    let traces = (0..caps.neurons.min(4)).collect();
    config.recording = match caps.adc {
        Some(adc) => Recording {
            spikes: true,
            traces,
            sample_period: adc.min_period,
            samples: 8,
            ..Recording::default()
        },
        None => Recording { spikes: true, ..Recording::default() },
    };
    chip.configure(&config)?;
    let duration = caps.ticks(TRIAL_US).clamp(1, caps.max_duration);
    let events = (0..duration.min(16)).map(|tick| SpikeEvent::new(tick, tick as u16 % caps.inputs));
    let events: Vec<_> =
        events.take(caps.buffers.stimulus_events as usize / TRIALS as usize).collect();
    let trials = TRIALS.min(u64::from(caps.buffers.trials));
    let stimuli: Vec<_> =
        (0..trials).map(|trial| Stimulus { trial, duration, events: events.clone() }).collect();
    let ticket = chip.submit(&stimuli)?;
    chip.collect(ticket, &mut Observables::default())
}

fn answers(subject: &str, caps: &Capabilities) -> Finding {
    let firmware = crate::command::info::version(caps.identity.firmware);
    let found = format!("{}, firmware {firmware}, protocol {}", caps.identity, caps.protocol);
    Finding::good("answers", subject, found)
}

/// Calibrations of this chip that were made with another firmware are of no use to it.
fn calibrations(subject: &str, caps: &Capabilities, cache: &Cache) -> Option<Finding> {
    let version = crate::command::info::version;
    let others = other_firmware(cache.folder(), caps);
    let (newest, count) = (others.first()?, others.len());
    let found = format!(
        "{count} calibration(s) were made with another firmware ({}), the chip runs {}",
        version(*newest),
        version(caps.identity.firmware)
    );
    let remedy = "calibrate it again with `spikeloop calibrate`, or put the earlier firmware back";
    Some(Finding::bad(State::Warning, "firmware", subject, found, remedy))
}

/// Firmware versions, other than the chip's own, of its calibrations; none if one is of its own.
fn other_firmware(folder: &Path, caps: &Capabilities) -> Vec<u32> {
    let chip = caps.identity.to_string();
    let mut versions = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && depth < 2 {
                folders.push((path, depth + 1));
            } else if let Some(made) = made_with(&path, &chip) {
                versions.push(made);
            }
        }
    }
    if versions.contains(&caps.identity.firmware) {
        versions.clear();
    }
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions
}

/// The firmware that a calibration file names, if it is one of this chip.
fn made_with(path: &Path, chip: &str) -> Option<u32> {
    if path.extension().is_none_or(|ending| ending != "json") {
        return None;
    }
    let file: serde_json::Value =
        serde_json::from_reader(std::io::BufReader::new(std::fs::File::open(path).ok()?)).ok()?;
    let provenance = file.get("provenance")?;
    (provenance.get("chip")? == chip).then_some(())?;
    provenance.get("firmware")?.as_u64()?.try_into().ok()
}

fn speed(subject: &str, latency: Latency) -> Finding {
    let Latency { count, median_us, p99_us, .. } = latency;
    let ms = |us: u64| us as f64 / 1000.0;
    let found = format!(
        "round trips take {:.2} ms, 99 % at most {:.2} ms ({count} measured)",
        ms(median_us),
        ms(p99_us)
    );
    if median_us <= SLOW_US {
        return Finding::good("latency", subject, found);
    }
    let remedy = "see the latency timer and autosuspend of its port above; use a higher baud rate, a direct USB port instead of a hub, or a wired network";
    Finding::bad(State::Warning, "latency", subject, found, remedy)
}

fn losses(subject: &str, answer: &Answer) -> Vec<Finding> {
    let Health { dropped_inputs, dropped_spikes, stalled_trials, damaged_frames, retries, .. } =
        answer.health;
    let damaged = damaged_frames + answer.device_damaged_frames.unwrap_or(0);
    let mut findings = Vec::new();
    if damaged + retries > 0 {
        findings.push(Finding::bad(
            State::Warning,
            "line",
            subject,
            format!("{damaged} frame(s) arrived damaged, {retries} thing(s) were sent again"),
            "use a shorter or better cable, a lower baud rate, or hardware flow control (flow=hardware)",
        ));
    }
    if dropped_inputs + dropped_spikes + stalled_trials > 0 {
        findings.push(Finding::bad(
            State::Warning,
            "events",
            subject,
            format!("lost in {TRIALS} short trials: {dropped_inputs} input events, {dropped_spikes} spikes; {stalled_trials} trial(s) stalled"),
            "the chip itself loses them, not the line: send fewer inputs at a time, record fewer neurons or with a longer sample period, and look at its supply",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::good("losses", subject, "no damaged frame, no lost event"));
    }
    findings
}

/// Why the chip cannot be used, and what to do.
fn failure(subject: &str, error: &Error, selector: &Selector, places: &Places) -> Finding {
    if let (Error::DeviceInUse { .. }, Selector::Link(Address::Serial { path, .. })) =
        (error, selector)
        && let Some(held) = ports::holder(places, Path::new(path))
    {
        return held;
    }
    let text = error.to_string();
    // Most messages end in what to do.
    let (found, remedy) = match text.rsplit_once("; ").or_else(|| text.rsplit_once(": ")) {
        Some((found, remedy)) => (found.to_owned(), remedy.to_owned()),
        None => (text, "open the device again; if that does not help, switch it off and on".into()),
    };
    Finding::bad(State::Problem, "answers", subject, found, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_summed_up() {
        assert_eq!(Latency::of(Vec::new()), None);
        let one = Latency { count: 1, median_us: 7, p99_us: 7, max_us: 7 };
        assert_eq!(Latency::of(vec![7]), Some(one));
        let hundred = Latency::of((1..=200).rev().collect());
        let expected = Latency { count: 200, median_us: 100, p99_us: 198, max_us: 200 };
        assert_eq!(hundred, Some(expected));
        assert_eq!(speed("x", expected).state, State::Good);
        let slow = Latency { median_us: SLOW_US + 1, ..expected };
        assert_eq!(speed("x", slow).state, State::Warning);
    }

    #[test]
    fn what_a_failure_says_is_divided_into_finding_and_remedy() {
        let error = Error::Link { kind: std::io::ErrorKind::Other, message: "no carrier".into() };
        let selector = "tcp:127.0.0.1:4000".parse().unwrap();
        let finding = failure("x", &error, &selector, &Places::default());
        assert_eq!(finding.found, "the link failed: no carrier");
        let remedy = "check the cable or the network, then open the device again";
        assert_eq!(finding.remedy.as_deref(), Some(remedy));
    }
}
