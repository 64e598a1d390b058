//! The bound that the histories of all topics of a node share.
//!
//! Every tail counts its bytes here. When all together hold too much, the oldest events of all topics go.

use super::tail::Ring;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The histories of a node and the bytes they may hold together.
#[derive(Debug)]
pub struct Histories {
    max_bytes: usize,
    total: AtomicUsize,
    rings: Mutex<HashMap<u64, Arc<Mutex<Ring>>>>,
    next: AtomicU64,
    evicting: Mutex<()>,
}

/// A tail's entry in [`Histories`].
#[derive(Debug)]
pub(super) struct Account {
    histories: Arc<Histories>,
    id: u64,
    ring: Arc<Mutex<Ring>>,
}

impl Histories {
    /// No histories, and the bytes they may hold together.
    pub fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            max_bytes,
            total: AtomicUsize::new(0),
            rings: Mutex::default(),
            next: AtomicU64::new(0),
            evicting: Mutex::new(()),
        })
    }

    /// Bytes they hold.
    pub fn bytes(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    pub(super) fn register(self: &Arc<Self>, ring: &Arc<Mutex<Ring>>) -> Account {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.rings.lock().insert(id, ring.clone());
        Account { histories: self.clone(), id, ring: ring.clone() }
    }

    #[cfg(test)]
    pub(super) fn rings_are_gone(&self) -> bool {
        self.rings.lock().is_empty()
    }

    /// Drops what is past its time.
    pub fn expire(&self, now_ms: u64) {
        let rings: Vec<_> = self.rings.lock().values().cloned().collect();
        for ring in rings {
            let freed = ring.lock().expire(now_ms);
            self.total.fetch_sub(freed, Ordering::Relaxed);
        }
    }

    /// Drops the oldest events of all topics until an eighth of the room is free, so that the next run is far off.
    fn evict(&self) {
        let _one_at_a_time = self.evicting.lock();
        let goal = self.max_bytes - self.max_bytes / 8;
        if self.total.load(Ordering::Relaxed) <= self.max_bytes {
            return; // another publisher did it meanwhile
        }
        let rings: Vec<_> = self.rings.lock().values().cloned().collect();
        let mut by_age: BinaryHeap<(Reverse<u64>, usize)> = rings
            .iter()
            .enumerate()
            .filter_map(|(at, ring)| Some((Reverse(ring.lock().oldest_at()?), at)))
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
                by_age.push((Reverse(age), at));
            }
        }
    }
}

impl Account {
    /// Notes a tail's change in bytes, and evicts when all together hold too much. No ring may be locked by the caller.
    pub(super) fn note(&self, added: usize, freed: usize) {
        let histories = &self.histories;
        let before = histories.total.fetch_add(added, Ordering::Relaxed);
        histories.total.fetch_sub(freed, Ordering::Relaxed);
        if before + added - freed.min(before + added) > histories.max_bytes {
            histories.evict();
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let bytes = self.ring.lock().bytes();
        self.histories.rings.lock().remove(&self.id);
        self.histories.total.fetch_sub(bytes, Ordering::Relaxed);
    }
}
