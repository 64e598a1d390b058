//! Event ids: a hybrid clock that always advances.

use fanfare_core::model::EventId;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bits of the counter within a millisecond.
const COUNTER_BITS: u32 = 20;

pub(crate) struct IdClock {
    last: AtomicU64,
    node: u64,
}

impl IdClock {
    pub(crate) fn new(node: u64) -> Self {
        Self { last: AtomicU64::new(0), node }
    }

    /// Returns an id greater than every earlier one: the time if it advanced, else the last id plus one.
    pub(crate) fn next(&self, now_ms: u64) -> EventId {
        let now = now_ms << COUNTER_BITS;
        let step = |last: u64| Some(now.max(last + 1));
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap_or_default();
        EventId { time: now.max(last + 1), node: self.node }
    }
}

#[cfg(test)]
mod tests {
    use super::IdClock;

    #[test]
    fn ids_rise_when_the_clock_stalls_or_goes_back() {
        let clock = IdClock::new(3);
        let ids: Vec<_> = [5, 5, 4, 9, 1].iter().map(|ms| clock.next(*ms)).collect();
        assert!(ids.windows(2).all(|w| w[0] < w[1] && w[0].to_string() < w[1].to_string()));
    }
}
