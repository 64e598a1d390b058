//! `test.echo` (seed 000).

use crate::{Caller, Example, Method};
use fanfare_core::model::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::borrow::Cow;

pub(crate) struct Echo;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params<'a> {
    /// Any text.
    #[serde(borrow)]
    msg: Text<'a>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Answer {
    /// The same text.
    msg: String,
}

/// Borrowed from the request where it has no escapes.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Method for Echo {
    const NAME: &'static str = "test.echo";
    const SUMMARY: &'static str = "Answers what it is sent";
    type Params<'a> = Params<'a>;
    type Result = Answer;

    fn example() -> Example {
        Example::new(json!({ "msg": "hello" }), json!({ "msg": "hello" }))
    }

    fn call(&self, _: &mut dyn Caller, params: Params<'_>) -> Result<Answer, Refusal> {
        Ok(Answer { msg: params.msg.0.into_owned() })
    }
}
