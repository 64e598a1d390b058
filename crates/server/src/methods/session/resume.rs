//! `session.resume`: resume another session on an open connection.

use super::super::connection;
use super::{Granted, granted_example};
use fanfare_core::model::Refusal;
use fanfare_rpc::{Access, Caller, Example, Method, Order, SessionCodeText};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

pub(crate) struct Resume;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-strict" = true))]
pub(crate) struct Params {
    /// The session's code, in any case.
    code: SessionCodeText,
    /// Its newest token.
    #[schemars(length(min = 1, max = 2048))]
    token: String,
}

impl Method for Resume {
    const NAME: &'static str = "session.resume";
    const SUMMARY: &'static str = "Takes over a session by its code and resume token, which is replaced";
    const ACCESS: Access = Access::OPEN.on_connection();
    const ORDER: Order = Order::Login;
    type Params<'a> = Params;
    type Result = Granted;

    fn example() -> Example {
        Example::new(json!({ "code": "happy-panda-42", "token": "AQcTnUw…" }), granted_example())
    }

    fn call(&self, caller: &mut dyn Caller, params: Params) -> Result<Granted, Refusal> {
        connection(caller)?.resume_session(params.code.as_str(), &params.token).map(Into::into)
    }
}
