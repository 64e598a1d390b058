//! Where each durable topic's log is, without IO: which log a name has, its head and its bounds, and what waits for a log.
//!
//! ```text
//! (none) ─follow, append─> Opening ─opened─> Open ─last subscriber of an empty log leaves─> Dropping ─dropped─> (none), or Opening
//! ```
//!
//! What must hold: what waits for a log gets it in the order of the calls; a log is dropped only while no topic follows it and it has
//! no entries; the head is that of the last commit that was reported.

mod bounds;

use super::PublishedTo;
use fanfare_core::model::Epoch;
use fanfare_core::ports::{AttachTicket, Attached, LogRef};
use fanfare_core::topics::{Chain, LogRetention};
use fanfare_store::{LogHead, LogId, NewEntry};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::oneshot;

/// Bytes that may wait for logs to be opened: the store bounds what waits in open ones.
const WAITING_BYTES: usize = 64 << 20;
/// What waits counts this much beside a payload.
const WAITING_OVERHEAD: usize = 256;

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: HashMap<Arc<str>, Entry>,
    names: HashMap<LogId, Arc<str>>,
    /// Logs with more entries or bytes than they keep.
    over: BTreeSet<LogId>,
    /// When the oldest entry of a log is past its time.
    due: BTreeSet<(u64, LogId)>,
    /// Bytes of all logs.
    bytes: u64,
    /// Bytes of what waits for logs to be opened.
    waiting_bytes: usize,
}

#[derive(Debug)]
enum Entry {
    Opening(Opening),
    Open(OpenLog),
    /// An empty log without a topic is removed; what came since begins another one.
    Dropping(Option<Opening>),
}

/// A log that is found or created.
#[derive(Debug, Default)]
struct Opening {
    keep: LogRetention,
    /// A topic follows it.
    followed: bool,
    waiting: Vec<Waiting>,
}

/// What waits for a log.
#[derive(Debug)]
pub(super) enum Waiting {
    /// A topic asks where the log is.
    Attach(LogRef, AttachTicket),
    /// An event, and who gets its outcome.
    Append(NewEntry, Append),
    /// A caller that needs the log to be there.
    Opened(oneshot::Sender<Place>),
}

impl Waiting {
    fn bytes(&self) -> usize {
        match self {
            Self::Append(entry, _) => entry.payload.len() + WAITING_OVERHEAD,
            Self::Attach(..) | Self::Opened(_) => WAITING_OVERHEAD,
        }
    }
}

/// What became of something that needs a log.
#[derive(Debug)]
pub(super) enum Wait {
    /// The log is there.
    Found(Found, Waiting),
    /// It waits for the log.
    Noted(Next),
    /// Too much waits already.
    Full(Waiting),
}

/// An event on its way into a log.
pub(super) struct Append {
    /// The connection that is not sent it is subscribed.
    pub(super) less: u64,
    pub(super) reply: PublishedTo,
}

impl std::fmt::Debug for Append {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Append").field("less", &self.less).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct OpenLog {
    place: Place,
    head: u64,
    first: u64,
    bytes: u64,
    followed: bool,
    due: Option<u64>,
}

/// An open log.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) id: LogId,
    pub(super) epoch: Epoch,
    pub(super) keep: LogRetention,
    /// Subscriptions to the topic when its newest event entered.
    pub(super) subscribers: Arc<AtomicU64>,
}

/// A log and its place.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) head: u64,
}

impl Found {
    pub(super) fn attached(&self) -> Attached {
        Attached { chain: Chain::new(self.place.epoch), head: self.head }
    }
}

/// What there is to do in the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// Find or create the log of this name.
    Open(Arc<str>),
    /// Remove this log.
    Drop(Arc<str>, LogId),
}

impl Registry {
    /// A topic of this name follows its log. Returns where that is, if it is known.
    pub(super) fn follow(&mut self, name: &str, keep: LogRetention, now_ms: u64) -> (Option<Attached>, Next) {
        match self.entries.get_mut(name) {
            Some(Entry::Open(log)) => {
                (log.followed, log.place.keep) = (true, keep);
                let (id, at) =
                    (log.place.id, Attached { chain: Chain::new(log.place.epoch), head: log.head });
                self.look_at_first(id, now_ms);
                (Some(at), Next::Nothing)
            }
            Some(Entry::Opening(opening)) => {
                (opening.followed, opening.keep) = (true, keep);
                (None, Next::Nothing)
            }
            Some(Entry::Dropping(next)) => {
                let opening = next.get_or_insert_default();
                (opening.followed, opening.keep) = (true, keep);
                (None, Next::Nothing)
            }
            None => {
                let name: Arc<str> = name.into();
                let opening = Opening { keep, followed: true, waiting: Vec::new() };
                self.entries.insert(name.clone(), Entry::Opening(opening));
                (None, Next::Open(name))
            }
        }
    }

    /// The log of this name, or what waits for it is noted and it is opened.
    pub(super) fn find_or_wait(&mut self, name: &str, wait: Waiting) -> Wait {
        if let Some(Entry::Open(log)) = self.entries.get(name) {
            return Wait::Found(log.found(), wait);
        }
        if self.waiting_bytes + wait.bytes() > WAITING_BYTES {
            return Wait::Full(wait);
        }
        self.waiting_bytes += wait.bytes();
        match self.entries.get_mut(name) {
            Some(Entry::Opening(opening)) => opening.waiting.push(wait),
            Some(Entry::Dropping(next)) => next.get_or_insert_default().waiting.push(wait),
            _ => {
                let name: Arc<str> = name.into();
                let opening = Opening { waiting: vec![wait], ..Opening::default() };
                self.entries.insert(name.clone(), Entry::Opening(opening));
                return Wait::Noted(Next::Open(name));
            }
        }
        Wait::Noted(Next::Nothing)
    }

    /// The open log of this name.
    pub(super) fn find(&self, name: &str) -> Option<Found> {
        match self.entries.get(name) {
            Some(Entry::Open(log)) => Some(log.found()),
            _ => None,
        }
    }

    /// A log of an earlier life, which no topic follows so far.
    pub(super) fn load(&mut self, head: &LogHead, now_ms: u64) {
        self.insert(head.name.as_str().into(), head, &Opening::default(), now_ms);
    }

    /// The store has the log that was to be opened. Returns it with what waited for it; if nothing needs it any more, it goes again.
    pub(super) fn opened(
        &mut self,
        name: &Arc<str>,
        head: &LogHead,
        now_ms: u64,
    ) -> (Option<(Found, Vec<Waiting>)>, Next) {
        let Some(Entry::Opening(mut opening)) = self.entries.remove(name) else {
            return (None, Next::Nothing);
        };
        let waiting = std::mem::take(&mut opening.waiting);
        self.waiting_bytes -= waiting.iter().map(Waiting::bytes).sum::<usize>();
        self.insert(name.clone(), head, &opening, now_ms);
        let is_needed = waiting.iter().any(|wait| !matches!(wait, Waiting::Attach(..)));
        let next = if is_needed { Next::Nothing } else { self.drop_if_unused(name) };
        let found = self.find(name);
        (found.map(|found| (found, waiting)), next)
    }

    fn insert(&mut self, name: Arc<str>, head: &LogHead, opening: &Opening, now_ms: u64) {
        let place = Place { id: head.id, epoch: head.epoch, keep: opening.keep, subscribers: Arc::default() };
        let (first, bytes) = (head.first, head.bytes);
        let log = OpenLog { place, head: head.head, first, bytes, followed: opening.followed, due: None };
        self.bytes += bytes;
        self.names.insert(head.id, name.clone());
        self.entries.insert(name, Entry::Open(log));
        self.look_at_first(head.id, now_ms);
    }

    /// The store could not open the log. Returns what waited for it.
    pub(super) fn not_opened(&mut self, name: &str) -> Vec<Waiting> {
        if !matches!(self.entries.get(name), Some(Entry::Opening(_))) {
            return Vec::new();
        }
        let Some(Entry::Opening(opening)) = self.entries.remove(name) else { return Vec::new() };
        self.waiting_bytes -= opening.waiting.iter().map(Waiting::bytes).sum::<usize>();
        opening.waiting
    }

    /// No topic follows the log any more. An empty one goes.
    pub(super) fn left(&mut self, name: &str) -> Next {
        match self.entries.get_mut(name) {
            Some(Entry::Opening(opening)) => opening.followed = false,
            Some(Entry::Dropping(Some(next))) => next.followed = false,
            Some(Entry::Open(log)) => {
                log.followed = false;
                return self.drop_if_unused(name);
            }
            _ => {}
        }
        Next::Nothing
    }

    /// Removes a log that nothing follows and that never had an entry.
    fn drop_if_unused(&mut self, name: &str) -> Next {
        let Some((name, Entry::Open(log))) = self.entries.get_key_value(name) else { return Next::Nothing };
        if log.followed || log.head > 0 {
            return Next::Nothing;
        }
        let (name, id) = (name.clone(), log.place.id);
        self.forget(id);
        self.entries.insert(name.clone(), Entry::Dropping(None));
        Next::Drop(name, id)
    }

    /// The store has dropped the log of this name.
    pub(super) fn dropped(&mut self, name: &Arc<str>) -> Next {
        match self.entries.remove(name) {
            Some(Entry::Dropping(Some(opening))) => {
                self.entries.insert(name.clone(), Entry::Opening(opening));
                Next::Open(name.clone())
            }
            Some(Entry::Dropping(None)) | None => Next::Nothing,
            Some(other) => {
                self.entries.insert(name.clone(), other);
                Next::Nothing
            }
        }
    }

    /// The log is deleted with its topic.
    pub(super) fn delete(&mut self, name: &str) {
        if let Some(Entry::Open(log)) = self.entries.get(name) {
            let id = log.place.id;
            self.forget(id);
            self.entries.remove(name);
        }
    }

    fn forget(&mut self, id: LogId) {
        self.over.remove(&id);
        let name = self.names.remove(&id);
        if let Some(Entry::Open(log)) = name.and_then(|name| self.entries.get(&name)) {
            self.bytes -= log.bytes;
            if let Some(due) = log.due {
                self.due.remove(&(due, id));
            }
        }
    }

    /// Logs, and the bytes of their entries.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.names.len() as u64, self.bytes)
    }
}

impl OpenLog {
    fn found(&self) -> Found {
        Found { place: self.place.clone(), head: self.head }
    }
}

#[cfg(test)]
mod tests;
