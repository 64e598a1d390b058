//! Subscriptions to feed channels: entering with a snapshot or a replay, and slow readers of conflating channels.
//!
//! A conflating group's reader that does not take all it is sent leaves the list and reads the group's ring, in which newer
//! records have replaced those of their key, until it has caught up: the way back is that of every replay.
//!
//! A replay can show more than live reading has come to: after a crash the group may hold the dead member for seconds, the log is
//! read meanwhile, and live reading begins at an older commit. Such a subscription reads the ring too, without the records it
//! was shown, and joins the list when live reading has come that far ([`Before::shown`]).

use super::*;
use crate::feeds::{
    ChannelOptions, FeedRecord, GroupSpec, Lookup, Positions, Prelude, Snapshot, Taken, Wish, raise,
};

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
        by: Requester<'_>,
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
        let wish = Wish { spec, options, seat: self.seat(slot), by };
        let entered = self.topics.enter_group(channel, &wish, lookup)?;
        let local = self.local_of(&entered.topic);
        self.take_inbox();
        let (shown, restarted) = (Positions::new(), entered.restarted);
        let before = match replay {
            Some(mut prelude) => {
                prelude.show(None, &entered.positions);
                Before { prelude, positions: entered.positions, shown, restarted, done: false }
            }
            None if !entered.snapshot.is_empty() => {
                let prelude = Box::new(Snapshot(entered.snapshot.into()));
                Before { prelude, positions: Positions::new(), shown, restarted, done: false }
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
        let head = self.topics.leave(&topic, self.seat(slot), now_ms);
        self.part(slot, at, head, out);
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
        self.pull_ring(slot, topic, after, bytes, wire)
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
                    raise(
                        &mut before.shown,
                        records.iter().map(|r| ((r.topic.clone(), r.partition), r.offset)),
                    );
                }
                Taken::Missed(count) => {
                    // Told in front of what comes next, so what is before it goes first.
                    self.counts.dropped += count;
                    self.outbox(slot).note_drops(Some(&topic.name), count);
                    return Shown::Some;
                }
                Taken::Later => return Shown::Waits,
                Taken::End => {
                    raise(&mut before.shown, before.prelude.seen());
                    before.done = true;
                    return Shown::All;
                }
            }
        }
        Shown::Some
    }

    /// Queues the next piece of the group's ring behind `bytes`, and joins the live records at its end. Says whether there was
    /// anything: one that was shown more than live reading has come to waits at the end for the group's next batch.
    fn pull_ring(
        &mut self,
        slot: u32,
        topic: &Arc<Topic>,
        after: u64,
        mut bytes: Vec<u8>,
        wire: &mut impl Wire,
    ) -> bool {
        let encoder = &self.encoders[usize::from(self.hot[slot as usize].variant)];
        let mut before =
            self.cold[slot as usize].outbox.as_mut().and_then(|o| o.replays.first_mut()?.before.as_mut());
        let guarded = before.as_ref().is_some_and(|before| !before.shown.is_empty());
        let held = topic.channel.as_ref().filter(|_| guarded).map(|channel| channel.hold());
        let mut state = topic.lock();
        let Some(ring) = &state.ring else { unreachable!("a group has its ring while somebody subscribes") };
        let anew = before.as_ref().map(|before| ring.restarts(before.restarted)).unwrap_or_default();
        let (mut last, mut count) = (after, 0);
        let ranged = ring.range(after, |offset, record| {
            last = offset;
            if before.as_mut().is_none_or(|before| before.take(offset, record, &anew)) {
                encoder.record(&record.body, &mut bytes);
                count += 1;
            }
            bytes.len() < REPLAY_CHUNK_BYTES
        });
        let head = ring.head();
        let ahead = held.zip(before).is_some_and(|(held, before)| held.is_behind(&before.shown, &anew));
        if ranged == Ok(true) && !ahead {
            // Caught up: what is open belongs to the replay and must be posted before this subscriber joins.
            topic.post(&mut state, self.topics.inboxes(), Some(self.config.id));
        }
        drop(state);
        self.counts.deliveries += count;
        let some = !bytes.is_empty();
        self.queue_bytes(slot, Kind::Replay, bytes, 0, 0);
        match ranged {
            Ok(true) if !ahead => self.join_caught_up(slot, topic, head),
            Ok(all) => {
                self.advance_replay(slot, last);
                return some || !all;
            }
            Err(lost) => self.ring_lost(slot, topic, after, lost.oldest, wire),
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
            before.forget_restarted(topic);
            // A partition that had given nothing when it entered: all it gave since is its own.
            for (partition, first) in begun {
                before.positions.entry(partition).or_insert(first - 1);
            }
            raise(&mut before.positions, before.shown.clone());
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

    /// After a flush: those that were shown more than live reading had come to look whether it has now.
    pub(super) fn make_ahead_pull(&mut self, local: u32) {
        let Some(entry) = self.locals[local as usize].as_ref().filter(|e| e.topic.channel.is_some()) else {
            return;
        };
        self.pulling.extend(entry.replaying.iter());
    }

    /// Tells a batch's group that this shard is done with it.
    pub(super) fn told_flushed(&self, batch: &Batch) {
        if let Some(group) = &batch.group {
            self.topics.flushed(group, self.config.id);
        }
    }
}

impl Before {
    /// Whether a ring's record is to be shown; it counts as shown then. `anew` are the logs that began anew, with the ring's head
    /// when they did.
    fn take(&mut self, offset: u64, record: &FeedRecord, anew: &BTreeMap<(Arc<str>, i32), u64>) -> bool {
        let at = (record.topic.clone(), record.partition);
        let old = anew.get(&at).is_none_or(|head| offset <= *head);
        if old && self.shown.get(&at).is_some_and(|shown| record.offset <= *shown) {
            return false;
        }
        self.positions.insert(at, record.offset);
        true
    }

    /// Drops positions in logs that are no more.
    fn forget_restarted(&mut self, topic: &Topic) {
        let state = topic.lock();
        let Some(ring) = &state.ring else { return };
        for at in ring.restarts(self.restarted).keys() {
            self.shown.remove(at);
            self.positions.remove(at);
        }
        self.restarted = ring.restarted();
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
