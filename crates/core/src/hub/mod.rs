//! The hub: the subscriptions of this node, and the delivery of events to them.
//!
//! Connections are spread over shards, each driven by one thread. A topic knows which shards have subscribers; a closed
//! batch is posted to their inboxes by reference; each shard sends it once to each of its subscribers. A connection that
//! does not take it all gets an outbox. No socket is touched from outside its shard, and nothing here knows a socket: a
//! shard writes through [`crate::ports::Wire`].

mod addr;
mod batch;
mod inbox;
mod local;
mod outbox;
mod shard;

pub use addr::ConnAddr;
pub use batch::{Backpressure, Batch, Frames, OpenBatch};
pub use inbox::{Came, Inbox, Post};
pub use outbox::QueueLimits;
pub use shard::{Answer, Effect, FeedStart, Outcome, Shard, ShardConfig, ShardCounts, Ticket, Turn};
