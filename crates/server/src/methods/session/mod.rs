//! `session.*`: the connection's own session (`protocol.md` 6 "Sessions").

mod authenticate;
mod get;
mod resume;
mod set;

pub(super) use authenticate::Authenticate;
pub(super) use get::Get;
pub(super) use resume::Resume;
pub(super) use set::Set;

use super::connection;
use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_core::session::SessionCode;
use fanfare_rpc::{Caller, SessionGrant};
use schemars::JsonSchema;
use serde::Serialize;

/// The session of the caller's connection.
fn session_of(caller: &mut dyn Caller) -> Result<SessionCode, Refusal> {
    connection(caller)?.session().ok_or_else(ended)
}

fn ended() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "the session has ended; reconnect for a new one")
}

/// Longest key in characters.
const MAX_KEY: usize = 128;

/// A user in a result.
#[derive(Serialize, JsonSchema)]
pub(crate) struct User {
    id: String,
    username: String,
}

/// The present session of a connection.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Granted {
    /// The logged-in user.
    user: Option<User>,
    /// Its code.
    session_code: SessionCodeResult,
    /// The token that resumes it next.
    resume_token: String,
}

/// A session code in a result; it always has the documented form.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct SessionCodeResult(#[schemars(extend("format" = "session_code"))] String);

impl From<SessionGrant> for Granted {
    fn from(grant: SessionGrant) -> Self {
        Self {
            user: grant.user.map(|(id, username)| User { id, username }),
            session_code: SessionCodeResult(grant.code),
            resume_token: grant.token,
        }
    }
}

/// The example of a [`Granted`].
fn granted_example() -> serde_json::Value {
    serde_json::json!({
        "user": { "id": "01j5x", "username": "ann" }, "session_code": "happy-panda-42", "resume_token": "AQcTnUw…"
    })
}
