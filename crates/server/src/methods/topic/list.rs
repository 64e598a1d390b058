//! `topic.list`.

use fanfare_core::model::{Refusal, page_items};
use fanfare_core::topics::TopicInfo;
use fanfare_rpc::{Caller, Example, Method};
use fanfare_services::topics::TopicService;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

/// Lists the topics of a service.
pub(crate) struct List(pub(crate) Arc<TopicService>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    /// Items of the page: 50 unless given, at most 100; a larger limit is clamped.
    #[schemars(range(min = 1))]
    limit: Option<usize>,
    /// Only names behind this one: the `next` of the page before.
    after: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Page {
    /// In order of their names.
    items: Vec<Row>,
    /// Send it as `after` to get more; null when this is all.
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    name: String,
    subscribers: u64,
    /// The last event's offset.
    offset: u64,
}

impl Method for List {
    const NAME: &'static str = "topic.list";
    const SUMMARY: &'static str = "Topics there are, a page at a time";
    type Params<'a> = Params;
    type Result = Page;

    fn example() -> Example {
        Example::new(
            json!({ "limit": 10 }),
            json!({ "items": [{ "name": "news", "subscribers": 3, "offset": 18 }], "next": null }),
        )
    }

    fn call(&self, caller: &mut dyn Caller, params: Params) -> Result<Page, Refusal> {
        let limit = page_items(params.limit);
        let (found, next) = self.0.list(&caller.actor(), params.after.as_deref(), limit)?;
        let row =
            |t: TopicInfo| Row { name: t.name.to_string(), subscribers: t.subscribers, offset: t.offset };
        Ok(Page { items: found.into_iter().map(row).collect(), next })
    }
}
