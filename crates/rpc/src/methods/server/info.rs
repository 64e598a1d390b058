//! `server.info`.

use crate::methods::NoParams;
use crate::{Caller, Example, Method};
use fanfare_core::model::Refusal;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

pub(crate) struct Info;

#[derive(Serialize, JsonSchema)]
pub(crate) struct Facts {
    /// The product.
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

    fn call(&self, caller: &mut dyn Caller, _: NoParams) -> Result<Facts, Refusal> {
        let facts = caller.server();
        Ok(Facts {
            name: facts.name,
            version: facts.version,
            id: facts.id,
            uptime_seconds: facts.uptime_seconds,
            connections: facts.connections,
            users_online: facts.users_online,
        })
    }
}
