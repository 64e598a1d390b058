//! The in-process broker: order in memory, histories bounded in events, bytes and time.
//!
//! Each live topic has a [`sequencer::MemorySequencer`] and its tail; when its last subscriber leaves, both are parked
//! here for their `ttl`, and the epoch continues if the topic is opened again. Three bounds always hold: each tail's
//! own (events, bytes, time), the bytes of all tails together (the oldest events of all are dropped first), and the
//! number of idempotency keys.

mod clock;
mod idempotency;
mod parked;
mod sequencer;

use clock::IdClock;
use fanfare_core::model::Epoch;
use fanfare_core::ports::{Broker, Claim, DurableLogs, Followed, Log, Opened};
use fanfare_core::topics::{Chain, Histories, Tail, TopicOptions};
use idempotency::Keys;
use parked::Parked;
use parking_lot::Mutex;
use sequencer::MemorySequencer;
use std::sync::Arc;

/// Bounds over all topics of a node.
#[derive(Clone, Copy, Debug)]
pub struct MemoryLimits {
    /// `topics.history_total_bytes`.
    pub history_bytes: usize,
    /// `limits.idempotency_keys`.
    pub idempotency_keys: usize,
}

/// The in-process broker.
pub struct MemoryBroker {
    limits: MemoryLimits,
    shared: Arc<Shared>,
    histories: Arc<Histories>,
    parked: Mutex<Parked>,
    /// The logs of durable topics; without them, durable topics live in memory as others do.
    logs: Option<Arc<dyn DurableLogs>>,
}

/// The state shared by all sequencers of a broker.
struct Shared {
    clock: IdClock,
    keys: Mutex<Keys>,
}

impl std::fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryBroker").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl MemoryBroker {
    /// Creates a broker without topics. `node` distinguishes this node's event ids from those of other nodes.
    pub fn new(limits: MemoryLimits, node: u64) -> Self {
        let keys = Mutex::new(Keys::new(limits.idempotency_keys));
        let shared = Arc::new(Shared { clock: IdClock::new(node), keys });
        let histories = Histories::new(limits.history_bytes);
        Self { limits, shared, histories, parked: Mutex::default(), logs: None }
    }

    /// Adds the logs that hold durable topics.
    #[must_use]
    pub fn with_logs(mut self, logs: Arc<dyn DurableLogs>) -> Self {
        self.logs = Some(logs);
        self
    }

    /// The bound over the histories of all topics together, including those backed by logs.
    pub fn histories(&self) -> &Arc<Histories> {
        &self.histories
    }

    /// The bytes that all histories hold.
    pub fn history_bytes(&self) -> usize {
        self.histories.bytes()
    }
}

impl Broker for MemoryBroker {
    fn open(&self, topic: &str, options: &TopicOptions, claim: &Claim, now_ms: u64) -> Option<Opened> {
        let retention = options.retention;
        let mut parked = self.parked.lock();
        // The topic's own parked log is taken out first, so that making room does not evict the log being reopened.
        let found = parked.take(topic).filter(|(_, ends)| *ends > now_ms);
        let room = parked.make_room(claim);
        drop(parked);
        match found {
            Some((mut log, _)) => {
                log.tail.retain(retention);
                Some(Opened::Here(log))
            }
            None if !room => None,
            None if let Some((logs, keep)) = self.logs.as_ref().zip(options.durable) => {
                let Followed { upstream, at } = logs.follow(topic, keep);
                Some(Opened::Elsewhere { upstream, tail: Tail::new(retention, &self.histories), at })
            }
            None => {
                let epoch = new_epoch();
                Some(Opened::Here(Log {
                    chain: Chain::new(epoch),
                    tail: Tail::new(retention, &self.histories),
                    sequencer: Box::new(MemorySequencer::new(self.shared.clone(), epoch)),
                    client: claim.client.clone(),
                }))
            }
        }
    }

    fn park(&self, topic: &str, log: Log, now_ms: u64) {
        self.parked.lock().put(topic.into(), log, now_ms);
    }

    fn forget(&self, topic: &str, now_ms: u64) -> bool {
        let found = self.parked.lock().take(topic);
        found.is_some_and(|(_, ends)| ends > now_ms)
    }

    fn sweep(&self, now_ms: u64) {
        self.parked.lock().end_until(now_ms);
        self.shared.keys.lock().sweep(now_ms);
        self.histories.expire(now_ms);
    }
}

/// A new epoch: random, so that two lives of a topic, on any node, have different epochs.
fn new_epoch() -> Epoch {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        // Without the system's random source the clock still distinguishes two lives.
        let nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        return Epoch(nanos as u64);
    }
    Epoch(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests;
