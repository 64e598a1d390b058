//! The words of the product as types: commands, replies, events, names and error codes.

mod actor;
mod caller;
mod close;
mod command;
mod either;
mod error;
mod frame;
mod network;
mod page;
mod requester;
mod topic;
mod touch;

pub use actor::{Actor, Granted, Grants, Origin, TopicGrant};
pub use caller::{AppKey, Caller, IssuerIdentity, Principal, Role, Scope};
pub use close::{CLOSE_CODES, End};
pub use command::{
    Command, FeedPosition, FeedSubscribed, HistoryCount, Publish, Reply, Since, StartFrom, Subscribe,
    SubscribeFeed, Subscribed, TokenUse, Unsubscribe,
};
pub use either::Either;
pub use error::{ErrorCode, Refusal};
pub use frame::FrameType;
pub use network::network;
pub use page::{MAX_PAGE_ITEMS, PAGE_ITEMS, page_items};
pub use requester::{Client, Requester, UserRef};
pub use topic::{
    Body, Delivery, Epoch, EventId, EventMeta, EventView, MAX_TOPIC_BYTES, PositionLost, SinceEpoch, TopicRef,
};
pub use touch::Touch;
