//! The way out for spikes: a bus that loses events in synchronous bursts.

use super::profile::Profile;
use crate::caps::Capabilities;
use crate::event::SpikeEvent;

/// Removes the spikes that do not get through, in order of time; returns how many.
///
/// A leaky bucket: each spike adds one to a level that falls at the bus rate; a spike that would
/// lift it above the burst capacity is lost. The chip's own memory then limits the spikes of a trial.
pub(crate) fn deliver(profile: &Profile, caps: &Capabilities, spikes: &mut Vec<SpikeEvent>) -> u64 {
    let before = spikes.len();
    let bus = profile.bus;
    if bus.burst > 0 && before > bus.burst as usize {
        let per_tick = bus.rate_per_us * f64::from(caps.tick_ns) / 1000.0;
        let (mut level, mut last) = (0.0_f64, 0);
        spikes.retain(|spike| {
            level = (level - f64::from(spike.tick - last) * per_tick).max(0.0);
            last = spike.tick;
            let fits = level + 1.0 <= f64::from(bus.burst);
            level += f64::from(u8::from(fits));
            fits
        });
    }
    spikes.truncate(caps.buffers.spikes_per_trial as usize);
    (before - spikes.len()) as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn burst(ticks: impl Iterator<Item = u32>) -> Vec<SpikeEvent> {
        ticks.enumerate().map(|(k, tick)| SpikeEvent::new(tick, k as u16)).collect()
    }

    #[test]
    fn a_synchronous_burst_loses_what_is_beyond_the_capacity() {
        let profile = Profile::preset("bss2-cal").unwrap();
        let caps = profile.capabilities(0).unwrap();
        let mut spikes = burst((0..512).map(|_| 100));
        assert_eq!(deliver(&profile, &caps, &mut spikes), 262);
        // In order of time (and address): the first ones get through.
        assert_eq!(spikes, burst((0..250).map(|_| 100)));
    }

    #[test]
    fn nothing_is_lost_below_the_rate() {
        let profile = Profile::preset("bss2-cal").unwrap();
        let caps = profile.capabilities(0).unwrap();
        // One every 8 ns is the rate of the bus.
        let mut spikes = burst((0..512).map(|k| 2 * k));
        assert_eq!(deliver(&profile, &caps, &mut spikes), 0);
        assert_eq!(spikes.len(), 512);
    }
}
