//! The words of the product as types: commands, replies, events, names and error codes.

mod command;
mod error;
mod topic;

pub use command::{Command, Publish, Reply, Since, Subscribe, Subscribed, Unsubscribe};
pub use error::{ErrorCode, Refusal};
pub use topic::{Epoch, EventId, EventMeta, EventView, MAX_TOPIC_BYTES, SinceEpoch, TopicRef};
