//! `server.ping`.

use fanfare_core::model::Refusal;
use fanfare_core::time::rfc3339_ms;
use fanfare_rpc::{Caller, Example, Method, NoParams};
use fanfare_services::clock::unix_ms;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

pub(crate) struct Ping;

#[derive(Serialize, JsonSchema)]
pub(crate) struct Pong {
    /// The server's time.
    timestamp: String,
}

impl Method for Ping {
    const NAME: &'static str = "server.ping";
    const SUMMARY: &'static str = "Shows that the server responds, and returns its time";
    type Params<'a> = NoParams;
    type Result = Pong;

    fn example() -> Example {
        Example::new(json!({}), json!({ "timestamp": "2026-01-02T03:04:05.678Z" }))
    }

    fn call(&self, _: &mut dyn Caller, _: NoParams) -> Result<Pong, Refusal> {
        Ok(Pong { timestamp: rfc3339_ms(unix_ms()) })
    }
}
