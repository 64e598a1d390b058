//! `topic.publish`.

use super::super::unexpected;
use super::{ClientName, TopicName, TopicToken};
use fanfare_core::model::{Command, EventMeta, Publish as Order, Refusal, Reply, TokenUse};
use fanfare_json::Raw;
use fanfare_rpc::{Caller, Either, EitherMethod, Example, Order as Touches, Violation};
use fanfare_services::topics::TopicService;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use std::borrow::Cow;
use std::sync::Arc;

/// Publishes: on the connection of the caller, or through a service.
pub(crate) struct Publish(pub(crate) Arc<TopicService>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params<'a> {
    #[serde(borrow)]
    topic: TopicName<'a>,
    /// Any JSON, null too; subscribers get its bytes as sent. One of `payload` and `message` is required.
    #[serde(borrow, default, deserialize_with = "present")]
    #[schemars(extend("x-opaque" = true))]
    payload: Option<Raw<'a>>,
    /// Another name for `payload`, which wins.
    #[serde(borrow, default, deserialize_with = "present")]
    #[schemars(extend("x-opaque" = true))]
    message: Option<Raw<'a>>,
    #[serde(borrow)]
    client_id: Option<ClientName<'a>>,
    /// A repeat within five minutes changes nothing and answers the first result.
    #[serde(borrow)]
    idempotency_key: Option<IdempotencyKey<'a>>,
    /// The publishing connection is not sent this event.
    #[serde(default)]
    exclude_self: bool,
    #[serde(borrow)]
    token: Option<TopicToken<'a>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct IdempotencyKey<'a>(
    #[serde(borrow)]
    #[schemars(length(min = 1), extend("x-max-bytes" = 128))]
    Cow<'a, str>,
);

/// A null that is sent is a payload.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Raw<'a>>, D::Error> {
    Raw::deserialize(from).map(Some)
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Published {
    topic: String,
    /// The event's id.
    id: String,
    /// The event's offset.
    offset: u64,
    /// Subscriptions of this node when the offset was given.
    delivered: u64,
    /// True when the topic is durable: the event is in the store.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    durable: bool,
}

impl EitherMethod for Publish {
    const NAME: &'static str = "topic.publish";
    const SUMMARY: &'static str = "Sends a payload to the subscribers of a topic";
    const TOKEN: Option<TokenUse> = Some(TokenUse::Topic);
    const ORDER: Touches = Touches::Log;
    type Params<'a> = Params<'a>;
    type Result = Published;

    fn example() -> Example {
        Example::new(
            json!({ "topic": "news", "payload": { "title": "hello" } }),
            json!({ "topic": "news", "id": "01hf7yat00p000000001", "offset": 18, "delivered": 3 }),
        )
    }

    fn validate(params: &Params<'_>) -> Result<(), Violation> {
        params.payload.or(params.message).map(|_| ()).ok_or_else(|| Violation::required("payload"))
    }

    fn call(&self, caller: &mut dyn Caller, params: Params<'_>) -> Result<Either<Published>, Refusal> {
        let order = Order {
            topic: params.topic.checked()?,
            payload: params.payload.or(params.message).unwrap_or(Raw::NULL).get(),
            client_id: params.client_id.map(|c| c.0),
            idempotency_key: params.idempotency_key.map(|k| k.0),
            exclude_self: params.exclude_self,
            token: params.token.map(|t| t.0),
        };
        if let Some(connection) = caller.connection() {
            return connection.execute(Command::Publish(order))?.and_then(|reply| match reply {
                Reply::Published { topic, event, delivered, durable } => {
                    Ok(Published::new(topic.into_owned(), &event, delivered, durable))
                }
                other => Err(unexpected(&other)),
            });
        }
        let topic = order.topic.as_str().to_owned();
        let published = self.0.publish_at_once(&caller.actor(), &order)?;
        Ok(published.map(|p| Published::new(topic, &p.meta, p.delivered, p.durable)))
    }
}

impl Published {
    fn new(topic: String, event: &EventMeta, delivered: u64, durable: bool) -> Self {
        Self { topic, id: event.id.to_string(), offset: event.offset, delivered, durable }
    }
}
