//! A channel: its groups, positions and latest records behind one lock.

use super::latest::Latest;
use super::record::{FeedRecord, Incoming, Positions};
use super::spec::GroupSpec;
use crate::hub::Backpressure;
use crate::model::Client;
use crate::topics::{Live, Owner, Topic};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Groups of a channel with types or a filter at most; the one without comes on top (`chat-feeds-cluster.md` "Feeds").
pub(super) const MAX_GROUPS: usize = 64;
/// Those that one address or user made at most; API keys and admins have only the bound of all.
pub(super) const MAX_GROUPS_OF_CLIENT: usize = 16;

/// How a channel treats its subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelOptions {
    /// What happens to slow consumers.
    pub backpressure: Backpressure,
    /// Slow consumers skip values that a newer one of the same key supersedes.
    pub conflate: bool,
}

/// A channel of feeds.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(super) name: Arc<str>,
    pub(super) state: Mutex<ChannelState>,
}

/// All subscriptions of a channel with equal types and filter.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) spec: Arc<GroupSpec>,
    pub(super) topic: Arc<Topic>,
    /// The client whose subscription made it; none for API keys and admins.
    pub(super) maker: Option<Client>,
}

#[derive(Debug, Default)]
pub(super) struct ChannelState {
    pub(super) groups: Vec<Group>,
    pub(super) latest: Latest,
    /// The last offset of each partition.
    pub(super) positions: Positions,
    /// The last tombstone of each partition.
    tombstones: Positions,
    /// The first offset of each partition since the node started.
    pub(super) begun: Positions,
    /// Taken out of the table: holders look it up again.
    pub(super) gone: bool,
    /// When a record last came, in deliveries of the node.
    pub(super) touched: u64,
}

impl Channel {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, state: Mutex::default() }
    }
}

impl Channel {
    /// Where the channel is, held: nothing is delivered meanwhile.
    pub(crate) fn hold(&self) -> Held<'_> {
        Held(self.state.lock())
    }
}

/// A channel that stands still.
pub(crate) struct Held<'a>(MutexGuard<'a, ChannelState>);

impl Held<'_> {
    /// Whether live reading has not come to one of these positions yet; those in logs that `restarted` do not count.
    pub(crate) fn is_behind(&self, shown: &Positions, restarted: &BTreeMap<(Arc<str>, i32), u64>) -> bool {
        let held = &self.0.positions;
        shown
            .iter()
            .any(|(at, shown)| !restarted.contains_key(at) && held.get(at).is_none_or(|last| last < shown))
    }
}

impl ChannelState {
    /// Notes a record, with or without subscribers. Returns false, and notes nothing, when the channel is past it: no subscription goes
    /// back in a partition. Records of several types may have one offset.
    pub(super) fn note(&mut self, incoming: &Incoming) -> bool {
        let (topic, partition, offset) = incoming.place();
        let at = (topic.clone(), partition);
        match self.positions.get_mut(&at) {
            Some(last) if offset < *last => return false,
            Some(last) => *last = offset,
            None => {
                self.begun.insert(at.clone(), offset);
                self.positions.insert(at, offset);
            }
        }
        match incoming {
            Incoming::Record(record) => self.latest.put(record),
            Incoming::Tombstone { kind, key: Some(key), .. } => {
                self.latest.remove((kind.clone(), Some(key.clone())));
                self.tombstones.insert((topic.clone(), partition), offset);
            }
            Incoming::Tombstone { .. } => {}
        }
        true
    }

    /// Notes what the log held up to an offset before live reading began. False when a tombstone above that came.
    pub(super) fn fill(&mut self, at: &(Arc<str>, i32), up_to: i64, records: &[Arc<FeedRecord>]) -> bool {
        if self.tombstones.get(at).is_some_and(|offset| *offset > up_to) {
            return false;
        }
        if !self.positions.contains_key(at) {
            self.positions.insert(at.clone(), up_to);
            self.begun.insert(at.clone(), up_to + 1);
        }
        records.iter().for_each(|record| self.latest.fill(record));
        true
    }

    /// A partition's log restarted: earlier offsets mean nothing any more, for the groups' tails neither, and what was read of
    /// the old log is no latest value.
    pub(super) fn restart(&mut self, topic: &Arc<str>, partition: i32) {
        let at = (topic.clone(), partition);
        self.positions.remove(&at);
        self.begun.remove(&at);
        self.tombstones.remove(&at);
        self.latest.forget(topic, partition);
        for group in &self.groups {
            if let Some(Live { owner: Owner::Feed(restarts), tail, .. }) = group.topic.lock().life.live_mut()
            {
                restarts.note(at.clone(), tail.head().pos);
            }
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.groups.is_empty()
    }
}
