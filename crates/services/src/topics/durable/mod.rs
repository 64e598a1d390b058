//! Durable topics: the store's logs that they follow (`protocol.md` 3.2, `foundation.md` 2).
//!
//! ```text
//! publish ─ Topics (ordered elsewhere) ─ DurableLogs::append ─ Store ─ commit
//!                                                                        │ sink: DurableLogs::committed
//! ack ─ reply <─ after the sink ─ Topics::arrive ─ tail, subscribers <───┘
//! ```
//!
//! A durable topic lives as long as its log. One that never had an event goes with its last subscriber, and its empty log with it.
//! The [`registry`] has the place of every log, so that a topic of an earlier life is subscribed to without asking the store;
//! what is older than a topic's tail is read from the store ([`reading`]). What is beyond a log's bounds is removed in the background
//! ([`retention`]) and is not shown meanwhile.

mod opening;
mod reading;
mod registry;
mod retention;

use crate::clock::unix_ms;
use fanfare_core::hub::{ConnAddr, Turn};
use fanfare_core::model::{ErrorCode, EventMeta, Publish, Refusal, Requester};
use fanfare_core::ports::{
    Arrival, Arrivals, AttachTicket, Attached, Away, DurableLogs as Port, Followed, LogRef, Read, ReadTicket,
    Upstream,
};
use fanfare_core::topics::{Elsewhere, LogRetention, Published};
use fanfare_store::{Committed, LogEntry, LogId, NewEntry, Receipt, Store, StoreError};
use parking_lot::Mutex;
use registry::{Append, Place, Registry, Waiting};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;
use tokio::runtime::Handle;

/// Takes the outcome of a publish; called once, on any thread.
pub type PublishedTo = Box<dyn FnOnce(Result<Published, Refusal>) + Send>;

/// How long a client waits before it tries again what the store could not do, in milliseconds.
const RETRY_MS: u64 = 1000;

/// The topics that follow logs, as [`fanfare_core::topics::Topics`].
pub trait Followers: Send + Sync + std::fmt::Debug {
    /// Events of a log have arrived. Returns the number of subscriptions on this node.
    fn arrive(&self, arrivals: Arrivals<'_>) -> u64;
    /// The place of a log is known, or cannot be.
    fn attached(&self, log: &LogRef, ticket: AttachTicket, at: Result<Attached, Away>, now: Turn);
    /// Events that were asked for are there, or cannot be.
    fn answer(&self, log: &LogRef, ticket: ReadTicket, events: Result<Vec<Arrival>, Away>, now: Turn);
    /// Counts events that were published.
    fn count_published(&self, events: u64);
}

/// See the module's head. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DurableLogs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    runtime: Handle,
    topics: OnceLock<Weak<dyn Followers>>,
    registry: Mutex<Registry>,
    /// Logs whose last append has an unknown outcome: their heads are asked for.
    unsure: Mutex<BTreeSet<LogId>>,
}

impl DurableLogs {
    /// The logs of a store, which reports its commits here from now on.
    pub fn new(store: Store, runtime: Handle) -> Self {
        let (registry, unsure) = (Mutex::default(), Mutex::default());
        let logs = Self(Arc::new(Inner { store, runtime, topics: OnceLock::new(), registry, unsure }));
        let inner = Arc::downgrade(&logs.0);
        let sink = move |groups: Vec<Committed>| {
            if let Some(inner) = inner.upgrade() {
                Self(inner).committed(groups);
            }
        };
        logs.0.store.on_append(Arc::new(sink));
        logs
    }

    /// Names the topics that follow the logs. Only the first call counts.
    pub fn serve(&self, topics: &Arc<dyn Followers>) {
        let _first = self.0.topics.set(Arc::downgrade(topics));
    }

    /// The number of logs and the bytes of their entries.
    pub fn totals(&self) -> (u64, u64) {
        self.0.registry.lock().totals()
    }

    fn topics(&self) -> Option<Arc<dyn Followers>> {
        self.0.topics.get()?.upgrade()
    }

    /// Appends an event to the log of its topic; `reply` gets the outcome after the commit. Events of one thread enter in the order of
    /// its calls.
    pub(super) fn append(
        &self,
        to: &Elsewhere,
        publish: &Publish<'_>,
        client_id: &str,
        by: Requester<'_>,
        reply: PublishedTo,
    ) {
        let entry = NewEntry {
            client_id: Some(client_id.to_owned()),
            user: by.username().map(str::to_owned),
            idempotency: publish.idempotency_key.as_deref().map(|key| (String::new(), by.scoped_key(key))),
            mark: to.excluded.map_or(0, mark_of),
            ..NewEntry::new(publish.payload)
        };
        let append = Append { less: u64::from(to.subscribed), reply };
        self.find_or_wait(&to.topic, Waiting::Append(entry, append));
    }

    fn append_to(&self, place: &Place, entry: NewEntry, append: Append) {
        let (logs, id, subscribers) = (self.clone(), place.id, place.subscribers.clone());
        let Append { less, reply } = append;
        let done = move |receipt: Result<Receipt, StoreError>| {
            reply(match receipt {
                Ok(receipt) => {
                    let meta = EventMeta { id: receipt.id, offset: receipt.seq, at_ms: receipt.at_ms() };
                    let now = subscribers.load(Ordering::Relaxed).saturating_sub(less);
                    let delivered = if receipt.repeated { 0 } else { now };
                    Ok(Published { meta, delivered, durable: true, dirty: None })
                }
                Err(error) => {
                    if matches!(error, StoreError::Unknown(_)) {
                        logs.0.unsure.lock().insert(id);
                    }
                    Err(refusal(&error))
                }
            });
        };
        self.0.store.append_with(id, entry, Box::new(done));
    }

    /// The store has committed entries: those of topics arrive there.
    fn committed(&self, groups: Vec<Committed>) {
        let Some(topics) = self.topics() else { return };
        for group in groups {
            let Some((name, place)) = self.0.registry.lock().committed(&group) else { continue };
            topics.count_published(group.entries.len() as u64);
            let events = group.entries.into_iter().filter_map(|(entry, mark)| arrival(entry, mark)).collect();
            let arrivals = Arrivals { name: &name, epoch: place.epoch, events, head: 0, now: now() };
            place.subscribers.store(topics.arrive(arrivals), Ordering::Relaxed);
        }
    }
}

impl Port for DurableLogs {
    fn follow(&self, topic: &str, keep: LogRetention) -> Followed {
        let (at, next) = self.0.registry.lock().follow(topic, keep, unix_ms());
        self.obey(next);
        Followed { upstream: Arc::new(self.clone()), at }
    }
}

impl Upstream for DurableLogs {
    fn attach(&self, log: &LogRef, ticket: AttachTicket) {
        self.find_or_wait(&log.name, Waiting::Attach(log.clone(), ticket));
    }

    fn read(&self, log: &LogRef, read: Read) {
        let (logs, log) = (self.clone(), log.clone());
        self.0.runtime.spawn(async move {
            let events = logs.read_events(&log.name, read).await;
            if let Some(topics) = logs.topics() {
                topics.answer(&log, read.ticket, events, now());
            }
        });
    }

    fn left(&self, log: &LogRef) {
        self.release(&log.name);
    }
}

fn now() -> Turn {
    Turn { at: Instant::now(), ms: unix_ms() }
}

/// A connection as the mark of an entry; 0 is none.
fn mark_of(conn: ConnAddr) -> u128 {
    u128::from(conn.0) + 1
}

/// An entry as its topic takes it. The payloads of topics are JSON text.
fn arrival(entry: LogEntry, mark: u128) -> Option<Arrival> {
    let excluded = mark.checked_sub(1).and_then(|conn| u64::try_from(conn).ok()).map(ConnAddr);
    let meta = EventMeta { id: entry.id, offset: entry.seq, at_ms: entry.at_ms() };
    let payload = String::from_utf8(entry.payload).ok()?.into_boxed_str();
    let client_id = entry.client_id.unwrap_or_default().into_boxed_str();
    Some(Arrival { meta, payload, client_id, user: entry.user.map(String::into_boxed_str), excluded })
}

pub(super) fn unavailable() -> Refusal {
    let why = "the store that keeps this topic cannot be reached now; try again";
    Refusal::new(ErrorCode::Unavailable, why).field("topic").retry_after(RETRY_MS)
}

/// The refusal of an event that was not acknowledged.
fn refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::NoLog => {
            Refusal::new(ErrorCode::TopicNotFound, "the topic was deleted meanwhile").field("topic")
        }
        StoreError::Unknown(_) => {
            let why = "the store was lost before it confirmed the event, which may be kept or not; repeat it with the same \
                       idempotency_key";
            Refusal::new(ErrorCode::Unavailable, why).field("topic").retry_after(RETRY_MS)
        }
        _ => unavailable(),
    }
}
