//! Logs whose order is made elsewhere: by the store's commit, Redis or Kafka.

use crate::hub::{ConnAddr, Turn};
use crate::model::{Epoch, EventMeta, EventView};
use crate::topics::{Chain, LogRetention};
use std::sync::Arc;

/// Bytes of payloads in one answer to a [`Read`] at most, unless it is a single event.
pub const READ_BYTES: usize = 256 * 1024;
/// Events in one answer to a [`Read`] at most.
pub const READ_EVENTS: usize = 1024;

/// Orders logs that topics of this node follow. What happens in a log is reported by [`Topics::arrive`](crate::topics::Topics::arrive).
///
/// The methods are called under the topic's lock: an implementation notes the request and answers later from another place, never
/// from within the call. It may answer late or not at all; answers to what is no longer wanted are dropped.
///
/// Guarantees: offsets rise by one in a chain, over its epochs too; an event arrives after it can be read. Arrivals may be lost,
/// repeated or out of order.
pub trait Upstream: Send + Sync + std::fmt::Debug {
    /// A topic begins to follow the log. Its events arrive from now on; [`Topics::attached`](crate::topics::Topics::attached) reports
    /// where it is. Called again for a topic that has lost its position.
    fn attach(&self, log: &LogRef, ticket: AttachTicket);

    /// Asks for events; [`Topics::answer`](crate::topics::Topics::answer) brings the first of them.
    fn read(&self, log: &LogRef, read: Read);

    /// The topic does not follow the log any more.
    fn left(&self, log: &LogRef);
}

/// Gives durable topics the logs they follow. One per node.
pub trait DurableLogs: Send + Sync + std::fmt::Debug {
    /// The log of a durable topic that comes to life. It is created if there is none, and kept within these bounds from now on.
    fn follow(&self, topic: &str, keep: LogRetention) -> Followed;
}

/// The log of a durable topic.
#[derive(Debug)]
pub struct Followed {
    /// Orders the log.
    pub upstream: Arc<dyn Upstream>,
    /// Where the log is; `None` while that must be asked ([`Upstream::attach`]).
    pub at: Option<Attached>,
}

/// A topic that follows a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogRef {
    /// Its name.
    pub name: Arc<str>,
    /// The topic's id: a topic of the same name that comes later has another.
    pub topic: u64,
}

/// Events that are asked for: those above `after` up to `until`, oldest first. The answer begins with the oldest that is there, and
/// has at most [`READ_EVENTS`] of them and [`READ_BYTES`] of payloads, but at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Goes back with the answer.
    pub ticket: ReadTicket,
    /// The epoch of the offsets. If the log's chain does not have it, or closed it below `until`, nothing is there.
    pub epoch: Epoch,
    /// The offset of the last event that is not wanted.
    pub after: u64,
    /// The offset of the last event that is wanted.
    pub until: u64,
}

/// Identifies the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadTicket {
    /// The connection whose subscription reads back; none for the topic itself.
    pub(crate) reader: Option<ConnAddr>,
    /// Numbers the requests of one reader.
    pub(crate) serial: u64,
}

/// Numbers a topic's requests for the place of its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachTicket(pub(crate) u64);

/// The upstream cannot be reached now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away;

/// Where a log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its epochs.
    pub chain: Chain,
    /// The offset of its last event; 0 before the first.
    pub head: u64,
}

/// An event of a log.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its id, offset and time.
    pub meta: EventMeta,
    /// Its payload's JSON.
    pub payload: Box<str>,
    /// The publisher's client id.
    pub client_id: Box<str>,
    /// The username of a publisher who was logged in.
    pub user: Option<Box<str>>,
    /// A connection of this node that must not be sent it.
    pub excluded: Option<ConnAddr>,
}

impl Arrival {
    /// The event as encoders take it.
    pub(crate) fn view<'a>(&'a self, topic: &'a str) -> EventView<'a> {
        let Self { meta, payload, client_id, user, .. } = self;
        EventView { topic, meta: *meta, payload, client_id, user: user.as_deref() }
    }

    /// What it counts against bounds, in bytes.
    pub(crate) fn cost(&self) -> usize {
        let user = self.user.as_ref().map_or(0, |user| user.len());
        self.payload.len() + self.client_id.len() + user + size_of::<Self>()
    }
}

/// Events of a log that arrive together.
#[derive(Debug)]
pub struct Arrivals<'a> {
    /// The log's name.
    pub name: &'a str,
    /// The epoch of the offsets.
    pub epoch: Epoch,
    /// The events.
    pub events: Vec<Arrival>,
    /// An offset that the log has reached: what does not come up to it is read. 0 if the events are all that is known.
    pub head: u64,
    /// The time.
    pub now: Turn,
}
