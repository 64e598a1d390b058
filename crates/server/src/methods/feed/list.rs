//! `feed.list`.

use crate::feeds::NodeFeeds;
use fanfare_core::model::Refusal;
use fanfare_rpc::{Caller, Example, Method, NoParams};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// Lists the channels of the node's feeds.
pub(crate) struct List(pub(crate) Arc<NodeFeeds>);

#[derive(Serialize, JsonSchema)]
pub(crate) struct Feeds {
    /// The feeds.
    items: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    /// The channel to subscribe to.
    channel: String,
    /// The types of its records.
    types: Vec<String>,
}

impl Method for List {
    const NAME: &'static str = "feed.list";
    const SUMMARY: &'static str = "Feeds there are";
    type Params<'a> = NoParams;
    type Result = Feeds;

    fn example() -> Example {
        Example::new(json!({}), json!({ "items": [{ "channel": "dashboard", "types": ["trade_data"] }] }))
    }

    fn call(&self, _: &mut dyn Caller, _: NoParams) -> Result<Feeds, Refusal> {
        let text = |t: Arc<str>| t.to_string();
        let row = |(channel, types): (Arc<str>, Vec<Arc<str>>)| Row {
            channel: text(channel),
            types: types.into_iter().map(text).collect(),
        };
        Ok(Feeds { items: self.0.channels().into_iter().map(row).collect() })
    }
}
