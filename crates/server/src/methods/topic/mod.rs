//! `topic.*`: the commands of `protocol.md` 3.2 as methods.

mod history;
mod list;
mod publish;
mod subscribe;
mod unsubscribe;

pub(super) use history::History;
pub(super) use list::List;
pub(super) use publish::Publish;
pub(super) use subscribe::Subscribe;
pub(super) use unsubscribe::Unsubscribe;

use fanfare_core::model::{MAX_TOPIC_BYTES, Refusal, TopicRef};
use schemars::JsonSchema;
use serde::Deserialize;
use std::borrow::Cow;

/// A topic's name as a param.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(description = "The topic: 1 to 255 bytes")]
struct TopicName<'a>(
    #[serde(borrow)]
    #[schemars(length(min = 1), extend("x-max-bytes" = MAX_TOPIC_BYTES))]
    Cow<'a, str>,
);

impl<'a> TopicName<'a> {
    fn checked(self) -> Result<TopicRef<'a>, Refusal> {
        TopicRef::parse(self.0)
    }
}

/// A client's name for itself as a param.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(description = "The name the client gives itself; the connection's id stands in")]
struct ClientName<'a>(
    #[serde(borrow)]
    #[schemars(length(min = 1, max = 255))]
    Cow<'a, str>,
);

/// A subscription token as a param.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(description = "A subscription token of an issuer, where the topic's rule asks for one")]
struct TopicToken<'a>(
    #[serde(borrow)]
    #[schemars(length(min = 1, max = 8192))]
    Cow<'a, str>,
);
