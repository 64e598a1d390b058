//! `topic.list`.

use super::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::{Caller, Example, Method, TopicQuery};
use fanfare_core::model::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) struct List;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    /// At most so many; 100 without it.
    #[schemars(range(min = 1, max = MAX_LIMIT))]
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
        let query =
            TopicQuery { after: params.after.as_deref(), limit: params.limit.unwrap_or(DEFAULT_LIMIT) };
        let page = caller.topics(query)?;
        let row = |t: crate::TopicRow| Row { name: t.name, subscribers: t.subscribers, offset: t.offset };
        Ok(Page { items: page.items.into_iter().map(row).collect(), next: page.next })
    }
}
