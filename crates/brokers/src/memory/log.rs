//! One topic's log in memory.

use super::Shared;
use super::idempotency::{First, key_of};
use super::ring::{Kept, Ring};
use fanfare_core::model::{Client, Epoch, EventMeta};
use fanfare_core::ports::{Appended, EventRef, Lost, NewEvent, Retention, TopicLog};
use parking_lot::Mutex;
use std::sync::Arc;

pub(crate) struct MemoryLog {
    shared: Arc<Shared>,
    ring: Arc<Mutex<Ring>>,
    ring_id: u64,
    epoch: Epoch,
    head: u64,
    owner: Option<Client>,
}

impl MemoryLog {
    pub(crate) fn new(
        shared: Arc<Shared>,
        epoch: Epoch,
        retention: Retention,
        owner: Option<Client>,
    ) -> Self {
        let ring = Arc::new(Mutex::new(Ring::new(retention)));
        let ring_id = shared.register(&ring);
        Self { shared, ring, ring_id, epoch, head: 0, owner }
    }

    /// The client that it counts for while it is parked; none: an API key's or admin's.
    pub(crate) fn owner(&self) -> &Option<Client> {
        &self.owner
    }

    pub(crate) fn ttl_ms(&self) -> u64 {
        self.ring.lock().retention().ttl_ms
    }

    /// Takes over the retention of a topic that comes back with other options.
    pub(crate) fn retain(&mut self, retention: Retention) {
        let freed = self.ring.lock().set_retention(retention);
        self.shared.account(0, freed);
    }
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        let bytes = self.ring.lock().bytes();
        self.shared.forget(self.ring_id, bytes);
    }
}

impl TopicLog for MemoryLog {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn head(&self) -> u64 {
        self.head
    }

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
        let kept = Kept { meta, payload: event.payload.into(), client_id: event.client_id.into() };
        let (added, freed) = self.ring.lock().push(kept, event.now_ms);
        self.shared.account(added, freed);
        Appended::New(meta)
    }

    fn range(&self, after: u64, now_ms: u64, each: &mut dyn FnMut(EventRef<'_>) -> bool) -> Result<(), Lost> {
        if after >= self.head {
            return Ok(());
        }
        let ring = self.ring.lock();
        let oldest = ring.oldest(now_ms).unwrap_or(self.head + 1);
        if after + 1 < oldest {
            return Err(Lost { oldest });
        }
        // Offsets are dense, so the place of the first is known.
        let first = ring.events.front().map_or(oldest, |e| e.meta.offset);
        for event in ring.events.range((after + 1 - first) as usize..) {
            let shown = EventRef { meta: event.meta, payload: &event.payload, client_id: &event.client_id };
            if !each(shown) {
                break;
            }
        }
        Ok(())
    }

    fn oldest(&self, now_ms: u64) -> u64 {
        self.ring.lock().oldest(now_ms).unwrap_or(self.head + 1)
    }
}
