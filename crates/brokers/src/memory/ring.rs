//! The kept events of one topic, oldest first.

use fanfare_core::model::EventMeta;
use fanfare_core::ports::Retention;
use std::collections::VecDeque;

/// What an event costs beside its texts, in bytes.
const OVERHEAD: usize = 96;

pub(crate) struct Kept {
    pub(crate) meta: EventMeta,
    pub(crate) payload: Box<str>,
    pub(crate) client_id: Box<str>,
}

impl Kept {
    fn cost(&self) -> usize {
        self.payload.len() + self.client_id.len() + OVERHEAD
    }
}

pub(crate) struct Ring {
    pub(crate) events: VecDeque<Kept>,
    bytes: usize,
    retention: Retention,
}

impl Ring {
    pub(crate) fn new(retention: Retention) -> Self {
        Self { events: VecDeque::new(), bytes: 0, retention }
    }

    /// Appends; answers the bytes added and those freed for it.
    pub(crate) fn push(&mut self, event: Kept, now_ms: u64) -> (usize, usize) {
        let mut freed = self.expire(now_ms);
        let added = event.cost();
        if self.retention.size == 0 || added > self.retention.bytes {
            // It cannot be kept, and nothing older may then pretend to be gapless.
            freed += self.clear();
            return (0, freed);
        }
        while self.events.len() >= self.retention.size || self.bytes + added > self.retention.bytes {
            freed += self.pop();
        }
        self.bytes += added;
        self.events.push_back(event);
        (added, freed)
    }

    /// Drops the oldest; answers its bytes.
    pub(crate) fn pop(&mut self) -> usize {
        let freed = self.events.pop_front().map_or(0, |e| e.cost());
        self.bytes -= freed;
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        freed
    }

    /// Drops what is past its time; answers the bytes.
    pub(crate) fn expire(&mut self, now_ms: u64) -> usize {
        let mut freed = 0;
        while self.events.front().is_some_and(|e| self.is_past(e, now_ms)) {
            freed += self.pop();
        }
        freed
    }

    /// Offset of the oldest event within its time.
    pub(crate) fn oldest(&self, now_ms: u64) -> Option<u64> {
        self.events.iter().find(|e| !self.is_past(e, now_ms)).map(|e| e.meta.offset)
    }

    pub(crate) fn oldest_at(&self) -> Option<u64> {
        self.events.front().map(|e| e.meta.at_ms)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn retention(&self) -> Retention {
        self.retention
    }

    pub(crate) fn set_retention(&mut self, retention: Retention) -> usize {
        self.retention = retention;
        let mut freed = 0;
        while self.events.len() > retention.size || self.bytes > retention.bytes {
            freed += self.pop();
        }
        freed
    }

    fn clear(&mut self) -> usize {
        let freed = self.bytes;
        self.events = VecDeque::new();
        self.bytes = 0;
        freed
    }

    fn is_past(&self, event: &Kept, now_ms: u64) -> bool {
        event.meta.at_ms.saturating_add(self.retention.ttl_ms) <= now_ms
    }
}
