//! `server.echo` (seed 003).

use fanfare_core::model::Refusal;
use fanfare_json::RawBuf;
use fanfare_rpc::{Caller, Example, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) struct Echo;

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Message {
    /// Any JSON.
    message: RawBuf,
}

impl Method for Echo {
    const NAME: &'static str = "server.echo";
    const SUMMARY: &'static str = "Returns the given message";
    type Params<'a> = Message;
    type Result = Message;

    fn example() -> Example {
        Example::new(json!({ "message": [1, "two"] }), json!({ "message": [1, "two"] }))
    }

    fn call(&self, _: &mut dyn Caller, message: Message) -> Result<Message, Refusal> {
        Ok(message)
    }
}
