//! `server.list_commands`.

use fanfare_core::model::Refusal;
use fanfare_rpc::{Caller, CommandRow, Commands, Example, Method, NoParams};
use serde_json::json;

/// Lists the commands of a registry.
pub(crate) struct ListCommands(pub(crate) Commands);

impl Method for ListCommands {
    const NAME: &'static str = "server.list_commands";
    const SUMMARY: &'static str = "The server commands there are, with their params";
    type Params<'a> = NoParams;
    type Result = Vec<CommandRow>;

    fn example() -> Example {
        let schema = json!({ "type": "object", "additionalProperties": false });
        Example::new(
            json!({}),
            json!([{ "name": "ping", "description": "Shows that the server responds", "schema": schema }]),
        )
    }

    fn call(&self, _: &mut dyn Caller, _: NoParams) -> Result<Vec<CommandRow>, Refusal> {
        Ok(self.0.list())
    }
}
