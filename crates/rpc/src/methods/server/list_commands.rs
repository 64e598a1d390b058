//! `server.list_commands`.

use crate::methods::NoParams;
use crate::registry::{CommandRow, Documents};
use crate::{Caller, Example, Method};
use fanfare_core::model::Refusal;
use serde_json::json;
use std::sync::{Arc, OnceLock};

/// Filled once the registry is complete.
pub(crate) struct ListCommands(pub Arc<OnceLock<Documents>>);

impl Method for ListCommands {
    const NAME: &'static str = "server.list_commands";
    const SUMMARY: &'static str = "The server commands there are, with their params";
    type Params<'a> = NoParams;
    type Result = Vec<CommandRow>;

    fn example() -> Example {
        let schema = json!({ "type": "object", "additionalProperties": false });
        Example::new(
            json!({}),
            json!([{ "name": "ping", "description": "Shows that the server answers", "schema": schema }]),
        )
    }

    fn call(&self, _: &mut dyn Caller, _: NoParams) -> Result<Vec<CommandRow>, Refusal> {
        Ok(self.0.get().map(|d| d.commands.clone()).unwrap_or_default())
    }
}
