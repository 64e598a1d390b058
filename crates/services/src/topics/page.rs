//! Pages of a topic's history.

use fanfare_core::model::Epoch;
use fanfare_core::topics::{self, HistoryEvent};

/// Which events are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryQuery<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Only offsets above; the oldest of them first.
    pub after: Option<u64>,
    /// Only offsets below; without `after` the newest of them, still in rising order.
    pub before: Option<u64>,
    /// Events at most.
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
    pub(super) fn new(found: topics::History, query: topics::HistoryQuery) -> Self {
        let edge = if query.after.is_some() { found.events.last() } else { found.events.first() };
        let next = found.more.then(|| edge.map(|event| event.meta.offset)).flatten();
        Self { epoch: found.epoch, offset: found.offset, items: found.events, next }
    }
}
