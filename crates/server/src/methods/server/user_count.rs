//! `server.user_count`.

use super::NodeFacts;
use fanfare_core::model::Refusal;
use fanfare_rpc::{Caller, Example, Method, NoParams};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// Counts the users of a node.
pub(crate) struct UserCount(pub(crate) Arc<NodeFacts>);

#[derive(Serialize, JsonSchema)]
pub(crate) struct Count {
    /// Distinct users online.
    count: u64,
}

impl Method for UserCount {
    const NAME: &'static str = "server.user_count";
    const SUMMARY: &'static str = "How many distinct users are online";
    type Params<'a> = NoParams;
    type Result = Count;

    fn example() -> Example {
        Example::new(json!({}), json!({ "count": 1 }))
    }

    fn call(&self, _: &mut dyn Caller, _: NoParams) -> Result<Count, Refusal> {
        Ok(Count { count: self.0.users.online() })
    }
}
