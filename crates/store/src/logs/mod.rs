//! Event logs: the one discipline for everything whose order the store gives (durable topics, mailboxes; later chat
//! channels and sketches).
//!
//! ```text
//! Store::append_with ─→ Backlog ─→ AppendBatch, one unit of work ─→ commit ─→ sink ─→ replies
//!                       (bounded)   lock heads, number, insert
//! ```
//!
//! What must hold: numbers are dense per log and in the order of the commits; a reply comes after the commit and after the
//! sink; the sink gets each log's entries in the order of their numbers; an entry with an idempotency key is kept once. The
//! entries of one caller for one log are numbered in the order of its calls. Dropped logs are renamed first, so that no append
//! finds them, and removed in slices after that.

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
/// numbers. Runs where the store commits: it must not wait.
pub type OnAppend = Arc<dyn Fn(Vec<Committed>) + Send + Sync>;

/// Called once with what became of an append. Runs where the store commits: it must not wait.
pub(crate) type Reply = Box<dyn FnOnce(Result<Receipt>) + Send>;

/// SHA-256 of an idempotency key with its scope.
pub(crate) type Key = [u8; 32];

/// An entry on its way into a log.
pub(crate) struct Append {
    log: LogId,
    /// Texts are [`escaped`].
    entry: NewEntry,
    key: Option<Key>,
    /// Stored beside the entry; kept once per id.
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

    /// Which log.
    pub(crate) const fn log(&self) -> LogId {
        self.log
    }

    /// Bytes of the entry, as [`LogHead::bytes`](crate::LogHead::bytes) counts them.
    fn bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        OVERHEAD + self.entry.payload.len() + length(&self.entry.client_id) + length(&self.entry.user)
    }

    /// Bytes it takes in the backlog and in a batch.
    fn weight(&self) -> usize {
        self.bytes() + self.message.as_ref().map_or(0, |message| message.weight())
    }

    fn refuse(self, error: StoreError) {
        (self.reply)(Err(error));
    }
}

/// The scope's length goes first, so that no two pairs are one text.
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
    // The time and the marks of a UUID are not random; the low part's other bits are.
    high ^ low.rotate_left(24)
}

/// What an open store's batches share.
pub(crate) struct LogsShared {
    sink: OnceLock<OnAppend>,
    ids: IdClock,
}

impl LogsShared {
    pub(crate) fn new() -> Self {
        Self { sink: OnceLock::new(), ids: IdClock { last: AtomicU64::new(0), node: random() } }
    }
}

/// Gives ids that are unique and rise, within each log whatever the clocks of its writers say.
struct IdClock {
    last: AtomicU64,
    /// Tells open stores apart.
    node: u64,
}

impl IdClock {
    /// An id above every one given before and above `floor`, the time of the log's newest id.
    fn next(&self, now_ms: u64, floor: u64) -> EventId {
        let least = (now_ms << 20).max(floor + 1);
        let step = |last: u64| Some(least.max(last + 1));
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap_or_default();
        EventId { time: least.max(last + 1), node: self.node }
    }
}

/// Numbers of a log as the tables have them, and back. A negative one cannot have been written here.
fn seq(stored: i64) -> Result<u64> {
    u64::try_from(stored).map_err(|_| StoreError::unreadable("a number of a log is negative"))
}

fn stored(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

impl Store {
    /// Registers the sink of all commits that append; only the first one counts. What was committed before is not shown.
    pub fn on_append(&self, sink: OnAppend) -> bool {
        self.engine().logs().sink.set(sink).is_ok()
    }

    /// Appends an entry. It is queued at once, so calls of one thread are numbered in their order, and the future needs no
    /// polling for the entry to be appended.
    ///
    /// # Errors
    /// `NoLog`; `Unavailable` (too many appends wait, the disk is full, the database is away): it was not appended;
    /// `Unknown`, `Fatal`: nobody knows.
    pub fn append(
        &self,
        log: LogId,
        entry: NewEntry,
    ) -> impl Future<Output = Result<Receipt>> + Send + 'static {
        let (reply, answer) = oneshot::channel();
        // A caller that has gone away does not undo what is committed.
        self.append_with(log, entry, Box::new(|receipt| drop(reply.send(receipt))));
        async { answer.await.unwrap_or_else(|_| Err(closed())) }
    }

    /// As [`Self::append`], with a call instead of a future: on the thread that commits, or at once when the entry is
    /// refused. It must not wait.
    pub fn append_with(&self, log: LogId, entry: NewEntry, reply: Box<dyn FnOnce(Result<Receipt>) + Send>) {
        self.engine().append(Append::new(log, entry, reply));
    }

    /// Appends an entry with a message beside it.
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
