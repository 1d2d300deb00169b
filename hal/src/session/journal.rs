//! What was asked of the device and is not done yet, so that it can be asked again.
//!
//! ```text
//!   base ◄─ apply ── [configuration] [configuration, run 7] [configuration, run 8] ◄─ push
//!                     └── sent, not yet followed by a complete run ──┘
//! ```
//!
//! The device's state is `base` and then the items in their order. A device that lost it gets the
//! difference from power-up to `base`, and then all items once more: the re-initialisation list.

use super::assemble::Assembler;
use super::encode::{Encoder, Parcel};
use crate::caps::Capabilities;
use crate::config::ChipConfig;
use crate::wire::{Flag, Kind, Message, RecordingHead};
use std::collections::VecDeque;

/// One order: configuration, a run, or a ping.
pub(super) struct Item {
    pub(super) parcel: Parcel,
    /// Messages that the window has.
    pub(super) handed: usize,
    pub(super) run: Option<Assembler>,
    /// Whether an answer to a ping is due.
    pub(super) ping: bool,
    /// Made by [`Journal::restart`].
    restored: bool,
}

impl Item {
    pub(super) fn new(parcel: Parcel, run: Option<Assembler>, ping: bool) -> Self {
        Self { parcel, handed: 0, run, ping, restored: false }
    }

    fn is_handed(&self) -> bool {
        self.handed == self.parcel.len()
    }
}

/// See the [module documentation](self).
pub(super) struct Journal {
    base: ChipConfig,
    items: VecDeque<Item>,
    /// First item of which not everything was handed to the window.
    next: usize,
}

impl Journal {
    pub(super) fn new(caps: &Capabilities) -> Self {
        Self { base: ChipConfig::power_up(caps), items: VecDeque::new(), next: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn push(&mut self, item: Item) {
        self.items.push_back(item);
    }

    /// The item of which messages are to be handed over next.
    pub(super) fn unfinished(&mut self) -> Option<&mut Item> {
        while self.items.get(self.next).is_some_and(Item::is_handed) {
            self.next += 1;
        }
        self.items.get_mut(self.next)
    }

    /// Runs under way, oldest first.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Assembler> {
        self.items.iter().filter_map(|item| item.run.as_ref())
    }

    /// The oldest run under way.
    pub(super) fn front_run(&mut self) -> Option<&mut Assembler> {
        self.items.iter_mut().find_map(|item| item.run.as_mut())
    }

    /// The oldest run is complete: it and everything before it are done.
    pub(super) fn finish_run(&mut self) -> Option<Assembler> {
        while let Some(mut item) = self.pop() {
            if let Some(run) = item.run.take() {
                return Some(run);
            }
        }
        None
    }

    /// Whether the answer to a ping is due before any run ends.
    pub(super) fn awaits_pong(&self) -> bool {
        self.items.iter().any(|item| item.ping)
    }

    /// A ping was answered.
    pub(super) fn finish_ping(&mut self) -> bool {
        let ping = self.items.iter_mut().find(|item| item.ping);
        ping.map(|item| item.ping = false).is_some()
    }

    /// Everything handed over has been acknowledged: configuration with no run before it is done.
    pub(super) fn settle(&mut self) {
        while self
            .items
            .front()
            .is_some_and(|item| item.is_handed() && item.run.is_none() && !item.ping)
        {
            self.pop();
        }
    }

    fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.next = self.next.saturating_sub(1);
        for k in 0..item.parcel.len() {
            if let Some((kind, body)) = item.parcel.part(k) {
                apply(&mut self.base, kind, body);
            }
        }
        Some(item)
    }

    /// The device is in its power-up state: everything is to be sent again. How many runs that
    /// repeats.
    pub(super) fn restart(&mut self, caps: &Capabilities, limit: usize) -> u64 {
        self.items.retain(|item| !item.restored);
        let mut begun = 0;
        for item in &mut self.items {
            begun += u64::from(item.handed > 0 && item.run.is_some());
            item.handed = 0;
            item.run.as_mut().into_iter().for_each(Assembler::restart);
        }
        self.next = 0;
        let mut encoder = Encoder::new(limit);
        encoder.difference(&ChipConfig::power_up(caps), &self.base);
        let parcel = encoder.take();
        if !parcel.is_empty() {
            self.items.push_front(Item { restored: true, ..Item::new(parcel, None, false) });
        }
        begun
    }
}

/// Brings `config` to where a device is after a message. What makes no sense for this chip was
/// never sent.
fn apply(config: &mut ChipConfig, kind: Kind, body: &[u8]) {
    match Message::decode(kind as u8, body) {
        Ok(Message::Weights(spans)) => {
            for span in spans.iter() {
                let row = config.row_mut(usize::from(span.row));
                let at = row.iter_mut().skip(usize::from(span.first));
                at.zip(span.codes()).for_each(|(held, code)| *held = code);
            }
        }
        Ok(Message::Parameters(spans)) => {
            for span in spans.iter() {
                let Some(held) = config.codes_mut(span.parameter) else { continue };
                let at = held.iter_mut().skip(usize::from(span.first));
                at.zip(span.codes()).for_each(|(held, code)| *held = code);
            }
        }
        Ok(Message::Flags(spans)) => {
            for span in spans.iter() {
                flags(config, span.flag, span.first, span.values());
            }
        }
        Ok(Message::Recording(head)) => record(config, head),
        _ => {}
    }
}

fn flags(config: &mut ChipConfig, flag: Flag, first: u16, bits: impl Iterator<Item = bool>) {
    match flag {
        Flag::Enabled | Flag::Spiking => {
            let held = match flag {
                Flag::Enabled => &mut config.enabled,
                _ => &mut config.spiking,
            };
            let at = held.iter_mut().skip(usize::from(first));
            at.zip(bits).for_each(|(held, bit)| *held = bit);
        }
        Flag::Traced => {
            let traces = &mut config.recording.traces;
            for (id, bit) in (first..).zip(bits) {
                match (traces.binary_search(&id), bit) {
                    (Err(at), true) => traces.insert(at, id),
                    (Ok(at), false) => {
                        traces.remove(at);
                    }
                    _ => {}
                }
            }
        }
    }
}

fn record(config: &mut ChipConfig, head: RecordingHead) {
    let recording = &mut config.recording;
    recording.spikes = head.spikes;
    recording.sample_period = head.sample_period;
    recording.samples = head.samples;
    recording.reference = head.reference;
    recording.floor = head.floor;
}
