//! Commands of a connection: what takes effect at once, under the topic's lock.

use super::*;
use crate::topics::{Entered, Mark, away};

impl<D> Shard<D> {
    /// Carries out `subscribe` on behalf of `by`. A replay follows when the caller has sent the reply and calls [`Shard::pull`]; where the
    /// reply comes later, [`Shard::proceed`].
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`, `SERVER_SHUTDOWN`.
    pub fn subscribe(
        &mut self,
        slot: u32,
        command: &Subscribe<'_>,
        by: Requester<'_>,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<Answer, Refusal> {
        let name = command.topic.as_str();
        if let Some(at) = self.find(slot, Space::Topic, name) {
            let sub = self.cold[slot as usize].subs[at];
            let topic = &self.local(sub.local).topic;
            let durable = topic.options.durable.is_some();
            let position = topic.lock().life.live().map(Live::position);
            if let Some(position) = position {
                let topic = name.to_owned().into();
                let (epoch, offset) = position.ok_or_else(away)?;
                return Ok(Answer::Now(Reply::Subscribed(Subscribed {
                    topic,
                    epoch,
                    offset,
                    recovered: None,
                    history: None,
                    already: true,
                    durable,
                })));
            }
            // The last posts of the old life may not have been taken: they come before the end.
            self.take_inbox();
            self.end_deleted(slot, at, now_ms, out);
        }
        self.check_room(slot)?;
        let Entered { topic, begin } =
            self.topics.enter(name, self.seat(slot), &command.start, by, now_ms)?;
        let Begin::At(start) = begin else {
            return Ok(Answer::Later(self.wait_to_begin(slot, topic, begin, &command.start)));
        };
        let durable = topic.options.durable.is_some();
        // The local topic first: a batch that another shard posts from now on is already ours.
        let local = self.local_of(&topic);
        self.take_inbox();
        if let Some(Mark { pos: after, offset }) = start.replay_after {
            self.locals_mut(local).replaying.push(slot);
            self.cold[slot as usize].subs.push(Sub { local, place: REPLAYING });
            self.outbox(slot).replays.push(Replay { topic, after, offset, before: None, older: None });
            self.pulling.push_back(slot);
        } else {
            self.join(slot, local, start.head.pos);
        }
        Ok(Answer::Now(Reply::Subscribed(start.reply(name, durable))))
    }

    /// Refuses a connection that has as many subscriptions as it may.
    pub(super) fn check_room(&self, slot: u32) -> Result<(), Refusal> {
        let max = self.config.max_subscriptions;
        let subs = &self.cold[slot as usize].subs;
        let counted = |sub: &&Sub| self.local(sub.local).topic.space.is_counted();
        if subs.len() < max || subs.iter().filter(counted).count() < max {
            return Ok(());
        }
        let why = format!("a connection may subscribe to {max} topics and feeds (limits.max_subscriptions)");
        Err(Refusal::new(ErrorCode::LimitExceeded, why))
    }

    /// Carries out `unsubscribe`: what was published before is put before the reply, nothing comes after it.
    pub fn unsubscribe(
        &mut self,
        slot: u32,
        command: &Unsubscribe<'_>,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Reply<'static> {
        let name = command.topic.as_str();
        let topic = name.to_owned().into();
        let Some(at) = self.find(slot, Space::Topic, name) else {
            return Reply::Unsubscribed { topic, already: true };
        };
        let sub = self.cold[slot as usize].subs[at];
        let gone = self.local(sub.local).topic.clone();
        if gone.is_gone() {
            self.take_inbox(); // its last posts
            self.end_deleted(slot, at, now_ms, out);
            return Reply::Unsubscribed { topic, already: true };
        }
        let head = self.topics.leave(&gone, self.seat(slot), now_ms);
        self.part(slot, at, head, out);
        Reply::Unsubscribed { topic, already: false }
    }

    /// Carries out `publish` for a connection.
    ///
    /// # Errors
    /// `TOPIC_NOT_FOUND`, `LIMIT_EXCEEDED`, `SERVER_SHUTDOWN`; [`NotPublished::Elsewhere`].
    pub fn publish(
        &mut self,
        slot: u32,
        command: &Publish<'_>,
        client_id: &str,
        publisher: Requester<'_>,
        now_ms: u64,
    ) -> Result<Published, NotPublished> {
        let exclude = command
            .exclude_self
            .then(|| (self.addr(slot), self.find(slot, Space::Topic, command.topic.as_str()).is_some()));
        self.publish_as(command, client_id, publisher, exclude, now_ms)
    }

    /// Publishes in this shard's turn for any caller; `exclude` is a connection that is not sent the event, and whether it is
    /// subscribed.
    ///
    /// # Errors
    /// As [`Shard::publish`].
    pub fn publish_as(
        &mut self,
        command: &Publish<'_>,
        client_id: &str,
        publisher: Requester<'_>,
        exclude: Option<(ConnAddr, bool)>,
        now_ms: u64,
    ) -> Result<Published, NotPublished> {
        // A subscription may be to a life of the name that is gone, so what counts is the topic it is to.
        let own = exclude
            .filter(|(_, subscribed)| *subscribed)
            .and_then(|(addr, _)| self.slot_of(addr))
            .and_then(|slot| {
                Some(
                    self.cold[slot as usize].subs[self.find(slot, Space::Topic, command.topic.as_str())?]
                        .local,
                )
            })
            .map(|local| self.local(local).topic.id);
        let publishing = Publishing {
            topic: command.topic.as_str(),
            payload: command.payload,
            client_id,
            idempotency_key: command.idempotency_key.as_deref(),
            publisher,
            exclude,
            shard: Some(self.config.id),
            now_ms,
            at: self.now.at,
        };
        let mut published = self.topics.publish_from(&publishing, own)?;
        self.dirty.extend(published.dirty.take());
        Ok(published)
    }

    /// Whether the connection is subscribed to the topic.
    pub fn is_subscribed(&self, slot: u32, topic: &str) -> bool {
        self.find(slot, Space::Topic, topic).is_some()
    }
}
