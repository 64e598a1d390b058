//! `feed.subscribe`.

use super::super::{connection, unexpected};
use fanfare_core::model::{Command, FeedSubscribed, Refusal, Reply};
use fanfare_dialects::feed::{FilterWish, Wish};
use fanfare_rpc::{Access, Caller, Either, EitherMethod, Example, Order};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

pub(crate) struct Subscribe;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params<'a> {
    /// The feed channel.
    #[serde(borrow)]
    #[schemars(length(min = 1, max = 255))]
    channel: Cow<'a, str>,
    /// Only records of these types.
    #[schemars(length(min = 1, max = 64))]
    types: Option<Vec<String>>,
    /// Only records that match.
    filter: Option<Filter>,
    /// The latest record of each type, and of each key if the feed keeps those, is sent first.
    snapshot: Option<bool>,
    /// Last offsets received by "topic/partition": later records are replayed first.
    since: Option<BTreeMap<String, i64>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Filter {
    /// Only records with one of these keys.
    #[schemars(length(min = 1, max = 1000))]
    key: Option<Vec<String>>,
    /// Only records whose value at each JSON pointer is this scalar, or one of these.
    json: Option<BTreeMap<String, Value>>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Subscribed {
    /// The feed channel.
    channel: String,
    /// Only with `since`: whether all later records are replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
    /// Positions that cannot be continued from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lost: Vec<String>,
    /// True when the connection was subscribed before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    already: bool,
}

impl From<FeedSubscribed> for Subscribed {
    fn from(done: FeedSubscribed) -> Self {
        let FeedSubscribed { channel, recovered, lost, already } = done;
        Self { channel, recovered, lost, already }
    }
}

impl EitherMethod for Subscribe {
    const NAME: &'static str = "feed.subscribe";
    const SUMMARY: &'static str = "Subscribes to a feed; records are sent as `feed.event`";
    const ACCESS: Access = Access::ANYONE.on_connection();
    const ORDER: Order = Order::Channel;
    type Params<'a> = Params<'a>;
    type Result = Subscribed;

    fn example() -> Example {
        Example::new(
            json!({ "channel": "dashboard", "types": ["trade_data"], "since": { "trade-info/0": 41 } }),
            json!({ "channel": "dashboard", "recovered": true }),
        )
    }

    fn call(&self, caller: &mut dyn Caller, params: Params<'_>) -> Result<Either<Subscribed>, Refusal> {
        let filter = params.filter.map(|f| FilterWish { key: f.key, json: f.json });
        let snapshot = params.snapshot.unwrap_or_default();
        let wish = Wish { types: params.types, filter, snapshot, since: params.since };
        let command = Command::SubscribeFeed(Box::new(wish.on(params.channel)?));
        connection(caller)?.execute(command)?.and_then(|reply| match reply {
            Reply::FeedSubscribed(done) => Ok(done.into()),
            other => Err(unexpected(&other)),
        })
    }
}
