//! `topic.unsubscribe`.

use super::super::{connection, unexpected};
use super::{ClientName, TopicName};
use fanfare_core::model::{Command, Refusal, Reply, Unsubscribe as Order};
use fanfare_rpc::{Access, Caller, Either, EitherMethod, Example, Order as Touches};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) struct Unsubscribe;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params<'a> {
    #[serde(borrow)]
    topic: TopicName<'a>,
    #[serde(borrow)]
    client_id: Option<ClientName<'a>>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Unsubscribed {
    topic: String,
    /// True when the connection was not subscribed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    already: bool,
}

impl EitherMethod for Unsubscribe {
    const NAME: &'static str = "topic.unsubscribe";
    const SUMMARY: &'static str = "Unsubscribes from a topic: no event of it follows the answer";
    const ACCESS: Access = Access::ANYONE.on_connection();
    const ORDER: Touches = Touches::Topic;
    type Params<'a> = Params<'a>;
    type Result = Unsubscribed;

    fn example() -> Example {
        Example::new(json!({ "topic": "news" }), json!({ "topic": "news" }))
    }

    fn call(&self, caller: &mut dyn Caller, params: Params<'_>) -> Result<Either<Unsubscribed>, Refusal> {
        let order = Order { topic: params.topic.checked()?, client_id: params.client_id.map(|c| c.0) };
        connection(caller)?.execute(Command::Unsubscribe(order))?.and_then(|reply| match reply {
            Reply::Unsubscribed { topic, already } => Ok(Unsubscribed { topic: topic.into_owned(), already }),
            other => Err(unexpected(&other)),
        })
    }
}
