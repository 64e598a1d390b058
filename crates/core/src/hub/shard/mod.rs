//! One shard: the delivery state of its connections and of the topics they are subscribed to.
//!
//! A turn of the driver: commands of readable sockets run against [`Shard::subscribe`] and its like; [`Shard::end_turn`]
//! closes the batches they opened; [`Shard::run`] flushes posted batches, at most `budget` sends at a time so that a long
//! fan-out does not keep requests waiting; [`Shard::effects`] says what the driver must do with its sockets.
//!
//! What must always hold: a connection is sent a topic's events in the order of their offsets, each once, from the offset
//! after its ack until its unsubscribe's ack; a list changes only between flushes, but for removals, which keep the part
//! that is done apart; a connection that overflows is notified and ended, or sent the number of dropped events; replies are never dropped.
//!
//! The methods stand by theme in the files beside this one; they share the tables below.

mod commands;
mod feeds;
mod flush;
mod followed;
mod places;
mod replays;
mod replies;
#[cfg(test)]
mod tests;
mod turns;

pub use feeds::FeedStart;
pub(crate) use followed::Older;
pub use followed::{Answer, Outcome, Ticket};

use super::addr::ConnAddr;
use super::batch::{Backpressure, Batch};
use super::inbox::{Came, Post};
use super::local::{JOINING, Join, LocalTopic, REPLAYING, Sub};
use super::outbox::{Before, Kind, Outbox, QueueLimits, Replay, Span, Verdict};
use crate::model::{
    ErrorCode, EventMeta, Publish, Refusal, Reply, Requester, Subscribe, Subscribed, Unsubscribe,
};
use crate::ports::{Encoders, Info, Sent, Wire};
use crate::topics::{
    Begin, Kept, Live, Lost, MAX_OPEN_BYTES, NotPublished, Published, Publishing, Seat, Space, Topic, Topics,
};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

/// Bytes of a replay that are pulled from the history at a time.
const REPLAY_CHUNK_BYTES: usize = 32 * 1024;
/// Chunks of replays a connection is given in one go before others have their turn.
const REPLAY_CHUNKS: usize = 8;

const BACKLOG: u8 = 1;
const ENDING: u8 = 2;
const PAUSED: u8 = 4;
const OPEN: u8 = 8;
const WRITABLE: u8 = 16;

/// The time of a turn. The driver reads the clock once a turn; the core reads none.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// On the monotonic clock.
    pub at: Instant,
    /// Milliseconds since 1970.
    pub ms: u64,
}

/// What a shard is made with.
#[derive(Clone, Copy, Debug)]
pub struct ShardConfig {
    /// The shard's number.
    pub id: u8,
    /// Bounds of each connection's queue.
    pub queue: QueueLimits,
    /// Subscriptions of one connection at most.
    pub max_subscriptions: usize,
}

/// What the driver must do with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Watch for writability (or stop that).
    Writable(u32, bool),
    /// Stop reading until further notice (true), or read again (false).
    Paused(u32, bool),
    /// It is broken: close it.
    Broken(u32),
    /// The frames that end it are queued or sent: read no more, close it when they have left.
    Ending(u32, u16),
    /// Everything of an ending connection has left.
    Drained(u32),
}

/// What the shard counted since it was last asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardCounts {
    /// Events handed to the kernel or queued for a connection.
    pub deliveries: u64,
    /// Events dropped from `drop_oldest` queues.
    pub dropped: u64,
    /// Connections ended as slow consumers.
    pub slow_consumers: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Hot {
    variant: u8,
    flags: u8,
    /// Messages handed over for it since it was opened.
    sent: u32,
}

#[derive(Debug, Default)]
struct Cold {
    life: u32,
    outbox: Option<Box<Outbox>>,
    subs: SmallVec<[Sub; 2]>,
}

#[derive(Debug)]
enum Work {
    Events(Arc<Batch>),
    Deletion,
}

#[derive(Debug)]
struct Job {
    local: u32,
    work: Work,
}

/// The state of one shard. `D` is the driver's kind of post.
pub struct Shard<D> {
    config: ShardConfig,
    topics: Arc<Topics<D>>,
    encoders: Encoders,
    hot: Vec<Hot>,
    cold: Vec<Cold>,
    free: Vec<u32>,
    locals: Vec<Option<LocalTopic>>,
    free_locals: Vec<u32>,
    by_id: HashMap<u64, u32>,
    taken: VecDeque<Post<D>>,
    driver: VecDeque<D>,
    jobs: VecDeque<Job>,
    /// How far the first job has come in its list; `None` before it began.
    cursor: Option<usize>,
    dirty: Vec<Arc<Topic>>,
    pulling: VecDeque<u32>,
    effects: Vec<Effect>,
    counts: ShardCounts,
    queued_bytes: usize,
    flushes: Vec<Instant>,
    now: Turn,
    /// Slow readers of the conflating group that is being flushed, and the position of the last record each has.
    lagging: Vec<(ConnAddr, u64)>,
    /// What upstreams have said to subscriptions that wait for it.
    came: VecDeque<Came>,
    /// Replies of subscriptions that waited.
    outcomes: Vec<Outcome>,
    next_ticket: u64,
    next_read: u64,
}

impl<D> std::fmt::Debug for Shard<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("config", &self.config)
            .field("slots", &self.hot.len())
            .finish_non_exhaustive()
    }
}

impl<D> Shard<D> {
    /// Messages handed over for a connection since it was opened.
    pub fn sent(&self, slot: u32) -> u32 {
        self.hot[slot as usize].sent
    }

    fn count_sent(&mut self, slot: u32, messages: u32) {
        let sent = &mut self.hot[slot as usize].sent;
        *sent = sent.wrapping_add(messages);
    }

    /// A shard without connections, in its first turn.
    pub fn new(config: ShardConfig, topics: Arc<Topics<D>>, now: Turn) -> Self {
        let encoders = topics.encoders().clone();
        Self {
            config,
            topics,
            encoders,
            hot: Vec::new(),
            cold: Vec::new(),
            free: Vec::new(),
            locals: Vec::new(),
            free_locals: Vec::new(),
            by_id: HashMap::new(),
            taken: VecDeque::new(),
            driver: VecDeque::new(),
            jobs: VecDeque::new(),
            cursor: None,
            dirty: Vec::new(),
            pulling: VecDeque::new(),
            effects: Vec::new(),
            counts: ShardCounts::default(),
            queued_bytes: 0,
            flushes: Vec::new(),
            now,
            lagging: Vec::new(),
            came: VecDeque::new(),
            outcomes: Vec::new(),
            next_ticket: 0,
            next_read: 0,
        }
    }

    /// Says what time it is from now on.
    pub fn begin_turn(&mut self, now: Turn) {
        self.now = now;
    }

    /// A slot for a new connection.
    pub fn open(&mut self, variant: u8) -> ConnAddr {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.hot.push(Hot::default());
            self.cold.push(Cold::default());
            (self.hot.len() - 1) as u32
        });
        self.hot[slot as usize] = Hot { variant, flags: OPEN, sent: 0 };
        self.addr(slot)
    }

    /// The address of an open connection.
    pub fn addr(&self, slot: u32) -> ConnAddr {
        ConnAddr::new(self.config.id, slot, self.cold[slot as usize].life)
    }

    /// The slot of an address, if that connection is still open.
    pub fn slot_of(&self, addr: ConnAddr) -> Option<u32> {
        let slot = addr.slot();
        let cold = self.cold.get(slot as usize)?;
        (self.has(slot, OPEN) && cold.life & 0x00ff_ffff == addr.life() && addr.shard() == self.config.id)
            .then_some(slot)
    }

    /// The shard's number.
    pub fn id(&self) -> u8 {
        self.config.id
    }

    /// The variant a connection is sent.
    pub fn variant(&self, slot: u32) -> u8 {
        self.hot[slot as usize].variant
    }

    /// Fixes the connection's variant; it must have no subscriptions so far.
    pub fn set_variant(&mut self, slot: u32, variant: u8) {
        debug_assert!(self.cold[slot as usize].subs.is_empty());
        self.hot[slot as usize].variant = variant;
    }

    /// Ends a connection's subscriptions and gives its slot back.
    pub fn close(&mut self, slot: u32, now_ms: u64) {
        if !self.has(slot, OPEN) {
            return;
        }
        self.leave_all(slot, now_ms);
        self.drop_outbox(slot);
        self.hot[slot as usize] = Hot::default();
        let cold = &mut self.cold[slot as usize];
        cold.life = cold.life.wrapping_add(1);
        cold.subs = SmallVec::new();
        self.free.push(slot);
    }

    /// Ends all subscriptions of a connection that itself continues (or is about to end).
    pub fn leave_all(&mut self, slot: u32, now_ms: u64) {
        for sub in std::mem::take(&mut self.cold[slot as usize].subs) {
            let topic = self.local(sub.local).topic.clone();
            self.topics.leave(&topic, self.seat(slot), now_ms);
            self.detach(slot, sub);
        }
        if let Some(outbox) = &mut self.cold[slot as usize].outbox {
            outbox.replays.clear();
        }
    }

    /// Topics the connection is subscribed to.
    pub fn subscriptions(&self, slot: u32) -> impl Iterator<Item = &str> {
        self.cold[slot as usize]
            .subs
            .iter()
            .filter_map(|s| self.locals[s.local as usize].as_ref())
            .filter(|l| l.topic.space == Space::Topic)
            .map(|l| &*l.topic.name)
    }

    /// Messages and bytes that wait for the connection.
    pub fn queued(&self, slot: u32) -> (usize, usize) {
        self.cold[slot as usize].outbox.as_ref().map_or((0, 0), |o| (o.messages(), o.bytes()))
    }

    fn outbox(&mut self, slot: u32) -> &mut Outbox {
        self.hot[slot as usize].flags |= BACKLOG;
        self.cold[slot as usize].outbox.get_or_insert_with(Box::default)
    }

    fn drop_outbox(&mut self, slot: u32) {
        if let Some(outbox) = self.cold[slot as usize].outbox.take() {
            self.queued_bytes -= outbox.bytes();
            self.hot[slot as usize].flags &= !BACKLOG;
        }
    }

    fn has(&self, slot: u32, flag: u8) -> bool {
        self.hot.get(slot as usize).is_some_and(|h| h.flags & flag != 0)
    }

    fn seat(&self, slot: u32) -> Seat {
        Seat { shard: self.config.id, variant: self.hot[slot as usize].variant }
    }
}
