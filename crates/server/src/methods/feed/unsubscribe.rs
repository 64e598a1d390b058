//! `feed.unsubscribe`.

use super::super::{connection, unexpected};
use fanfare_core::model::{Command, Refusal, Reply};
use fanfare_rpc::{Access, Caller, Either, EitherMethod, Example, Order};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::borrow::Cow;

pub(crate) struct Unsubscribe;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params<'a> {
    /// The feed channel.
    #[serde(borrow)]
    #[schemars(length(min = 1, max = 255))]
    channel: Cow<'a, str>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Done {
    /// The feed channel.
    channel: String,
    /// True when the connection was not subscribed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    already: bool,
}

impl EitherMethod for Unsubscribe {
    const NAME: &'static str = "feed.unsubscribe";
    const SUMMARY: &'static str = "Unsubscribes from a feed";
    const ACCESS: Access = Access::ANYONE.on_connection();
    const ORDER: Order = Order::Channel;
    type Params<'a> = Params<'a>;
    type Result = Done;

    fn example() -> Example {
        Example::new(json!({ "channel": "dashboard" }), json!({ "channel": "dashboard" }))
    }

    fn call(&self, caller: &mut dyn Caller, params: Params<'_>) -> Result<Either<Done>, Refusal> {
        let command = Command::UnsubscribeFeed { channel: params.channel };
        connection(caller)?.execute(command)?.and_then(|reply| match reply {
            Reply::FeedUnsubscribed { channel, already } => Ok(Done { channel, already }),
            other => Err(unexpected(&other)),
        })
    }
}
