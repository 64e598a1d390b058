//! One shard: the delivery state of its connections and of the topics they hear.
//!
//! A turn of the driver: commands of readable sockets run against [`Shard::subscribe`] and its like; [`Shard::end_turn`]
//! closes the batches they opened; [`Shard::run`] flushes posted batches, at most `budget` sends at a time so that a long
//! fan-out does not keep requests waiting; [`Shard::effects`] says what the driver must do with its sockets.
//!
//! What must always hold: a connection hears a topic's events in the order of its offsets, each once, from the offset
//! after its ack until its unsubscribe's ack; a list changes only between flushes, but for removals, which keep the part
//! that is done apart; whoever overflows is told and ended, or told what was dropped; replies are never dropped.
//!
//! Longer than usual: the parts share the slot tables and are methods of one state machine.

use super::addr::ConnAddr;
use super::batch::{Backpressure, Batch};
use super::inbox::Post;
use super::local::{JOINING, Join, LocalTopic, REPLAYING, Sub};
use super::outbox::{Kind, Outbox, QueueLimits, Replay, Span, Verdict};
use crate::model::{ErrorCode, EventView, Publish, Refusal, Reply, Subscribe, Subscribed, Unsubscribe};
use crate::ports::{Encoders, EventRef, Info, Sent, Wire};
use crate::topics::{MAX_OPEN_BYTES, Published, Publishing, Seat, Topic, Topics};
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;

/// Bytes of a replay that are pulled from the history at a time.
const REPLAY_CHUNK_BYTES: usize = 32 * 1024;
/// Chunks of replays a connection is given in one go before others have their turn.
const REPLAY_CHUNKS: usize = 8;

const BACKLOG: u8 = 1;
const ENDING: u8 = 2;
const PAUSED: u8 = 4;
const OPEN: u8 = 8;
const WRITABLE: u8 = 16;

/// What a shard is made with.
#[derive(Clone, Copy, Debug)]
pub struct ShardConfig {
    /// The shard's number.
    pub id: u8,
    /// Bounds of each connection's queue.
    pub queue: QueueLimits,
    /// Topics one connection may hear.
    pub max_subscriptions: usize,
}

/// What the driver must do with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell when it can be written (or no longer).
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
    flushes: Vec<std::time::Instant>,
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
    /// A shard without connections.
    pub fn new(config: ShardConfig, topics: Arc<Topics<D>>) -> Self {
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
        }
    }

    // --- connections ------------------------------------------------------------------------------------------------

    /// A slot for a new connection.
    pub fn open(&mut self, variant: u8) -> ConnAddr {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.hot.push(Hot::default());
            self.cold.push(Cold::default());
            (self.hot.len() - 1) as u32
        });
        self.hot[slot as usize] = Hot { variant, flags: OPEN };
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

    /// Fixes the connection's variant; it must hear nothing yet.
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

    /// Ends all subscriptions of a connection that itself goes on (or is about to end).
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

    /// Topics the connection hears.
    pub fn subscriptions(&self, slot: u32) -> impl Iterator<Item = &str> {
        self.cold[slot as usize]
            .subs
            .iter()
            .filter_map(|s| self.locals[s.local as usize].as_ref())
            .map(|l| &*l.topic.name)
    }

    /// Messages and bytes that wait for the connection.
    pub fn queued(&self, slot: u32) -> (usize, usize) {
        self.cold[slot as usize].outbox.as_ref().map_or((0, 0), |o| (o.messages(), o.bytes()))
    }

    // --- commands ---------------------------------------------------------------------------------------------------

    /// Carries out `subscribe`. A replay follows when the caller has sent the reply and calls [`Shard::pull`].
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`, `SERVER_SHUTDOWN`.
    pub fn subscribe(
        &mut self,
        slot: u32,
        command: &Subscribe<'_>,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<Reply<'static>, Refusal> {
        let name = command.topic.as_str();
        if let Some(at) = self.find(slot, name) {
            let sub = self.cold[slot as usize].subs[at];
            let topic = &self.local(sub.local).topic;
            let position = topic.lock().position();
            if let Some((epoch, offset)) = position {
                let topic = name.to_owned().into();
                return Ok(Reply::Subscribed(Subscribed {
                    topic,
                    epoch,
                    offset,
                    recovered: None,
                    already: true,
                }));
            }
            // The last posts of the old life may not have been taken: they come before the end.
            self.take_inbox();
            self.end_deleted(slot, at, now_ms, out);
        }
        if self.cold[slot as usize].subs.len() >= self.config.max_subscriptions {
            let why = format!(
                "a connection may subscribe to {} topics (limits.max_subscriptions)",
                self.config.max_subscriptions
            );
            return Err(Refusal::new(ErrorCode::LimitExceeded, why));
        }
        let entered = self.topics.enter(name, self.seat(slot), command.since.as_ref(), now_ms)?;
        // The local topic first: a batch that another shard posts from now on is already ours.
        let local = self.local_of(&entered.topic);
        self.take_inbox();
        if let Some(after) = entered.replay_after {
            self.locals_mut(local).replaying.push(slot);
            self.cold[slot as usize].subs.push(Sub { local, place: REPLAYING });
            self.outbox(slot).replays.push(Replay { topic: entered.topic, after });
            self.pulling.push_back(slot);
        } else {
            self.join(slot, local, entered.head);
        }
        Ok(Reply::Subscribed(Subscribed {
            topic: name.to_owned().into(),
            epoch: entered.epoch,
            offset: entered.head,
            recovered: entered.recovered,
            already: false,
        }))
    }

    /// Carries out `unsubscribe`: what was published before is put before the reply, nothing comes after it.
    pub fn unsubscribe(
        &mut self,
        slot: u32,
        command: &Unsubscribe<'_>,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Reply<'static> {
        let name = command.topic.as_str();
        let topic = name.to_owned().into();
        let Some(at) = self.find(slot, name) else { return Reply::Unsubscribed { topic, already: true } };
        let sub = self.cold[slot as usize].subs[at];
        let gone = self.local(sub.local).topic.clone();
        if gone.is_gone() {
            self.take_inbox(); // its last posts
            self.end_deleted(slot, at, now_ms, out);
            return Reply::Unsubscribed { topic, already: true };
        }
        self.topics.leave(&gone, self.seat(slot), now_ms);
        self.take_inbox();
        self.settle(slot, sub, out);
        let sub = self.cold[slot as usize].subs.swap_remove(at);
        self.detach(slot, sub);
        Reply::Unsubscribed { topic, already: false }
    }

    /// Carries out `publish` for a connection.
    ///
    /// # Errors
    /// `TOPIC_NOT_FOUND`, `LIMIT_EXCEEDED`, `SERVER_SHUTDOWN`.
    pub fn publish(
        &mut self,
        slot: u32,
        command: &Publish<'_>,
        client_id: &str,
        now_ms: u64,
    ) -> Result<Published, Refusal> {
        let exclude = command
            .exclude_self
            .then(|| (self.addr(slot), self.find(slot, command.topic.as_str()).is_some()));
        self.publish_as(command, client_id, exclude, now_ms)
    }

    /// Publishes in this shard's turn, for whomever; `exclude` is a connection that does not hear it, and whether it is
    /// subscribed.
    ///
    /// # Errors
    /// As [`Shard::publish`].
    pub fn publish_as(
        &mut self,
        command: &Publish<'_>,
        client_id: &str,
        exclude: Option<(ConnAddr, bool)>,
        now_ms: u64,
    ) -> Result<Published, Refusal> {
        // A subscription may be to a life of the name that is gone, so what counts is the topic it is to.
        let own = exclude
            .filter(|(_, subscribed)| *subscribed)
            .and_then(|(addr, _)| self.slot_of(addr))
            .and_then(|slot| {
                Some(self.cold[slot as usize].subs[self.find(slot, command.topic.as_str())?].local)
            })
            .map(|local| self.local(local).topic.id);
        let publishing = Publishing {
            topic: command.topic.as_str(),
            payload: command.payload,
            client_id,
            idempotency_key: command.idempotency_key.as_deref(),
            exclude,
            shard: Some(self.config.id),
            now_ms,
        };
        let mut published = self.topics.publish_from(&publishing, own)?;
        self.dirty.extend(published.dirty.take());
        Ok(published)
    }

    /// Whether the connection hears the topic.
    pub fn hears(&self, slot: u32, topic: &str) -> bool {
        self.find(slot, topic).is_some()
    }

    // --- turns ------------------------------------------------------------------------------------------------------

    /// Closes the batches this turn opened. A topic whose flush is still under way here stays open, so that under load
    /// batches grow instead of their number.
    pub fn end_turn(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.retain(|topic| {
            let busy = self.by_id.get(&topic.id).is_some_and(|&l| self.local(l).jobs > 0);
            if busy && topic.lock().open.bytes() < MAX_OPEN_BYTES {
                return true;
            }
            self.topics.close_batch(topic, Some(self.config.id));
            false
        });
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
        self.take_inbox();
    }

    /// Takes the posts of the inbox over, in order.
    pub fn take_inbox(&mut self) {
        self.topics.inboxes()[usize::from(self.config.id)].take(&mut self.taken);
        while let Some(post) = self.taken.pop_front() {
            let (topic, work) = match post {
                Post::Driver(post) => {
                    self.driver.push_back(post);
                    continue;
                }
                Post::Batch(batch) => (batch.topic, Work::Events(batch)),
                Post::Deleted { topic } => (topic, Work::Deletion),
            };
            if let Some(&local) = self.by_id.get(&topic) {
                self.locals_mut(local).jobs += 1;
                self.jobs.push_back(Job { local, work });
            }
        }
    }

    /// The next post that is the driver's own.
    pub fn next_driver_post(&mut self) -> Option<D> {
        self.driver.pop_front()
    }

    /// Whether [`Shard::run`] has something to do.
    pub fn has_work(&self) -> bool {
        !self.jobs.is_empty() || !self.pulling.is_empty() || !self.dirty.is_empty() || !self.driver.is_empty()
    }

    /// Whether posted batches or replays wait for [`Shard::run`].
    pub fn is_flushing(&self) -> bool {
        !self.jobs.is_empty() || !self.pulling.is_empty()
    }

    /// Everything that decides what the shard does next, for tests that compare states.
    pub fn state(&self) -> impl std::fmt::Debug + '_ {
        let connections = (&self.hot, &self.cold, &self.free, self.queued_bytes);
        let topics = (&self.locals, &self.free_locals);
        (connections, topics, &self.jobs, self.cursor, &self.dirty, &self.pulling)
    }

    /// Topics that connections of this shard hear, or of which posts are not done.
    pub fn local_topics(&self) -> usize {
        self.by_id.len()
    }

    /// Whether batches of this shard's own turns are still open or being flushed.
    pub fn is_flushed(&self) -> bool {
        self.jobs.is_empty() && self.dirty.is_empty()
    }

    /// Flushes with at most `budget` sends (a send more for each that needs more than one).
    pub fn run(&mut self, wire: &mut impl Wire, mut budget: usize, now_ms: u64) {
        for _ in 0..self.pulling.len().min(budget) {
            if let Some(slot) = self.pulling.pop_front() {
                self.pull(slot, wire, now_ms);
            }
        }
        while budget > 0 && !self.jobs.is_empty() {
            budget = self.run_job(wire, budget, now_ms);
        }
    }

    /// What the driver must do, in order.
    pub fn effects(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// Counts since the last call.
    pub fn take_counts(&mut self) -> ShardCounts {
        std::mem::take(&mut self.counts)
    }

    /// When the batches flushed since the last call were opened.
    pub fn take_flushes(&mut self) -> std::vec::Drain<'_, std::time::Instant> {
        self.flushes.drain(..)
    }

    /// Bytes that wait in all outboxes.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    fn run_job(&mut self, wire: &mut impl Wire, budget: usize, now_ms: u64) -> usize {
        let Some(job) = self.jobs.pop_front() else { return budget };
        let (left, done) = match &job.work {
            Work::Events(batch) => self.flush(job.local, batch, wire, budget),
            Work::Deletion => self.tell_deleted(job.local, wire, budget, now_ms),
        };
        if done {
            self.cursor = None;
            if let Work::Events(batch) = &job.work {
                self.flushes.push(batch.opened);
            }
            self.finish_job(job.local);
        } else {
            self.jobs.push_front(job);
        }
        left
    }

    fn finish_job(&mut self, local: u32) {
        let entry = self.locals_mut(local);
        entry.jobs -= 1;
        if entry.jobs == 0 {
            let joins = std::mem::take(&mut entry.joins);
            joins.iter().for_each(|j| self.enlist(j.slot, local));
        }
        self.drop_local_if_unused(local);
    }

    /// Sends a batch to the list, from the cursor on. Answers the budget left and whether the end was reached.
    fn flush(
        &mut self,
        local: u32,
        batch: &Arc<Batch>,
        wire: &mut impl Wire,
        mut budget: usize,
    ) -> (usize, bool) {
        if self.cursor.is_none() {
            self.admit(local, batch.first);
        }
        let mut cursor = self.cursor.unwrap_or(0);
        let count = u64::from(batch.count);
        let plain = batch.excluded.is_empty();
        while budget > 0 {
            let Some(&slot) = self.local(local).list.get(cursor) else { return (budget, true) };
            cursor += 1;
            budget -= 1;
            let hot = self.hot[slot as usize];
            let frames = &batch.frames[usize::from(hot.variant)];
            if plain && hot.flags & (BACKLOG | ENDING) == 0 {
                match wire.send(slot, &frames.bytes) {
                    Sent::Bytes(n) if n == frames.bytes.len() => self.counts.deliveries += count,
                    Sent::Bytes(n) => {
                        let mut span = Span::new(batch, hot.variant, 0, frames.ends.len());
                        span.pos = n;
                        span.next = frames.frame_at(n);
                        self.counts.deliveries += count;
                        self.queue_events(slot, span, wire);
                    }
                    Sent::Broken => self.effects.push(Effect::Broken(slot)),
                }
            } else if hot.flags & ENDING == 0 {
                self.flush_slowly(slot, batch, wire);
            }
            self.cursor = Some(cursor);
        }
        (0, cursor >= self.local(local).list.len())
    }

    /// The way for connections with a backlog and for batches that exclude somebody.
    fn flush_slowly(&mut self, slot: u32, batch: &Arc<Batch>, wire: &mut impl Wire) {
        for (from, to) in self.heard(slot, batch) {
            self.counts.deliveries += (to - from) as u64;
            self.offer(slot, Span::new(batch, self.hot[slot as usize].variant, from, to), wire);
        }
    }

    /// Sends events to a connection that may have a backlog, and queues what it does not take.
    fn offer(&mut self, slot: u32, mut span: Span, wire: &mut impl Wire) {
        let limits = self.config.queue;
        // With frames waiting already, the socket is known to be full and tells when it is not.
        let try_first = match &self.cold[slot as usize].outbox {
            Some(o) if o.is_empty() => o.dropped > 0,
            Some(o) => !o.fits(span.messages(), span.bytes().len(), limits),
            None => false,
        };
        if try_first {
            self.drain(slot, wire);
            // Nothing waits now that would make the socket tell, so a replay must be taken up from here.
            if self.cold[slot as usize].outbox.as_ref().is_some_and(|o| o.is_empty() && !o.replays.is_empty())
            {
                self.pulling.push_back(slot);
            }
        }
        let idle = self.cold[slot as usize].outbox.as_ref().is_none_or(|o| o.is_empty() && o.dropped == 0);
        if idle && !self.has(slot, ENDING) {
            match wire.send(slot, span.bytes()) {
                Sent::Bytes(n) => span.advance(n),
                Sent::Broken => {
                    self.effects.push(Effect::Broken(slot));
                    return;
                }
            }
        }
        if span.next < span.end {
            self.queue_events(slot, span, wire);
        }
    }

    /// The ranges of a batch that a connection hears.
    fn heard(&self, slot: u32, batch: &Batch) -> SmallVec<[(usize, usize); 2]> {
        let mut ranges = SmallVec::new();
        let mut from = 0;
        if !batch.excluded.is_empty() {
            let addr = self.addr(slot);
            for at in batch.excluded.iter().filter(|(_, a)| *a == addr).map(|(at, _)| *at as usize) {
                ranges.push((from, at));
                from = at + 1;
            }
        }
        ranges.push((from, batch.count as usize));
        ranges.retain(|(a, b)| a < b);
        ranges
    }

    /// Queues events that a connection did not take: a send was tried before, so overflow can be judged.
    fn queue_events(&mut self, slot: u32, span: Span, wire: &mut impl Wire) {
        let limits = self.config.queue;
        if self.has(slot, ENDING) {
            return;
        }
        let outbox = self.outbox(slot);
        let (before, dropped) = (outbox.bytes(), outbox.dropped);
        let under_way = span.frame_under_way();
        let verdict = outbox.push_events(span, limits);
        if verdict == Verdict::Overflow
            && let Some(frame) = under_way
        {
            outbox.push_anyway(frame);
        }
        let (after, now_dropped) = (outbox.bytes(), outbox.dropped);
        self.queued_bytes = self.queued_bytes + after - before;
        self.counts.dropped += now_dropped - dropped;
        self.want_writable(slot);
        if verdict == Verdict::Overflow {
            self.end_slow(slot, "the client did not read fast enough and its queue overflowed; reconnect and subscribe with since", wire);
        }
    }

    fn end_slow(&mut self, slot: u32, why: &'static str, wire: &mut impl Wire) {
        self.counts.slow_consumers += 1;
        self.end(slot, Some(&Refusal::new(ErrorCode::SlowConsumer, why)), 1013, "slow consumer", wire);
    }

    // --- replies, endings -------------------------------------------------------------------------------------------

    /// Sends replies or infos (`messages` complete frames); what is not taken is queued and never dropped.
    pub fn reply(&mut self, slot: u32, bytes: &[u8], messages: usize, wire: &mut impl Wire) {
        if bytes.is_empty() || self.has(slot, ENDING) || !self.has(slot, OPEN) {
            return;
        }
        let mut sent = 0;
        if !self.has(slot, BACKLOG)
            || self.cold[slot as usize].outbox.as_ref().is_some_and(|o| o.is_empty() && o.dropped == 0)
        {
            match wire.send(slot, bytes) {
                Sent::Bytes(n) => sent = n,
                Sent::Broken => {
                    self.effects.push(Effect::Broken(slot));
                    return;
                }
            }
        }
        if sent < bytes.len() {
            self.queue_bytes(slot, Kind::Reply, bytes.to_vec(), sent, messages);
            self.want_writable(slot);
            self.pause_if_full(slot);
        }
    }

    /// Ends a connection: after the frame under way come the error, if any, and the close frame.
    pub fn end(&mut self, slot: u32, error: Option<&Refusal>, code: u16, reason: &str, wire: &mut impl Wire) {
        if self.has(slot, ENDING) || !self.has(slot, OPEN) {
            return;
        }
        if let Some(outbox) = &mut self.cold[slot as usize].outbox {
            let before = outbox.bytes();
            outbox.cut_to_frame();
            self.queued_bytes = self.queued_bytes + outbox.bytes() - before;
        }
        self.close_after(slot, error, code, reason, wire);
    }

    /// Ends a connection after everything that is queued for it.
    pub fn close_after(
        &mut self,
        slot: u32,
        error: Option<&Refusal>,
        code: u16,
        reason: &str,
        wire: &mut impl Wire,
    ) {
        if self.has(slot, ENDING) || !self.has(slot, OPEN) {
            return;
        }
        let encoder = &self.encoders[usize::from(self.hot[slot as usize].variant)];
        let mut bytes = Vec::new();
        let mut messages = 1;
        if let Some(refusal) = error {
            encoder.error(refusal, unix_ms(), &mut bytes);
            messages += 1;
        }
        encoder.close(code, reason, &mut bytes);
        self.queue_bytes(slot, Kind::Reply, bytes, 0, messages);
        self.hot[slot as usize].flags |= ENDING;
        self.effects.push(Effect::Ending(slot, code));
        self.drain(slot, wire);
    }

    /// The socket can be written.
    pub fn writable(&mut self, slot: u32, wire: &mut impl Wire, now_ms: u64) {
        if self.has(slot, BACKLOG) {
            self.drain(slot, wire);
            self.pull(slot, wire, now_ms);
        }
    }

    fn queue_bytes(&mut self, slot: u32, kind: Kind, bytes: Vec<u8>, pos: usize, messages: usize) {
        let outbox = self.outbox(slot);
        let before = outbox.bytes();
        outbox.push_bytes(kind, bytes, pos, messages);
        self.queued_bytes = self.queued_bytes + self.outbox(slot).bytes() - before;
    }

    fn pause_if_full(&mut self, slot: u32) {
        let limits = self.config.queue;
        let full = self.cold[slot as usize]
            .outbox
            .as_ref()
            .is_some_and(|o| o.messages() >= limits.messages || o.bytes() >= limits.bytes);
        if full && !self.has(slot, PAUSED) {
            self.hot[slot as usize].flags |= PAUSED;
            self.effects.push(Effect::Paused(slot, true));
        }
    }

    /// Whether reading is to stop because replies fill the queue.
    pub fn is_paused(&self, slot: u32) -> bool {
        self.has(slot, PAUSED)
    }

    /// Writes what is queued until the socket takes no more.
    fn drain(&mut self, slot: u32, wire: &mut impl Wire) {
        let variant = usize::from(self.hot[slot as usize].variant);
        loop {
            let Some(outbox) = &mut self.cold[slot as usize].outbox else { return };
            let before = outbox.bytes();
            if outbox.dropped > 0 {
                let count = outbox.take_drops();
                let mut info = Vec::new();
                self.encoders[variant].info(&Info::MessagesDropped { count }, unix_ms(), &mut info);
                outbox.push_notice(count, info);
                self.queued_bytes = self.queued_bytes + outbox.bytes() - before;
            }
            let before = outbox.bytes();
            if outbox.is_empty() {
                break;
            }
            let mut pieces: Vec<IoSlice<'_>> = Vec::with_capacity(super::outbox::MAX_PIECES);
            outbox.pieces(&mut pieces);
            let wanted: usize = pieces.iter().map(|p| p.len()).sum();
            let sent = wire.send_vectored(slot, &pieces);
            let Sent::Bytes(n) = sent else {
                self.effects.push(Effect::Broken(slot));
                return;
            };
            drop(pieces);
            outbox.advance(n);
            self.queued_bytes = self.queued_bytes + outbox.bytes() - before;
            if n < wanted {
                self.want_writable(slot);
                break;
            }
        }
        self.after_drain(slot);
    }

    fn after_drain(&mut self, slot: u32) {
        let limits = self.config.queue;
        let Some(outbox) = &self.cold[slot as usize].outbox else { return };
        let (empty, replays) = (outbox.is_empty(), !outbox.replays.is_empty());
        let low = outbox.messages() <= limits.messages / 2 && outbox.bytes() <= limits.bytes / 2;
        if low && self.has(slot, PAUSED) {
            self.hot[slot as usize].flags &= !PAUSED;
            self.effects.push(Effect::Paused(slot, false));
        }
        if empty && self.has(slot, WRITABLE) {
            self.hot[slot as usize].flags &= !WRITABLE;
            self.effects.push(Effect::Writable(slot, false));
        }
        if empty && self.has(slot, ENDING) {
            self.effects.push(Effect::Drained(slot));
        }
        if empty && !replays {
            self.drop_outbox(slot);
        }
    }

    fn want_writable(&mut self, slot: u32) {
        if !self.has(slot, WRITABLE) {
            self.hot[slot as usize].flags |= WRITABLE;
            self.effects.push(Effect::Writable(slot, true));
        }
    }

    // --- replays ----------------------------------------------------------------------------------------------------

    /// Pulls replays into an empty queue, and ends them when they have caught up.
    pub fn pull(&mut self, slot: u32, wire: &mut impl Wire, now_ms: u64) {
        for _ in 0..REPLAY_CHUNKS {
            if self.has(slot, ENDING) || !self.has(slot, OPEN) {
                return;
            }
            let Some(outbox) = &self.cold[slot as usize].outbox else { return };
            if outbox.replays.is_empty() || !outbox.is_empty() {
                return;
            }
            self.pull_chunk(slot, wire, now_ms);
            self.drain(slot, wire);
        }
        if self.cold[slot as usize].outbox.as_ref().is_some_and(|o| !o.replays.is_empty()) {
            self.pulling.push_back(slot);
        }
    }

    fn pull_chunk(&mut self, slot: u32, wire: &mut impl Wire, now_ms: u64) {
        let variant = usize::from(self.hot[slot as usize].variant);
        let Some(replay) = self.cold[slot as usize].outbox.as_ref().and_then(|o| o.replays.first()) else {
            return;
        };
        let (topic, after) = (replay.topic.clone(), replay.after);
        let mut state = topic.lock();
        let Some(log) = &state.log else {
            drop(state); // deleted: the deletion's own post ends it
            self.end_replay(slot, &topic);
            return;
        };
        let mut bytes = Vec::new();
        let mut last = after;
        let mut take = |event: EventRef<'_>| {
            let view = EventView {
                topic: &topic.name,
                meta: event.meta,
                payload: event.payload,
                client_id: event.client_id,
            };
            self.encoders[variant].event(&view, &mut bytes);
            self.counts.deliveries += 1;
            last = event.meta.offset;
            bytes.len() < REPLAY_CHUNK_BYTES
        };
        if let Err(lost) = log.range(after, now_ms, &mut take) {
            drop(state);
            self.replay_lost(slot, &topic, after, lost.oldest, wire);
            return;
        }
        if last < log.head() {
            drop(state);
            self.queue_bytes(slot, Kind::Replay, bytes, 0, 0);
            if let Some(replay) = self.outbox(slot).replays.first_mut() {
                replay.after = last;
            }
            return;
        }
        // Caught up: what is open belongs to the replay and must be posted before this subscriber joins.
        topic.post(&mut state, self.topics.inboxes(), Some(self.config.id));
        drop(state);
        self.queue_bytes(slot, Kind::Replay, bytes, 0, 0);
        self.end_replay(slot, &topic);
        self.take_inbox();
        if let Some(at) = self.find_id(slot, topic.id) {
            let local = self.cold[slot as usize].subs[at].local;
            self.locals_mut(local).replaying.retain(|s| *s != slot);
            self.cold[slot as usize].subs.swap_remove(at);
            self.join(slot, local, last);
        }
    }

    fn end_replay(&mut self, slot: u32, topic: &Arc<Topic>) {
        if let Some(outbox) = &mut self.cold[slot as usize].outbox {
            outbox.replays.retain(|r| r.topic.id != topic.id);
        }
    }

    /// The history moved past a reader that is too slow for it: the topic's policy decides.
    fn replay_lost(&mut self, slot: u32, topic: &Arc<Topic>, after: u64, oldest: u64, wire: &mut impl Wire) {
        match topic.options.backpressure {
            Backpressure::Disconnect => {
                self.end_slow(
                    slot,
                    "the replay fell behind what the topic's history keeps; reconnect and reload",
                    wire,
                );
            }
            Backpressure::DropOldest => {
                let missed = oldest - after - 1;
                self.counts.dropped += missed;
                let outbox = self.outbox(slot);
                outbox.dropped += missed;
                if let Some(replay) = outbox.replays.first_mut() {
                    replay.after = oldest - 1;
                }
            }
        }
    }

    // --- deletions --------------------------------------------------------------------------------------------------

    fn tell_deleted(
        &mut self,
        local: u32,
        wire: &mut impl Wire,
        mut budget: usize,
        now_ms: u64,
    ) -> (usize, bool) {
        while budget > 0 {
            let entry = self.local(local);
            let next = entry
                .list
                .last()
                .copied()
                .or(entry.joins.last().map(|j| j.slot))
                .or(entry.replaying.last().copied());
            let Some(slot) = next else { return (budget, true) };
            budget -= 1;
            let mut out = Vec::new();
            if let Some(at) = self.cold[slot as usize].subs.iter().position(|s| s.local == local) {
                self.end_deleted(slot, at, now_ms, &mut out);
            }
            self.reply(slot, &out, 1, wire);
        }
        (0, false)
    }

    /// Ends the subscription to a deleted topic and tells so.
    fn end_deleted(&mut self, slot: u32, at: usize, now_ms: u64, out: &mut Vec<u8>) {
        let sub = self.cold[slot as usize].subs.swap_remove(at);
        let topic = self.local(sub.local).topic.clone();
        self.end_replay(slot, &topic);
        self.settle(slot, sub, out);
        let encoder = &self.encoders[usize::from(self.hot[slot as usize].variant)];
        encoder.info(&Info::TopicDeleted { topic: &topic.name }, now_ms, out);
        self.detach(slot, sub);
    }

    // --- subscriptions ----------------------------------------------------------------------------------------------

    /// Appends what is posted for a subscription and not yet delivered to `out`: it ends after this.
    fn settle(&mut self, slot: u32, sub: Sub, out: &mut Vec<u8>) {
        let from = match sub.place {
            REPLAYING => return,
            JOINING => {
                self.local(sub.local).joins.iter().find(|j| j.slot == slot).map_or(u64::MAX, |j| j.from)
            }
            _ => 0,
        };
        let variant = usize::from(self.hot[slot as usize].variant);
        let mut delivered = 0;
        for (at, job) in self.jobs.iter().enumerate() {
            let Work::Events(batch) = &job.work else { continue };
            let begun = at == 0 && self.cursor.is_some();
            let done = begun && sub.place != JOINING && (sub.place as usize) < self.cursor.unwrap_or(0);
            if job.local != sub.local || done || (sub.place == JOINING && batch.first <= from) {
                continue;
            }
            for (a, b) in self.heard(slot, batch) {
                let frames = &batch.frames[variant];
                out.extend_from_slice(&frames.bytes[frames.start(a)..frames.start(b)]);
                delivered += (b - a) as u64;
            }
        }
        self.counts.deliveries += delivered;
    }

    /// Makes a subscriber hear what comes after `from`: at once, or when the batches from before are done.
    fn join(&mut self, slot: u32, local: u32, from: u64) {
        self.cold[slot as usize].subs.push(Sub { local, place: JOINING });
        let entry = self.locals_mut(local);
        if entry.jobs == 0 {
            self.enlist(slot, local);
        } else {
            entry.joins.push(Join { slot, from });
        }
    }

    /// Lets those join whose first batch begins at `first`.
    fn admit(&mut self, local: u32, first: u64) {
        let entry = self.locals_mut(local);
        if entry.joins.is_empty() {
            return;
        }
        let (now, later) = std::mem::take(&mut entry.joins).into_iter().partition(|j: &Join| j.from < first);
        entry.joins = later;
        let now: Vec<Join> = now;
        now.iter().for_each(|j| self.enlist(j.slot, local));
    }

    fn enlist(&mut self, slot: u32, local: u32) {
        let place = self.locals_mut(local).push(slot);
        if let Some(sub) = self.cold[slot as usize].subs.iter_mut().find(|s| s.local == local) {
            sub.place = place;
        }
    }

    /// Takes a subscription that was removed from its connection out of its local topic.
    fn detach(&mut self, slot: u32, sub: Sub) {
        let begun = self.jobs.front().is_some_and(|j| j.local == sub.local);
        let cursor = if begun { self.cursor } else { None };
        let Some(entry) = self.locals[sub.local as usize].as_mut() else { return };
        match sub.place {
            JOINING => entry.joins.retain(|j| j.slot != slot),
            REPLAYING => {
                entry.replaying.retain(|s| *s != slot);
                let topic = entry.topic.clone();
                self.end_replay(slot, &topic);
            }
            place => {
                let cold = &mut self.cold;
                let after = entry.remove(place, cursor.unwrap_or(0), |moved, place| {
                    if let Some(s) = cold[moved as usize].subs.iter_mut().find(|s| s.local == sub.local) {
                        s.place = place;
                    }
                });
                if cursor.is_some() {
                    self.cursor = Some(after);
                }
            }
        }
        self.drop_local_if_unused(sub.local);
    }

    fn find(&self, slot: u32, name: &str) -> Option<usize> {
        self.cold[slot as usize].subs.iter().position(|s| *self.local(s.local).topic.name == *name)
    }

    fn find_id(&self, slot: u32, topic: u64) -> Option<usize> {
        self.cold[slot as usize].subs.iter().position(|s| self.local(s.local).topic.id == topic)
    }

    fn local_of(&mut self, topic: &Arc<Topic>) -> u32 {
        if let Some(&local) = self.by_id.get(&topic.id) {
            return local;
        }
        let local = self.free_locals.pop().unwrap_or_else(|| {
            self.locals.push(None);
            (self.locals.len() - 1) as u32
        });
        self.locals[local as usize] = Some(LocalTopic::new(topic.clone()));
        self.by_id.insert(topic.id, local);
        local
    }

    fn drop_local_if_unused(&mut self, local: u32) {
        if let Some(entry) = &self.locals[local as usize]
            && entry.is_unused()
        {
            self.by_id.remove(&entry.topic.id);
            self.locals[local as usize] = None;
            self.free_locals.push(local);
        }
    }

    fn local(&self, local: u32) -> &LocalTopic {
        let Some(entry) = &self.locals[local as usize] else {
            unreachable!("a local topic stays while a subscription or a job names it")
        };
        entry
    }

    fn locals_mut(&mut self, local: u32) -> &mut LocalTopic {
        let Some(entry) = &mut self.locals[local as usize] else {
            unreachable!("a local topic stays while a subscription or a job names it")
        };
        entry
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

fn unix_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
