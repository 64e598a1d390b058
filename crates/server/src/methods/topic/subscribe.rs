//! `topic.subscribe`.

use super::super::{connection, unexpected};
use super::{ClientName, TopicName, TopicToken};
use fanfare_core::model::{
    Command, HistoryCount, Refusal, Reply, Since, SinceEpoch, StartFrom, Subscribe as Order, TokenUse,
};
use fanfare_rpc::{Access, Caller, Either, EitherMethod, Example, Order as Touches};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::borrow::Cow;

pub(crate) struct Subscribe;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params<'a> {
    #[serde(borrow)]
    topic: TopicName<'a>,
    #[serde(borrow)]
    client_id: Option<ClientName<'a>>,
    /// The last position seen: everything after it is replayed first.
    #[serde(borrow)]
    since: Option<Position<'a>>,
    #[serde(borrow)]
    token: Option<TopicToken<'a>>,
    /// The number of the topic's newest events that are replayed first; ignored with `since`.
    #[schemars(range(min = 1, max = HistoryCount::MAX))]
    history: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Position<'a> {
    /// The epoch of an earlier answer.
    #[serde(borrow)]
    epoch: Cow<'a, str>,
    /// The offset of the last event seen.
    offset: u64,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Subscribed {
    topic: String,
    /// Offsets are comparable within one epoch.
    epoch: String,
    /// The topic's head: the next live event is one above.
    offset: u64,
    /// Only with `since`: whether everything after it is replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
    /// Only with `history` and without `since`: the number of earlier events that are replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<u32>,
    /// True when the connection was subscribed before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    already: bool,
    /// True when the topic is durable.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    durable: bool,
}

impl EitherMethod for Subscribe {
    const NAME: &'static str = "topic.subscribe";
    const SUMMARY: &'static str = "Subscribes to a topic from now on, from a position, or with its newest events first; events come as `topic.event`";
    const ACCESS: Access = Access::ANYONE.on_connection();
    const TOKEN: Option<TokenUse> = Some(TokenUse::Topic);
    const ORDER: Touches = Touches::Topic;
    type Params<'a> = Params<'a>;
    type Result = Subscribed;

    fn example() -> Example {
        Example::new(
            json!({ "topic": "news" }),
            json!({ "topic": "news", "epoch": "00000000000003e8", "offset": 17 }),
        )
    }

    fn call(&self, caller: &mut dyn Caller, params: Params<'_>) -> Result<Either<Subscribed>, Refusal> {
        let since = params.since.map(|s| Since { epoch: SinceEpoch(s.epoch), offset: s.offset });
        let order = Order {
            topic: params.topic.checked()?,
            client_id: params.client_id.map(|c| c.0),
            start: StartFrom::new(since, params.history.and_then(HistoryCount::new)),
            token: params.token.map(|t| t.0),
        };
        connection(caller)?.execute(Command::Subscribe(order))?.and_then(|reply| match reply {
            Reply::Subscribed(done) => Ok(Subscribed {
                topic: done.topic.into_owned(),
                epoch: done.epoch.to_string(),
                offset: done.offset,
                recovered: done.recovered,
                history: done.history,
                already: done.already,
                durable: done.durable,
            }),
            other => Err(unexpected(&other)),
        })
    }
}
