//! Idempotency keys: the result of each publish with a key, kept for five minutes up to a total number of keys.
//!
//! A key belongs to one life of a topic and to one publisher: a client that guesses a key of the backend gets no result
//! of it.

use fanfare_core::model::{Epoch, EventMeta, Requester};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How long a key is remembered (`protocol.md` 6).
const TTL_MS: u64 = 5 * 60 * 1000;

/// A topic's epoch, and a publisher's key in it ([`Requester::scoped_key`]).
pub(crate) type Key = (Epoch, Arc<str>);

/// The key of a publisher in a topic's epoch.
pub(crate) fn key_of(epoch: Epoch, publisher: &Requester<'_>, key: &str) -> Key {
    (epoch, publisher.scoped_key(key).into())
}

#[derive(Clone, Copy)]
pub(crate) struct First {
    pub(crate) meta: EventMeta,
    pub(crate) delivered: u64,
}

/// Keys in order of arrival: the oldest is removed first, when it expires or when the map is full.
pub(crate) struct Keys {
    max: usize,
    first: HashMap<Key, First>,
    order: VecDeque<(u64, Key)>,
}

impl Keys {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, first: HashMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn get(&mut self, key: &Key, now_ms: u64) -> Option<First> {
        self.sweep(now_ms);
        self.first.get(key).copied()
    }

    pub(crate) fn put(&mut self, key: Key, first: First, now_ms: u64) {
        if self.max == 0 {
            return;
        }
        while self.order.len() >= self.max {
            self.drop_oldest();
        }
        self.order.push_back((now_ms + TTL_MS, key.clone()));
        self.first.insert(key, first);
    }

    pub(crate) fn sweep(&mut self, now_ms: u64) {
        while self.order.front().is_some_and(|(ends, _)| *ends <= now_ms) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.first.remove(&key);
        }
    }
}
