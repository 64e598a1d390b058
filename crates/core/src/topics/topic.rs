//! One topic on this node: its log, its subscribers, and the batch that is open.
//!
//! Everything that decides order happens under the one lock in here, and nothing else does: a publish takes its offset
//! and enters the open batch; subscribe, unsubscribe and delete close that batch first.

use super::chain::Chain;
use super::follow::Follow;
use super::shares::Place;
use super::tail::Tail;
use crate::feeds::{Channel, Restarts};
use crate::hub::{Backpressure, Batch, Inbox, OpenBatch, Post};
use crate::model::{Client, Epoch};
use crate::ports::{Attached, Log, LogRef, Opened, Retention, Sequencer, VARIANTS};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::time::Instant;

/// How much of a log is kept in the store; 0 is without bound. The oldest entries go first, the head stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRetention {
    /// Entries.
    pub size: u64,
    /// Milliseconds since an entry was appended.
    pub ttl_ms: u64,
    /// Bytes of payload, client id, user, and 96 for each entry. The newest entry is kept whatever its size.
    pub bytes: u64,
}

/// What a topic is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicOptions {
    /// What happens to slow consumers.
    pub backpressure: Backpressure,
    /// What this node holds in memory for clients that reconnect.
    pub retention: Retention,
    /// The topic is durable: its log is in the store, within these bounds.
    pub durable: Option<LogRetention>,
}

/// What a name is the name of. Names of different spaces have nothing to do with each other, and only topics can be subscribed to,
/// published to and listed by their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// A topic that clients publish to.
    Topic,
    /// A feed's channel; a topic of this space is one of its groups.
    Feed,
    /// A chat channel.
    Chat,
    /// A user's direct messages.
    Inbox,
    /// A sketch's updates.
    Sketch,
}

impl Space {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Feed => "feed",
            Self::Chat => "chat",
            Self::Inbox => "inbox",
            Self::Sketch => "sketch",
        }
    }

    /// Whether its subscriptions count against `limits.max_subscriptions`: where clients choose the names.
    pub(crate) const fn is_counted(self) -> bool {
        matches!(self, Self::Topic | Self::Feed)
    }
}

/// What a group of a feed's channel is beside a topic; see [`crate::feeds`].
#[derive(Debug)]
pub(crate) struct Group {
    /// The channel.
    pub(crate) channel: Arc<Channel>,
    /// Its slow readers skip what a newer record of the same key supersedes.
    pub(crate) conflate: bool,
}

/// A topic, live or gone. Locked for microseconds, never across a write.
pub struct Topic {
    /// What its name is the name of.
    pub space: Space,
    /// Its name.
    pub name: Arc<str>,
    /// Unique among all topics this process ever had.
    pub id: u64,
    /// Its options.
    pub options: TopicOptions,
    /// Only in the space of feeds.
    pub(crate) group: Option<Group>,
    /// Its batches grow while those before are flushed: its order does not come from a turn of a shard.
    pub(crate) paced: bool,
    state: Mutex<State>,
    room: Condvar,
}

impl std::fmt::Debug for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Topic");
        shown.field("name", &self.name).field("id", &self.id);
        if let Some(state) = self.state.try_lock() {
            shown.field("gone", &state.life.is_gone()).field("open", &state.open);
            shown.field("by_shard", &state.seats.by_shard).field("by_variant", &state.seats.by_variant);
            if let Life::Live(Live { chain, tail, owner: Owner::Elsewhere(follow), .. }) = &state.life {
                shown.field("chain", chain).field("head", &tail.head()).field("follow", follow);
            }
        }
        shown.finish_non_exhaustive()
    }
}

/// A topic's changing part.
pub(crate) struct State {
    pub(crate) life: Life,
    /// What is not posted yet.
    pub(crate) open: OpenBatch,
    pub(crate) seats: Seats,
    /// Posts of a paced topic that a shard has not flushed.
    pub(crate) in_flight: usize,
}

/// Whether a topic is there.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all are live, and a box would be one more access for each publish"
)]
pub(crate) enum Life {
    /// It has a log.
    Live(Live),
    /// Its last subscriber left, or it was deleted.
    Gone,
}

/// What a live topic has.
pub(crate) struct Live {
    /// The epochs of its log.
    pub(crate) chain: Chain,
    /// What this node holds of its log.
    pub(crate) tail: Tail,
    /// Who orders it.
    pub(crate) owner: Owner,
    /// The place in its maker's share, until the topic ends or is kept.
    pub(crate) place: Option<Place>,
    /// Created explicitly and kept without subscribers.
    pub(crate) kept: bool,
    /// Created by a publish: it stays until then even without subscribers.
    pub(crate) expires_ms: u64,
    /// Events that entered on this node.
    pub(crate) published: u64,
}

/// Who gives a topic's events their order.
pub(crate) enum Owner {
    /// This node, under the topic's lock.
    Here {
        /// Gives ids and offsets.
        sequencer: Box<dyn Sequencer>,
        /// The client that the log counts for while nobody is subscribed.
        client: Option<Client>,
    },
    /// The source of a feed, under the channel's lock.
    Feed(Restarts),
    /// An upstream; see [`super::follow`].
    Elsewhere(Follow),
}

/// A subscription's dialect variant and shard, as a topic counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) shard: u8,
    pub(crate) variant: u8,
}

/// A topic's subscriptions on this node.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    count: u64,
    by_variant: [u32; VARIANTS],
    by_shard: Vec<u32>,
}

impl Topic {
    /// A topic that comes to life, and its place in its maker's share if it has one.
    pub(crate) fn new(
        name: Arc<str>,
        id: u64,
        options: TopicOptions,
        opened: Opened,
        place: Option<Place>,
    ) -> Self {
        let live = match opened {
            Opened::Here(Log { chain, tail, sequencer, client }) => {
                Live::new(chain, tail, Owner::Here { sequencer, client })
            }
            Opened::Elsewhere { upstream, mut tail, at } => {
                let mut follow = Follow::new(upstream);
                let chain = match at {
                    Some(Attached { chain, head }) => {
                        follow.begin(chain.epoch(), head);
                        tail.begin_at(head);
                        chain
                    }
                    None => {
                        follow.attach(&LogRef { name: name.clone(), topic: id });
                        Chain::new(Epoch(0))
                    }
                };
                Live::new(chain, tail, Owner::Elsewhere(follow))
            }
        };
        Self::with(Space::Topic, name, id, options, None, Live { place, ..live })
    }

    /// A group of a feed channel.
    pub(crate) fn group(name: Arc<str>, id: u64, options: TopicOptions, group: Group) -> Self {
        let tail = Tail::apart(options.retention, group.conflate);
        let live = Live::new(Chain::new(Epoch(id)), tail, Owner::Feed(Restarts::default()));
        Self::with(Space::Feed, name, id, options, Some(group), live)
    }

    fn with(
        space: Space,
        name: Arc<str>,
        id: u64,
        options: TopicOptions,
        group: Option<Group>,
        live: Live,
    ) -> Self {
        let paced = !matches!(live.owner, Owner::Here { .. });
        let state = State {
            life: Life::Live(live),
            open: OpenBatch::default(),
            seats: Seats::default(),
            in_flight: 0,
        };
        Self { space, name, id, options, group, paced, state: Mutex::new(state), room: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Whether its slow readers skip what a newer record of the same key supersedes.
    pub(crate) fn conflates(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.conflate)
    }

    /// The log it follows, as its upstream knows it.
    pub(super) fn log_ref(&self) -> LogRef {
        LogRef { name: self.name.clone(), topic: self.id }
    }

    /// Whether it is durable and its log has events: it lives as long as the log.
    pub(super) fn has_log_elsewhere(&self, state: &State) -> bool {
        let has_events = |live: &Live| live.tail.head().offset > 0;
        self.options.durable.is_some() && state.life.live().is_some_and(has_events)
    }

    /// Whether what keeps it without subscribers for a while has ended.
    pub(super) fn expires_by(&self, now_ms: u64) -> bool {
        self.lock().life.live().is_none_or(|live| live.expires_ms <= now_ms)
    }

    /// Whether it was deleted or lost its last subscriber.
    pub fn is_gone(&self) -> bool {
        self.state.lock().life.is_gone()
    }

    /// Waits until a paced topic's open batch is below `bytes` or nothing of it is being flushed.
    pub(crate) fn wait_for_room(&self, bytes: usize, until: Instant) {
        let mut state = self.state.lock();
        while state.in_flight > 0 && state.open.bytes() > bytes {
            if self.room.wait_until(&mut state, until).timed_out() {
                return;
            }
        }
    }

    /// Wakes the threads that wait for room.
    pub(crate) fn tell_room(&self) {
        self.room.notify_all();
    }

    /// Closes the open batch and posts it to every shard that has subscribers. `own` is the caller's shard.
    pub(crate) fn post<D>(self: &Arc<Self>, state: &mut State, inboxes: &[Inbox<D>], own: Option<u8>) {
        self.post_as(state, self.options.backpressure, inboxes, own);
    }

    /// The same with another policy than the topic's.
    pub(super) fn post_as<D>(
        self: &Arc<Self>,
        state: &mut State,
        policy: Backpressure,
        inboxes: &[Inbox<D>],
        own: Option<u8>,
    ) {
        if let Some(mut batch) = state.open.close(self.id, policy) {
            if self.paced {
                batch.paced = Some(self.clone());
                state.in_flight += state.seats.shards().count();
            }
            let batch: Arc<Batch> = Arc::new(batch);
            for shard in state.seats.shards() {
                inboxes[shard].push(Post::Batch(batch.clone()), own == Some(shard as u8));
            }
        }
    }
}

impl State {
    /// Whether nothing holds it any more.
    pub(crate) fn is_idle(&self, now_ms: u64) -> bool {
        let held = |live: &Live| live.kept || live.expires_ms > now_ms;
        self.seats.count() == 0 && !self.life.live().is_some_and(held)
    }
}

impl Life {
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Gone)
    }

    pub(crate) fn live(&self) -> Option<&Live> {
        match self {
            Self::Live(live) => Some(live),
            Self::Gone => None,
        }
    }

    pub(crate) fn live_mut(&mut self) -> Option<&mut Live> {
        match self {
            Self::Live(live) => Some(live),
            Self::Gone => None,
        }
    }

    /// The restarted logs of a group that is there.
    pub(crate) fn restarts(&self) -> Option<&Restarts> {
        match self {
            Self::Live(Live { owner: Owner::Feed(restarts), .. }) => Some(restarts),
            _ => None,
        }
    }

    /// Ends it; returns what it had.
    pub(crate) fn end(&mut self) -> Option<Live> {
        match std::mem::replace(self, Self::Gone) {
            Self::Live(live) => Some(live),
            Self::Gone => None,
        }
    }
}

impl Live {
    fn new(chain: Chain, tail: Tail, owner: Owner) -> Self {
        Self { chain, tail, owner, place: None, kept: false, expires_ms: 0, published: 0 }
    }

    /// Its epoch and the offset of its last event; `None` while it is not known where the log it follows is.
    pub(crate) fn position(&self) -> Option<(Epoch, u64)> {
        let known = !matches!(&self.owner, Owner::Elsewhere(follow) if !follow.attached);
        known.then(|| (self.chain.epoch(), self.tail.head().offset))
    }

    /// The log, for the broker to keep; none if this node does not order it.
    pub(crate) fn into_log(self) -> Option<Log> {
        let Self { chain, tail, owner, .. } = self;
        match owner {
            Owner::Here { sequencer, client } => Some(Log { chain, tail, sequencer, client }),
            Owner::Feed(_) | Owner::Elsewhere(_) => None,
        }
    }
}

impl Seats {
    /// Subscriptions.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Subscriptions by variant.
    pub(crate) fn by_variant(&self) -> &[u32; VARIANTS] {
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
        self.count += 1;
    }

    pub(crate) fn leave(&mut self, seat: Seat) {
        self.by_shard[usize::from(seat.shard)] -= 1;
        self.by_variant[usize::from(seat.variant)] -= 1;
        self.count -= 1;
    }

    /// Ends all subscriptions at once, as a deletion does.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
