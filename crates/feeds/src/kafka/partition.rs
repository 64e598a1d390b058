//! One partition: its bounded queue and its position. Sans-IO: the polling thread puts in, one worker at a time takes
//! out, the watch looks; whoever has to tell librdkafka something is told what.
//!
//! What always holds: offsets in the queue rise; `position` is behind everything that has reached the sink and nothing
//! else; what was taken under an older `generation` is never stored.

use crate::lag::LagWatch;
use crate::mapping::{Mapped, RowSet};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most records that wait for a worker; at three quarters the partition is paused, at one quarter it goes on.
pub(crate) const QUEUE_RECORDS: usize = 4096;
/// Most bytes of values that wait, with the same marks.
pub(crate) const QUEUE_BYTES: usize = 8 << 20;

/// A record on its way to the sink.
pub(crate) struct Item {
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: u64,
    pub(crate) bytes: usize,
    pub(crate) mapped: Vec<Mapped>,
    /// Key and value as read, when a row sends bad records to the dead letters.
    pub(crate) original: Option<Original>,
    /// The log began anew before this record.
    pub(crate) restarted: bool,
}

/// A bad record as it was.
pub(crate) struct Original {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// What identifies a record when its offset comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) timestamp_ms: u64,
    pub(crate) hash: u64,
}

/// State behind the partition's lock.
#[derive(Default)]
pub(crate) struct State {
    /// Whether it is given to this node.
    pub(crate) assigned: bool,
    /// Goes up with every assignment and seek.
    pub(crate) generation: u64,
    pub(crate) queue: VecDeque<Item>,
    pub(crate) queued_bytes: usize,
    /// A worker has taken items.
    pub(crate) busy: bool,
    /// It stands in the list of partitions that have work.
    pub(crate) scheduled: bool,
    /// librdkafka was told to pause it.
    pub(crate) paused: bool,
    pub(crate) halted: Option<&'static str>,
    /// Not before then: an attempt to write dead letters failed.
    pub(crate) retry_at: Option<Instant>,
    /// Next offset wanted from Kafka; smaller ones were delivered before.
    pub(crate) wanted: Option<i64>,
    /// The last record that was taken in.
    pub(crate) last: Option<Fingerprint>,
    /// Last offset that came in this generation, wanted or not.
    pub(crate) seen: Option<i64>,
    /// Records that came, wanted or not: tells the watch whether there was any between two looks.
    pub(crate) arrivals: u64,
    /// Next offset to store.
    pub(crate) position: Option<i64>,
    /// Where live delivery began in this life of the log.
    pub(crate) first: Option<i64>,
    pub(crate) end: i64,
    pub(crate) last_timestamp_ms: Option<u64>,
    pub(crate) behind_since: Option<Instant>,
    pub(crate) lag_watch: LagWatch,
    /// Position of the fetcher and arrivals at the last look, when both were at rest.
    pub(crate) rest: Option<(i64, u64)>,
    /// End of what may be read, as asked for while nothing came.
    pub(crate) readable: i64,
    /// When the end was last asked for, and the arrivals until then.
    pub(crate) asked: Option<(Instant, u64)>,
    /// Since when there is something to read and nothing comes, and the arrivals until then.
    pub(crate) stalled_since: Option<(Instant, u64)>,
}

/// What a look at librdkafka's figures finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing new.
    Nothing,
    /// Only offsets without records lie before this one: the position may go there.
    Advance(i64),
    /// The fetcher was sent back: the log began anew.
    Restarted(i64),
    /// The fetcher stands beyond the end, where it would wait for ever.
    BeyondEnd,
}

impl State {
    /// Records it is behind; `None` while its position is not known.
    pub(crate) fn lag(&self) -> Option<u64> {
        self.position.map(|position| u64::try_from(self.end - position).unwrap_or(0))
    }

    /// Whether the queue asks for a pause.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= QUEUE_RECORDS / 4 * 3 || self.queued_bytes >= QUEUE_BYTES / 4 * 3
    }

    /// Whether a paused partition may go on.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() <= QUEUE_RECORDS / 4 && self.queued_bytes <= QUEUE_BYTES / 4
    }

    /// Empties the queue: what is under way is not stored any more.
    pub(crate) fn forget_queue(&mut self) {
        self.generation += 1;
        self.queue.clear();
        self.queued_bytes = 0;
        self.seen = None;
        self.rest = None;
        // What was not delivered will be wanted again.
        self.wanted = self.position;
        self.last = None;
    }

    /// Looks at the fetcher: `next` is the next offset it will ask for, `hi` the end as it knows it. Only what two looks
    /// in a row agree on counts, so that no record is still on its way.
    pub(crate) fn look(&mut self, next: i64, hi: i64) -> Rest {
        self.end = self.end.max(hi);
        let idle = self.assigned
            && self.queue.is_empty()
            && !self.busy
            && !self.paused
            && self.halted.is_none()
            && next >= 0;
        let now = idle.then_some((next, self.arrivals));
        let same = now.is_some() && self.rest == now;
        self.rest = now;
        if !same {
            return Rest::Nothing;
        }
        match self.position {
            _ if hi >= 0 && next > hi => Rest::BeyondEnd,
            Some(position) if next < position => Rest::Restarted(next),
            Some(position) if next == position => Rest::Nothing,
            _ => Rest::Advance(next),
        }
    }
}

/// A partition of a topic that is mapped. Lives as long as the process: a position outlasts a rebalance.
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) number: i32,
    pub(crate) rows: RowSet,
    state: Mutex<State>,
    idle: Condvar,
}

impl Partition {
    pub(crate) fn new(topic: Arc<str>, number: i32, rows: RowSet) -> Self {
        Self { topic, number, rows, state: Mutex::default(), idle: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A worker has put its items away.
    pub(crate) fn told_idle(&self) {
        self.idle.notify_all();
    }

    /// Waits until everything queued has reached the sink, or the deadline.
    pub(crate) fn drain(&self, deadline: Instant) {
        let mut state = self.state.lock();
        while (!state.queue.is_empty() || state.busy) && state.halted.is_none() && state.retry_at.is_none() {
            if self.idle.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }

    /// How far behind in seconds: since the time of the last delivered record.
    pub(crate) fn lag_seconds(state: &State, now_ms: u64) -> f64 {
        if state.lag().unwrap_or(0) == 0 {
            return 0.0;
        }
        let behind = match (state.last_timestamp_ms, state.behind_since) {
            (Some(last), _) => Duration::from_millis(now_ms.saturating_sub(last)),
            (None, Some(since)) => since.elapsed(),
            (None, None) => Duration::ZERO,
        };
        behind.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: i64) -> State {
        State { assigned: true, position: Some(position), wanted: Some(position), ..State::default() }
    }

    #[test]
    fn two_quiet_looks_close_a_hole() {
        let mut state = at(10);
        assert_eq!(state.look(12, 12), Rest::Nothing);
        assert_eq!(state.look(12, 12), Rest::Advance(12));
        assert_eq!(state.lag(), Some(2));
    }

    #[test]
    fn a_record_between_two_looks_closes_nothing() {
        let mut state = at(10);
        state.look(12, 12);
        state.arrivals += 1;
        assert_eq!(state.look(12, 12), Rest::Nothing);
        state.busy = true;
        assert_eq!((state.look(12, 12), state.look(12, 12)), (Rest::Nothing, Rest::Nothing));
    }

    #[test]
    fn a_log_that_shrank_is_noticed() {
        let mut state = at(500);
        assert_eq!((state.look(3, 3), state.look(3, 3)), (Rest::Nothing, Rest::Restarted(3)));
        let mut state = at(500);
        assert_eq!((state.look(500, 100), state.look(500, 100)), (Rest::Nothing, Rest::BeyondEnd));
    }

    #[test]
    fn what_was_not_delivered_is_wanted_again() {
        let mut state = at(10);
        state.wanted = Some(15);
        state.forget_queue();
        assert_eq!((state.wanted, state.generation), (Some(10), 1));
    }
}
