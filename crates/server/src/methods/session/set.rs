//! `session.set`: store a value in the session.

use super::{MAX_KEY, session_of};
use fanfare_core::model::Refusal;
use fanfare_json::Raw;
use fanfare_rpc::{Access, Caller, Example, Method, Order};
use fanfare_services::clock::unix_ms;
use fanfare_services::sessions::SessionService;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

/// Writes the session data of a service.
pub(crate) struct Set(pub(crate) Arc<SessionService>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params<'a> {
    /// The key.
    #[schemars(length(min = 1, max = MAX_KEY))]
    key: String,
    /// Any JSON; null removes the key.
    #[serde(borrow)]
    value: Raw<'a>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Kept {
    /// The key.
    key: String,
    /// Bytes of all keys and values in the session.
    data_bytes: usize,
}

impl Method for Set {
    const NAME: &'static str = "session.set";
    const SUMMARY: &'static str = "Keeps a value in the session, which survives a reconnect";
    const ACCESS: Access = Access::ANYONE.on_connection();
    const ORDER: Order = Order::Login;
    type Params<'a> = Params<'a>;
    type Result = Kept;

    fn example() -> Example {
        Example::new(
            json!({ "key": "colour", "value": "green" }),
            json!({ "key": "colour", "data_bytes": 13 }),
        )
    }

    fn call(&self, caller: &mut dyn Caller, params: Params<'_>) -> Result<Kept, Refusal> {
        let code = session_of(caller)?;
        let data_bytes = self.0.table().set(code, &params.key, params.value.get(), unix_ms())?;
        Ok(Kept { key: params.key, data_bytes })
    }
}
