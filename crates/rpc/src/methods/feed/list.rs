//! `feed.list`.

use crate::methods::NoParams;
use crate::{Caller, Example, Method};
use fanfare_core::model::Refusal;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

pub(crate) struct List;

#[derive(Serialize, JsonSchema)]
pub(crate) struct Feeds {
    /// The feeds there are.
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

    fn call(&self, caller: &mut dyn Caller, _: NoParams) -> Result<Feeds, Refusal> {
        let feeds = caller.feeds()?;
        Ok(Feeds { items: feeds.into_iter().map(|f| Row { channel: f.channel, types: f.types }).collect() })
    }
}
