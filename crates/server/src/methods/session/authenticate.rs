//! `session.authenticate`: log in on an open connection.

use super::super::connection;
use super::{Granted, granted_example};
use fanfare_core::model::{Refusal, TokenUse};
use fanfare_rpc::{Access, Caller, Example, Method, Order};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

pub(crate) struct Authenticate;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-strict" = true))]
pub(crate) struct Params {
    /// A JWT access token.
    #[schemars(length(min = 1))]
    token: String,
}

impl Method for Authenticate {
    const NAME: &'static str = "session.authenticate";
    const SUMMARY: &'static str = "Logs in with an access token; the session gets a new code and token";
    const ACCESS: Access = Access::OPEN.on_connection();
    const TOKEN: Option<TokenUse> = Some(TokenUse::Login);
    const ORDER: Order = Order::Login;
    type Params<'a> = Params;
    type Result = Granted;

    fn example() -> Example {
        Example::new(json!({ "token": "eyJhbGciOi…" }), granted_example())
    }

    fn call(&self, caller: &mut dyn Caller, params: Params) -> Result<Granted, Refusal> {
        connection(caller)?.authenticate(&params.token).map(Into::into)
    }
}
