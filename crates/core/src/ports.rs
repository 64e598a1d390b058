//! The ports: what the core needs from the outside and what each must guarantee.
//!
//! `Broker` gives topics their order and history, `Encoder` turns deliveries into bytes, `Wire` is a socket that never
//! blocks. Implementations live in `crates/brokers`, `crates/dialects` with `crates/ws`, and `crates/server`.

mod upstream;

pub use upstream::{
    Arrival, Arrivals, AttachTicket, Attached, Away, DurableLogs, Followed, LogRef, READ_BYTES, READ_EVENTS,
    Read, ReadTicket, Upstream,
};

use crate::model::{Client, Delivery, Epoch, EventMeta, Refusal, Requester};
use crate::topics::{Chain, Tail, TopicOptions};
use std::io::IoSlice;
use std::sync::Arc;

/// How much of a topic is kept for clients that reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events kept at most.
    pub size: usize,
    /// Milliseconds an event is kept at most; also how long the log of a topic without subscribers stays.
    pub ttl_ms: u64,
    /// Bytes of one topic kept at most.
    pub bytes: usize,
}

/// Says who gives a topic its order, and keeps the logs of ephemeral topics without subscribers. One per node.
pub trait Broker: Send + Sync + 'static {
    /// The log of a topic that comes to life: a parked one continues in its epoch and keeps its client; otherwise a
    /// new epoch begins, of the claim's client. Parked logs go to make room, in this order:
    ///
    /// 1. beyond the client's own bound, and beyond that of all topics, the client's own, the oldest first;
    /// 2. the oldest of the anonymous client that has most;
    /// 3. for users, API keys and admins: the oldest of the user that has most;
    /// 4. for API keys and admins: the oldest of theirs.
    ///
    /// A topic whose log is elsewhere follows it instead. `None` when there is no room.
    fn open(&self, topic: &str, options: &TopicOptions, claim: &Claim, now_ms: u64) -> Option<Opened>;

    /// Takes back the log of a topic whose last subscriber left; it is kept for its `ttl_ms`, for the client that it is of.
    fn park(&self, topic: &str, log: Log, now_ms: u64);

    /// Forgets the log of a topic that is not live. Returns whether one was kept that could still have continued.
    fn forget(&self, topic: &str, now_ms: u64) -> bool;

    /// Forgets what is past its time. Called about once a second.
    fn sweep(&self, now_ms: u64);
}

/// How a topic comes to life.
#[derive(Debug)]
pub enum Opened {
    /// This node gives its order.
    Here(Log),
    /// It follows a log that is ordered elsewhere.
    Elsewhere {
        /// Orders the log.
        upstream: Arc<dyn Upstream>,
        /// What is to be held of it; empty.
        tail: Tail,
        /// Where the log is, if that is known without asking.
        at: Option<Attached>,
    },
}

/// A log whose order this node gives.
#[derive(Debug)]
pub struct Log {
    /// Its epochs.
    pub chain: Chain,
    /// What is kept of it.
    pub tail: Tail,
    /// Gives its events their offsets.
    pub sequencer: Box<dyn Sequencer>,
    /// The client that it counts for while it is parked; none: an API key's or admin's.
    pub client: Option<Client>,
}

/// Gives the events of one topic their order. Called under the topic's lock only, so an implementation needs no order of its own.
///
/// Guarantees: offsets rise by one; a repeat of an idempotency key returns what the first event got.
pub trait Sequencer: Send + std::fmt::Debug {
    /// Gives the event its id and offset, or returns those of the event whose idempotency key it repeats.
    fn append(&mut self, event: &NewEvent<'_>) -> Appended;
}

/// The client that a topic is created for, and the limits on the number of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose topic it is; `None` for API keys and admins.
    pub client: Option<Client>,
    /// Live topics of this client, this one included.
    pub own_live: usize,
    /// Topics of this client at most, parked ones included.
    pub own_max: usize,
    /// Live topics in all, this one included.
    pub live: usize,
    /// Topics at most, parked ones included.
    pub max: usize,
}

/// An event on its way into a topic.
#[derive(Clone, Copy, Debug)]
pub struct NewEvent<'a> {
    /// The payload's JSON exactly as it was sent.
    pub payload: &'a str,
    /// What subscribers see as `client_id`.
    pub client_id: &'a str,
    /// Repeats of the same publisher answer the first.
    pub idempotency_key: Option<&'a str>,
    /// Whose event it is: a key of another publisher is another key.
    pub publisher: Requester<'a>,
    /// Subscriptions it goes to; remembered with the idempotency key.
    pub delivered: u64,
    /// Milliseconds since 1970.
    pub now_ms: u64,
}

/// What became of a [`NewEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is kept and goes out to the subscribers.
    New(EventMeta),
    /// The key was used before: the first event's answer; nothing goes out.
    Repeat {
        /// The first event.
        meta: EventMeta,
        /// The subscriptions it went to.
        delivered: u64,
    },
}

/// A notice that the server sends without a request (`protocol.md` 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Info<'a> {
    /// The topic was deleted; the subscription has ended.
    TopicDeleted {
        /// Its name.
        topic: &'a str,
    },
    /// The queue overflowed: this number of `drop_oldest` events before the next one were dropped.
    MessagesDropped {
        /// How many.
        count: u64,
        /// The feed channel they were of; none for topics.
        channel: Option<&'a str>,
    },
    /// Events of the topic were lost between what was sent and this position, from which it continues.
    PositionLost {
        /// Its name.
        topic: &'a str,
        /// The epoch from now on.
        epoch: Epoch,
        /// The offset before the next event.
        offset: u64,
    },
    /// The server is shutting down.
    ServerShutdown,
    /// The access token of this connection ends soon: refresh it in band (`accounts-and-messages.md` "Login").
    TokenExpiring {
        /// When, in milliseconds since 1970.
        expires_at_ms: u64,
    },
    /// The subscription token of this topic has ended, and the subscription with it.
    SubscriptionExpired {
        /// The topic's name.
        topic: &'a str,
    },
    /// A partition of a feed's source began or ceased to lag behind (`kafka.lag_warn`).
    FeedLag {
        /// The source's topic.
        topic: &'a str,
        /// The partition.
        partition: i32,
        /// Records it is behind.
        lag: u64,
        /// It began; else it ended.
        raised: bool,
    },
    /// A notice of an admin, or of the server itself, to all connections of `/ws/system`.
    Notice {
        /// In words.
        message: &'a str,
        /// `info`, `warning` or `critical`.
        severity: &'a str,
    },
}

impl Info<'_> {
    /// Its code on the wire.
    pub const fn code(&self) -> &'static str {
        match self {
            Info::TopicDeleted { .. } => "TOPIC_DELETED",
            Info::MessagesDropped { .. } => "MESSAGES_DROPPED",
            Info::PositionLost { .. } => "POSITION_LOST",
            Info::ServerShutdown => "SERVER_SHUTDOWN",
            Info::TokenExpiring { .. } => "TOKEN_EXPIRING",
            Info::SubscriptionExpired { .. } => "SUBSCRIPTION_EXPIRED",
            Info::FeedLag { .. } => "FEED_LAG",
            Info::Notice { .. } => "NOTICE",
        }
    }

    /// One sentence for people.
    pub const fn message(&self) -> &str {
        match self {
            Info::TopicDeleted { .. } => "the topic was deleted and the subscription has ended",
            Info::MessagesDropped { .. } => "events were dropped because the client reads too slowly",
            Info::PositionLost { .. } => {
                "events of the topic were lost before this position; reload what you show of it"
            }
            Info::ServerShutdown => "the server is shutting down; reconnect in a moment",
            Info::TokenExpiring { .. } => {
                "the access token ends soon; send a new one in an auth frame to stay connected"
            }
            Info::SubscriptionExpired { .. } => {
                "the subscription token or the right to this topic has ended, and the subscription with it; \
                 subscribe again with a new one"
            }
            Info::FeedLag { raised: true, .. } => "the feed lags behind its source",
            Info::FeedLag { raised: false, .. } => "the feed has caught up with its source",
            Info::Notice { message, .. } => message,
        }
    }
}

/// Encodes deliveries for one variant (dialect × compression): the same bytes for each subscriber of it.
///
/// Each call appends one complete WebSocket frame.
pub trait Encoder: Send + Sync + 'static {
    /// What is sent to the subscribers of a topic.
    fn delivery(&self, delivery: &Delivery<'_>, out: &mut Vec<u8>);
    /// An info.
    fn info(&self, info: &Info<'_>, now_ms: u64, out: &mut Vec<u8>);
    /// An error that answers no command.
    fn error(&self, refusal: &Refusal, now_ms: u64, out: &mut Vec<u8>);
    /// A close frame.
    fn close(&self, code: u16, reason: &str, out: &mut Vec<u8>);
}

/// Number of variants: two dialects, each plain and compressed.
pub const VARIANTS: usize = 4;

/// The encoders by variant.
pub type Encoders = Arc<[Box<dyn Encoder>; VARIANTS]>;

/// What a send came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The number of bytes taken: perhaps fewer than given, perhaps none.
    Bytes(usize),
    /// The connection is broken.
    Broken,
}

/// The sockets of a shard, by slot. A send never blocks.
pub trait Wire {
    /// Sends one piece.
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent;
    /// Sends several pieces in one call.
    fn send_vectored(&mut self, slot: u32, pieces: &[IoSlice<'_>]) -> Sent;
}
