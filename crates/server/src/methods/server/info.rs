//! `server.info`.

use super::NodeFacts;
use fanfare_core::model::Refusal;
use fanfare_rpc::{Caller, Example, Method, NoParams};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// Returns the facts of a node.
pub(crate) struct Info(pub(crate) Arc<NodeFacts>);

#[derive(Serialize, JsonSchema)]
pub(crate) struct Facts {
    /// The product's name.
    name: String,
    version: String,
    /// The public origin's host name.
    id: String,
    uptime_seconds: u64,
    /// Open connections of this node.
    connections: u64,
    /// Distinct users online.
    users_online: u64,
}

impl Method for Info {
    const NAME: &'static str = "server.info";
    const SUMMARY: &'static str = "The server's name, version and figures";
    type Params<'a> = NoParams;
    type Result = Facts;

    fn example() -> Example {
        Example::new(
            json!({}),
            json!({ "name": "fanfare", "version": "0.1.0", "id": "localhost", "uptime_seconds": 60, "connections": 3,
                "users_online": 1 }),
        )
    }

    fn call(&self, _: &mut dyn Caller, _: NoParams) -> Result<Facts, Refusal> {
        Ok(Facts {
            name: "fanfare".into(),
            version: crate::VERSION.into(),
            id: self.0.server_id.clone(),
            uptime_seconds: self.0.uptime.elapsed().as_secs(),
            connections: self.0.metrics.totals().connections,
            users_online: self.0.users.online(),
        })
    }
}
