//! Subscriptions to feed channels: entering with a snapshot or a replay, and slow readers of conflating channels.
//!
//! A conflating group's reader that does not take all it is sent leaves the list and reads the group's ring, in which newer
//! records have replaced those of their key, until it has caught up: the way back is that of every replay.

use super::*;
use crate::feeds::{ChannelOptions, FeedRecord, GroupSpec, Lookup, Positions, Prelude, Snapshot, Taken};

/// Where a subscription to a channel begins.
pub enum FeedStart<'a> {
    /// With what is delivered from now on.
    Live,
    /// With the channel's latest records, as the lookup judges them.
    Snapshot(&'a mut dyn Lookup),
    /// With what the source's own log holds.
    Replay(Box<dyn Prelude>),
}

impl std::fmt::Debug for FeedStart<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FeedStart::Live => "Live",
            FeedStart::Snapshot(_) => "Snapshot",
            FeedStart::Replay(_) => "Replay",
        })
    }
}

impl<D> Shard<D> {
    /// Subscribes to a channel as a member of the group `spec`. Answers false, and changes nothing, if the connection hears
    /// the channel already. A snapshot or replay follows when the caller has sent the reply and calls [`Shard::pull`].
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`, `SERVER_SHUTDOWN`.
    pub fn subscribe_feed(
        &mut self,
        slot: u32,
        channel: &str,
        spec: &Arc<GroupSpec>,
        options: ChannelOptions,
        start: FeedStart<'_>,
    ) -> Result<bool, Refusal> {
        if self.find_feed(slot, channel).is_some() {
            return Ok(false);
        }
        self.check_room(slot)?;
        let (lookup, replay) = match start {
            FeedStart::Live => (None, None),
            FeedStart::Snapshot(lookup) => (Some(lookup), None),
            FeedStart::Replay(prelude) => (None, Some(prelude)),
        };
        let entered = self.topics.enter_group(channel, spec, options, self.seat(slot), lookup)?;
        let local = self.local_of(&entered.topic);
        self.take_inbox();
        let before = match replay {
            Some(mut prelude) => {
                prelude.show(None, &entered.positions);
                Before { prelude, positions: entered.positions, done: false }
            }
            None if !entered.snapshot.is_empty() => {
                let prelude = Box::new(Snapshot(entered.snapshot.into()));
                Before { prelude, positions: Positions::new(), done: false }
            }
            None => {
                self.join(slot, local, entered.head);
                return Ok(true);
            }
        };
        self.locals_mut(local).replaying.push(slot);
        self.cold[slot as usize].subs.push(Sub { local, place: REPLAYING });
        let before = Some(Box::new(before));
        self.outbox(slot).replays.push(Replay { topic: entered.topic, after: entered.head, before });
        self.pulling.push_back(slot);
        Ok(true)
    }

    /// Ends a subscription to a channel: what was delivered before is put before the reply. Answers whether there was one.
    pub fn unsubscribe_feed(&mut self, slot: u32, channel: &str, now_ms: u64, out: &mut Vec<u8>) -> bool {
        let Some(at) = self.find_feed(slot, channel) else { return false };
        let sub = self.cold[slot as usize].subs[at];
        let topic = self.local(sub.local).topic.clone();
        self.topics.leave(&topic, self.seat(slot), now_ms);
        self.take_inbox();
        self.settle(slot, sub, out);
        let sub = self.cold[slot as usize].subs.swap_remove(at);
        self.detach(slot, sub);
        true
    }

    /// Whether the connection hears a channel.
    pub fn hears_feed(&self, slot: u32, channel: &str) -> bool {
        self.find_feed(slot, channel).is_some()
    }

    /// A prelude of the connection has something to take.
    pub fn poke(&mut self, slot: u32) {
        if self.has(slot, OPEN) && self.cold[slot as usize].outbox.as_ref().is_some_and(|o| o.is_empty()) {
            self.pulling.push_back(slot);
        }
    }

    /// Queues the next piece of what a channel's subscriber is shown before its live records. Says whether there was any.
    pub(super) fn pull_group(&mut self, slot: u32, topic: &Arc<Topic>, wire: &mut impl Wire) -> bool {
        let mut bytes = Vec::new();
        let Some(replay) = self.first_replay(slot) else { return false };
        let (after, mut before) = (replay.after, replay.before.take());
        let shown = match &mut before {
            Some(before) if !before.done => self.pull_prelude(slot, before, topic, &mut bytes),
            _ => Shown::All,
        };
        if let Some(replay) = self.first_replay(slot) {
            replay.before = before;
        }
        if shown != Shown::All {
            let some = !bytes.is_empty();
            self.queue_bytes(slot, Kind::Replay, bytes, 0, 0);
            return some || shown == Shown::Some;
        }
        self.pull_ring(slot, topic, after, bytes, wire);
        true
    }

    fn first_replay(&mut self, slot: u32) -> Option<&mut Replay> {
        self.cold[slot as usize].outbox.as_mut()?.replays.first_mut()
    }

    fn pull_prelude(&mut self, slot: u32, before: &mut Before, topic: &Topic, bytes: &mut Vec<u8>) -> Shown {
        let variant = usize::from(self.hot[slot as usize].variant);
        while bytes.len() < REPLAY_CHUNK_BYTES {
            match before.prelude.take() {
                Taken::Records(records) => {
                    self.counts.deliveries += records.len() as u64;
                    records.iter().for_each(|r| self.encoders[variant].record(&r.body, bytes));
                }
                Taken::Missed(count) => {
                    // Told in front of what comes next, so what is before it goes first.
                    self.counts.dropped += count;
                    self.outbox(slot).note_drops(Some(&topic.name), count);
                    return Shown::Some;
                }
                Taken::Later => return Shown::Waits,
                Taken::End => {
                    before.done = true;
                    return Shown::All;
                }
            }
        }
        Shown::Some
    }

    /// Queues the next piece of the group's ring behind `bytes`, and joins the live records at its end.
    fn pull_ring(
        &mut self,
        slot: u32,
        topic: &Arc<Topic>,
        after: u64,
        mut bytes: Vec<u8>,
        wire: &mut impl Wire,
    ) {
        let variant = usize::from(self.hot[slot as usize].variant);
        let encoder = &self.encoders[variant];
        let mut before =
            self.cold[slot as usize].outbox.as_mut().and_then(|o| o.replays.first_mut()?.before.as_mut());
        let (mut last, mut count) = (after, 0);
        let mut take = |offset: u64, record: &Arc<FeedRecord>| {
            let seen = before.as_ref().and_then(|b| b.prelude.seen(&record.topic, record.partition));
            if seen.is_some_and(|seen| record.offset <= seen) {
                last = offset;
                return true;
            }
            encoder.record(&record.body, &mut bytes);
            if let Some(before) = &mut before {
                before.positions.insert((record.topic.clone(), record.partition), record.offset);
            }
            (last, count) = (offset, count + 1);
            bytes.len() < REPLAY_CHUNK_BYTES
        };
        let mut state = topic.lock();
        let ranged = state.ring.as_ref().map(|ring| (ring.range(after, &mut take), ring.head()));
        let Some((ranged, head)) = ranged else {
            unreachable!("a group has its ring while somebody subscribes")
        };
        if ranged == Ok(true) {
            // Caught up: what is open belongs to the replay and must be posted before this subscriber joins.
            topic.post(&mut state, self.topics.inboxes(), Some(self.config.id));
        }
        drop(state);
        self.counts.deliveries += count;
        self.queue_bytes(slot, Kind::Replay, bytes, 0, 0);
        match ranged {
            Ok(false) => self.advance_replay(slot, last),
            Err(lost) => self.ring_lost(slot, topic, after, lost.oldest, wire),
            Ok(true) => {
                self.end_replay(slot, topic);
                self.take_inbox();
                if let Some(at) = self.find_id(slot, topic.id) {
                    let local = self.cold[slot as usize].subs[at].local;
                    self.locals_mut(local).replaying.retain(|s| *s != slot);
                    self.cold[slot as usize].subs.swap_remove(at);
                    self.join(slot, local, head);
                }
            }
        }
    }

    fn advance_replay(&mut self, slot: u32, last: u64) {
        if let Some(replay) = self.first_replay(slot) {
            replay.after = last;
        }
    }

    /// The ring moved past a reader: its prelude begins again from where it is, or the policy decides.
    fn ring_lost(&mut self, slot: u32, topic: &Arc<Topic>, after: u64, oldest: u64, wire: &mut impl Wire) {
        let Some(channel) = &topic.channel else { return };
        let (head, begun, until) = self.topics.group_position(topic, channel);
        if let Some(replay) = self.first_replay(slot)
            && let Some(before) = &mut replay.before
        {
            // A partition that had given nothing when it entered: all it gave since is its own.
            for (partition, first) in begun {
                before.positions.entry(partition).or_insert(first - 1);
            }
            if before.prelude.show(Some(&before.positions), &until) {
                before.positions.extend(until);
                before.done = false;
                replay.after = head;
                return;
            }
        }
        self.replay_lost(slot, topic, after, oldest, wire);
    }

    /// Notes a conflating channel's reader that did not take all it was sent: only the frame under way stays queued.
    pub(super) fn lag(&mut self, slot: u32, span: &Span) {
        let kept = usize::from(span.is_cut());
        let after = span.batch.first + (span.next + kept) as u64 - 1;
        self.counts.deliveries -= (span.messages() - kept) as u64;
        self.lagging.push((self.addr(slot), after));
        if let Some(frame) = span.frame_under_way() {
            let outbox = self.outbox(slot);
            let before = outbox.bytes();
            outbox.push_anyway(frame);
            self.queued_bytes = self.queued_bytes + self.outbox(slot).bytes() - before;
        }
        self.want_writable(slot);
    }

    /// After a flush: those that lag behind leave the list and read the ring.
    pub(super) fn make_lagging_pull(&mut self, local: u32) {
        for (addr, after) in std::mem::take(&mut self.lagging) {
            let Some(slot) = self.slot_of(addr) else { continue };
            let Some(at) = self.cold[slot as usize].subs.iter().position(|s| s.local == local) else {
                continue;
            };
            let place = self.cold[slot as usize].subs[at].place;
            // It may have left and come back meanwhile; then it is not in the list.
            if self.has(slot, ENDING) || place == JOINING || place == REPLAYING {
                continue;
            }
            let Some(entry) = self.locals[local as usize].as_mut() else { continue };
            let topic = entry.topic.clone();
            let cold = &mut self.cold;
            entry.remove(place, 0, |moved, place| {
                if let Some(s) = cold[moved as usize].subs.iter_mut().find(|s| s.local == local) {
                    s.place = place;
                }
            });
            entry.replaying.push(slot);
            self.cold[slot as usize].subs[at].place = REPLAYING;
            self.outbox(slot).replays.push(Replay { topic, after, before: None });
            self.pulling.push_back(slot);
        }
    }

    /// Tells a batch's group that this shard is done with it.
    pub(super) fn told_flushed(&self, batch: &Batch) {
        if let Some(group) = &batch.group {
            self.topics.flushed(group, self.config.id);
        }
    }
}

/// How far a prelude came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// A piece; there is more.
    Some,
    /// It waits for its source.
    Waits,
    /// All of it.
    All,
}
