//! Appends that wait for a batch, in the order of the calls.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Append;
use crate::closed;
use crate::error::StoreError;

/// Maximum entries that wait: two for each connection of a full node, and no more than a second or two of work.
const ENTRIES: usize = 65_536;
/// Maximum bytes that wait.
const BYTES: usize = 64 << 20;
/// Entries in one batch.
const BATCH_ENTRIES: usize = 1024;
/// Bytes in one batch.
const BATCH_BYTES: usize = 1 << 20;

/// A bounded queue that never blocks: an append that does not fit is refused at once.
#[derive(Default)]
pub(crate) struct Backlog {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    appends: VecDeque<Append>,
    bytes: usize,
    closed: bool,
}

impl Backlog {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an append, or refuses it. Returns true if the queue was empty, so that the batch worker has to be woken.
    pub(crate) fn push(&self, append: Append) -> bool {
        let mut waiting = self.lock();
        let weight = append.weight();
        if waiting.closed {
            drop(waiting);
            append.refuse(closed());
            return false;
        }
        if waiting.appends.len() >= ENTRIES || waiting.bytes + weight > BYTES {
            drop(waiting);
            append.refuse(StoreError::Unavailable("too many appends wait for their commit".to_owned()));
            return false;
        }
        waiting.bytes += weight;
        waiting.appends.push_back(append);
        waiting.appends.len() == 1
    }

    /// Takes a batch of queued appends, up to the bounds of one commit.
    pub(crate) fn take(&self) -> Vec<Append> {
        let mut waiting = self.lock();
        let (mut count, mut bytes) = (0, 0);
        for append in waiting.appends.iter().take(BATCH_ENTRIES) {
            if bytes >= BATCH_BYTES {
                break;
            }
            bytes += append.weight();
            count += 1;
        }
        waiting.bytes -= bytes;
        waiting.appends.drain(..count).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().appends.is_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Refuses every append from now on; queued ones may still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// Closes, and refuses the queued appends: no worker takes batches any more.
    pub(crate) fn abandon(&self) {
        self.close();
        loop {
            let batch = self.take();
            if batch.is_empty() {
                return;
            }
            for append in batch {
                append.refuse(closed());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{BATCH_BYTES, BATCH_ENTRIES, BYTES, Backlog, ENTRIES};
    use crate::logs::Append;
    use crate::model::{LogId, NewEntry};

    fn append(bytes: usize, refused: &Arc<AtomicUsize>) -> Append {
        let refused = Arc::clone(refused);
        let reply = Box::new(move |receipt: crate::Result<_>| {
            assert!(matches!(receipt, Err(crate::StoreError::Unavailable(_))));
            refused.fetch_add(1, Ordering::Relaxed);
        });
        Append::new(LogId(1), NewEntry::new(vec![0; bytes]), reply)
    }

    #[test]
    fn a_full_backlog_refuses_at_once_by_entries_and_by_bytes() {
        let refused = Arc::new(AtomicUsize::new(0));
        let many = Backlog::default();
        let woken = (0..ENTRIES + 3).filter(|_| many.push(append(0, &refused))).count();
        assert_eq!((woken, refused.swap(0, Ordering::Relaxed)), (1, 3));
        assert_eq!(many.take().len(), BATCH_ENTRIES);
        let large = Backlog::default();
        for _ in 0..BYTES / (1 << 20) {
            large.push(append(1 << 20, &refused));
        }
        assert_eq!(refused.load(Ordering::Relaxed), 1, "the overhead of each counts too");
        assert_eq!(large.take().len(), 1, "a batch is not over {BATCH_BYTES} bytes, but for its last entry");
        assert!(!large.push(append(1, &refused)) && refused.load(Ordering::Relaxed) == 1, "room again");
    }

    #[test]
    fn a_closed_backlog_is_emptied_and_refuses() {
        let refused = Arc::new(AtomicUsize::new(0));
        let backlog = Backlog::default();
        assert!(backlog.push(append(1, &refused)) && !backlog.push(append(1, &refused)));
        backlog.close();
        assert!(!backlog.push(append(1, &refused)) && backlog.is_closed());
        assert_eq!(refused.load(Ordering::Relaxed), 1);
        assert_eq!(backlog.take().len(), 2);
        assert!(backlog.is_empty());
        backlog.abandon();
    }
}
