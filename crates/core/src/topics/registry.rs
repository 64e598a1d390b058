//! The topics of a node by name, and what can be done with them.
//!
//! Longer than most: every way to make, find, change and drop a topic holds the same two locks, and their order is kept here.

use super::begin::away;
use super::shares::{Place, Shares};
use super::topic::{Live, Owner, Seat, State, Topic, TopicOptions};
use crate::feeds::Channel;
use crate::hub::{Inbox, Post};
use crate::model::{Epoch, ErrorCode, Refusal, Requester};
use crate::ports::{Broker, Claim, Encoders, Read};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Number of independently locked parts of the name table.
const BUCKETS: usize = 64;

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
    pub(super) inboxes: Arc<[Inbox<D>]>,
    broker: Arc<dyn Broker>,
    pub(super) encoders: Encoders,
    pub(super) config: TopicsConfig,
    shares: Arc<Shares>,
    live: AtomicUsize,
    next_id: AtomicU64,
    pub(super) published: AtomicU64,
    draining: AtomicBool,
    /// Feed channels by name: apart from the topics.
    pub(crate) channels: Mutex<HashMap<Arc<str>, Arc<Channel>>>,
    /// Batches that sources delivered.
    pub(crate) deliveries: AtomicU64,
    /// Followed topics with a hole, or whose upstream was away.
    pub(super) watched: Mutex<Vec<Arc<Topic>>>,
    /// Followed topics without events that stay for one on its way.
    pub(super) lingering: Mutex<Vec<Arc<Topic>>>,
    /// Called when [`Topics::is_watching`] becomes true.
    pub(super) on_watch: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Reads of subscriptions that found the upstream away, and when they are tried again.
    pub(super) postponed: Mutex<Vec<(u64, Arc<Topic>, Read)>>,
}

impl<D> std::fmt::Debug for Topics<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topics").field("live", &self.live).finish_non_exhaustive()
    }
}

/// On whose behalf, how and with what a topic is made that is not there.
pub(super) struct Making<'a> {
    by: Requester<'a>,
    options: Option<TopicOptions>,
    /// By a subscription or a publish.
    automatic: bool,
}

impl<'a> Making<'a> {
    pub(super) fn automatic(by: Requester<'a>) -> Self {
        Self { by, options: None, automatic: true }
    }
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
    /// Created explicitly and kept without subscribers.
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
            watched: Mutex::default(),
            lingering: Mutex::default(),
            on_watch: OnceLock::new(),
            postponed: Mutex::default(),
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

    /// Counts events that entered logs which other parts of this node order.
    pub fn count_published(&self, events: u64) {
        self.published.fetch_add(events, Ordering::Relaxed);
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

    pub(super) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.bucket(name).lock().get(name).cloned()
    }

    /// The live topic of that name, made if need be.
    pub(super) fn acquire(
        &self,
        name: &str,
        making: &Making<'_>,
        now_ms: u64,
    ) -> Result<(Arc<Topic>, bool), Refusal> {
        let mut bucket = self.bucket(name).lock();
        if let Some(topic) = bucket.get(name) {
            return Ok((topic.clone(), false));
        }
        let (place, claim) = self.claim(making)?;
        let options = making.options.unwrap_or_else(|| (self.config.options)(name));
        let Some(opened) = self.broker.open(name, &options, &claim, now_ms) else {
            self.live.fetch_sub(1, Ordering::SeqCst);
            return Err(full());
        };
        let name: Arc<str> = name.into();
        let topic = Arc::new(Topic::new(name.clone(), self.new_id(), options, opened, place));
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
        if !topic.has_log_elsewhere(state)
            && state.is_idle(now_ms)
            && let Some(live) = state.life.end()
        {
            match live.owner {
                Owner::Elsewhere(follow) => follow.upstream.left(&topic.log_ref()),
                _ => {
                    if let Some(log) = live.into_log() {
                        self.broker.park(&topic.name, log, now_ms);
                    }
                }
            }
            self.unlist(topic);
        }
    }

    /// Ends a subscription: everything published before is posted first. Returns the position of the topic's last delivery at that
    /// moment: later ones are not the subscriber's, and may not be encoded for its variant.
    pub(crate) fn leave(&self, topic: &Arc<Topic>, seat: Seat, now_ms: u64) -> u64 {
        if let Some(group) = &topic.group {
            return self.leave_group(topic, &group.channel, seat);
        }
        let mut state = topic.lock();
        // Deleted: its counts were cleared then, and nothing follows.
        let Some(head) = state.life.live().map(|live| live.tail.head().pos) else { return u64::MAX };
        topic.post(&mut state, &self.inboxes, Some(seat.shard));
        state.seats.leave(seat);
        self.park_if_idle(topic, &mut state, now_ms);
        head
    }

    /// Creates a topic explicitly, or keeps the existing one.
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
            let Some(live) = state.life.live_mut() else { continue };
            live.kept = true;
            live.place = None;
            return match info(&topic, &state) {
                Some(info) => Ok(Made { info, existed: !new }),
                None => Err(away()),
            };
        }
    }

    /// Brings a topic to life whose log is in the store, with these options. Returns false if it was there before.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`.
    pub fn revive(&self, name: &str, options: TopicOptions, now_ms: u64) -> Result<bool, Refusal> {
        let making = Making { by: Requester::Backend, options: Some(options), automatic: false };
        Ok(self.acquire(name, &making, now_ms)?.1)
    }

    /// The options of a topic that is live.
    pub fn live_options(&self, name: &str) -> Option<TopicOptions> {
        self.get(name).filter(|topic| !topic.is_gone()).map(|topic| topic.options)
    }

    /// The options a topic of this name gets by configuration.
    pub fn options_of(&self, name: &str) -> TopicOptions {
        (self.config.options)(name)
    }

    /// Deletes a topic with its history; its subscribers are notified and its next life has a new epoch. Of a topic that is not
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
        if state.life.is_gone() {
            return false;
        }
        topic.post(&mut state, &self.inboxes, own);
        for shard in state.seats.shards() {
            self.inboxes[shard].push(Post::Deleted { topic: topic.id }, own == Some(shard as u8));
        }
        state.seats.clear();
        if let Some(Live { owner: Owner::Elsewhere(follow), .. }) = state.life.end() {
            follow.upstream.left(&topic.log_ref());
        }
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
        let due: Vec<_> = self.lingering.lock().extract_if(.., |topic| topic.expires_by(now_ms)).collect();
        due.iter().for_each(|topic| self.park_if_idle(topic, &mut topic.lock(), now_ms));
        self.broker.sweep(now_ms);
    }
}

fn info(topic: &Topic, state: &State) -> Option<TopicInfo> {
    let live = state.life.live()?;
    let (epoch, offset) = live.position()?;
    Some(TopicInfo {
        name: topic.name.clone(),
        subscribers: state.seats.count(),
        published: live.published,
        epoch,
        offset,
        kept: live.kept,
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

pub(super) fn not_found() -> Refusal {
    Refusal::new(
        ErrorCode::TopicNotFound,
        "no such topic: subscribe to it or make it with POST /topics first",
    )
    .field("topic")
}
