//! Feeds on the hub: channels that only a source fills (seed 002), apart from the topics clients publish to.
//!
//! Data flows: the source delivers a batch of records; under the channel's lock each record becomes the channel's position and
//! latest value and enters the open batch of every group that it matches; a group's batch goes to the shards like a topic's.
//! A *group* is all subscriptions of a channel with equal `types` and `filter`: its members get the same bytes, so a record is
//! judged and encoded once for all of them.
//!
//! What must always hold: a group's order is the order of the deliveries; a subscription that enters under the channel's lock gets exactly
//! what is delivered after it, so a snapshot or a replay up to the channel's positions joins the live records without a seam; no
//! subscription is shown an offset of a partition again or after a higher one, also when a replay showed more than live reading has
//! come to (`hub/shard/feeds.rs`), unless the log restarted; a
//! source that is faster than the shards waits, so that what is posted and not flushed stays bounded.
//!
//! Clients can neither list nor publish into a channel: its groups are topics that stand in no name table.

mod channel;
mod hub;
mod latest;
mod prelude;
mod record;
mod restarts;
mod spec;

pub use channel::ChannelOptions;
pub use prelude::{Prelude, Taken};
pub use record::{FeedRecord, Incoming, PerKey, Positions};
pub use spec::{GroupSpec, Lookup, Pointed, is_pointer};

pub(crate) use channel::Channel;
pub(crate) use hub::Wish;
pub(crate) use prelude::Snapshot;
pub(crate) use record::raise;
pub(crate) use restarts::Restarts;
