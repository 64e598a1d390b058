//! Channels on a node: deliver, enter, leave.

use super::channel::{Channel, ChannelOptions, ChannelState, Group, MAX_GROUPS, MAX_GROUPS_OF_CLIENT};
use super::record::{FeedRecord, Incoming, Positions};
use super::restarts::Restarts;
use super::spec::{GroupSpec, Lookup};
use crate::model::{ErrorCode, Refusal, Requester};
use crate::ports::Retention;
use crate::topics::{self, MAX_OPEN_BYTES, Seat, Topic, TopicOptions, Topics};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a source waits for shards that do not keep up before it continues all the same: a shard that is stuck that long is
/// ended by other means.
const PATIENCE: Duration = Duration::from_secs(1);

/// Records and bytes a group keeps at most. A replay that falls further behind begins again at its source.
const KEPT: Retention = Retention { size: 4096, ttl_ms: u64::MAX, bytes: 4 * 1024 * 1024 };
/// The same where superseded records go first: room for the newest value of many keys.
const COMPACTED: Retention = Retention { size: 65_536, ttl_ms: u64::MAX, bytes: 32 * 1024 * 1024 };

/// A subscription to a channel.
pub(crate) struct Wish<'a> {
    /// What of the channel.
    pub(crate) spec: &'a Arc<GroupSpec>,
    /// How the channel treats its subscribers.
    pub(crate) options: ChannelOptions,
    /// The subscriber's.
    pub(crate) seat: Seat,
    /// On whose behalf.
    pub(crate) by: Requester<'a>,
}

/// A subscription that was entered into a group.
pub(crate) struct EnteredGroup {
    pub(crate) topic: Arc<Topic>,
    /// The group's head: the first live record is above it.
    pub(crate) head: u64,
    /// The number of logs that had restarted in the group.
    pub(crate) restarted: u64,
    /// Where the channel stood.
    pub(crate) positions: Positions,
    /// The channel's latest records of the group, if they were requested.
    pub(crate) snapshot: Vec<Arc<FeedRecord>>,
}

impl<D> Topics<D> {
    fn channel(&self, name: &str) -> Option<Arc<Channel>> {
        self.channels.lock().get(name).cloned()
    }

    /// The channel of that name, created if need be. At the bound the channels without subscribers that were silent longest are removed.
    fn channel_or_new(&self, name: &str) -> Arc<Channel> {
        let mut channels = self.channels.lock();
        if let Some(found) = channels.get(name) {
            return found.clone();
        }
        if channels.len() >= self.max_channels() {
            let mut idle: Vec<_> = channels
                .values()
                .filter_map(|c| c.state.try_lock().filter(|s| s.is_idle()).map(|s| (s.touched, c.clone())))
                .collect();
            idle.sort_unstable_by_key(|(touched, _)| *touched);
            for (_, channel) in idle.drain(..idle.len().div_ceil(2)) {
                let mut state = channel.state.lock();
                if state.is_idle() {
                    state.gone = true;
                    channels.remove(&channel.name);
                }
            }
        }
        let name: Arc<str> = name.into();
        let channel = Arc::new(Channel::new(name.clone()));
        channels.insert(name, channel.clone());
        channel
    }

    /// Puts a batch of a source into its channel, in order; waits while a group has more posted than its shards can flush.
    /// The caller is no shard; `now` is its time.
    pub fn deliver(&self, channel: &str, batch: &[Incoming], lookup: &mut dyn Lookup, now: Instant) {
        loop {
            let channel = self.channel_or_new(channel);
            let full = channel.state.lock().groups.iter().map(|g| g.topic.clone()).collect::<Vec<_>>();
            let until = now + PATIENCE;
            full.iter().for_each(|topic| topic.wait_for_room(MAX_OPEN_BYTES, until));
            let mut state = channel.state.lock();
            if state.gone {
                continue;
            }
            state.touched = self.deliveries.fetch_add(1, Ordering::Relaxed);
            let stale = |at: &usize| !state.note(&batch[*at]);
            let stale: Vec<usize> = (0..batch.len()).filter(stale).collect();
            for group in &state.groups {
                self.enter_records(&group.topic, &group.spec, batch, &stale, lookup, now);
            }
            return;
        }
    }

    fn enter_records(
        &self,
        topic: &Arc<Topic>,
        spec: &GroupSpec,
        batch: &[Incoming],
        stale: &[usize],
        lookup: &mut dyn Lookup,
        now: Instant,
    ) {
        let mut state = topic.lock();
        let Some(mut door) = self.door(topic, &mut state) else { return };
        for (at, incoming) in batch.iter().enumerate() {
            let Incoming::Record(record) = incoming else { continue };
            if stale.binary_search(&at).is_err() && spec.includes(record, at, lookup) {
                door.record(record, now);
            }
        }
        self.post_paced(topic, &mut state);
    }

    /// Fills a channel's snapshot with what a partition's log held up to an offset before live reading began, the newest first. False
    /// when a tombstone above that came: one of the records may be what it took out.
    pub fn fill(&self, channel: &str, at: &(Arc<str>, i32), up_to: i64, records: &[Arc<FeedRecord>]) -> bool {
        loop {
            let channel = self.channel_or_new(channel);
            let mut state = channel.state.lock();
            if !state.gone {
                return state.fill(at, up_to, records);
            }
        }
    }

    /// A partition's log restarted: earlier offsets mean nothing any more.
    pub fn restarted(&self, topic: &Arc<str>, partition: i32) {
        let channels: Vec<_> = self.channels.lock().values().cloned().collect();
        for channel in channels {
            channel.state.lock().restart(topic, partition);
        }
    }

    /// Enters a subscription into its group: what was delivered before is posted, what comes later is the subscriber's.
    pub(crate) fn enter_group(
        &self,
        name: &str,
        wish: &Wish<'_>,
        snapshot: Option<&mut dyn Lookup>,
    ) -> Result<EnteredGroup, Refusal> {
        loop {
            self.check_open()?;
            let channel = self.channel_or_new(name);
            let mut channel_state = channel.state.lock();
            if channel_state.gone {
                continue;
            }
            let topic = self.group(&channel, &mut channel_state, wish)?;
            let mut state = topic.lock();
            topic.post(&mut state, self.inboxes(), Some(wish.seat.shard));
            state.seats.enter(wish.seat);
            let head = state.life.live().map_or(0, |live| live.tail.head().pos);
            let restarted = state.life.restarts().map_or(0, Restarts::count);
            drop(state);
            let latest = || channel_state.latest.all().enumerate();
            let snapshot = snapshot.map_or_else(Vec::new, |lookup| {
                latest()
                    .filter(|(at, r)| wish.spec.includes(r, *at, lookup))
                    .map(|(_, r)| r.clone())
                    .collect()
            });
            let positions = channel_state.positions.clone();
            return Ok(EnteredGroup { topic, head, restarted, positions, snapshot });
        }
    }

    fn group(
        &self,
        channel: &Arc<Channel>,
        state: &mut ChannelState,
        wish: &Wish<'_>,
    ) -> Result<Arc<Topic>, Refusal> {
        if let Some(group) = state.groups.iter().find(|g| g.spec == *wish.spec) {
            return Ok(group.topic.clone());
        }
        let (options, maker) = (wish.options, wish.by.client());
        // All of the channel is no combination: a subscription without a filter is accepted however many others there are.
        if !wish.spec.is_plain() {
            let differing = || state.groups.iter().filter(|g| !g.spec.is_plain());
            if differing().count() >= MAX_GROUPS {
                let why = "this channel has as many different combinations of types and filter as it may (64); use one of those";
                return Err(Refusal::new(ErrorCode::LimitExceeded, why).field("filter"));
            }
            if maker.is_some() && differing().filter(|g| g.maker == maker).count() >= MAX_GROUPS_OF_CLIENT {
                let why = "this address or user has made as many different combinations of types and filter of this channel as it \
                           may (16); use one of those";
                return Err(Refusal::new(ErrorCode::LimitExceeded, why).field("filter"));
            }
        }
        let (conflate, channel) = (options.conflate, channel.clone());
        let retention = if conflate { COMPACTED } else { KEPT };
        let options = TopicOptions { backpressure: options.backpressure, retention, durable: None };
        let group = topics::Group { channel: channel.clone(), conflate };
        let topic = Topic::group(channel.name.clone(), self.new_id(), options, group);
        let topic = Arc::new(topic);
        state.groups.push(Group { spec: wish.spec.clone(), topic: topic.clone(), maker });
        Ok(topic)
    }

    /// Ends a subscription; with its last one a group is gone.
    pub(crate) fn leave_group(&self, topic: &Arc<Topic>, channel: &Arc<Channel>, seat: Seat) -> u64 {
        let mut channel_state = channel.state.lock();
        let mut state = topic.lock();
        let head = state.life.live().map_or(u64::MAX, |live| live.tail.head().pos);
        topic.post(&mut state, self.inboxes(), Some(seat.shard));
        state.seats.leave(seat);
        if state.seats.count() == 0 {
            state.life.end();
            channel_state.groups.retain(|g| !Arc::ptr_eq(&g.topic, topic));
        }
        drop(state);
        let unused = channel_state.is_idle() && channel_state.latest.is_empty();
        if unused && !channel_state.gone && channel_state.positions.is_empty() {
            channel_state.gone = true;
            drop(channel_state);
            let mut channels = self.channels.lock();
            if channels.get(&channel.name).is_some_and(|found| Arc::ptr_eq(found, channel)) {
                channels.remove(&channel.name);
            }
        }
        head
    }

    /// A group's head at one moment, and where its channel began and is in each partition.
    pub(crate) fn group_position(
        &self,
        topic: &Arc<Topic>,
        channel: &Arc<Channel>,
    ) -> (u64, Positions, Positions) {
        let channel_state = channel.state.lock();
        let head = topic.lock().life.live().map_or(0, |live| live.tail.head().pos);
        (head, channel_state.begun.clone(), channel_state.positions.clone())
    }

    /// The last offset of each partition that a channel has seen.
    pub fn channel_positions(&self, name: &str) -> Positions {
        self.channel(name).map_or_else(Positions::new, |c| c.state.lock().positions.clone())
    }

    /// The latest records of a channel, in the order in which they came.
    pub fn latest(&self, name: &str) -> Vec<Arc<FeedRecord>> {
        self.channel(name).map_or_else(Vec::new, |c| c.state.lock().latest.all().cloned().collect())
    }

    /// Names of the channels that have seen a record or have subscribers.
    pub fn channel_names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.channels.lock().keys().cloned().collect();
        names.sort_unstable();
        names
    }
}
