//! Pages of a topic's history.

use fanfare_core::model::{Epoch, EventMeta};
use fanfare_core::topics;

/// Which events are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryQuery<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Only offsets above; the oldest of them first.
    pub after: Option<u64>,
    /// Only offsets below; without `after` the newest of them, still in rising order.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
    /// A subscription token, where the topic's rule asks for one.
    pub token: Option<&'a str>,
}

impl HistoryQuery<'_> {
    pub(super) fn range(&self) -> topics::HistoryQuery {
        topics::HistoryQuery { after: self.after, before: self.before, limit: self.limit }
    }
}

/// A page of a topic's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// The topic's epoch.
    pub epoch: Epoch,
    /// The topic's last offset.
    pub offset: u64,
    /// In rising order.
    pub items: Vec<HistoryEvent>,
    /// The offset to continue from in the direction asked for, if there is more.
    pub next: Option<u64>,
}

impl HistoryPage {
    pub(super) fn new(found: topics::History, query: &HistoryQuery<'_>) -> Self {
        let edge = if query.after.is_some() { found.events.last() } else { found.events.first() };
        let next = found.more.then(|| edge.map(|(meta, ..)| meta.offset)).flatten();
        let event = |(meta, payload, client_id)| HistoryEvent { meta, payload, client_id };
        let items = found.events.into_iter().map(event).collect();
        Self { epoch: found.epoch, offset: found.offset, items, next }
    }
}

/// An event of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEvent {
    /// Id, offset, time.
    pub meta: EventMeta,
    /// The payload's JSON as it was published.
    pub payload: String,
    /// The publisher's `client_id`; empty for none.
    pub client_id: String,
}
