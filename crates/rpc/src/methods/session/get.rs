//! `session.get`: the session, or one value of its data.

use super::{MAX_KEY, SessionCodeResult};
use crate::methods::json as raw;
use crate::{Access, Caller, Example, Method};
use fanfare_core::model::Refusal;
use fanfare_dialects::time::rfc3339_ms;
use fanfare_json::RawBuf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

pub(crate) struct Get;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    /// Which value; the whole session without it.
    #[schemars(length(min = 1, max = MAX_KEY))]
    key: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// Without `key`.
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
    /// With `key`.
    One {
        /// The key.
        key: String,
        /// Its value; null when there is none.
        value: RawBuf,
    },
}

impl Method for Get {
    const NAME: &'static str = "session.get";
    const SUMMARY: &'static str = "The connection's session, or one value of its data";
    const ACCESS: Access = Access::ANYONE.on_connection();
    type Params<'a> = Params;
    type Result = Answer;

    fn example() -> Example {
        Example::new(json!({ "key": "colour" }), json!({ "key": "colour", "value": "green" }))
    }

    fn call(&self, caller: &mut dyn Caller, params: Params) -> Result<Answer, Refusal> {
        if let Some(key) = params.key {
            let value = caller.session_value(&key)?.map(|json| raw(&json)).unwrap_or_default();
            return Ok(Answer::One { key, value });
        }
        let session = caller.session()?;
        Ok(Answer::Whole {
            code: SessionCodeResult(session.code),
            created_at: rfc3339_ms(session.created_at),
            last_seen: rfc3339_ms(session.last_seen),
            data: session.data.iter().map(|(key, json)| (key.to_string(), raw(json))).collect(),
        })
    }
}
