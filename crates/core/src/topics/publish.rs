//! Publishing: an event gets its offset, is kept, and enters the open batch, under the topic's lock.

use super::begin::away;
use super::registry::{Making, Topics, not_found};
use super::topic::{Life, Owner, State, Topic};
use crate::hub::{ConnAddr, Turn};
use crate::model::{Delivery, EventMeta, EventView, Refusal, Requester};
use crate::ports::{Appended, NewEvent};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// An open batch is posted at once when it reaches this, so that no turn can grow it without bound.
pub(crate) const MAX_OPEN_BYTES: usize = 256 * 1024;
/// How long a followed topic stays for the first event that was published to it: longer than an append can take.
const LINGER_MS: u64 = 120_000;

/// A publish on its way in.
#[derive(Clone, Copy, Debug)]
pub struct Publishing<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The payload's JSON.
    pub payload: &'a str,
    /// Shown as the event's `client_id`.
    pub client_id: &'a str,
    /// Repeats of the same publisher answer the first ack.
    pub idempotency_key: Option<&'a str>,
    /// Who publishes; a user's name is shown as the event's `user`.
    pub publisher: Requester<'a>,
    /// A connection that must not be sent it, and whether it is subscribed.
    pub exclude: Option<(ConnAddr, bool)>,
    /// The shard whose turn this is; it closes the batch at the turn's end. `None`: the batch is closed at once.
    pub shard: Option<u8>,
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// The same moment on the monotonic clock.
    pub at: Instant,
}

/// What a publish got.
#[derive(Clone, Debug)]
pub struct Published {
    /// Id, offset, time.
    pub meta: EventMeta,
    /// Subscriptions on this node when the offset was given, less an excluded one.
    pub delivered: u64,
    /// The topic is durable, and the event is in the store.
    pub durable: bool,
    /// The topic, when the caller must close its batch at the end of its turn.
    pub dirty: Option<Arc<Topic>>,
}

/// Why a payload did not enter its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotPublished {
    /// It was refused.
    Refused(Refusal),
    /// The topic follows a log that is ordered elsewhere: it must be appended there, and arrives.
    Elsewhere(Elsewhere),
}

/// An event that must be appended to the log that its topic follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The topic's name.
    pub topic: Arc<str>,
    /// A connection that must not be sent it.
    pub excluded: Option<ConnAddr>,
    /// That connection is subscribed.
    pub subscribed: bool,
}

impl From<Refusal> for NotPublished {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NotPublished> for Refusal {
    fn from(why: NotPublished) -> Self {
        match why {
            NotPublished::Refused(refusal) => refusal,
            NotPublished::Elsewhere(_) => away(),
        }
    }
}

impl<D> Topics<D> {
    /// Puts a payload into its topic.
    ///
    /// # Errors
    /// `TOPIC_NOT_FOUND`, `LIMIT_EXCEEDED` where publishing makes topics, `SERVER_SHUTDOWN`; [`NotPublished::Elsewhere`].
    pub fn publish(&self, p: &Publishing<'_>) -> Result<Published, NotPublished> {
        self.publish_from(p, None)
    }

    /// The same for a sender that is known to be subscribed to the topic with the id `own`: a topic of the same name
    /// may be another one by now.
    pub(crate) fn publish_from(
        &self,
        p: &Publishing<'_>,
        own: Option<u64>,
    ) -> Result<Published, NotPublished> {
        loop {
            self.check_open()?;
            let topic = match self.get(p.topic) {
                Some(topic) => topic,
                None if self.config.publish_creates || self.options_of(p.topic).durable.is_some() => {
                    self.acquire(p.topic, &Making::automatic(p.publisher), p.now_ms)?.0
                }
                None => return Err(not_found().into()),
            };
            let mut state = topic.lock();
            if !state.life.is_gone() {
                return self.append(&topic, &mut state, p, own);
            }
        }
    }

    fn append(
        &self,
        topic: &Arc<Topic>,
        state: &mut State,
        p: &Publishing<'_>,
        own: Option<u64>,
    ) -> Result<Published, NotPublished> {
        let State { life: Life::Live(live), seats, .. } = state else {
            unreachable!("the caller saw it live under this lock");
        };
        let subscribed = own.map_or(matches!(p.exclude, Some((_, true))), |id| id == topic.id);
        let Owner::Here { sequencer, .. } = &mut live.owner else {
            let excluded = p.exclude.map(|(addr, _)| addr);
            self.linger(topic, state, p.now_ms);
            return Err(NotPublished::Elsewhere(Elsewhere {
                topic: topic.name.clone(),
                excluded,
                subscribed,
            }));
        };
        if self.config.publish_creates {
            live.expires_ms = p.now_ms + topic.options.retention.ttl_ms;
        }
        let new = NewEvent {
            payload: p.payload,
            client_id: p.client_id,
            idempotency_key: p.idempotency_key,
            publisher: p.publisher,
            delivered: seats.count().saturating_sub(u64::from(subscribed)),
            now_ms: p.now_ms,
        };
        let meta = match sequencer.append(&new) {
            Appended::Repeat { meta, delivered } => {
                return Ok(Published { meta, delivered, durable: false, dirty: None });
            }
            Appended::New(meta) => meta,
        };
        let event = EventView {
            topic: &topic.name,
            meta,
            payload: p.payload,
            client_id: p.client_id,
            user: p.publisher.username(),
        };
        let pos = live.tail.push_event(&event, p.now_ms);
        live.published += 1;
        self.published.fetch_add(1, Ordering::Relaxed);
        let dirty = self.enter_batch(topic, state, p, pos, &event);
        Ok(Published { meta, delivered: new.delivered, durable: false, dirty })
    }

    /// Keeps a followed topic without events and subscribers for a while: an event of it is on its way.
    fn linger(&self, topic: &Arc<Topic>, state: &mut State, now_ms: u64) {
        let Some(live) = state.life.live_mut() else { return };
        if state.seats.count() == 0 && live.tail.head().offset == 0 && live.expires_ms <= now_ms {
            live.expires_ms = now_ms + LINGER_MS;
            self.lingering.lock().push(topic.clone());
        }
    }

    fn enter_batch(
        &self,
        topic: &Arc<Topic>,
        state: &mut State,
        p: &Publishing<'_>,
        pos: u64,
        event: &EventView<'_>,
    ) -> Option<Arc<Topic>> {
        if state.seats.count() == 0 {
            return None;
        }
        let first = state.open.is_empty();
        let excluded = p.exclude.map(|(addr, _)| addr);
        let State { open, seats, .. } = state;
        open.push(pos, &Delivery::Event(*event), &self.encoders, seats.by_variant(), excluded, p.at);
        if p.shard.is_none() || state.open.bytes() > MAX_OPEN_BYTES {
            topic.post(state, &self.inboxes, p.shard);
            return None;
        }
        first.then(|| topic.clone())
    }

    /// A shard has flushed a batch of a paced topic, or nobody there is subscribed any more.
    pub(crate) fn flushed(&self, topic: &Arc<Topic>, own: u8, now: Turn) {
        let mut state = topic.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        if state.in_flight == 0 {
            topic.post(&mut state, &self.inboxes, Some(own));
            self.catch_up(topic, &mut state, now);
        }
        topic.tell_room();
    }

    /// Closes a topic's open batch at the end of the turn that opened it.
    pub fn close_batch(&self, topic: &Arc<Topic>, own: Option<u8>) {
        topic.post(&mut topic.lock(), &self.inboxes, own);
    }
}
