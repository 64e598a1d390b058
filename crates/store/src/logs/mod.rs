//! Event logs: the one implementation for all data ordered by the store (durable topics, mailboxes; later chat channels
//! and sketches).
//!
//! ```text
//! Store::append_with ─→ Backlog ─→ AppendBatch, one unit of work ─→ commit ─→ sink ─→ replies
//!                       (bounded)   lock heads, number, insert
//! ```
//!
//! Invariants: numbers are dense per log and in the order of the commits; a reply is sent after the commit and after
//! the sink; the sink receives each log's entries in the order of their numbers; an entry with an idempotency key is
//! kept once. The entries of one caller for one log are numbered in the order of its calls. Dropped logs are renamed
//! first, so that no append finds them, and removed in slices after that.

mod backlog;
mod batch;
mod heads;
mod plan;
mod reading;
mod trimming;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use fanfare_core::model::EventId;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::error::{Result, StoreError};
use crate::model::{Committed, LogId, NewEntry, NewMessage, OVERHEAD, Receipt};
use crate::text::escaped;
use crate::{Store, closed};

pub(crate) use backlog::Backlog;
pub(crate) use batch::AppendBatch;

/// Called after each commit that appended, before the callers get their replies, with the logs in the order of their
/// numbers. Runs on the committing thread: it must not block.
pub type OnAppend = Arc<dyn Fn(Vec<Committed>) + Send + Sync>;

/// Called once with the result of an append. Runs on the committing thread: it must not block.
pub(crate) type Reply = Box<dyn FnOnce(Result<Receipt>) + Send>;

/// SHA-256 of an idempotency key with its scope.
pub(crate) type Key = [u8; 32];

/// An entry to be appended to a log.
pub(crate) struct Append {
    log: LogId,
    /// Texts are [`escaped`].
    entry: NewEntry,
    key: Option<Key>,
    /// Stored with the entry; kept once per id.
    message: Option<Box<NewMessage>>,
    reply: Reply,
}

impl Append {
    pub(crate) fn new(log: LogId, mut entry: NewEntry, reply: Reply) -> Self {
        let key = entry.idempotency.take().map(|(scope, key)| hash(&scope, &key));
        for text in [&mut entry.client_id, &mut entry.user].into_iter().flatten() {
            if text.contains(['\0', '\u{1}']) {
                *text = escaped(text).into_owned();
            }
        }
        Self { log, entry, key, message: None, reply }
    }

    /// The log's id.
    pub(crate) const fn log(&self) -> LogId {
        self.log
    }

    /// Bytes of the entry, as [`LogHead::bytes`](crate::LogHead::bytes) counts them.
    fn bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        OVERHEAD + self.entry.payload.len() + length(&self.entry.client_id) + length(&self.entry.user)
    }

    /// Bytes it counts in the backlog and in a batch.
    fn weight(&self) -> usize {
        self.bytes() + self.message.as_ref().map_or(0, |message| message.weight())
    }

    fn refuse(self, error: StoreError) {
        (self.reply)(Err(error));
    }
}

/// The scope's length goes first, so that no two pairs have the same text.
fn hash(scope: &str, key: &str) -> Key {
    let mut hash = Sha256::new();
    hash.update((scope.len() as u64).to_be_bytes());
    hash.update(scope);
    hash.update(key);
    hash.finalize().into()
}

/// A random number for an epoch or a node.
fn random() -> u64 {
    let (high, low) = uuid::Uuid::now_v7().as_u64_pair();
    // The time and the version bits of a UUID are not random; the low part's other bits are.
    high ^ low.rotate_left(24)
}

/// The state shared by an open store's batches.
pub(crate) struct LogsShared {
    sink: OnceLock<OnAppend>,
    ids: IdClock,
}

impl LogsShared {
    pub(crate) fn new() -> Self {
        Self { sink: OnceLock::new(), ids: IdClock { last: AtomicU64::new(0), node: random() } }
    }
}

/// Generates ids that are unique and rise, within each log independently of its writers' clocks.
struct IdClock {
    last: AtomicU64,
    /// Distinguishes open stores.
    node: u64,
}

impl IdClock {
    /// An id above every earlier one and above `floor`, the time of the log's newest id.
    fn next(&self, now_ms: u64, floor: u64) -> EventId {
        let least = (now_ms << 20).max(floor + 1);
        let step = |last: u64| Some(least.max(last + 1));
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap_or_default();
        EventId { time: least.max(last + 1), node: self.node }
    }
}

/// Conversion of a log's numbers to the column type and back. A negative one cannot have been written by this program.
fn seq(stored: i64) -> Result<u64> {
    u64::try_from(stored).map_err(|_| StoreError::unreadable("a number of a log is negative"))
}

fn stored(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

impl Store {
    /// Registers the sink of all commits that append; only the first one counts. Earlier commits are not passed to it.
    pub fn on_append(&self, sink: OnAppend) -> bool {
        self.engine().logs().sink.set(sink).is_ok()
    }

    /// Appends an entry. It is queued at once, so calls of one thread are numbered in their order, and the future needs
    /// no polling for the entry to be appended.
    ///
    /// # Errors
    /// `NoLog`; `Unavailable` (too many appends wait, the disk is full, the database is unreachable): it was not
    /// appended; `Unknown`, `Fatal`: it is unknown.
    pub fn append(
        &self,
        log: LogId,
        entry: NewEntry,
    ) -> impl Future<Output = Result<Receipt>> + Send + 'static {
        let (reply, answer) = oneshot::channel();
        // If the caller was dropped, the commit stays.
        self.append_with(log, entry, Box::new(|receipt| drop(reply.send(receipt))));
        async { answer.await.unwrap_or_else(|_| Err(closed())) }
    }

    /// As [`Self::append`], with a callback instead of a future: on the committing thread, or at once when the entry is
    /// refused. It must not block.
    pub fn append_with(&self, log: LogId, entry: NewEntry, reply: Box<dyn FnOnce(Result<Receipt>) + Send>) {
        self.engine().append(Append::new(log, entry, reply));
    }

    /// Appends an entry with a message stored beside it.
    pub(crate) async fn append_beside(&self, log: LogId, message: NewMessage) -> Result<Receipt> {
        let (reply, answer) = oneshot::channel();
        let mut entry = NewEntry::new(message.envelope.as_bytes());
        entry.user = Some(message.from_user.clone());
        let mut append = Append::new(log, entry, Box::new(|receipt| drop(reply.send(receipt))));
        append.message = Some(Box::new(message));
        self.engine().append(append);
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

#[cfg(test)]
mod tests {
    use super::{IdClock, hash};
    use std::sync::atomic::AtomicU64;

    #[test]
    fn ids_rise_above_the_clock_the_last_and_the_floor() {
        let clock = IdClock { last: AtomicU64::new(0), node: 1 };
        let ids = [(5, 0), (5, 0), (4, 0), (4, 9 << 20), (1, 0)].map(|(now, floor)| clock.next(now, floor));
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        assert_eq!(ids[3].time, (9 << 20) + 1);
    }

    #[test]
    fn a_scope_and_a_key_are_not_one_text() {
        assert_ne!(hash("a", "bc"), hash("ab", "c"));
        assert_ne!(hash("", "a"), hash("a", ""));
        assert_eq!(hash("a", "b"), hash("a", "b"));
    }
}
