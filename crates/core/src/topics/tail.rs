//! What a node holds of a log: its newest deliveries, by their position on this node.
//!
//! A *position* is given to every delivery of a topic in the order in which it enters. It is known on this node only. An event also
//! has an *offset*, which clients see; a feed's record has none of its own here, and its offset is its position. The tail maps
//! offsets to positions.
//!
//! What must always hold: a range never skips what went for want of room or time. Records that a newer one of their key supersedes
//! may go without that, in tails that were made so.

use super::histories::{Account, Histories};
use crate::feeds::FeedRecord;
use crate::model::{Delivery, Epoch, EventMeta, EventView, PositionLost};
use crate::ports::{Arrival, Retention};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What an event costs beside its texts, in bytes.
const EVENT_OVERHEAD: usize = 96;
/// What a feed's record costs beside its texts, in bytes.
const RECORD_OVERHEAD: usize = 128;

/// A place in a log: the position on this node and the offset that clients see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The position.
    pub pos: u64,
    /// The offset.
    pub offset: u64,
}

/// A range begins before what is still held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The oldest position that is not lost.
    pub oldest: u64,
}

/// One delivery that is held.
#[derive(Debug)]
pub enum Kept {
    /// An event of a topic.
    Event {
        /// Its id, offset and time.
        meta: EventMeta,
        /// Its payload's JSON.
        payload: Box<str>,
        /// The publisher's client id and, behind it, the username of one who was logged in. One text for both, so that an event
        /// without a username costs nothing more.
        names: Box<str>,
        /// Bytes of the client id.
        client_id_bytes: u32,
    },
    /// A record of a feed; `None` once a newer one has superseded it.
    Record(Option<Arc<FeedRecord>>),
    /// Events were lost here, and the log continues at this position.
    PositionLost {
        /// The epoch from here on.
        epoch: Epoch,
        /// The offset before the next event.
        offset: u64,
        /// When.
        at_ms: u64,
    },
}

impl Kept {
    fn event(meta: EventMeta, payload: Box<str>, client_id: Box<str>, user: Option<&str>) -> Self {
        let client_id_bytes = client_id.len() as u32;
        let names = match user {
            None => client_id,
            Some(user) => [&client_id, user].concat().into(),
        };
        Self::Event { meta, payload, names, client_id_bytes }
    }

    /// The event of `topic` that it is, if it is one.
    pub fn view<'a>(&'a self, topic: &'a str) -> Option<EventView<'a>> {
        let Self::Event { meta, payload, names, client_id_bytes } = self else { return None };
        let (client_id, user) = names.split_at(*client_id_bytes as usize);
        let user = Some(user).filter(|user| !user.is_empty());
        Some(EventView { topic, meta: *meta, payload, client_id, user })
    }

    /// What subscribers of `topic` are sent.
    pub fn delivery<'a>(&'a self, topic: &'a str) -> Option<Delivery<'a>> {
        match self {
            Self::Event { .. } => self.view(topic).map(Delivery::Event),
            Self::Record(record) => record.as_ref().map(|record| record.delivery()),
            Self::PositionLost { epoch, offset, at_ms } => {
                let lost = PositionLost { topic, epoch: *epoch, offset: *offset, at_ms: *at_ms };
                Some(Delivery::PositionLost(lost))
            }
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Event { payload, names, .. } => payload.len() + names.len() + EVENT_OVERHEAD,
            Self::Record(Some(record)) => {
                record.body.len() + record.key.as_ref().map_or(0, |k| k.len()) + RECORD_OVERHEAD
            }
            Self::Record(None) => 0,
            Self::PositionLost { .. } => EVENT_OVERHEAD,
        }
    }

    /// When it entered, for those that have a time to live.
    fn at_ms(&self) -> u64 {
        match self {
            Self::Event { meta, .. } => meta.at_ms,
            Self::PositionLost { at_ms, .. } => *at_ms,
            Self::Record(_) => u64::MAX,
        }
    }
}

/// The newest deliveries of a topic. Used under the topic's lock.
#[derive(Debug)]
pub struct Tail {
    ring: Arc<Mutex<Ring>>,
    /// Counts the ring's bytes; none for a feed's group, which is bounded apart.
    account: Option<Account>,
    head: Mark,
    /// Where the log last continued at another position: offsets say nothing of what is below.
    base: Mark,
}

impl Tail {
    /// An empty tail of a topic, counted in `histories`.
    pub fn new(retention: Retention, histories: &Arc<Histories>) -> Self {
        let ring = Arc::new(Mutex::new(Ring::new(retention)));
        let account = Some(histories.register(&ring));
        Self { ring, account, head: Mark::default(), base: Mark::default() }
    }

    /// An empty tail that is bounded apart. With `conflate`, records of a key that a newer one supersedes go.
    pub(crate) fn apart(retention: Retention, conflate: bool) -> Self {
        let mut ring = Ring::new(retention);
        ring.newest = conflate.then(HashMap::new);
        Self { ring: Arc::new(Mutex::new(ring)), account: None, head: Mark::default(), base: Mark::default() }
    }

    /// The last position and offset; 0 before the first.
    pub fn head(&self) -> Mark {
        self.head
    }

    /// Keeps an event; returns its position.
    #[inline]
    pub fn push_event(&mut self, event: &EventView<'_>, now_ms: u64) -> u64 {
        let EventView { meta, payload, client_id, user, .. } = *event;
        self.push(meta.offset, Kept::event(meta, payload.into(), client_id.into(), user), now_ms)
    }

    /// The same for an event that arrived, whose texts are its own.
    pub(super) fn keep_arrival(&mut self, event: Arrival, now_ms: u64) -> u64 {
        let Arrival { meta, payload, client_id, user, .. } = event;
        self.push(meta.offset, Kept::event(meta, payload, client_id, user.as_deref()), now_ms)
    }

    /// The log has this many events before the first that enters.
    pub(super) fn begin_at(&mut self, offset: u64) {
        (self.head, self.base) = (Mark { offset, ..self.head }, Mark { offset, ..self.head });
    }

    /// The log continues at another position; returns the position of what says so.
    pub(super) fn break_at(&mut self, epoch: Epoch, offset: u64, at_ms: u64) -> u64 {
        let pos = self.push(offset, Kept::PositionLost { epoch, offset, at_ms }, at_ms);
        self.base = self.head;
        pos
    }

    fn push(&mut self, offset: u64, kept: Kept, now_ms: u64) -> u64 {
        self.head = Mark { pos: self.head.pos + 1, offset };
        let (added, freed) = self.ring.lock().push(self.head, kept, now_ms);
        self.note(added, freed);
        self.head.pos
    }

    /// Keeps a feed's record; returns its position.
    pub(crate) fn push_record(&mut self, record: &Arc<FeedRecord>) -> u64 {
        self.push(self.head.offset + 1, Kept::Record(Some(record.clone())), 0)
    }

    fn note(&self, added: usize, freed: usize) {
        if let Some(account) = &self.account {
            account.note(added, freed);
        }
    }

    /// Where the log last continued at another position.
    pub(super) fn base(&self) -> Mark {
        self.base
    }

    /// The place of the last delivery that is no longer held, or that is not to be reached by its offset any more.
    pub fn floor(&self, now_ms: u64) -> Mark {
        let floor = self.ring.lock().floor(now_ms);
        if floor.pos > self.base.pos { floor } else { self.base }
    }

    /// The position after which the events above `offset` follow. `offset` is not below the floor's.
    pub fn position_of(&self, offset: u64) -> u64 {
        if offset >= self.head.offset {
            return self.head.pos;
        }
        self.ring.lock().position_of(self.base.pos, offset)
    }

    /// Shows what is held above the position `after`, oldest first, as long as `each` returns true. Returns whether the end was
    /// reached.
    ///
    /// # Errors
    /// [`Lost`] when something above `after` is no longer held; nothing was shown then.
    pub fn range(
        &self,
        after: u64,
        now_ms: u64,
        mut each: impl FnMut(u64, &Kept) -> bool,
    ) -> Result<bool, Lost> {
        if after >= self.head.pos {
            return Ok(true);
        }
        let ring = self.ring.lock();
        let floor = ring.floor(now_ms).pos;
        if after < floor {
            return Err(Lost { oldest: floor + 1 });
        }
        let first = ring.entries.partition_point(|entry| entry.pos <= after);
        let mut rest = ring.entries.range(first..);
        Ok(rest.all(|entry| each(entry.pos, &entry.kept)) || rest.next().is_none())
    }

    /// Milliseconds for which it is kept without subscribers.
    pub fn ttl_ms(&self) -> u64 {
        self.ring.lock().retention.ttl_ms
    }

    /// Changes what is kept.
    pub fn retain(&mut self, retention: Retention) {
        let freed = self.ring.lock().set_retention(retention);
        self.note(0, freed);
    }
}

/// A feed record's type and key.
type Subject = (Arc<str>, Arc<str>);

#[derive(Debug)]
struct Entry {
    pos: u64,
    kept: Kept,
}

impl Entry {
    /// The offset that follows from the entry itself: a record's is its position.
    fn offset(&self) -> u64 {
        match &self.kept {
            Kept::Event { meta, .. } => meta.offset,
            Kept::PositionLost { offset, .. } => *offset,
            Kept::Record(_) => self.pos,
        }
    }
}

/// A tail's deliveries.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    /// Entries that a newer one has superseded.
    superseded: usize,
    bytes: usize,
    /// The last that is no longer held.
    floor: Mark,
    retention: Retention,
    /// The newest record of each type and key; only where superseded records go.
    newest: Option<HashMap<Subject, u64>>,
}

impl Ring {
    fn new(retention: Retention) -> Self {
        let (entries, floor) = (VecDeque::new(), Mark::default());
        Self { entries, superseded: 0, bytes: 0, floor, retention, newest: None }
    }

    /// Appends; returns the bytes added and those freed for it.
    fn push(&mut self, at: Mark, kept: Kept, now_ms: u64) -> (usize, usize) {
        let mut freed = self.expire(now_ms);
        if self.newest.is_some() {
            freed += self.supersede(at.pos, &kept);
        }
        let added = kept.cost();
        if self.retention.size == 0 || added > self.retention.bytes {
            // It cannot be kept, and nothing older may then pretend to be gapless.
            freed += self.clear(at);
            return (0, freed);
        }
        while self.held() >= self.retention.size || self.bytes + added > self.retention.bytes {
            freed += self.pop();
        }
        self.bytes += added;
        self.entries.push_back(Entry { pos: at.pos, kept });
        (added, freed)
    }

    /// Entries that nothing has superseded.
    fn held(&self) -> usize {
        self.entries.len() - self.superseded
    }

    /// Notes the newest record of a key and drops the one before; returns its bytes.
    fn supersede(&mut self, pos: u64, kept: &Kept) -> usize {
        let (Some(newest), Kept::Record(Some(record))) = (&mut self.newest, kept) else { return 0 };
        let Some(key) = record.key.as_ref().filter(|_| record.per_key.conflate) else { return 0 };
        let Some(old) = newest.insert((record.kind.clone(), key.clone()), pos) else { return 0 };
        let Ok(at) = self.entries.binary_search_by_key(&old, |entry| entry.pos) else { return 0 };
        let entry = &mut self.entries[at];
        let freed = entry.kept.cost();
        entry.kept = Kept::Record(None);
        self.superseded += 1;
        self.bytes -= freed;
        self.tidy();
        freed
    }

    /// Removes superseded entries: those in front, and all of them when they are the most.
    fn tidy(&mut self) {
        let superseded = |entry: &Entry| matches!(entry.kept, Kept::Record(None));
        while self.entries.front().is_some_and(superseded) {
            self.entries.pop_front();
            self.superseded -= 1;
        }
        if self.superseded > self.held() {
            self.entries.retain(|entry| !superseded(entry));
            self.superseded = 0;
        }
    }

    /// Drops the oldest; returns its bytes.
    pub(super) fn pop(&mut self) -> usize {
        let Some(entry) = self.entries.pop_front() else { return 0 };
        self.floor = Mark { pos: entry.pos, offset: entry.offset() };
        let freed = entry.kept.cost();
        self.bytes -= freed;
        if let Kept::Record(record) = &entry.kept {
            self.forget(entry.pos, record.as_ref());
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
        freed
    }

    /// Notes that the record at a position is no longer an entry.
    fn forget(&mut self, pos: u64, record: Option<&Arc<FeedRecord>>) {
        self.superseded -= usize::from(record.is_none());
        if let (Some(newest), Some(record)) = (&mut self.newest, record)
            && let Some(key) = &record.key
        {
            let subject = (record.kind.clone(), key.clone());
            if newest.get(&subject) == Some(&pos) {
                newest.remove(&subject);
            }
        }
    }

    /// Drops what is past its time; returns the bytes.
    pub(super) fn expire(&mut self, now_ms: u64) -> usize {
        let mut freed = 0;
        while self.entries.front().is_some_and(|entry| self.is_past(entry, now_ms)) {
            freed += self.pop();
        }
        freed
    }

    /// The place of the last that is not held or past its time.
    fn floor(&self, now_ms: u64) -> Mark {
        let past = self.entries.iter().take_while(|entry| self.is_past(entry, now_ms)).last();
        past.map_or(self.floor, |entry| Mark { pos: entry.pos, offset: entry.offset() })
    }

    fn position_of(&self, base: u64, offset: u64) -> u64 {
        let above = self.entries.partition_point(|entry| entry.pos <= base || entry.offset() <= offset);
        self.entries.get(above).map_or(self.floor.pos.max(base), |entry| entry.pos - 1)
    }

    /// When the oldest entered.
    pub(super) fn oldest_at(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.kept.at_ms())
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn set_retention(&mut self, retention: Retention) -> usize {
        self.retention = retention;
        let mut freed = 0;
        while self.held() > retention.size || self.bytes > retention.bytes {
            freed += self.pop();
        }
        freed
    }

    fn clear(&mut self, floor: Mark) -> usize {
        let freed = self.bytes;
        self.entries = VecDeque::new();
        (self.superseded, self.bytes, self.floor) = (0, 0, floor);
        if let Some(newest) = &mut self.newest {
            newest.clear();
        }
        freed
    }

    fn is_past(&self, entry: &Entry, now_ms: u64) -> bool {
        entry.kept.at_ms().saturating_add(self.retention.ttl_ms) <= now_ms
    }
}

#[cfg(test)]
mod tests;
