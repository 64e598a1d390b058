//! Reports of upstreams: events that arrived, the place of a log, and events that were requested. See [`super::follow`].

use super::chain::Chain;
use super::door::Door;
use super::follow::{Asking, Follow, HOLD_MS, Next, RETRY_MS};
use super::publish::MAX_OPEN_BYTES;
use super::registry::Topics;
use super::topic::{Live, Owner, State, Topic};
use crate::hub::{Backpressure, Came, Post, Turn};
use crate::ports::{Arrival, Arrivals, AttachTicket, Attached, Away, LogRef, Read, ReadTicket};
use std::sync::Arc;

/// The parts of a followed topic whose lock is held.
struct Parts<'a> {
    door: Door<'a>,
    chain: &'a mut Chain,
    follow: &'a mut Follow,
    in_flight: usize,
}

impl Parts<'_> {
    fn head(&self) -> u64 {
        self.door.tail.head().offset
    }

    /// Lets an event in if it is the next one, drops it if it has been in, and holds it otherwise.
    fn accept(&mut self, event: Arrival, now: Turn) {
        let next = self.head() + 1;
        if event.meta.offset > next || (event.meta.offset == next && !self.has_room()) {
            self.follow.hold(event);
        } else if event.meta.offset == next {
            self.door.event(event, now);
        }
    }

    /// Whether the shards keep up. If not, what is let go is read when they have.
    fn has_room(&mut self) -> bool {
        self.follow.behind = self.in_flight > 0 && self.door.open.bytes() > MAX_OPEN_BYTES;
        !self.follow.behind
    }

    /// Lets in what is held and follows, then decides about a hole that is left.
    fn settle(&mut self, now: Turn) -> Next {
        while self.follow.is_following() && self.has_room() {
            let Some(event) = self.follow.take_up_to(self.head() + 1) else { break };
            self.accept(event, now);
        }
        self.follow.about_hole(self.head(), now.ms)
    }

    /// Events that were read enter. Fewer than asked for are followed by another read; a beginning that is missing is lost.
    fn read(&mut self, events: Vec<Arrival>, until: u64, now: Turn) -> Next {
        let first = events.first().map(|event| event.meta.offset);
        if self.head() < until && first.is_none_or(|first| first > self.head() + 1) {
            self.follow.lost = true;
            return self.follow.ask_where();
        }
        events.into_iter().for_each(|event| self.accept(event, now));
        self.follow.due_ms = now.ms;
        self.settle(now)
    }

    /// The upstream has said where the log is. Returns the position if what follows ours cannot be had.
    fn attached(&mut self, at: Attached) -> Option<u64> {
        let Attached { chain, head } = at;
        let ours = (self.chain.epoch(), self.head());
        let end = if chain.epoch() == ours.0 { Some(head) } else { chain.closed_at(ours.0) };
        let continues = !self.follow.lost && end.is_some_and(|end| ours.1 <= end);
        let first = !std::mem::replace(&mut self.follow.attached, true);
        (self.follow.asking, self.follow.lost) = (Asking::No, false);
        if self.follow.held_epoch.replace(chain.epoch()) != Some(chain.epoch()) {
            self.follow.forget_held();
        }
        self.follow.seen = self.follow.seen.max(head);
        *self.chain = chain;
        if first {
            self.door.tail.begin_at(head);
        }
        (!first && !continues).then_some(head)
    }
}

impl<D> Topics<D> {
    fn parts<'a>(&'a self, topic: &'a Topic, state: &'a mut State) -> Option<Parts<'a>> {
        let State { life, open, seats, in_flight } = state;
        let Live { chain, tail, owner: Owner::Elsewhere(follow), published, .. } = life.live_mut()? else {
            return None;
        };
        let door = Door::new(topic, &self.encoders, (tail, published), (open, seats));
        Some(Parts { door, chain, follow, in_flight: *in_flight })
    }

    /// The topic that follows a log, if it is still the one that asked.
    fn follower(&self, log: &LogRef) -> Option<Arc<Topic>> {
        self.get(&log.name).filter(|topic| topic.id == log.topic)
    }

    /// Events of a log have arrived, in any order, perhaps not for the first time. Returns the number of subscriptions on this node.
    pub fn arrive(&self, arrivals: Arrivals<'_>) -> u64 {
        let Arrivals { name, epoch, events, head, now } = arrivals;
        let Some(topic) = self.get(name) else { return 0 };
        let mut state = topic.lock();
        let Some(mut parts) = self.parts(&topic, &mut state) else { return 0 };
        let next = if !parts.follow.is_following() {
            parts.follow.hold_all(epoch, events);
            Next::Nothing
        } else if epoch == parts.chain.epoch() {
            parts.follow.due_ms = hole_due(&parts, now.ms);
            parts.follow.seen = parts.follow.seen.max(head);
            events.into_iter().for_each(|event| parts.accept(event, now));
            parts.settle(now)
        } else if parts.chain.closed_at(epoch).is_some() {
            Next::Nothing // of before
        } else {
            parts.follow.hold_all(epoch, events);
            parts.follow.ask_where()
        };
        self.obey(&topic, &mut state, next);
        state.seats.count()
    }

    /// The upstream has said where a log is, or that it cannot.
    pub fn attached(&self, log: &LogRef, ticket: AttachTicket, at: Result<Attached, Away>, now: Turn) {
        let Some(topic) = self.follower(log) else { return };
        let mut state = topic.lock();
        let Some(mut parts) = self.parts(&topic, &mut state) else { return };
        if (parts.follow.asking, parts.follow.asked) != (Asking::Asked, ticket.0) {
            return;
        }
        let first = !parts.follow.attached;
        let next = match at {
            Err(Away) => {
                parts.follow.asking = if first { Asking::No } else { Asking::At(now.ms + RETRY_MS) };
                Next::Nothing
            }
            Ok(at) => {
                let lost = parts.attached(at);
                if let Some(offset) = lost {
                    topic.post(&mut state, &self.inboxes, None);
                    let Some(mut parts) = self.parts(&topic, &mut state) else { return };
                    parts.door.moved(parts.chain.epoch(), offset, now);
                    topic.post_as(&mut state, Backpressure::Disconnect, &self.inboxes, None);
                }
                let Some(mut parts) = self.parts(&topic, &mut state) else { return };
                parts.follow.due_ms = now.ms;
                parts.settle(now)
            }
        };
        if first {
            // Before the batches that follow: subscriptions that waited for this begin here.
            for shard in state.seats.shards() {
                self.inboxes[shard].push(Post::Upstream(Came::Attached { topic: topic.id }), false);
            }
        }
        self.obey(&topic, &mut state, next);
    }

    /// The upstream brings events that were asked for, or cannot.
    pub fn answer(&self, log: &LogRef, ticket: ReadTicket, events: Result<Vec<Arrival>, Away>, now: Turn) {
        if let Some(reader) = ticket.reader {
            let post =
                Post::Upstream(Came::Events { reader, topic: log.topic, serial: ticket.serial, events });
            if let Some(inbox) = self.inboxes.get(usize::from(reader.shard())) {
                inbox.push(post, false);
            }
            return;
        }
        let Some(topic) = self.follower(log) else { return };
        let mut state = topic.lock();
        let Some(mut parts) = self.parts(&topic, &mut state) else { return };
        let Some((_, until)) = parts.follow.reading.filter(|(serial, _)| *serial == ticket.serial) else {
            return;
        };
        parts.follow.reading = None;
        let next = match events {
            Ok(events) => parts.read(events, until, now),
            Err(Away) => {
                parts.follow.due_ms = now.ms + RETRY_MS;
                Next::Nothing
            }
        };
        self.obey(&topic, &mut state, next);
    }

    /// Asks again, after a while, for what a subscription reads back.
    pub(crate) fn read_later(&self, topic: &Arc<Topic>, read: Read, now_ms: u64) {
        self.postponed.lock().push((now_ms + RETRY_MS, topic.clone(), read));
        self.watch();
    }

    /// What a followed topic let go for want of room is read now that its shards have caught up.
    pub(crate) fn catch_up(&self, topic: &Arc<Topic>, state: &mut State, now: Turn) {
        let Some(mut parts) = self.parts(topic, state) else { return };
        if std::mem::take(&mut parts.follow.behind) {
            parts.follow.due_ms = now.ms;
            let next = parts.settle(now);
            self.obey(topic, state, next);
        }
    }

    /// Registers what is called when [`Self::is_watching`] becomes true. Only the first call counts.
    pub fn on_watch(&self, call: Box<dyn Fn() + Send + Sync>) {
        let _first = self.on_watch.set(call);
    }

    fn watch(&self) {
        if let Some(call) = self.on_watch.get() {
            call();
        }
    }

    /// Whether [`Self::tick`] has something to look at.
    pub fn is_watching(&self) -> bool {
        !self.watched.lock().is_empty() || !self.postponed.lock().is_empty()
    }

    /// Looks at holes that have been open too long, and at upstreams that were away. Called every few milliseconds.
    pub fn tick(&self, now: Turn) {
        let due: Vec<_> = self.postponed.lock().extract_if(.., |(at, ..)| *at <= now.ms).collect();
        due.iter().for_each(|(_, topic, read)| self.read(topic, *read));
        let watched = std::mem::take(&mut *self.watched.lock());
        for topic in watched {
            let mut state = topic.lock();
            let Some(mut parts) = self.parts(&topic, &mut state) else { continue };
            parts.follow.watched = false;
            let next = parts.settle(now);
            self.obey(&topic, &mut state, next);
        }
    }

    /// Posts what has entered, asks the upstream, and notes that there is something to look at later.
    fn obey(&self, topic: &Arc<Topic>, state: &mut State, next: Next) {
        self.post_paced(topic, state);
        let Some(parts) = self.parts(topic, state) else { return };
        let (follow, log) = (parts.follow, topic.log_ref());
        match next {
            Next::Nothing => {}
            Next::Attach => follow.upstream.attach(&log, AttachTicket(follow.asked)),
            Next::Read { after, until } => {
                let ticket = ReadTicket { reader: None, serial: follow.serial };
                let epoch = parts.chain.epoch();
                follow.upstream.read(&log, Read { ticket, epoch, after, until });
            }
        }
        if !follow.watched && follow.is_pending(parts.door.tail.head().offset) {
            follow.watched = true;
            self.watched.lock().push(topic.clone());
            self.watch();
        }
    }
}

/// When a hole is read: [`HOLD_MS`] after it was first seen.
fn hole_due(parts: &Parts<'_>, now_ms: u64) -> u64 {
    if parts.head() < parts.follow.seen { parts.follow.due_ms } else { now_ms + HOLD_MS }
}
