//! What a run will cost on a link, before it is sent.

use super::encode::Encoder;
use crate::caps::Capabilities;
use crate::chip::Stimulus;
use crate::config::Recording;
use crate::wire::{HEADER_LEN, TRAILER_LEN, encoded_len};

/// Bits of a byte on a serial line: start, eight, stop.
pub const BITS_PER_BYTE: f64 = 10.0;

/// Bytes that a run puts on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// To the device.
    pub up: f64,
    /// From the device.
    pub down: f64,
    /// Time of the trials on the chip, in seconds.
    pub chip_s: f64,
}

impl std::ops::Add for Budget {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            up: self.up + other.up,
            down: self.down + other.down,
            chip_s: self.chip_s + other.chip_s,
        }
    }
}

impl std::ops::Mul<f64> for Budget {
    type Output = Self;

    fn mul(self, by: f64) -> Self {
        Self { up: self.up * by, down: self.down * by, chip_s: self.chip_s * by }
    }
}

impl Budget {
    /// Of one run. What goes to the device is encoded and counted; what comes back is computed from
    /// the recording and from `spikes` of a trial, at two and a half bytes each. Acknowledgements, one
    /// of 23 bytes for some frames, are not counted.
    #[must_use]
    pub fn of(
        caps: &Capabilities,
        recording: &Recording,
        stimuli: &[Stimulus],
        spikes: f64,
        longest_body: u16,
    ) -> Self {
        let limit = usize::from(longest_body.min(caps.buffers.frame_body));
        let mut encoder = Encoder::new(limit);
        encoder.run(0, stimuli, caps);
        let parcel = encoder.take();
        let bodies = (0..parcel.len()).filter_map(|k| parcel.part(k));
        let up = bodies.map(|(_, body)| encoded_len(body.len()) as f64).sum();
        let samples = recording.traces.len() * usize::from(recording.samples);
        let bits = f64::from(caps.adc.map_or(0, |adc| adc.bits));
        // Heads of blocks: section 7 of the wire's specification.
        let trial = 22.0 + 8.0 + 2.5 * spikes + samples as f64 * bits / 8.0;
        let body = stimuli.len() as f64 * trial;
        let frame = (HEADER_LEN + TRAILER_LEN + 2) as f64;
        let down = body + (body / 1024.0).ceil() * frame + encoded_len(24) as f64;
        let ticks: f64 = stimuli.iter().map(|stimulus| f64::from(stimulus.duration)).sum();
        Self { up, down, chip_s: ticks * f64::from(caps.tick_ns) * 1e-9 }
    }

    /// Time on a line of `baud` symbols a second in each direction, in seconds.
    #[must_use]
    pub fn seconds(&self, baud: f64) -> f64 {
        self.up.max(self.down) * BITS_PER_BYTE / baud
    }

    /// Symbols a second at which the line takes as long as the chip.
    #[must_use]
    pub fn needed_baud(&self) -> f64 {
        self.up.max(self.down) * BITS_PER_BYTE / self.chip_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_ten_symbols_a_byte_in_the_busier_direction() {
        let budget = Budget { up: 1000.0, down: 4000.0, chip_s: 0.01 };
        assert_eq!(budget.seconds(1e6), 0.04);
        assert_eq!(budget.needed_baud(), 4e6);
        assert_eq!((budget + budget).up, (budget * 2.0).up);
    }
}
