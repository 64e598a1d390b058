//! Replays: pulled from the history as the client reads, joined to the live events without a seam; and deletions.

use super::*;

impl<D> Shard<D> {
    /// Pulls replays into an empty queue, and ends them when they have caught up.
    pub fn pull(&mut self, slot: u32, wire: &mut impl Wire, now_ms: u64) {
        for _ in 0..REPLAY_CHUNKS {
            if self.has(slot, ENDING) || !self.has(slot, OPEN) {
                return;
            }
            let Some(outbox) = &self.cold[slot as usize].outbox else { return };
            if outbox.replays.is_empty() || !outbox.is_empty() {
                return;
            }
            if !self.pull_chunk(slot, wire, now_ms) {
                return;
            }
            self.drain(slot, wire);
        }
        if self.cold[slot as usize].outbox.as_ref().is_some_and(|o| !o.replays.is_empty()) {
            self.pulling.push_back(slot);
        }
    }

    /// Queues the next piece of the first replay that has one. Says whether there was any.
    fn pull_chunk(&mut self, slot: u32, wire: &mut impl Wire, now_ms: u64) -> bool {
        let count = self.cold[slot as usize].outbox.as_ref().map_or(0, |o| o.replays.len());
        for _ in 0..count {
            let first = self.cold[slot as usize].outbox.as_ref().and_then(|o| o.replays.first());
            let Some(topic) = first.map(|replay| replay.topic.clone()) else { return false };
            if topic.channel.is_none() {
                self.pull_topic(slot, wire, now_ms);
                return true;
            }
            if self.pull_group(slot, &topic, wire) {
                return true;
            }
            // It waits for its source: another one's turn.
            self.outbox(slot).replays.rotate_left(1);
        }
        false
    }

    fn pull_topic(&mut self, slot: u32, wire: &mut impl Wire, now_ms: u64) {
        let variant = usize::from(self.hot[slot as usize].variant);
        let Some(replay) = self.cold[slot as usize].outbox.as_ref().and_then(|o| o.replays.first()) else {
            return;
        };
        let (topic, after) = (replay.topic.clone(), replay.after);
        let mut state = topic.lock();
        let Some(log) = &state.log else {
            drop(state); // deleted: the deletion's own post ends it
            self.end_replay(slot, &topic);
            return;
        };
        let mut bytes = Vec::new();
        let mut last = after;
        let mut replayed = 0;
        let mut take = |event: EventRef<'_>| {
            let view = EventView {
                topic: &topic.name,
                meta: event.meta,
                payload: event.payload,
                client_id: event.client_id,
            };
            self.encoders[variant].event(&view, &mut bytes);
            self.counts.deliveries += 1;
            replayed += 1;
            last = event.meta.offset;
            bytes.len() < REPLAY_CHUNK_BYTES
        };
        if let Err(lost) = log.range(after, now_ms, &mut take) {
            drop(state);
            self.replay_lost(slot, &topic, after, lost.oldest, wire);
            return;
        }
        let sent = &mut self.hot[slot as usize].sent;
        *sent = sent.wrapping_add(replayed);
        if last < log.head() {
            drop(state);
            self.queue_bytes(slot, Kind::Replay, bytes, 0, 0);
            if let Some(replay) = self.outbox(slot).replays.first_mut() {
                replay.after = last;
            }
            return;
        }
        // Caught up: what is open belongs to the replay and must be posted before this subscriber joins.
        topic.post(&mut state, self.topics.inboxes(), Some(self.config.id));
        drop(state);
        self.queue_bytes(slot, Kind::Replay, bytes, 0, 0);
        self.end_replay(slot, &topic);
        self.take_inbox();
        if let Some(at) = self.find_id(slot, topic.id) {
            let local = self.cold[slot as usize].subs[at].local;
            self.locals_mut(local).replaying.retain(|s| *s != slot);
            self.cold[slot as usize].subs.swap_remove(at);
            self.join(slot, local, last);
        }
    }

    pub(super) fn end_replay(&mut self, slot: u32, topic: &Arc<Topic>) {
        if let Some(outbox) = &mut self.cold[slot as usize].outbox {
            outbox.replays.retain(|r| r.topic.id != topic.id);
        }
    }

    /// The history moved past a reader that is too slow for it: the topic's policy decides.
    pub(super) fn replay_lost(
        &mut self,
        slot: u32,
        topic: &Arc<Topic>,
        after: u64,
        oldest: u64,
        wire: &mut impl Wire,
    ) {
        match topic.options.backpressure {
            Backpressure::Disconnect => {
                self.end_slow(
                    slot,
                    "the replay fell behind what the topic's history keeps; reconnect and reload",
                    wire,
                );
            }
            Backpressure::DropOldest => {
                let missed = oldest - after - 1;
                self.counts.dropped += missed;
                let outbox = self.outbox(slot);
                outbox.note_drops(topic.channel.as_ref().map(|_| &topic.name), missed);
                if let Some(replay) = outbox.replays.first_mut() {
                    replay.after = oldest - 1;
                }
            }
        }
    }

    pub(super) fn tell_deleted(
        &mut self,
        local: u32,
        wire: &mut impl Wire,
        mut budget: usize,
        now_ms: u64,
    ) -> (usize, bool) {
        while budget > 0 {
            let entry = self.local(local);
            let next = entry
                .list
                .last()
                .copied()
                .or(entry.joins.last().map(|j| j.slot))
                .or(entry.replaying.last().copied());
            let Some(slot) = next else { return (budget, true) };
            budget -= 1;
            let mut out = Vec::new();
            if let Some(at) = self.cold[slot as usize].subs.iter().position(|s| s.local == local) {
                self.end_deleted(slot, at, now_ms, &mut out);
            }
            self.reply(slot, &out, 1, wire);
        }
        (0, false)
    }

    /// Ends the subscription to a deleted topic and tells so.
    pub(super) fn end_deleted(&mut self, slot: u32, at: usize, now_ms: u64, out: &mut Vec<u8>) {
        let sub = self.cold[slot as usize].subs.swap_remove(at);
        let topic = self.local(sub.local).topic.clone();
        self.end_replay(slot, &topic);
        self.settle(slot, sub, u64::MAX, out);
        let encoder = &self.encoders[usize::from(self.hot[slot as usize].variant)];
        encoder.info(&Info::TopicDeleted { topic: &topic.name }, now_ms, out);
        self.detach(slot, sub);
    }
}
