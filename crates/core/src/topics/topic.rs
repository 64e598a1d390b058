//! One topic on this node: its log, who hears it, and the batch that is open.
//!
//! Everything that decides order happens under the one lock in here, and nothing else does: a publish takes its offset
//! and enters the open batch; subscribe, unsubscribe and delete close that batch first.

use super::shares::Place;
use crate::feeds::{Channel, GroupRing};
use crate::hub::{Backpressure, Batch, Inbox, OpenBatch, Post};
use crate::model::Epoch;
use crate::ports::{Retention, TopicLog, VARIANTS};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::time::Instant;

/// What a topic is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicOptions {
    /// What happens to slow consumers.
    pub backpressure: Backpressure,
    /// What is kept for those who come back.
    pub retention: Retention,
}

/// A live topic. Locked for microseconds, never across a write.
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Unique among all topics this process ever had.
    pub id: u64,
    /// Its options.
    pub options: TopicOptions,
    /// The feed channel it is a group of; a topic that clients know has none.
    pub(crate) channel: Option<Arc<Channel>>,
    /// Its slow readers skip what a newer record of the same key supersedes.
    pub(crate) conflate: bool,
    state: Mutex<State>,
    room: Condvar,
}

impl std::fmt::Debug for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Topic");
        shown.field("name", &self.name).field("id", &self.id);
        if let Some(state) = self.state.try_lock() {
            shown.field("gone", &state.log.is_none()).field("open", &state.open);
            shown.field("by_shard", &state.by_shard).field("by_variant", &state.by_variant);
        }
        shown.finish_non_exhaustive()
    }
}

/// A topic's changing part.
#[derive(Default)]
pub(crate) struct State {
    /// `None` once the topic is gone: its last subscriber left or it was deleted.
    pub(crate) log: Option<Box<dyn TopicLog>>,
    /// A group's instead of the log; `None` once its last subscriber left.
    pub(crate) ring: Option<GroupRing>,
    /// A group's posts that a shard has not flushed.
    pub(crate) in_flight: usize,
    /// The place in its maker's share, until the topic ends or is kept.
    pub(crate) place: Option<Place>,
    /// Made by hand and kept without subscribers.
    pub(crate) kept: bool,
    /// Made by a publish: stays until then even without subscribers.
    pub(crate) expires_ms: u64,
    /// Events that entered on this node.
    pub(crate) published: u64,
    /// Batches not yet posted.
    pub(crate) open: OpenBatch,
    subscribers: u64,
    by_variant: [u32; VARIANTS],
    by_shard: Vec<u32>,
}

/// A subscription's dialect variant and shard, as a topic counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) shard: u8,
    pub(crate) variant: u8,
}

impl Topic {
    /// A topic with its log, and its place in its maker's share if it has one.
    pub(crate) fn new(
        name: Arc<str>,
        id: u64,
        options: TopicOptions,
        log: Box<dyn TopicLog>,
        place: Option<Place>,
    ) -> Self {
        let state = State { log: Some(log), place, ..State::default() };
        Self {
            name,
            id,
            options,
            channel: None,
            conflate: false,
            state: Mutex::new(state),
            room: Condvar::new(),
        }
    }

    /// A group of a feed channel; see [`crate::feeds`].
    pub(crate) fn group(
        name: Arc<str>,
        channel: Arc<Channel>,
        id: u64,
        options: TopicOptions,
        conflate: bool,
    ) -> Self {
        let state = State { ring: Some(GroupRing::new(conflate)), ..State::default() };
        Self {
            name,
            id,
            options,
            channel: Some(channel),
            conflate,
            state: Mutex::new(state),
            room: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Whether it was deleted or lost its last subscriber.
    pub fn is_gone(&self) -> bool {
        let state = self.state.lock();
        state.log.is_none() && state.ring.is_none()
    }

    /// Waits until a group's open batch is below `bytes` or nothing of it is being flushed.
    pub(crate) fn wait_for_room(&self, bytes: usize, until: Instant) {
        let mut state = self.state.lock();
        while state.in_flight > 0 && state.open.bytes() > bytes {
            if self.room.wait_until(&mut state, until).timed_out() {
                return;
            }
        }
    }

    /// Wakes those who wait for room.
    pub(crate) fn tell_room(&self) {
        self.room.notify_all();
    }

    /// Closes the open batch and posts it to every shard that has subscribers. `own` is the caller's shard.
    pub(crate) fn post<D>(self: &Arc<Self>, state: &mut State, inboxes: &[Inbox<D>], own: Option<u8>) {
        if let Some(mut batch) = state.open.close(self.id, self.options.backpressure) {
            if self.channel.is_some() {
                batch.group = Some(self.clone());
                state.in_flight += state.shards().count();
            }
            let batch: Arc<Batch> = Arc::new(batch);
            for shard in state.shards() {
                inboxes[shard].push(Post::Batch(batch.clone()), own == Some(shard as u8));
            }
        }
    }
}

impl State {
    /// Subscriptions on this node.
    pub(crate) fn subscribers(&self) -> u64 {
        self.subscribers
    }

    /// Subscriptions by variant.
    pub(crate) fn heard(&self) -> &[u32; VARIANTS] {
        &self.by_variant
    }

    /// Shards that have subscribers.
    pub(crate) fn shards(&self) -> impl Iterator<Item = usize> + '_ {
        self.by_shard.iter().enumerate().filter(|(_, n)| **n > 0).map(|(shard, _)| shard)
    }

    pub(crate) fn enter(&mut self, seat: Seat) {
        let shard = usize::from(seat.shard);
        if self.by_shard.len() <= shard {
            self.by_shard.resize(shard + 1, 0);
        }
        self.by_shard[shard] += 1;
        self.by_variant[usize::from(seat.variant)] += 1;
        self.subscribers += 1;
    }

    pub(crate) fn leave(&mut self, seat: Seat) {
        self.by_shard[usize::from(seat.shard)] -= 1;
        self.by_variant[usize::from(seat.variant)] -= 1;
        self.subscribers -= 1;
    }

    /// Ends all subscriptions at once, as a deletion does.
    pub(crate) fn clear(&mut self) {
        self.by_shard.clear();
        self.by_variant = [0; VARIANTS];
        self.subscribers = 0;
    }

    /// Epoch and head of a live topic.
    pub(crate) fn position(&self) -> Option<(Epoch, u64)> {
        self.log.as_ref().map(|log| (log.epoch(), log.head()))
    }

    /// Whether nothing holds it any more.
    pub(crate) fn is_idle(&self, now_ms: u64) -> bool {
        self.subscribers == 0 && !self.kept && self.expires_ms <= now_ms
    }
}
