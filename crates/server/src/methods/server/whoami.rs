//! `server.whoami`.

use fanfare_core::model;
use fanfare_core::model::Refusal;
use fanfare_rpc::{Caller, Example, Method, NoParams};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

pub(crate) struct Whoami;

#[derive(Serialize, JsonSchema)]
pub(crate) struct Answer {
    /// Null for an anonymous caller.
    user: Option<User>,
    kind: Kind,
}

#[derive(Serialize, JsonSchema)]
struct User {
    id: String,
    username: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// An anonymous caller.
    Anonymous,
    User,
    /// The app's own backend, by an API key.
    Server,
}

impl Method for Whoami {
    const NAME: &'static str = "server.whoami";
    const SUMMARY: &'static str = "Returns the caller's identity";
    type Params<'a> = NoParams;
    type Result = Answer;

    fn example() -> Example {
        Example::new(json!({}), json!({ "user": { "id": "01j5x", "username": "ann" }, "kind": "user" }))
    }

    fn call(&self, caller: &mut dyn Caller, _: NoParams) -> Result<Answer, Refusal> {
        Ok(match caller.actor().caller {
            model::Caller::Anonymous => Answer { user: None, kind: Kind::Anonymous },
            model::Caller::Server(_) => Answer { user: None, kind: Kind::Server },
            model::Caller::User(user) => {
                let (id, username) = (user.user_id.to_string(), user.username.to_string());
                Answer { user: Some(User { id, username }), kind: Kind::User }
            }
        })
    }
}
