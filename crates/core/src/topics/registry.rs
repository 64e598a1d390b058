//! The topics of a node by name, and what can be done with them.
//!
//! Longer than most: every way to make, find, change and drop a topic holds the same two locks, and their order is kept here.

use super::shares::{Place, Shares};
use super::topic::{Seat, State, Topic, TopicOptions};
use crate::feeds::Channel;
use crate::hub::{ConnAddr, Inbox, Post};
use crate::model::{Epoch, ErrorCode, EventMeta, EventView, Refusal, Requester, Since};
use crate::ports::{Appended, Broker, Claim, Encoders, EventRef, NewEvent, TopicLog};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Number of independently locked parts of the name table.
const BUCKETS: usize = 64;

/// An open batch is posted at once when it reaches this, so that no turn can grow it without bound.
pub(crate) const MAX_OPEN_BYTES: usize = 256 * 1024;

/// Bytes of the events of a page of a history at most: 256 KiB (`protocol.md` 6) less the page's other members.
const MAX_PAGE_BYTES: usize = 254 * 1024;
/// What an event takes in a page beside its payload and client id.
const SHOWN_OVERHEAD: usize = 160;

/// What a node's topics are made with.
pub struct TopicsConfig {
    /// Topics at most, parked ones included. A hundredth is kept for API keys and admins.
    pub max_topics: usize,
    /// Automatic topics of one client at most, parked ones included.
    pub topics_per_client: usize,
    /// Publishing makes the topic.
    pub publish_creates: bool,
    /// Options of a topic by its name.
    pub options: Box<dyn Fn(&str) -> TopicOptions + Send + Sync>,
}

impl std::fmt::Debug for TopicsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicsConfig").field("max_topics", &self.max_topics).finish_non_exhaustive()
    }
}

/// All topics of a node. `D` is the driver's kind of post.
pub struct Topics<D> {
    buckets: [Mutex<HashMap<Arc<str>, Arc<Topic>>>; BUCKETS],
    /// The same topics in the order of their names, for lists. Locked within a bucket's lock, never around one.
    names: Mutex<BTreeMap<Arc<str>, Arc<Topic>>>,
    hasher: std::hash::RandomState,
    inboxes: Arc<[Inbox<D>]>,
    broker: Arc<dyn Broker>,
    encoders: Encoders,
    config: TopicsConfig,
    shares: Arc<Shares>,
    live: AtomicUsize,
    next_id: AtomicU64,
    published: AtomicU64,
    draining: AtomicBool,
    /// Feed channels by name: apart from the topics.
    pub(crate) channels: Mutex<HashMap<Arc<str>, Arc<Channel>>>,
    /// Batches that sources delivered.
    pub(crate) deliveries: AtomicU64,
}

impl<D> std::fmt::Debug for Topics<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topics").field("live", &self.live).finish_non_exhaustive()
    }
}

/// A publish on its way in.
#[derive(Clone, Copy, Debug)]
pub struct Publishing<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The payload's JSON.
    pub payload: &'a str,
    /// Shown as the event's `client_id`.
    pub client_id: &'a str,
    /// Repeats of the same publisher answer the first ack.
    pub idempotency_key: Option<&'a str>,
    /// Who publishes.
    pub publisher: Requester<'a>,
    /// A connection that must not hear it, and whether it is subscribed.
    pub exclude: Option<(ConnAddr, bool)>,
    /// The shard whose turn this is; it closes the batch at the turn's end. `None`: the batch is closed at once.
    pub shard: Option<u8>,
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// The same moment on the monotonic clock.
    pub at: Instant,
}

/// What a publish got.
#[derive(Clone, Debug)]
pub struct Published {
    /// Id, offset, time.
    pub meta: EventMeta,
    /// Subscriptions on this node when the offset was given, less an excluded one.
    pub delivered: u64,
    /// The topic, when the caller must close its batch at the end of its turn.
    pub dirty: Option<Arc<Topic>>,
}

/// On whose behalf, how and with what a topic is made that is not there.
struct Making<'a> {
    by: Requester<'a>,
    options: Option<TopicOptions>,
    /// By a subscription or a publish.
    automatic: bool,
}

impl<'a> Making<'a> {
    fn automatic(by: Requester<'a>) -> Self {
        Self { by, options: None, automatic: true }
    }
}

/// A subscription that was entered.
pub(crate) struct Entered {
    pub(crate) topic: Arc<Topic>,
    pub(crate) epoch: Epoch,
    pub(crate) head: u64,
    pub(crate) recovered: Option<bool>,
    /// The offset after which a replay begins.
    pub(crate) replay_after: Option<u64>,
}

/// A topic as lists and statistics show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Subscriptions on this node.
    pub subscribers: u64,
    /// Events published on this node since it came to life.
    pub published: u64,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its head.
    pub offset: u64,
    /// Made by hand and kept without subscribers.
    pub kept: bool,
    /// Its options.
    pub options: TopicOptions,
}

/// What `POST /topics` came to.
#[derive(Clone, Debug)]
pub struct Made {
    /// The topic.
    pub info: TopicInfo,
    /// Whether it was there before.
    pub existed: bool,
}

/// Which part of a history is read.
#[derive(Clone, Copy, Debug)]
pub struct HistoryQuery {
    /// Only events above this offset.
    pub after: Option<u64>,
    /// Only events below this offset.
    pub before: Option<u64>,
    /// Events at most.
    pub limit: usize,
}

/// A page of a topic's history, oldest first.
#[derive(Clone, Debug)]
pub struct History {
    /// The topic's epoch.
    pub epoch: Epoch,
    /// Its head.
    pub offset: u64,
    /// Meta, payload and client id of each event.
    pub events: Vec<(EventMeta, String, String)>,
    /// More events follow in the direction asked for.
    pub more: bool,
}

impl<D> Topics<D> {
    /// No topics yet.
    pub fn new(
        inboxes: Arc<[Inbox<D>]>,
        broker: Arc<dyn Broker>,
        encoders: Encoders,
        config: TopicsConfig,
    ) -> Self {
        Self {
            buckets: std::array::from_fn(|_| Mutex::default()),
            names: Mutex::default(),
            hasher: std::hash::RandomState::new(),
            inboxes,
            broker,
            encoders,
            shares: Shares::new(config.topics_per_client),
            config,
            live: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            published: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            channels: Mutex::default(),
            deliveries: AtomicU64::new(0),
        }
    }

    /// The encoders of this node.
    pub fn encoders(&self) -> &Encoders {
        &self.encoders
    }

    /// The inboxes of all shards.
    pub fn inboxes(&self) -> &Arc<[Inbox<D>]> {
        &self.inboxes
    }

    pub(crate) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn max_channels(&self) -> usize {
        self.config.max_topics
    }

    /// Live topics.
    pub fn count(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Events published on this node since it started.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// From now on nothing new is accepted: every publish and subscribe answers `SERVER_SHUTDOWN`.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Refuses when the node is shutting down.
    ///
    /// # Errors
    /// `SERVER_SHUTDOWN`.
    pub fn check_open(&self) -> Result<(), Refusal> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(Refusal::new(
                ErrorCode::ServerShutdown,
                "the server is shutting down; reconnect in a moment",
            ));
        }
        Ok(())
    }

    fn bucket(&self, name: &str) -> &Mutex<HashMap<Arc<str>, Arc<Topic>>> {
        use std::hash::BuildHasher;
        &self.buckets[self.hasher.hash_one(name) as usize % BUCKETS]
    }

    fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.bucket(name).lock().get(name).cloned()
    }

    /// The live topic of that name, made if need be.
    fn acquire(&self, name: &str, making: &Making<'_>, now_ms: u64) -> Result<(Arc<Topic>, bool), Refusal> {
        let mut bucket = self.bucket(name).lock();
        if let Some(topic) = bucket.get(name) {
            return Ok((topic.clone(), false));
        }
        let (place, claim) = self.claim(making)?;
        let options = making.options.unwrap_or_else(|| (self.config.options)(name));
        let Some(log) = self.broker.open(name, options.retention, &claim, now_ms) else {
            self.live.fetch_sub(1, Ordering::SeqCst);
            return Err(full());
        };
        let name: Arc<str> = name.into();
        let topic = Arc::new(Topic::new(name.clone(), self.new_id(), options, log, place));
        self.names.lock().insert(name.clone(), topic.clone());
        bucket.insert(name, topic.clone());
        Ok((topic, true))
    }

    /// Counts a topic that is about to be made among the live ones and, if it is automatic, in its maker's share.
    fn claim(&self, making: &Making<'_>) -> Result<(Option<Place>, Claim), Refusal> {
        let (client, max) = (making.by.client(), self.config.max_topics);
        let share = client.as_ref().filter(|_| making.automatic);
        let taken = share.map(|client| self.shares.take(client).ok_or_else(share_taken)).transpose()?;
        let (place, own_live) = taken.map_or((None, 0), |(place, own_live)| (Some(place), own_live));
        let most = if client.is_some() { max - max / 100 } else { max };
        let live = self.live.fetch_add(1, Ordering::SeqCst) + 1;
        if live > most {
            self.live.fetch_sub(1, Ordering::SeqCst);
            return Err(full());
        }
        let own_max = if place.is_some() { self.shares.most() } else { usize::MAX };
        Ok((place, Claim { client, own_live, own_max, live, max }))
    }

    /// Takes a topic out of the table; its lock is held, so nobody sees it half gone.
    fn unlist(&self, topic: &Arc<Topic>) {
        let mut bucket = self.bucket(&topic.name).lock();
        if bucket.get(&topic.name).is_some_and(|found| Arc::ptr_eq(found, topic)) {
            bucket.remove(&topic.name);
            self.names.lock().remove(&topic.name);
            self.live.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn park_if_idle(&self, topic: &Arc<Topic>, state: &mut State, now_ms: u64) {
        if state.is_idle(now_ms)
            && let Some(log) = state.log.take()
        {
            state.place = None;
            self.broker.park(&topic.name, log, now_ms);
            self.unlist(topic);
        }
    }

    /// Puts a payload into its topic.
    ///
    /// # Errors
    /// `TOPIC_NOT_FOUND`, `LIMIT_EXCEEDED` where publishing makes topics, `SERVER_SHUTDOWN`.
    pub fn publish(&self, p: &Publishing<'_>) -> Result<Published, Refusal> {
        self.publish_from(p, None)
    }

    /// The same for a sender that is known to be subscribed to the topic with the id `own`: a topic of the same name
    /// may be another one by now.
    pub(crate) fn publish_from(&self, p: &Publishing<'_>, own: Option<u64>) -> Result<Published, Refusal> {
        loop {
            self.check_open()?;
            let topic = match self.get(p.topic) {
                Some(topic) => topic,
                None if self.config.publish_creates => {
                    self.acquire(p.topic, &Making::automatic(p.publisher), p.now_ms)?.0
                }
                None => return Err(not_found()),
            };
            let mut state = topic.lock();
            if state.log.is_some() {
                return Ok(self.append(&topic, &mut state, p, own));
            }
        }
    }

    fn append(
        &self,
        topic: &Arc<Topic>,
        state: &mut State,
        p: &Publishing<'_>,
        own: Option<u64>,
    ) -> Published {
        if self.config.publish_creates {
            state.expires_ms = p.now_ms + topic.options.retention.ttl_ms;
        }
        let hears = own.map_or(matches!(p.exclude, Some((_, true))), |id| id == topic.id);
        let delivered = state.subscribers().saturating_sub(u64::from(hears));
        let new = NewEvent {
            payload: p.payload,
            client_id: p.client_id,
            idempotency_key: p.idempotency_key,
            publisher: p.publisher,
            delivered,
            now_ms: p.now_ms,
        };
        let Some(appended) = state.log.as_mut().map(|log| log.append(&new)) else {
            unreachable!("the caller saw the log under this lock");
        };
        match appended {
            Appended::Repeat { meta, delivered } => Published { meta, delivered, dirty: None },
            Appended::New(meta) => {
                state.published += 1;
                self.published.fetch_add(1, Ordering::Relaxed);
                let dirty = self.enter_batch(topic, state, p, meta);
                Published { meta, delivered, dirty }
            }
        }
    }

    fn enter_batch(
        &self,
        topic: &Arc<Topic>,
        state: &mut State,
        p: &Publishing<'_>,
        meta: EventMeta,
    ) -> Option<Arc<Topic>> {
        if state.subscribers() == 0 {
            return None;
        }
        let first = state.open.is_empty();
        let view = EventView { topic: &topic.name, meta, payload: p.payload, client_id: p.client_id };
        let heard = *state.heard();
        state.open.push(&view, &self.encoders, &heard, p.exclude.map(|(addr, _)| addr), p.at);
        if p.shard.is_none() || state.open.bytes() > MAX_OPEN_BYTES {
            topic.post(state, &self.inboxes, p.shard);
            return None;
        }
        first.then(|| topic.clone())
    }

    /// Closes a topic's open batch at the end of the turn that opened it.
    pub fn close_batch(&self, topic: &Arc<Topic>, own: Option<u8>) {
        topic.post(&mut topic.lock(), &self.inboxes, own);
    }

    /// Enters a subscription: everything published so far is posted, everything later is the subscriber's.
    pub(crate) fn enter(
        &self,
        name: &str,
        seat: Seat,
        since: Option<&Since<'_>>,
        by: Requester<'_>,
        now_ms: u64,
    ) -> Result<Entered, Refusal> {
        loop {
            self.check_open()?;
            let (topic, _) = self.acquire(name, &Making::automatic(by), now_ms)?;
            let mut state = topic.lock();
            let Some((epoch, head)) = state.position() else { continue };
            topic.post(&mut state, &self.inboxes, Some(seat.shard));
            state.enter(seat);
            let oldest = state.log.as_ref().map_or(head + 1, |log| log.oldest(now_ms));
            let recovered = since.map(|s| s.epoch.is(epoch) && s.offset <= head && s.offset + 1 >= oldest);
            let replay_after = since.filter(|s| recovered == Some(true) && s.offset < head).map(|s| s.offset);
            drop(state);
            return Ok(Entered { topic, epoch, head, recovered, replay_after });
        }
    }

    /// Ends a subscription: everything published before is posted first. Returns the topic's head at that moment: later events
    /// are not the subscriber's, and may not be encoded for its variant.
    pub(crate) fn leave(&self, topic: &Arc<Topic>, seat: Seat, now_ms: u64) -> u64 {
        if let Some(channel) = &topic.channel {
            return self.leave_group(topic, channel, seat);
        }
        let mut state = topic.lock();
        // Deleted: its counts were cleared then, and no event follows.
        let Some((_, head)) = state.position() else { return u64::MAX };
        topic.post(&mut state, &self.inboxes, Some(seat.shard));
        state.leave(seat);
        self.park_if_idle(topic, &mut state, now_ms);
        head
    }

    /// Makes a topic by hand, or keeps the one that is there.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`, `SERVER_SHUTDOWN`.
    pub fn make(
        &self,
        name: &str,
        options: Option<TopicOptions>,
        by: Requester<'_>,
        now_ms: u64,
    ) -> Result<Made, Refusal> {
        let making = Making { by, options, automatic: false };
        loop {
            self.check_open()?;
            let (topic, new) = self.acquire(name, &making, now_ms)?;
            let mut state = topic.lock();
            if state.log.is_none() {
                continue;
            }
            state.kept = true;
            state.place = None;
            if let Some(info) = info(&topic, &state) {
                return Ok(Made { info, existed: !new });
            }
        }
    }

    /// The options a topic of this name gets by configuration.
    pub fn options_of(&self, name: &str) -> TopicOptions {
        (self.config.options)(name)
    }

    /// Deletes a topic with its history; its subscribers are told and its next life has a new epoch. Of a topic that is not
    /// live, the log that is kept for its return is dropped.
    ///
    /// # Errors
    /// `TOPIC_NOT_FOUND` when there is neither.
    pub fn delete(&self, name: &str, own: Option<u8>, now_ms: u64) -> Result<(), Refusal> {
        loop {
            let bucket = self.bucket(name).lock();
            let Some(topic) = bucket.get(name).cloned() else {
                // Under the bucket's lock, so that the log is not on its way back to life meanwhile.
                return if self.broker.forget(name, now_ms) { Ok(()) } else { Err(not_found()) };
            };
            drop(bucket);
            // A topic that ended between the two locks is out of the table now, and its log perhaps parked.
            if self.end(&topic, own) {
                return Ok(());
            }
        }
    }

    /// Ends a live topic and drops its log; false when it had ended before.
    fn end(&self, topic: &Arc<Topic>, own: Option<u8>) -> bool {
        let mut state = topic.lock();
        if state.log.is_none() {
            return false;
        }
        topic.post(&mut state, &self.inboxes, own);
        for shard in state.shards() {
            self.inboxes[shard].push(Post::Deleted { topic: topic.id }, own == Some(shard as u8));
        }
        state.clear();
        state.log = None;
        state.place = None;
        self.unlist(topic);
        true
    }

    /// One topic.
    ///
    /// # Errors
    /// `TOPIC_NOT_FOUND`.
    pub fn show(&self, name: &str) -> Result<TopicInfo, Refusal> {
        let topic = self.get(name).ok_or_else(not_found)?;
        let state = topic.lock();
        info(&topic, &state).ok_or_else(not_found)
    }

    /// Topics with names above `after`, in the order of their bytes, and whether more follow.
    pub fn list(&self, after: Option<&str>, limit: usize) -> (Vec<TopicInfo>, bool) {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.names.lock();
        let mut found: Vec<Arc<Topic>> = names
            .range::<str, _>((behind, Bound::Unbounded))
            .take(limit + 1)
            .map(|(_, t)| t.clone())
            .collect();
        drop(names);
        let more = found.len() > limit;
        found.truncate(limit);
        (found.iter().filter_map(|t| info(t, &t.lock())).collect(), more)
    }

    /// A page of a topic's history: the newest events unless `after` is given, oldest first within the page. It ends at
    /// [`MAX_PAGE_BYTES`], but holds at least one event.
    ///
    /// # Errors
    /// `TOPIC_NOT_FOUND`.
    pub fn history(&self, name: &str, query: HistoryQuery, now_ms: u64) -> Result<History, Refusal> {
        let topic = self.get(name).ok_or_else(not_found)?;
        let state = topic.lock();
        let Some(log) = state.log.as_ref() else { return Err(not_found()) };
        let oldest = log.oldest(now_ms);
        let end = query.before.map_or(log.head(), |b| b.saturating_sub(1).min(log.head()));
        let floor = query.after.map_or(oldest, |a| (a.saturating_add(1)).max(oldest));
        let start = match query.after {
            Some(_) => floor,
            None => {
                last_fitting(&**log, floor.max((end + 1).saturating_sub(query.limit as u64)), end, now_ms)
            }
        };
        let (mut events, mut bytes) = (Vec::new(), 0);
        if start <= end {
            let mut take = |event: EventRef<'_>| {
                bytes += shown_bytes(&event);
                let full = events.len() == query.limit || (bytes > MAX_PAGE_BYTES && !events.is_empty());
                if event.meta.offset > end || full {
                    return false;
                }
                events.push((event.meta, event.payload.to_owned(), event.client_id.to_owned()));
                true
            };
            // `start` is held: it is not below `oldest` and the lock is ours.
            let _held = log.range(start - 1, now_ms, &mut take);
        }
        let more = match query.after {
            Some(_) => events.last().is_some_and(|(m, ..)| m.offset < end),
            None => events.first().is_some_and(|(m, ..)| m.offset > floor),
        };
        Ok(History { epoch: log.epoch(), offset: log.head(), events, more })
    }

    /// Lets go of topics whose time is up. Called about once a second.
    pub fn sweep(&self, now_ms: u64) {
        if self.config.publish_creates {
            for bucket in &self.buckets {
                let due: Vec<_> = bucket.lock().values().cloned().collect();
                for topic in due {
                    self.park_if_idle(&topic, &mut topic.lock(), now_ms);
                }
            }
        }
        self.broker.sweep(now_ms);
    }
}

/// What an event takes in a page: its payload, its client id as JSON writes it, and the other members.
fn shown_bytes(event: &EventRef<'_>) -> usize {
    let escaped = |b: u8| match b {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    SHOWN_OVERHEAD + event.payload.len() + event.client_id.bytes().map(escaped).sum::<usize>()
}

/// The first offset from `start` on from which all events up to `end` fit in a page; `end` itself when not even that fits.
fn last_fitting(log: &dyn TopicLog, start: u64, end: u64, now_ms: u64) -> u64 {
    let mut sizes = Vec::new();
    if start <= end {
        let _held = log.range(start - 1, now_ms, &mut |event| {
            sizes.push(shown_bytes(&event));
            event.meta.offset < end
        });
    }
    let mut bytes = 0;
    let fits = |size: &&usize| {
        bytes += **size;
        bytes <= MAX_PAGE_BYTES
    };
    let fitting = sizes.iter().rev().take_while(fits).count().max(1);
    start.max((end + 1).saturating_sub(fitting as u64))
}

fn info(topic: &Topic, state: &State) -> Option<TopicInfo> {
    let (epoch, offset) = state.position()?;
    Some(TopicInfo {
        name: topic.name.clone(),
        subscribers: state.subscribers(),
        published: state.published,
        epoch,
        offset,
        kept: state.kept,
        options: topic.options,
    })
}

fn full() -> Refusal {
    let why = "this server holds as many topics as limits.max_topics allows";
    Refusal::new(ErrorCode::LimitExceeded, why).field("topic")
}

fn share_taken() -> Refusal {
    let why = "this address or user has made as many topics as limits.topics_per_client allows";
    Refusal::new(ErrorCode::LimitExceeded, why).field("topic")
}

fn not_found() -> Refusal {
    Refusal::new(
        ErrorCode::TopicNotFound,
        "no such topic: subscribe to it or make it with POST /topics first",
    )
    .field("topic")
}
