//! One partition: its bounded queue and its position. Sans-IO: the polling thread adds records, one worker at a time
//! removes them, the watch inspects it; methods return what their caller must report to librdkafka.
//!
//! Invariants: offsets in the queue rise; `position` is after everything that has reached the sink and nothing else;
//! records received under an older `generation` are never stored.
//!
//! Longer than most: all state of a partition is behind one lock.

use crate::lag::LagWatch;
use crate::mapping::{Mapped, RowSet};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum records that wait for a worker; the partition is paused at three quarters and resumed at one quarter.
pub(crate) const QUEUE_RECORDS: usize = 4096;
/// Maximum bytes of values that wait, with the same marks.
pub(crate) const QUEUE_BYTES: usize = 8 << 20;

/// A record on its way to the sink, or the mark that the log restarted.
pub(crate) struct Item {
    pub(crate) offset: i64,
    /// The record's fingerprint; a mark has none.
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) bytes: usize,
    pub(crate) mapped: Vec<Mapped>,
    /// Key and value as read, when a row sends invalid records to the dead letters.
    pub(crate) original: Option<Original>,
}

impl Item {
    /// The mark before the first record of a log that continues at `at`, which is also the position after the mark.
    pub(crate) fn mark(at: i64) -> Self {
        Self { offset: at - 1, fingerprint: None, bytes: 0, mapped: Vec::new(), original: None }
    }

    pub(crate) fn is_mark(&self) -> bool {
        self.fingerprint.is_none()
    }

    /// The identity of its record.
    pub(crate) fn seen(&self) -> Option<Seen> {
        self.fingerprint.map(|fingerprint| Seen { offset: self.offset, fingerprint })
    }
}

/// An invalid record as it was read.
pub(crate) struct Original {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Identifies a record when its offset is received again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) timestamp_ms: u64,
    pub(crate) hash: u64,
}

/// A record that was read from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) offset: i64,
    pub(crate) fingerprint: Fingerprint,
}

/// State behind the partition's lock.
#[derive(Default)]
pub(crate) struct State {
    /// Whether it is assigned to this node.
    pub(crate) assigned: bool,
    /// Incremented with every assignment and seek.
    pub(crate) generation: u64,
    /// Incremented when the log restarts.
    pub(crate) life: u64,
    pub(crate) queue: VecDeque<Item>,
    pub(crate) queued_bytes: usize,
    /// Whether a worker has taken items.
    pub(crate) busy: bool,
    /// Whether it is in the list of partitions that have work.
    pub(crate) scheduled: bool,
    /// Whether it is paused at librdkafka.
    pub(crate) paused: bool,
    pub(crate) halted: Option<&'static str>,
    /// The earliest time of the next try: writing dead letters failed.
    pub(crate) retry_at: Option<Instant>,
    /// Next offset wanted from Kafka; smaller ones were already delivered.
    pub(crate) wanted: Option<i64>,
    /// The last record that was received.
    pub(crate) last: Option<Seen>,
    /// The last record that reached the sink.
    pub(crate) delivered: Option<Seen>,
    /// The anchor, a record that is looked up now and then: while it is in the log, the log is the same.
    pub(crate) anchor: Option<Seen>,
    /// Whether the anchor is to be looked up soon.
    pub(crate) doubt: bool,
    /// Whether the log was found to be another one; not acted on yet.
    pub(crate) other: bool,
    /// When the anchor was last looked up, and the arrivals until then.
    pub(crate) looked_up: Option<(Instant, u64)>,
    /// Whether the sink is still to be notified that the log restarted.
    pub(crate) owes_mark: bool,
    /// Last offset received in this generation, wanted or not.
    pub(crate) seen: Option<i64>,
    /// Records received, wanted or not: shows the watch whether any arrived between two checks.
    pub(crate) arrivals: u64,
    /// Next offset to store.
    pub(crate) position: Option<i64>,
    /// The life of the log from which snapshots were filled.
    pub(crate) filled: Option<u64>,
    /// Where live delivery started in this life of the log.
    pub(crate) first: Option<i64>,
    pub(crate) end: i64,
    pub(crate) last_timestamp_ms: Option<u64>,
    pub(crate) behind_since: Option<Instant>,
    pub(crate) lag_watch: LagWatch,
    /// Position of the fetcher and arrivals at the last check, when both were at rest.
    pub(crate) rest: Option<(i64, u64)>,
    /// End of the readable log, as queried while no record arrived.
    pub(crate) readable: i64,
    /// When the end was last queried, and the arrivals until then.
    pub(crate) asked: Option<(Instant, u64)>,
    /// Since when records are available and none arrives, and the arrivals until then.
    pub(crate) stalled_since: Option<(Instant, u64)>,
}

/// The result of comparing a partition with librdkafka's statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// No change.
    Nothing,
    /// Only offsets without records lie before this one: the position may advance to it.
    Advance(i64),
    /// The fetcher was moved back, or is beyond the end where it would wait indefinitely: the log may have restarted.
    Elsewhere,
}

impl State {
    /// Records it is behind; `None` while its position is unknown.
    pub(crate) fn lag(&self) -> Option<u64> {
        self.position.map(|position| u64::try_from(self.end - position).unwrap_or(0))
    }

    /// Whether the partition must be paused.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= QUEUE_RECORDS / 4 * 3 || self.queued_bytes >= QUEUE_BYTES / 4 * 3
    }

    /// Whether a paused partition may be resumed.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() <= QUEUE_RECORDS / 4 && self.queued_bytes <= QUEUE_BYTES / 4
    }

    /// Empties the queue: records in flight are not stored any more.
    pub(crate) fn forget_queue(&mut self) {
        self.generation += 1;
        self.owes_mark |= self.queue.iter().any(Item::is_mark);
        self.queue.clear();
        self.queued_bytes = 0;
        self.seen = None;
        self.rest = None;
        // Undelivered records will be wanted again.
        self.wanted = self.position;
        self.last = self.delivered;
    }

    /// Marks the partition for the workers; returns false when it is marked already, is with a worker, or waits for a
    /// retry.
    pub(crate) fn claim(&mut self) -> bool {
        let free = !self.scheduled && !self.busy && self.retry_at.is_none();
        self.scheduled |= free;
        free
    }

    /// Adds a record to the queue.
    pub(crate) fn take_in(&mut self, item: Item) {
        if std::mem::take(&mut self.owes_mark) {
            self.queue.push_back(Item::mark(item.offset));
        }
        self.first.get_or_insert(item.offset);
        self.wanted = Some(item.offset + 1);
        self.last = item.seen();
        self.anchor = self.anchor.or(self.last);
        self.end = self.end.max(item.offset + 1);
        self.queued_bytes += item.bytes;
        self.queue.push_back(item);
    }

    /// Records that all items up to `last` have reached the sink, also when the partition was revoked meanwhile: they
    /// are not wanted again, and those received a second time are dropped.
    pub(crate) fn reached(&mut self, last: &Item) {
        let next = last.offset + 1;
        self.position = Some(next);
        self.delivered = last.seen();
        self.last_timestamp_ms = last.fingerprint.map(|of| of.timestamp_ms).filter(|&ms| ms > 0);
        self.wanted = self.wanted.max(Some(next));
        if self.last.is_none_or(|taken| taken.offset < last.offset) {
            self.last = last.seen();
        }
        while let Some(item) = self.queue.pop_front_if(|item| !item.is_mark() && item.offset < next) {
            self.queued_bytes -= item.bytes;
        }
    }

    /// Resets the positions to a log that restarts at `at`. The queue is kept: its records were read before.
    pub(crate) fn restart_at(&mut self, at: i64, end: i64) {
        self.life += 1;
        self.position = Some(at);
        self.wanted = Some(at);
        self.first = Some(at);
        self.end = end;
        self.readable = 0;
        self.owes_mark = false;
        (self.doubt, self.other) = (false, false);
        (self.last, self.delivered, self.anchor) = (None, None, None);
        (self.seen, self.rest) = (None, None);
    }

    /// Compares with the fetcher: `next` is the next offset it will request, `hi` the end as it knows it. Only a state
    /// that two checks in a row agree on counts, so that no record is still in flight.
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
            _ if hi >= 0 && next > hi => Rest::Elsewhere,
            Some(position) if next < position => Rest::Elsewhere,
            Some(position) if next == position => Rest::Nothing,
            _ => Rest::Advance(next),
        }
    }
}

/// A partition of a mapped topic. Exists as long as the process: its position outlives a rebalance.
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

    /// Notifies waiters that a worker has finished with its items.
    pub(crate) fn notify_idle(&self) {
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

    /// Lag in seconds: since the time of the last delivered record.
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
    fn two_idle_checks_close_a_gap() {
        let mut state = at(10);
        assert_eq!(state.look(12, 12), Rest::Nothing);
        assert_eq!(state.look(12, 12), Rest::Advance(12));
        assert_eq!(state.lag(), Some(2));
    }

    #[test]
    fn a_record_between_two_checks_closes_no_gap() {
        let mut state = at(10);
        state.look(12, 12);
        state.arrivals += 1;
        assert_eq!(state.look(12, 12), Rest::Nothing);
        state.busy = true;
        assert_eq!((state.look(12, 12), state.look(12, 12)), (Rest::Nothing, Rest::Nothing));
    }

    #[test]
    fn a_log_that_shrank_is_detected() {
        let mut state = at(500);
        assert_eq!((state.look(3, 3), state.look(3, 3)), (Rest::Nothing, Rest::Elsewhere));
        let mut state = at(500);
        assert_eq!((state.look(500, 100), state.look(500, 100)), (Rest::Nothing, Rest::Elsewhere));
    }

    #[test]
    fn undelivered_records_are_wanted_again() {
        let mut state = at(10);
        state.wanted = Some(15);
        state.forget_queue();
        assert_eq!((state.wanted, state.generation), (Some(10), 1));
    }

    fn item(offset: i64) -> Item {
        let fingerprint = Some(Fingerprint { timestamp_ms: 1, hash: 2 });
        Item { offset, fingerprint, bytes: 1, mapped: Vec::new(), original: None }
    }

    /// Issue 10, entry 21: a batch is with the sink while the partition is revoked and assigned again.
    #[test]
    fn records_that_reached_the_sink_meanwhile_are_not_wanted_again() {
        let mut state = at(10);
        (10..13).for_each(|offset| state.take_in(item(offset)));
        state.queue.clear();
        state.queued_bytes = 0;
        state.forget_queue();
        assert_eq!(state.wanted, Some(10), "the sink's progress is not known yet");
        (10..14).for_each(|offset| state.take_in(item(offset)));
        state.reached(&item(12));
        let left: Vec<_> = state.queue.iter().map(|item| item.offset).collect();
        assert_eq!((left, state.queued_bytes), (vec![13], 1));
        assert_eq!((state.position, state.wanted), (Some(13), Some(14)));
        state.forget_queue();
        assert_eq!(state.wanted, Some(13));
    }

    #[test]
    fn a_dropped_mark_comes_before_the_next_record() {
        let mut state = at(10);
        state.restart_at(0, 3);
        state.queue.push_back(Item::mark(0));
        state.forget_queue();
        assert_eq!((state.queue.len(), state.wanted, state.position), (0, Some(0), Some(0)));
        let fingerprint = Fingerprint { timestamp_ms: 1, hash: 2 };
        for offset in 0..2 {
            let (mapped, original) = (Vec::new(), None);
            state.take_in(Item { offset, fingerprint: Some(fingerprint), bytes: 1, mapped, original });
        }
        let marks: Vec<_> = state.queue.iter().map(|item| (item.offset, item.is_mark())).collect();
        assert_eq!(marks, [(-1, true), (0, false), (1, false)]);
        assert_eq!(state.anchor, Some(Seen { offset: 0, fingerprint }));
    }
}
