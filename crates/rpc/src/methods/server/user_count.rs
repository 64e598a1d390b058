//! `server.user_count`.

use crate::methods::NoParams;
use crate::{Caller, Example, Method};
use fanfare_core::model::Refusal;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

pub(crate) struct UserCount;

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

    fn call(&self, caller: &mut dyn Caller, _: NoParams) -> Result<Count, Refusal> {
        Ok(Count { count: caller.server().users_online })
    }
}
