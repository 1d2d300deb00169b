//! When to ask: the round trip and the timer of probes.

/// Shortest and longest wait before a probe, in ns. Shorter waits would ask systems that are merely
/// scheduling; longer ones would make a lost tail visible to a user.
const SHORTEST_NS: u64 = 10_000_000;
const LONGEST_NS: u64 = 500_000_000;

/// Wait before anything is known of the round trip.
const INITIAL_NS: u64 = 50_000_000;

/// How often an idle connection is asked whether it is there.
const HEARTBEAT_NS: u64 = 500_000_000;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Smoothed round trip and its mean deviation.
    estimate: Option<(u64, u64)>,
    /// Shortest round trip seen.
    least_ns: Option<u64>,
    /// Probes without an answer, and without progress.
    unanswered: u32,
    /// When something was sent, or heard that moved things on.
    since_ns: u64,
}

impl Pace {
    pub(super) fn round_trip_ns(&self) -> Option<u64> {
        self.estimate.map(|(mean, _)| mean)
    }

    /// Shortest round trip seen, 0 before the first.
    pub(super) fn least_ns(&self) -> u64 {
        self.least_ns.unwrap_or(0)
    }

    /// Something was sent.
    pub(super) fn touch(&mut self, now_ns: u64) {
        self.since_ns = self.since_ns.max(now_ns);
    }

    /// A probe is about to go out.
    pub(super) fn probing(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// A probe was answered.
    pub(super) fn answered(&mut self, now_ns: u64) {
        self.unanswered = 0;
        self.touch(now_ns);
    }

    /// Something was acknowledged; the round trip if it could be measured.
    pub(super) fn progress(&mut self, round_trip_ns: Option<u64>, now_ns: u64) {
        self.answered(now_ns);
        let Some(sample) = round_trip_ns else { return };
        self.least_ns = Some(self.least_ns.map_or(sample, |least| least.min(sample)));
        // Gains of 1/8 and 1/4: Jacobson, SIGCOMM 1988.
        self.estimate = Some(match self.estimate {
            None => (sample, sample / 2),
            Some((mean, deviation)) => {
                let error = sample.abs_diff(mean);
                ((7 * mean + sample) / 8, (3 * deviation + error) / 4)
            }
        });
    }

    /// When to probe: soon if something is on its way, else as a heartbeat.
    pub(super) fn deadline(&self, on_the_way: bool) -> u64 {
        let wait = match self.estimate {
            _ if !on_the_way => HEARTBEAT_NS,
            None => INITIAL_NS,
            Some((mean, deviation)) => (mean + 4 * deviation).clamp(SHORTEST_NS, LONGEST_NS),
        };
        let doubled = wait << self.unanswered.min(6);
        self.since_ns.saturating_add(doubled.min(LONGEST_NS))
    }
}
