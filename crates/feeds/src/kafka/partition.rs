//! One partition: its bounded queue and its position. Sans-IO: the polling thread puts in, one worker at a time takes
//! out, the watch looks; whoever has to tell librdkafka something is told what.
//!
//! What always holds: offsets in the queue rise; `position` is behind everything that has reached the sink and nothing
//! else; what was taken under an older `generation` is never stored.
//!
//! Longer than most: everything that is known of a partition is behind one lock.

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

/// A record on its way to the sink, or the mark that the log began anew.
pub(crate) struct Item {
    pub(crate) offset: i64,
    /// Of a record; a mark has none.
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) bytes: usize,
    pub(crate) mapped: Vec<Mapped>,
    /// Key and value as read, when a row sends bad records to the dead letters.
    pub(crate) original: Option<Original>,
}

impl Item {
    /// The mark before the first record of a log that goes on at `at`; the position behind it is that.
    pub(crate) fn mark(at: i64) -> Self {
        Self { offset: at - 1, fingerprint: None, bytes: 0, mapped: Vec::new(), original: None }
    }

    pub(crate) fn is_mark(&self) -> bool {
        self.fingerprint.is_none()
    }

    /// What is remembered of it.
    pub(crate) fn seen(&self) -> Option<Seen> {
        self.fingerprint.map(|fingerprint| Seen { offset: self.offset, fingerprint })
    }
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

/// A record that stood in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) offset: i64,
    pub(crate) fingerprint: Fingerprint,
}

/// State behind the partition's lock.
#[derive(Default)]
pub(crate) struct State {
    /// Whether it is given to this node.
    pub(crate) assigned: bool,
    /// Goes up with every assignment and seek.
    pub(crate) generation: u64,
    /// Goes up when the log begins anew.
    pub(crate) life: u64,
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
    pub(crate) last: Option<Seen>,
    /// The last record that reached the sink.
    pub(crate) delivered: Option<Seen>,
    /// A record that is looked up now and then: while it stands in the log, the log is the same.
    pub(crate) anchor: Option<Seen>,
    /// It is to be looked up soon.
    pub(crate) doubt: bool,
    /// Its log is another: found out, and not acted on yet.
    pub(crate) other: bool,
    /// When it was last looked up, and the arrivals until then.
    pub(crate) looked_up: Option<(Instant, u64)>,
    /// The sink was not told yet that the log began anew.
    pub(crate) owes_mark: bool,
    /// Last offset that came in this generation, wanted or not.
    pub(crate) seen: Option<i64>,
    /// Records that came, wanted or not: tells the watch whether there was any between two looks.
    pub(crate) arrivals: u64,
    /// Next offset to store.
    pub(crate) position: Option<i64>,
    /// The life of the log that snapshots were filled from.
    pub(crate) filled: Option<u64>,
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
    /// The fetcher was sent back, or stands beyond the end where it would wait for ever: the log may have begun anew.
    Elsewhere,
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
        self.owes_mark |= self.queue.iter().any(Item::is_mark);
        self.queue.clear();
        self.queued_bytes = 0;
        self.seen = None;
        self.rest = None;
        // What was not delivered will be wanted again.
        self.wanted = self.position;
        self.last = self.delivered;
    }

    /// Marks the partition for the workers: false when it has been already, is with one, or waits to be tried again.
    pub(crate) fn claim(&mut self) -> bool {
        let free = !self.scheduled && !self.busy && self.retry_at.is_none();
        self.scheduled |= free;
        free
    }

    /// Takes a record in.
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

    /// All up to an item has reached the sink, also when the partition was taken away meanwhile: it is not wanted again, and what
    /// of it was taken in a second time is left out.
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

    /// Positions of a log that starts over at `at`. The queue is kept: what is in it was read before.
    pub(crate) fn begin_anew(&mut self, at: i64, end: i64) {
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
            _ if hi >= 0 && next > hi => Rest::Elsewhere,
            Some(position) if next < position => Rest::Elsewhere,
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
        assert_eq!((state.look(3, 3), state.look(3, 3)), (Rest::Nothing, Rest::Elsewhere));
        let mut state = at(500);
        assert_eq!((state.look(500, 100), state.look(500, 100)), (Rest::Nothing, Rest::Elsewhere));
    }

    #[test]
    fn what_was_not_delivered_is_wanted_again() {
        let mut state = at(10);
        state.wanted = Some(15);
        state.forget_queue();
        assert_eq!((state.wanted, state.generation), (Some(10), 1));
    }

    fn item(offset: i64) -> Item {
        let fingerprint = Some(Fingerprint { timestamp_ms: 1, hash: 2 });
        Item { offset, fingerprint, bytes: 1, mapped: Vec::new(), original: None }
    }

    /// Issue 10, entry 21: a batch is with the sink while the partition is taken away and given again.
    #[test]
    fn what_reached_the_sink_meanwhile_is_not_wanted_again() {
        let mut state = at(10);
        (10..13).for_each(|offset| state.take_in(item(offset)));
        state.queue.clear();
        state.queued_bytes = 0;
        state.forget_queue();
        assert_eq!(state.wanted, Some(10), "what the sink has is not known yet");
        (10..14).for_each(|offset| state.take_in(item(offset)));
        state.reached(&item(12));
        let left: Vec<_> = state.queue.iter().map(|item| item.offset).collect();
        assert_eq!((left, state.queued_bytes), (vec![13], 1));
        assert_eq!((state.position, state.wanted), (Some(13), Some(14)));
        state.forget_queue();
        assert_eq!(state.wanted, Some(13));
    }

    #[test]
    fn a_mark_that_was_forgotten_comes_before_the_next_record() {
        let mut state = at(10);
        state.begin_anew(0, 3);
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
