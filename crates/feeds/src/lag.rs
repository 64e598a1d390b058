//! Lag alerts of partitions: raised after a while above the threshold, ended well below it, so that a burst raises none
//! and a partition at the threshold does not alternate.

use std::time::{Duration, Instant};

/// How long a partition must be behind before its alert is raised.
pub(crate) const RAISE_AFTER: Duration = Duration::from_secs(5);

/// The alert of one partition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LagWatch {
    above_since: Option<Instant>,
    pub(crate) raised: bool,
}

impl LagWatch {
    /// Checks a lag; returns the new state when it changes. Raised at `warn` or more for [`RAISE_AFTER`], ended at 70 %
    /// of it or less.
    pub(crate) fn look(&mut self, lag: u64, warn: u64, now: Instant) -> Option<bool> {
        let above = lag >= warn.max(1);
        if !above {
            self.above_since = None;
        }
        if self.raised {
            self.raised = lag.saturating_mul(10) > warn.saturating_mul(7);
            return (!self.raised).then_some(false);
        }
        if !above {
            return None;
        }
        let since = *self.above_since.get_or_insert(now);
        self.raised = now.duration_since(since) >= RAISE_AFTER;
        self.raised.then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raised_late_and_ended_well_below() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut watch = LagWatch::default();
        let seen: Vec<_> = [
            (0, 100, None),
            (3000, 99, None),
            (4000, 100, None),
            (8999, 5000, None),
            (9000, 100, Some(true)),
            (9500, 71, None),
            (9600, 99, None),
            (9700, 70, Some(false)),
            (9800, 100, None),
            (14_799, 100, None),
            (14_800, 100, Some(true)),
            (14_900, 0, Some(false)),
        ]
        .into_iter()
        .filter(|&(ms, lag, want)| watch.look(lag, 100, at(ms)) != want)
        .collect();
        assert!(seen.is_empty(), "{seen:?}");
    }

    #[test]
    fn a_threshold_of_zero_still_needs_a_record() {
        let mut watch = LagWatch::default();
        let start = Instant::now();
        watch.look(0, 0, start);
        assert_eq!(watch.look(0, 0, start + RAISE_AFTER), None);
    }
}
