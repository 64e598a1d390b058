//! `session.get`: the session, or one value of its data.

use super::super::raw;
use super::{MAX_KEY, SessionCodeResult, ended, session_of};
use fanfare_core::model::Refusal;
use fanfare_core::time::rfc3339_ms;
use fanfare_json::RawBuf;
use fanfare_rpc::{Access, Caller, Example, Method, Order};
use fanfare_services::clock::unix_ms;
use fanfare_services::sessions::SessionService;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads the session data of a service.
pub(crate) struct Get(pub(crate) Arc<SessionService>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    /// The key of one value; the whole session if absent.
    #[schemars(length(min = 1, max = MAX_KEY))]
    key: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// The result without `key`.
    Whole {
        /// The session's code.
        code: SessionCodeResult,
        /// When it was opened.
        created_at: String,
        /// When it was last used.
        last_seen: String,
        /// All values by key.
        data: BTreeMap<String, RawBuf>,
    },
    /// The result with `key`.
    One {
        /// The key.
        key: String,
        /// Its value; null if there is none.
        value: RawBuf,
    },
}

impl Method for Get {
    const NAME: &'static str = "session.get";
    const SUMMARY: &'static str = "The connection's session, or one value of its data";
    const ACCESS: Access = Access::ANYONE.on_connection();
    const ORDER: Order = Order::Login;
    type Params<'a> = Params;
    type Result = Answer;

    fn example() -> Example {
        Example::new(json!({ "key": "colour" }), json!({ "key": "colour", "value": "green" }))
    }

    fn call(&self, caller: &mut dyn Caller, params: Params) -> Result<Answer, Refusal> {
        let (code, now, table) = (session_of(caller)?, unix_ms(), self.0.table());
        if let Some(key) = params.key {
            let value = table.get(code, &key, now).map(|json| raw(&json)).unwrap_or_default();
            return Ok(Answer::One { key, value });
        }
        let session = table.info(code, now).ok_or_else(ended)?;
        Ok(Answer::Whole {
            code: SessionCodeResult(code.to_string()),
            created_at: rfc3339_ms(session.created_at),
            last_seen: rfc3339_ms(session.last_seen),
            data: table.all(code, now).iter().map(|(key, json)| (key.to_string(), raw(json))).collect(),
        })
    }
}
