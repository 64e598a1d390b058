//! The data of feeds: records as they leave their topic, and the specs of channels.
//!
//! A record's value is JSON text that is checked once, when it is read, and never rewritten: subscribers receive the
//! bytes that the producer sent (`chat-feeds-cluster.md` "Feeds").

use fanfare_core::topics::rules::Backpressure;
use std::sync::Arc;

/// A record of a topic, mapped to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Channel it is delivered on.
    pub channel: Arc<str>,
    /// `type` of the delivery, from the mapping.
    pub kind: Arc<str>,
    /// Topic it was read from.
    pub topic: Arc<str>,
    /// Partition of that topic.
    pub partition: i32,
    /// Offset in that partition.
    pub offset: i64,
    /// The record's key as text, in base 64 when it is not UTF-8.
    pub key: Option<Arc<str>>,
    /// JSON text, at most 128 levels deep, byte for byte as produced.
    pub value: Arc<str>,
    /// The record's time in milliseconds since 1970; the time of reading when it has none.
    pub timestamp_ms: u64,
}

/// What a source passes to the sink. All deliveries of one batch are of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// A record for the subscribers.
    Record(&'a Record),
    /// A record without value: removes its key from the channel's snapshot and is not delivered.
    Tombstone {
        /// Channel whose snapshot holds the key.
        channel: &'a Arc<str>,
        /// `type` of the records with that key.
        kind: &'a Arc<str>,
        /// The key, as in [`Record::key`].
        key: &'a Arc<str>,
        /// Topic it was read from.
        topic: &'a Arc<str>,
        /// Partition of that topic.
        partition: i32,
        /// Offset in that partition.
        offset: i64,
    },
    /// The partition's log restarted (its topic was deleted and recreated, or truncated): earlier offsets are invalid,
    /// and smaller ones follow.
    Restarted {
        /// Topic that was recreated.
        topic: &'a Arc<str>,
        /// Partition of that topic.
        partition: i32,
    },
}

/// Whether the newest record of each key is kept for new subscribers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Snapshot {
    /// No snapshot is kept.
    #[default]
    None,
    /// The newest record of each key, until a tombstone.
    Key,
}

impl Snapshot {
    /// The setting that keeps more.
    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::None { other } else { self }
    }
}

/// Whether a newer record replaces an older one of its key that still waits in a subscriber's queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflate {
    /// Every record is sent.
    #[default]
    None,
    /// Only the newest of a key.
    Key,
}

impl Conflate {
    /// The setting that replaces more.
    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::None { other } else { self }
    }
}

/// A mapping's rules for one `type` on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindSpec {
    /// The `type`.
    pub kind: Arc<str>,
    /// The snapshot kept for new subscribers.
    pub snapshot: Snapshot,
    /// Which waiting records may be replaced.
    pub conflate: Conflate,
}

/// The rules of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSpec {
    /// Its name; `None` when a template made it.
    pub channel: Option<Arc<str>>,
    /// The `type`s that are delivered on it, in the order of the mappings.
    pub kinds: Vec<Arc<str>>,
    /// `Key` when any of its mappings keeps a snapshot; [`ChannelSpec::rules`] says which.
    pub snapshot: Snapshot,
    /// `Key` when any of its mappings conflates; [`ChannelSpec::rules`] says which.
    pub conflate: Conflate,
    /// How a subscriber whose queue is full is handled.
    pub backpressure: Backpressure,
    /// The rules of each `type`, in the order of `kinds`.
    pub rules: Vec<KindSpec>,
}

/// A channel that exists now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its rules.
    pub spec: ChannelSpec,
}
