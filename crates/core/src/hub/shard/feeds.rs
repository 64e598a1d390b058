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
    /// Subscribes to a channel as a member of the group `spec`. Returns false, and changes nothing, if the connection is subscribed to
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
        if self.find(slot, Space::Feed, channel).is_some() {
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
        self.outbox(slot).replays.push(Replay {
            topic: entered.topic,
            after: entered.head,
            offset: 0,
            before,
            older: None,
        });
        self.pulling.push_back(slot);
        Ok(true)
    }

    /// Ends a subscription to a channel: what was delivered before is put before the reply. Answers whether there was one.
    pub fn unsubscribe_feed(&mut self, slot: u32, channel: &str, now_ms: u64, out: &mut Vec<u8>) -> bool {
        let Some(at) = self.find(slot, Space::Feed, channel) else { return false };
        let sub = self.cold[slot as usize].subs[at];
        let topic = self.local(sub.local).topic.clone();
        let head = self.topics.leave(&topic, self.seat(slot), now_ms);
        self.part(slot, at, head, out);
        true
    }

    /// Whether the connection is subscribed to a channel.
    pub fn is_subscribed_to_feed(&self, slot: u32, channel: &str) -> bool {
        self.find(slot, Space::Feed, channel).is_some()
    }

    /// A prelude of the connection has something to take.
    pub fn poke(&mut self, slot: u32) {
        if self.has(slot, OPEN) && self.cold[slot as usize].outbox.as_ref().is_some_and(|o| o.is_empty()) {
            self.pulling.push_back(slot);
        }
    }

    /// Shows what comes before a channel's live records, as far as there is some and it fits in `bytes`.
    pub(super) fn pull_before(&mut self, slot: u32, topic: &Topic, bytes: &mut Vec<u8>) -> Shown {
        let Some(mut before) = self.first_replay(slot).and_then(|replay| replay.before.take()) else {
            return Shown::All;
        };
        let shown = if before.done { Shown::All } else { self.pull_prelude(slot, &mut before, topic, bytes) };
        if let Some(replay) = self.first_replay(slot) {
            replay.before = Some(before);
        }
        shown
    }

    fn pull_prelude(&mut self, slot: u32, before: &mut Before, topic: &Topic, bytes: &mut Vec<u8>) -> Shown {
        let variant = usize::from(self.hot[slot as usize].variant);
        while bytes.len() < REPLAY_CHUNK_BYTES {
            match before.prelude.take() {
                Taken::Records(records) => {
                    self.counts.deliveries += records.len() as u64;
                    records.iter().for_each(|r| self.encoders[variant].delivery(&r.delivery(), bytes));
                    raise(
                        &mut before.shown,
                        records.iter().map(|r| ((r.topic.clone(), r.partition), r.offset)),
                    );
                }
                Taken::Missed(count) => {
                    // Sent in front of what comes next, so what is before it goes first.
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

    /// The tail moved past a reader whose prelude can begin again from where it is: lets it do that. Returns whether it does.
    pub(super) fn begin_again(&mut self, slot: u32, topic: &Arc<Topic>) -> bool {
        let Some(group) = &topic.group else { return false };
        let (head, begun, until) = self.topics.group_position(topic, &group.channel);
        let Some(replay) = self.first_replay(slot) else { return false };
        let Some(before) = &mut replay.before else { return false };
        before.forget_restarted(topic);
        // A partition that had given nothing when it entered: all it gave since is its own.
        for (partition, first) in begun {
            before.positions.entry(partition).or_insert(first - 1);
        }
        raise(&mut before.positions, before.shown.clone());
        if !before.prelude.show(Some(&before.positions), &until) {
            return false;
        }
        before.positions.extend(until);
        before.done = false;
        replay.after = head;
        true
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
            // It may have left and subscribed again meanwhile; then it is not in the list.
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
            self.outbox(slot).replays.push(Replay { topic, after, offset: 0, before: None, older: None });
            self.pulling.push_back(slot);
        }
    }

    /// After a flush: those that were shown more than live reading had come to look whether it has now.
    pub(super) fn make_ahead_pull(&mut self, local: u32) {
        let Some(entry) = self.locals[local as usize].as_ref().filter(|e| e.topic.group.is_some()) else {
            return;
        };
        self.pulling.extend(entry.replaying.iter());
    }

    /// Notifies a batch's topic that this shard has flushed it, if the topic is paced.
    pub(super) fn told_flushed(&self, batch: &Batch) {
        if let Some(topic) = &batch.paced {
            self.topics.flushed(topic, self.config.id, self.now);
        }
    }
}

impl Before {
    /// Whether a record at position `pos` is to be shown; it counts as shown then. `restarted` are the logs that began again, with
    /// the group's head when they did.
    pub(super) fn take(
        &mut self,
        pos: u64,
        record: &FeedRecord,
        restarted: &BTreeMap<(Arc<str>, i32), u64>,
    ) -> bool {
        let at = (record.topic.clone(), record.partition);
        let old = restarted.get(&at).is_none_or(|head| pos <= *head);
        if old && self.shown.get(&at).is_some_and(|shown| record.offset <= *shown) {
            return false;
        }
        self.positions.insert(at, record.offset);
        true
    }

    /// Drops positions in logs that are no more.
    fn forget_restarted(&mut self, topic: &Topic) {
        let state = topic.lock();
        let Some(restarts) = state.life.restarts() else { return };
        for at in restarts.since(self.restarted).keys() {
            self.shown.remove(at);
            self.positions.remove(at);
        }
        self.restarted = restarts.count();
    }
}

/// How far a prelude came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// A piece; there is more.
    Some,
    /// It waits for its source.
    Waits,
    /// All of it.
    All,
}
