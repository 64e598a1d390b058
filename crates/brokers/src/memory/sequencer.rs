//! The order of one topic.

use super::Shared;
use super::idempotency::{First, key_of};
use fanfare_core::model::{Epoch, EventMeta};
use fanfare_core::ports::{Appended, NewEvent, Sequencer};
use std::sync::Arc;

pub(super) struct MemorySequencer {
    shared: Arc<Shared>,
    epoch: Epoch,
    head: u64,
}

impl std::fmt::Debug for MemorySequencer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemorySequencer").field("head", &self.head).finish_non_exhaustive()
    }
}

impl MemorySequencer {
    pub(super) fn new(shared: Arc<Shared>, epoch: Epoch) -> Self {
        Self { shared, epoch, head: 0 }
    }
}

impl Sequencer for MemorySequencer {
    fn append(&mut self, event: &NewEvent<'_>) -> Appended {
        let key = event.idempotency_key.map(|key| key_of(self.epoch, &event.publisher, key));
        if let Some(key) = &key
            && let Some(first) = self.shared.keys.lock().get(key, event.now_ms)
        {
            return Appended::Repeat { meta: first.meta, delivered: first.delivered };
        }
        self.head += 1;
        let id = self.shared.clock.next(event.now_ms);
        let meta = EventMeta { id, offset: self.head, at_ms: event.now_ms };
        if let Some(key) = key {
            let first = First { meta, delivered: event.delivered };
            self.shared.keys.lock().put(key, first, event.now_ms);
        }
        Appended::New(meta)
    }
}
