//! A channel: its groups, positions and latest records behind one lock.

use super::latest::Latest;
use super::record::{Incoming, Positions};
use super::spec::GroupSpec;
use crate::hub::Backpressure;
use crate::topics::Topic;
use parking_lot::Mutex;
use std::sync::Arc;

/// Groups of a channel with types or a filter at most; the one without comes on top (`chat-feeds-cluster.md` "Feeds").
pub(super) const MAX_GROUPS: usize = 64;

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

#[derive(Debug, Default)]
pub(super) struct ChannelState {
    pub(super) groups: Vec<(Arc<GroupSpec>, Arc<Topic>)>,
    pub(super) latest: Latest,
    /// The last offset of each partition.
    pub(super) positions: Positions,
    /// The first offset of each partition since the node started.
    pub(super) begun: Positions,
    /// Taken out of the table: whoever still holds it looks again.
    pub(super) gone: bool,
    /// When a record last came, in deliveries of the node.
    pub(super) touched: u64,
}

impl Channel {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, state: Mutex::default() }
    }
}

impl ChannelState {
    /// Notes what came, whoever hears it.
    pub(super) fn note(&mut self, incoming: &Incoming) {
        let (topic, partition, offset) = match incoming {
            Incoming::Record(r) => {
                self.latest.put(r);
                (&r.topic, r.partition, r.offset)
            }
            Incoming::Tombstone { kind, key, topic, partition, offset } => {
                if key.is_some() {
                    self.latest.remove((kind.clone(), key.clone()));
                }
                (topic, *partition, *offset)
            }
        };
        self.begun.entry((topic.clone(), partition)).or_insert(offset);
        self.positions.insert((topic.clone(), partition), offset);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.groups.is_empty()
    }
}
