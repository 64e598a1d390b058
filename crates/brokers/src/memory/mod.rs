//! The in-process broker: logs in memory, bounded in events, bytes and time.
//!
//! Each live topic owns a [`log::MemoryLog`]; when its last subscriber leaves, the log is parked here for its `ttl` and
//! its epoch goes on if the topic comes back. Three bounds hold whatever publishers do: each log's own (events, bytes,
//! time), the bytes of all logs together (the oldest events of all go first), and the number of idempotency keys.

mod clock;
mod idempotency;
mod log;
mod parked;
mod ring;

use clock::IdClock;
use fanfare_core::model::Epoch;
use fanfare_core::ports::{Broker, Claim, Retention, TopicLog};
use idempotency::Keys;
use log::MemoryLog;
use parked::Parked;
use parking_lot::Mutex;
use ring::Ring;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
    shared: Arc<Shared>,
    parked: Mutex<Parked>,
}

/// What all logs of a broker share.
pub(crate) struct Shared {
    limits: MemoryLimits,
    pub(crate) clock: IdClock,
    pub(crate) keys: Mutex<Keys>,
    total: AtomicUsize,
    rings: Mutex<HashMap<u64, Arc<Mutex<Ring>>>>,
    next_ring: AtomicU64,
    evicting: Mutex<()>,
}

impl std::fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryBroker").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

impl MemoryBroker {
    /// A broker without topics. `node` tells this node's event ids from others'.
    pub fn new(limits: MemoryLimits, node: u64) -> Self {
        let shared = Shared {
            limits,
            clock: IdClock::new(node),
            keys: Mutex::new(Keys::new(limits.idempotency_keys)),
            total: AtomicUsize::new(0),
            rings: Mutex::default(),
            next_ring: AtomicU64::new(0),
            evicting: Mutex::new(()),
        };
        Self { shared: Arc::new(shared), parked: Mutex::default() }
    }

    /// Bytes all histories hold.
    pub fn history_bytes(&self) -> usize {
        self.shared.total.load(Ordering::Relaxed)
    }
}

impl Broker for MemoryBroker {
    fn open(
        &self,
        topic: &str,
        retention: Retention,
        claim: &Claim,
        now_ms: u64,
    ) -> Option<Box<dyn TopicLog>> {
        let mut parked = self.parked.lock();
        // Its own parked log is taken out first: room is not made by forgetting what is just coming back.
        let found = parked.take(topic).filter(|(_, ends)| *ends > now_ms);
        let room = parked.make_room(claim);
        drop(parked);
        match found {
            Some((mut log, _)) => {
                log.retain(retention);
                Some(Box::new(log))
            }
            None if room => {
                let owner = claim.client.clone();
                Some(Box::new(MemoryLog::new(self.shared.clone(), new_epoch(), retention, owner)))
            }
            None => None,
        }
    }

    fn park(&self, topic: &str, log: Box<dyn TopicLog>, now_ms: u64) {
        let log: Box<dyn std::any::Any> = log;
        if let Ok(log) = log.downcast::<MemoryLog>() {
            self.parked.lock().put(topic.into(), *log, now_ms);
        }
    }

    fn forget(&self, topic: &str, now_ms: u64) -> bool {
        let found = self.parked.lock().take(topic);
        found.is_some_and(|(_, ends)| ends > now_ms)
    }

    fn sweep(&self, now_ms: u64) {
        self.parked.lock().end_until(now_ms);
        self.shared.keys.lock().sweep(now_ms);
        let rings: Vec<_> = self.shared.rings.lock().values().cloned().collect();
        for ring in rings {
            let freed = ring.lock().expire(now_ms);
            self.shared.total.fetch_sub(freed, Ordering::Relaxed);
        }
    }
}

impl Shared {
    pub(crate) fn register(&self, ring: &Arc<Mutex<Ring>>) -> u64 {
        let id = self.next_ring.fetch_add(1, Ordering::Relaxed);
        self.rings.lock().insert(id, ring.clone());
        id
    }

    pub(crate) fn forget(&self, id: u64, bytes: usize) {
        self.rings.lock().remove(&id);
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Notes a log's change in bytes and evicts when all together hold too much. No ring may be locked by the caller.
    pub(crate) fn account(&self, added: usize, freed: usize) {
        let before = self.total.fetch_add(added, Ordering::Relaxed);
        self.total.fetch_sub(freed, Ordering::Relaxed);
        if before + added - freed.min(before + added) > self.limits.history_bytes {
            self.evict();
        }
    }

    /// Drops the oldest events of all topics until an eighth of the room is free, so that the next run is far off.
    fn evict(&self) {
        let _one_at_a_time = self.evicting.lock();
        let goal = self.limits.history_bytes - self.limits.history_bytes / 8;
        if self.total.load(Ordering::Relaxed) <= self.limits.history_bytes {
            return; // another publisher did it meanwhile
        }
        let rings: Vec<_> = self.rings.lock().values().cloned().collect();
        let mut by_age: BinaryHeap<(std::cmp::Reverse<u64>, usize)> = rings
            .iter()
            .enumerate()
            .filter_map(|(at, ring)| Some((std::cmp::Reverse(ring.lock().oldest_at()?), at)))
            .collect();
        while self.total.load(Ordering::Relaxed) > goal {
            let Some((_, at)) = by_age.pop() else { return };
            let next = by_age.peek().map_or(u64::MAX, |(age, _)| age.0);
            let mut ring = rings[at].lock();
            let mut freed = 0;
            while self.total.load(Ordering::Relaxed) - freed > goal
                && ring.oldest_at().is_some_and(|a| a <= next)
            {
                freed += ring.pop();
            }
            self.total.fetch_sub(freed, Ordering::Relaxed);
            if let Some(age) = ring.oldest_at() {
                by_age.push((std::cmp::Reverse(age), at));
            }
        }
    }
}

/// A new epoch: random, so that no two lives of a topic, on any node, are taken for one.
fn new_epoch() -> Epoch {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        // Without the system's random source the clock still tells two lives apart.
        let nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        return Epoch(nanos as u64);
    }
    Epoch(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests;
