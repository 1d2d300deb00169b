//! Trials that have arrived and wait for the core: a ring of events and a ring of trial heads.
//!
//! Events are stored once and leave in the order in which they came; a trial may begin as soon as
//! its last event is here, so that a chip in real time never waits for the link.

use crate::core::Trial;
use spikeloop_hal::{SpikeEvent, Tick};

/// A trial that waits, and how many events it has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting {
    trial: Trial,
    events: u32,
    last: Tick,
}

/// First in, first out, over a slice.
struct Ring<'a, T> {
    slots: &'a mut [T],
    head: usize,
    len: usize,
}

impl<'a, T: Copy> Ring<'a, T> {
    fn new(slots: &'a mut [T]) -> Self {
        Self { slots, head: 0, len: 0 }
    }

    fn room(&self) -> usize {
        self.slots.len() - self.len
    }

    fn push(&mut self, value: T) {
        if self.room() > 0 {
            let at = self.head + self.len;
            let at = if at >= self.slots.len() { at - self.slots.len() } else { at };
            self.slots[at] = value;
            self.len += 1;
        }
    }

    fn front(&self) -> Option<T> {
        (self.len > 0).then(|| self.slots[self.head])
    }

    fn pop(&mut self) {
        if self.len > 0 {
            self.head = if self.head + 1 == self.slots.len() { 0 } else { self.head + 1 };
            self.len -= 1;
        }
    }

    fn clear(&mut self) {
        (self.head, self.len) = (0, 0);
    }
}

/// The queue between the wire and the core.
pub(crate) struct Schedule<'a> {
    events: Ring<'a, SpikeEvent>,
    trials: Ring<'a, Waiting>,
    /// The trial whose events are still arriving.
    arriving: Option<Waiting>,
    /// Events of the trial in the core that it has not taken yet.
    to_inject: u32,
}

impl<'a> Schedule<'a> {
    pub(crate) fn new(events: &'a mut [SpikeEvent], trials: &'a mut [Waiting]) -> Self {
        let (events, trials) = (Ring::new(events), Ring::new(trials));
        Self { events, trials, arriving: None, to_inject: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.events.clear();
        self.trials.clear();
        self.arriving = None;
        self.to_inject = 0;
    }

    /// Events that can still be taken.
    pub(crate) fn event_room(&self) -> usize {
        self.events.room()
    }

    /// Trials that can still be taken.
    pub(crate) fn trial_room(&self) -> usize {
        self.trials.room()
    }

    /// Events that could be held if nothing waited.
    pub(crate) fn event_capacity(&self) -> usize {
        self.events.slots.len()
    }

    /// The trial whose events are arriving, if its last block is still to come.
    pub(crate) fn arriving(&self) -> Option<Trial> {
        self.arriving.map(|waiting| waiting.trial)
    }

    /// Whether room will come by itself: complete trials wait for the core.
    pub(crate) fn will_drain(&self) -> bool {
        self.trials.len > 0 || self.to_inject > 0
    }

    /// Opens a trial, or goes on with the one that is arriving.
    pub(crate) fn open(&mut self, trial: Trial) {
        self.arriving.get_or_insert(Waiting { trial, events: 0, last: 0 });
    }

    /// Adds an event to the open trial, for which the caller has checked the room. `false` if it is
    /// earlier than the one before.
    pub(crate) fn push(&mut self, event: SpikeEvent) -> bool {
        let Some(waiting) = &mut self.arriving else { return false };
        if event.tick < waiting.last {
            return false;
        }
        waiting.events += 1;
        waiting.last = event.tick;
        self.events.push(event);
        true
    }

    /// The open trial is complete. The caller has checked the room.
    pub(crate) fn close(&mut self) {
        if let Some(waiting) = self.arriving.take() {
            self.trials.push(waiting);
        }
    }

    /// The next complete trial, once the events of the one before have all been injected.
    pub(crate) fn begin(&mut self) -> Option<Trial> {
        if self.to_inject > 0 {
            return None;
        }
        let waiting = self.trials.front()?;
        self.trials.pop();
        self.to_inject = waiting.events;
        Some(waiting.trial)
    }

    /// The next event for the trial in the core.
    pub(crate) fn next_event(&self) -> Option<SpikeEvent> {
        if self.to_inject == 0 { None } else { self.events.front() }
    }

    /// The event was taken by the core.
    pub(crate) fn injected(&mut self) {
        self.events.pop();
        self.to_inject -= 1;
    }
}
