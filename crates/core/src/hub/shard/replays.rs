//! Replays: pulled from the tail as the client reads, joined to the live events without a seam; and deletions.

use super::feeds::Shown;
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
            let Some(topic) = self.first_replay(slot).map(|replay| replay.topic.clone()) else {
                return false;
            };
            if self.pull_replay(slot, &topic, wire, now_ms) {
                return true;
            }
            // It waits for its source: another one's turn.
            self.outbox(slot).replays.rotate_left(1);
        }
        false
    }

    /// Queues the next piece of the first replay. Says whether there was any.
    fn pull_replay(&mut self, slot: u32, topic: &Arc<Topic>, wire: &mut impl Wire, now_ms: u64) -> bool {
        let mut bytes = Vec::new();
        let mut shown = self.pull_before(slot, topic, &mut bytes);
        if shown == Shown::All {
            shown = self.pull_older(slot, topic, &mut bytes, wire);
        }
        if shown != Shown::All {
            let some = !bytes.is_empty();
            self.queue_bytes(slot, Kind::Replay, bytes, 0, 0);
            return some || shown == Shown::Some;
        }
        self.pull_tail(slot, topic, bytes, wire, now_ms)
    }

    /// Queues the next piece of the topic's tail behind `bytes`, and joins the live deliveries at its end. Says whether there was
    /// anything: one that was shown more than live reading has come to waits at the end for the topic's next batch.
    fn pull_tail(
        &mut self,
        slot: u32,
        topic: &Arc<Topic>,
        mut bytes: Vec<u8>,
        wire: &mut impl Wire,
        now_ms: u64,
    ) -> bool {
        let encoder = &self.encoders[usize::from(self.hot[slot as usize].variant)];
        let replay = self.cold[slot as usize].outbox.as_mut().and_then(|o| o.replays.first_mut());
        let Some(Replay { after, offset, before, .. }) = replay else { return false };
        let after = *after;
        let guarded = before.as_ref().is_some_and(|before| !before.shown.is_empty());
        let held = topic.group.as_ref().filter(|_| guarded).map(|group| group.channel.hold());
        let mut state = topic.lock();
        let Some(live) = state.life.live() else {
            drop(state); // deleted: the deletion's own post ends it
            self.end_replay(slot, topic);
            return true;
        };
        let restarts = state.life.restarts().zip(before.as_ref());
        let restarted =
            restarts.map(|(restarts, before)| restarts.since(before.restarted)).unwrap_or_default();
        let (mut last, mut count) = (after, 0);
        let ranged = live.tail.range(after, now_ms, |pos, kept| {
            last = pos;
            if let Kept::Event { meta: EventMeta { offset: at, .. }, .. }
            | Kept::PositionLost { offset: at, .. } = kept
            {
                *offset = *at;
            }
            if let (Some(before), Kept::Record(Some(record))) = (before.as_mut(), kept)
                && !before.take(pos, record, &restarted)
            {
                return true;
            }
            if let Some(delivery) = kept.delivery(&topic.name) {
                encoder.delivery(&delivery, &mut bytes);
                count += 1;
            }
            bytes.len() < REPLAY_CHUNK_BYTES
        });
        let head = live.tail.head().pos;
        let behind =
            |before: &Before| held.as_ref().is_some_and(|held| held.is_behind(&before.shown, &restarted));
        let ahead = before.as_deref().is_some_and(behind);
        drop(held);
        if ranged == Ok(true) && !ahead {
            // Caught up: what is open belongs to the replay and must be posted before this subscriber joins.
            topic.post(&mut state, self.topics.inboxes(), Some(self.config.id));
        }
        drop(state);
        self.counts.deliveries += u64::from(count);
        self.count_sent(slot, count);
        let some = !bytes.is_empty();
        self.queue_bytes(slot, Kind::Replay, bytes, 0, 0);
        match ranged {
            Ok(true) if !ahead => self.join_caught_up(slot, topic, head),
            Ok(all) => {
                if let Some(replay) = self.first_replay(slot) {
                    replay.after = last;
                }
                return some || !all;
            }
            Err(_) if self.begin_again(slot, topic) || self.read_again(slot, topic) => {}
            Err(lost) => self.replay_lost(slot, topic, after, lost, wire),
        }
        true
    }

    fn join_caught_up(&mut self, slot: u32, topic: &Arc<Topic>, head: u64) {
        self.end_replay(slot, topic);
        self.take_inbox();
        if let Some(at) = self.find_id(slot, topic.id) {
            let local = self.cold[slot as usize].subs[at].local;
            self.locals_mut(local).replaying.retain(|s| *s != slot);
            self.cold[slot as usize].subs.swap_remove(at);
            self.join(slot, local, head);
        }
    }

    pub(super) fn first_replay(&mut self, slot: u32) -> Option<&mut Replay> {
        self.cold[slot as usize].outbox.as_mut()?.replays.first_mut()
    }

    /// Takes a topic's replay away. Returns whether its subscription was still waiting for its reply.
    pub(super) fn end_replay(&mut self, slot: u32, topic: &Arc<Topic>) -> bool {
        let Some(outbox) = &mut self.cold[slot as usize].outbox else { return false };
        let Some(at) = outbox.replays.iter().position(|r| r.topic.id == topic.id) else { return false };
        let replay = outbox.replays.remove(at);
        self.give_up(slot, &replay)
    }

    /// The tail moved past a reader that is too slow for it: the topic's policy decides.
    fn replay_lost(&mut self, slot: u32, topic: &Arc<Topic>, after: u64, lost: Lost, wire: &mut impl Wire) {
        if let Some(replay) = self.first_replay(slot) {
            replay.after = lost.oldest - 1;
        }
        self.behind(slot, topic, lost.oldest - after - 1, wire);
    }

    /// This number of events of a replay is gone: the topic's policy decides.
    pub(super) fn behind(&mut self, slot: u32, topic: &Arc<Topic>, missed: u64, wire: &mut impl Wire) {
        match topic.options.backpressure {
            Backpressure::Disconnect => {
                self.end_slow(
                    slot,
                    "the replay fell behind what the topic's history keeps; reconnect and reload",
                    wire,
                );
            }
            Backpressure::DropOldest => {
                self.counts.dropped += missed;
                self.outbox(slot).note_drops(topic.group.as_ref().map(|_| &topic.name), missed);
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

    /// Ends the subscription to a deleted topic, with a notice.
    pub(super) fn end_deleted(&mut self, slot: u32, at: usize, now_ms: u64, out: &mut Vec<u8>) {
        let sub = self.cold[slot as usize].subs.swap_remove(at);
        let topic = self.local(sub.local).topic.clone();
        let waited = self.end_replay(slot, &topic);
        self.settle(slot, sub, u64::MAX, out);
        if !waited {
            let encoder = &self.encoders[usize::from(self.hot[slot as usize].variant)];
            encoder.info(&Info::TopicDeleted { topic: &topic.name }, now_ms, out);
        }
        self.detach(slot, sub);
    }
}
