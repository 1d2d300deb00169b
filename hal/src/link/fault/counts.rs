//! What was injected, counted while it happens.

use super::Direction;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the counters once, as atomics and as plain numbers.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// Counters of one direction.
        #[derive(Debug, Default)]
        pub(super) struct DirectionCounters {
            $(pub(super) $name: AtomicU64,)+
        }

        /// What was done to one direction.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct DirectionCounts {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl DirectionCounters {
            pub(super) fn read(&self) -> DirectionCounts {
                DirectionCounts { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

counters! {
    /// Bytes that were handed over.
    bytes,
    /// Frames that were handed over (idle zeros are none).
    frames,
    /// Bytes lost one by one.
    lost_bytes,
    /// Bytes with a flipped bit.
    flipped_bytes,
    /// Frames lost as a whole.
    dropped_frames,
    /// Frames delivered twice.
    duplicated_frames,
    /// Frames delivered after the one behind them.
    reordered_frames,
    /// Times the line stood still.
    stalls,
    /// Times the cable was pulled.
    resets,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// Counters of both directions.
#[derive(Debug, Default)]
pub(super) struct Counters {
    up: Arc<DirectionCounters>,
    down: Arc<DirectionCounters>,
}

impl Counters {
    pub(super) fn of(&self, direction: Direction) -> &Arc<DirectionCounters> {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    pub(super) fn read(&self) -> Counts {
        Counts { up: self.up.read(), down: self.down.read() }
    }
}

/// What was done to both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Host to device.
    pub up: DirectionCounts,
    /// Device to host.
    pub down: DirectionCounts,
}
