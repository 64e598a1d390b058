//! Topics: publish, subscribe, unsubscribe, delete, list and read, for every way in.
//!
//! Data flows: a command comes from a shard (sockets) or from a task (REST); under the topic's lock it takes effect and
//! appends to the open batch; the batch goes to the inboxes of the shards that have subscribers. What must always hold:
//! an ack with an offset is sent after the event is in the log, and the order of posts in the inboxes is
//! the order of the log.
//!
//! A topic lives while it has subscribers, while it is kept explicitly, or until it expires after a publish created it. When it
//! goes, its log is parked with the broker and its epoch continues if the topic is used again in time.

mod arrive;
mod begin;
mod chain;
mod door;
mod follow;
mod histories;
mod publish;
mod read;
mod registry;
pub mod rules;
mod shares;
mod tail;
mod topic;

pub(crate) use begin::{Begin, Entered, Past, Resume, Start, away};
pub use chain::{Chain, MAX_CLOSED, Verdict};
pub use follow::{HELD_BYTES, HELD_EVENTS, HOLD_MS, RETRY_MS};
pub use histories::Histories;
pub(crate) use publish::MAX_OPEN_BYTES;
pub use publish::{Elsewhere, NotPublished, Published, Publishing};
pub use read::{History, HistoryEvent, HistoryQuery, MAX_PAGE_BYTES};
pub use registry::{Made, TopicInfo, Topics, TopicsConfig};
pub use tail::{Kept, Lost, Mark, Tail};
pub(crate) use topic::{Group, Live, Owner, Seat};
pub use topic::{LogRetention, Space, Topic, TopicOptions};
