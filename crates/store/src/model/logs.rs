//! Event logs: what is appended, what is read back, and how much is kept.
//!
//! A log is a sequence of entries numbered 1, 2, 3 … without holes. Its *head* is the number of the newest entry, its
//! *first* that of the oldest one kept. Numbers are comparable within one *epoch* only: a log that is dropped and made
//! again has another one.

use crate::text::escaped;
use fanfare_core::model::{Epoch, EventId};

/// Bytes an entry counts beside its texts and payload, as the logs in memory count it.
pub(crate) const OVERHEAD: usize = 96;

/// The log's number in the store; never used again after the log is dropped while the store holds a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub i64);

/// A log without its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHead {
    /// Its number.
    pub id: LogId,
    /// Its name within its space.
    pub name: String,
    /// The epoch of its numbers.
    pub epoch: Epoch,
    /// Number of the newest entry; 0 before the first one.
    pub head: u64,
    /// Number of the oldest entry kept; `head + 1` when none is.
    pub first: u64,
    /// Bytes of the entries kept: payload, client id, user, and 96 for each.
    pub bytes: u64,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// An entry to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The payload's bytes.
    pub payload: Vec<u8>,
    /// What subscribers see as `client_id`.
    pub client_id: Option<String>,
    /// Username of the publisher, if it is logged in.
    pub user: Option<String>,
    /// Scope and key: an entry with both is kept once per log, for as long as it is kept.
    pub idempotency: Option<(String, String)>,
    /// Not stored: comes back with the committed entry, for the fan-out in this process.
    pub mark: u128,
}

impl NewEntry {
    /// An entry with nothing but a payload.
    pub fn new(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: payload.into(), client_id: None, user: None, idempotency: None, mark: 0 }
    }
}

/// An entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number.
    pub seq: u64,
    /// Its id; rises with `seq` within a log.
    pub id: EventId,
    /// What subscribers see as `client_id`.
    pub client_id: Option<String>,
    /// Username of the publisher, if it was logged in.
    pub user: Option<String>,
    /// The payload's bytes.
    pub payload: Vec<u8>,
}

impl LogEntry {
    /// When it was appended, in milliseconds since 1970; never falls within a log.
    pub const fn at_ms(&self) -> u64 {
        at_ms(self.id)
    }

    /// What it counts in [`LogHead::bytes`].
    pub fn bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, |text| escaped(text).len());
        OVERHEAD + self.payload.len() + length(&self.client_id) + length(&self.user)
    }
}

/// The time within an id, in milliseconds since 1970.
pub(crate) const fn at_ms(id: EventId) -> u64 {
    id.time >> 20
}

/// The answer to an append, after its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The epoch of the log.
    pub epoch: Epoch,
    /// Number of the entry.
    pub seq: u64,
    /// Id of the entry.
    pub id: EventId,
    /// The scope and key were used before: this is the first entry, and nothing was appended.
    pub repeated: bool,
}

impl Receipt {
    /// When the entry was appended, in milliseconds since 1970.
    pub const fn at_ms(&self) -> u64 {
        at_ms(self.id)
    }
}

/// What one commit appended to one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The log.
    pub log: LogId,
    /// The epoch of its numbers.
    pub epoch: Epoch,
    /// The entries with their `mark`, numbered without holes, oldest first.
    pub entries: Vec<(LogEntry, u128)>,
}

/// Entries of a log, with the head as it was just after they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The log's head.
    pub head: LogHead,
    /// Numbered without holes, oldest first.
    pub entries: Vec<LogEntry>,
}

impl LogPage {
    /// Whether nothing is missing between `after` and the entries: the next one was still kept, or there is none.
    pub fn follows(&self, after: u64) -> bool {
        match self.entries.first() {
            Some(entry) => entry.seq == after + 1,
            None => self.head.head <= after,
        }
    }
}

/// What a trim removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Entries removed.
    pub entries: u64,
    /// Number of the oldest entry kept; 0 when there is no such log.
    pub first: u64,
    /// Bytes of the entries kept, as [`LogHead::bytes`] counts them.
    pub bytes: u64,
    /// When the oldest entry kept was appended, in milliseconds since 1970; `None` when none is kept.
    pub oldest_at_ms: Option<u64>,
}
