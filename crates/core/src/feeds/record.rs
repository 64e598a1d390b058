//! A record of a feed, as the hub carries it.

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
    /// The members of the delivery's JSON object, without the braces: the same in every dialect.
    pub body: Box<str>,
}

/// One thing a source delivers.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// A record, and whether its latest value is kept for each key (else only for its type).
    Record(Arc<FeedRecord>, bool),
    /// A key's value is gone: it leaves the snapshot and nobody is told.
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

/// The last offset of each partition that a channel has seen, by (topic, partition).
pub type Positions = BTreeMap<(Arc<str>, i32), i64>;
