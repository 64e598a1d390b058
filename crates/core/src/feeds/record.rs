//! A record of a feed, as the hub carries it.

use crate::model::{Body, Delivery};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A record that was accepted. Everything that goes over the wire is in `body`; the rest is what the hub decides by.
#[derive(Debug, PartialEq, Eq)]
pub struct FeedRecord {
    /// The `type` of its frames.
    pub kind: Arc<str>,
    /// The record's key.
    pub key: Option<Arc<str>>,
    /// The source's topic.
    pub topic: Arc<str>,
    /// The source's partition.
    pub partition: i32,
    /// The position within it.
    pub offset: i64,
    /// What is done for each key.
    pub per_key: PerKey,
    /// The members of the delivery's JSON object, without the braces: the same in every dialect.
    pub body: Box<str>,
}

impl FeedRecord {
    /// What subscribers are sent.
    pub fn delivery(&self) -> Delivery<'_> {
        Delivery::Body(Body::feed(&self.body))
    }
}

/// What is done for each key, by a mapping's wish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerKey {
    /// The latest value of each key is kept for newcomers; else only that of the type.
    pub snapshot: bool,
    /// Slow readers of a conflating channel skip values that a newer one supersedes.
    pub conflate: bool,
}

/// One thing a source delivers.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// A record.
    Record(Arc<FeedRecord>),
    /// A key's value is gone: it leaves the snapshot without a notice.
    Tombstone {
        /// As in [`FeedRecord`].
        kind: Arc<str>,
        /// The key.
        key: Option<Arc<str>>,
        /// As in [`FeedRecord`].
        topic: Arc<str>,
        /// As in [`FeedRecord`].
        partition: i32,
        /// As in [`FeedRecord`].
        offset: i64,
    },
}

impl Incoming {
    /// Its topic, partition and offset.
    pub(crate) fn place(&self) -> (&Arc<str>, i32, i64) {
        match self {
            Self::Record(record) => (&record.topic, record.partition, record.offset),
            Self::Tombstone { topic, partition, offset, .. } => (topic, *partition, *offset),
        }
    }
}

/// The last offset of each partition that a channel has seen, by (topic, partition).
pub type Positions = BTreeMap<(Arc<str>, i32), i64>;

/// Moves positions forward to others, never back.
pub(crate) fn raise(positions: &mut Positions, to: impl IntoIterator<Item = ((Arc<str>, i32), i64)>) {
    for (at, offset) in to {
        let held = positions.entry(at).or_insert(offset);
        *held = offset.max(*held);
    }
}
