//! The one entry for events that are ordered elsewhere: a delivery is kept, and encoded into the open batch once for each variant.
//!
//! Events of followed logs and records of feeds pass it. A publish on this node does the same in one go with giving the order
//! ([`super::publish`]).

use super::registry::Topics;
use super::tail::Tail;
use super::topic::{Live, Seats, State, Topic};
use crate::feeds::FeedRecord;
use crate::hub::{OpenBatch, Turn};
use crate::model::{Delivery, Epoch, PositionLost};
use crate::ports::{Arrival, Encoders};
use std::sync::Arc;
use std::time::Instant;

/// The parts of a live topic, whose lock is held, that a delivery passes.
pub(crate) struct Door<'a> {
    topic: &'a Topic,
    encoders: &'a Encoders,
    pub(super) tail: &'a mut Tail,
    published: &'a mut u64,
    pub(super) open: &'a mut OpenBatch,
    seats: &'a Seats,
}

impl<'a> Door<'a> {
    pub(super) fn new(
        topic: &'a Topic,
        encoders: &'a Encoders,
        (tail, published): (&'a mut Tail, &'a mut u64),
        (open, seats): (&'a mut OpenBatch, &'a Seats),
    ) -> Self {
        Self { topic, encoders, tail, published, open, seats }
    }

    /// An event of a log enters.
    pub(super) fn event(&mut self, event: Arrival, now: Turn) {
        if self.seats.count() > 0 {
            let view = event.view(&self.topic.name);
            let (pos, subscribed) = (self.tail.head().pos + 1, self.seats.by_variant());
            self.open.push(pos, &Delivery::Event(view), self.encoders, subscribed, event.excluded, now.at);
        }
        self.tail.keep_arrival(event, now.ms);
        *self.published += 1;
    }

    /// A record of a feed enters.
    pub(crate) fn record(&mut self, record: &Arc<FeedRecord>, at: Instant) {
        let pos = self.tail.push_record(record);
        self.open.push(pos, &record.delivery(), self.encoders, self.seats.by_variant(), None, at);
        *self.published += 1;
    }

    /// The log continues at another position.
    pub(super) fn moved(&mut self, epoch: Epoch, offset: u64, now: Turn) {
        let lost = PositionLost { topic: &self.topic.name, epoch, offset, at_ms: now.ms };
        let pos = self.tail.break_at(epoch, offset, now.ms);
        if self.seats.count() > 0 {
            let delivery = Delivery::PositionLost(lost);
            self.open.push(pos, &delivery, self.encoders, self.seats.by_variant(), None, now.at);
        }
    }
}

impl<D> Topics<D> {
    /// The door of a live topic.
    pub(crate) fn door<'a>(&'a self, topic: &'a Topic, state: &'a mut State) -> Option<Door<'a>> {
        let State { life, open, seats, .. } = state;
        let Live { tail, published, .. } = life.live_mut()?;
        Some(Door::new(topic, &self.encoders, (tail, published), (open, seats)))
    }

    /// Posts what has entered a paced topic, unless a batch of it is still being flushed: then the next one grows, so that under load
    /// batches grow instead of their number.
    pub(crate) fn post_paced(&self, topic: &Arc<Topic>, state: &mut State) {
        if state.in_flight == 0 {
            topic.post(state, &self.inboxes, None);
        }
    }
}
