//! `topic.history`.

use super::super::raw;
use super::{TopicName, TopicToken};
use fanfare_core::model::{Refusal, TokenUse, page_items};
use fanfare_core::time::rfc3339_ms;
use fanfare_json::RawBuf;
use fanfare_rpc::{Caller, Either, EitherMethod, Example, Order};
use fanfare_services::topics::{HistoryEvent, HistoryQuery, TopicService};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

/// Reads the histories of a service.
pub(crate) struct History(pub(crate) Arc<TopicService>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params<'a> {
    #[serde(borrow)]
    topic: TopicName<'a>,
    /// Items of the page: 50 unless given, at most 100; a larger limit is clamped.
    #[schemars(range(min = 1))]
    limit: Option<usize>,
    /// Only offsets above, the oldest of them first.
    after: Option<u64>,
    /// Only offsets below; without `after` the newest of them.
    before: Option<u64>,
    #[serde(borrow)]
    token: Option<TopicToken<'a>>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Page {
    topic: String,
    epoch: String,
    /// The topic's head.
    offset: u64,
    /// In rising order of their offsets.
    items: Vec<Event>,
    /// Send it as `after` or `before`, as before, to get more; null when this is all.
    next: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Event {
    id: String,
    offset: u64,
    payload: RawBuf,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_id: String,
    /// The username of a publisher who was logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    timestamp: String,
}

impl From<HistoryEvent> for Event {
    fn from(event: HistoryEvent) -> Self {
        Self {
            id: event.meta.id.to_string(),
            offset: event.meta.offset,
            payload: raw(&event.payload),
            client_id: event.client_id,
            user: event.user,
            timestamp: rfc3339_ms(event.meta.at_ms),
        }
    }
}

impl EitherMethod for History {
    const NAME: &'static str = "topic.history";
    const SUMMARY: &'static str = "Events a topic's history holds, a page at a time";
    const TOKEN: Option<TokenUse> = Some(TokenUse::Topic);
    const ORDER: Order = Order::Topic;
    type Params<'a> = Params<'a>;
    type Result = Page;

    fn example() -> Example {
        let event = json!({ "id": "01hf7yat00p000000001", "offset": 18, "payload": { "title": "hello" },
            "client_id": "c1", "user": "alice", "timestamp": "2026-01-02T03:04:05.678Z" });
        Example::new(
            json!({ "topic": "news", "after": 17 }),
            json!({ "topic": "news", "epoch": "00000000000003e8", "offset": 18, "items": [event], "next": null }),
        )
    }

    fn call(&self, caller: &mut dyn Caller, params: Params<'_>) -> Result<Either<Page>, Refusal> {
        let topic = params.topic.checked()?;
        let query = HistoryQuery {
            topic: topic.as_str(),
            after: params.after,
            before: params.before,
            limit: page_items(params.limit),
            token: params.token.as_ref().map(|t| t.0.as_ref()),
        };
        let name = topic.as_str().to_owned();
        Ok(self.0.history(&caller.actor(), query)?.map(|page| Page {
            topic: name,
            epoch: page.epoch.to_string(),
            offset: page.offset,
            items: page.items.into_iter().map(Into::into).collect(),
            next: page.next,
        }))
    }
}
