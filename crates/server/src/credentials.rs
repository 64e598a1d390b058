//! Credentials inside frames: found before a frame is carried out, verified off the shard, and looked up when it runs.
//!
//! Verifying may wait (for the store, for an issuer's keys) and commands do not: so a frame that carries a token is set aside,
//! its tokens are verified on the runtime, and then it runs as any other with the outcomes at hand.

use crate::access::{Granted, Principal, TopicGrant};
use crate::identity::Identity;
use fanfare_core::model::{ErrorCode, Refusal};
use serde_json::Value;
use std::sync::Arc;

/// Tokens looked at in one frame.
const MAX_TOKENS: usize = 16;

/// What a token is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To log in.
    Login,
    /// To open a topic.
    Topic,
}

/// A token in a frame.
pub(crate) type Wanted = Vec<(Purpose, String)>;

/// What became of the tokens of a frame.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    logins: Vec<(String, Result<Arc<Principal>, Refusal>)>,
    topics: Vec<(String, Result<TopicGrant, Refusal>)>,
}

impl Verified {
    /// Who a token logs in.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn login(&self, token: &str) -> Result<Arc<Principal>, Refusal> {
        let found = self.logins.iter().find(|(known, _)| known == token).map(|(_, outcome)| outcome.clone());
        let refusal = found
            .unwrap_or_else(|| Err(Refusal::new(ErrorCode::Unauthorized, "the token is not valid here")));
        refusal.map_err(|refusal| refusal.field("token"))
    }

    /// What a subscription token that came with a command opens.
    pub(crate) fn granted(&self, token: Option<&str>) -> Granted<'_> {
        let token = token?;
        let found = self.topics.iter().find(|(known, _)| known == token);
        Some(found.map_or_else(
            || {
                Err(Refusal::new(ErrorCode::InvalidToken, "the subscription token is not valid")
                    .field("token"))
            },
            |(_, outcome)| outcome.as_ref().map_err(Clone::clone),
        ))
    }
}

/// Verifies what a frame carries.
pub(crate) async fn verify(identity: &Identity, wanted: Wanted) -> Verified {
    let mut verified = Verified::default();
    for (purpose, token) in wanted {
        match purpose {
            Purpose::Login => {
                let outcome = identity.bearer(&token).await;
                verified.logins.push((token, outcome));
            }
            Purpose::Topic => {
                let outcome = identity.subscription(&token).await;
                verified.topics.push((token, outcome));
            }
        }
    }
    verified
}

/// The tokens of a typed frame. A text without the word is not looked at again.
pub(crate) fn of_typed(text: &str) -> Wanted {
    // An escape could spell the word.
    if !text.contains("token") && !text.contains("\\u") {
        return Wanted::new();
    }
    let Ok(frame) = serde_json::from_str::<Value>(text) else { return Wanted::new() };
    let purpose = match frame.get("type").and_then(Value::as_str) {
        Some("auth") => Purpose::Login,
        Some("subscribe" | "publish") => Purpose::Topic,
        _ => return Wanted::new(),
    };
    frame.get("token").and_then(Value::as_str).map(|token| (purpose, token.to_owned())).into_iter().collect()
}

/// The tokens of a JSON-RPC text: one call or a batch, params by name or by position.
pub(crate) fn of_jsonrpc(text: &str) -> Wanted {
    let named = text.contains("token") || text.contains("authenticate");
    // By position a token has no name near it; a JWT begins with the base64url of `{"`.
    let listed = || text.contains("topic.") && text.contains("\"ey");
    if !(named || text.contains("\\u") || listed()) {
        return Wanted::new();
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Wanted::new() };
    let calls = match &value {
        Value::Array(calls) => calls.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut wanted = Wanted::new();
    for call in calls {
        let purpose = match call.get("method").and_then(Value::as_str) {
            Some("session.authenticate") => Purpose::Login,
            Some("topic.subscribe" | "topic.publish" | "topic.history") => Purpose::Topic,
            _ => continue,
        };
        let found = match call.get("params") {
            Some(Value::Object(named)) => named.get("token").and_then(Value::as_str),
            // Only the last place of these methods is a token's; the payload of a publish is never one of those.
            Some(Value::Array(listed)) if purpose == Purpose::Login => listed.first().and_then(Value::as_str),
            Some(Value::Array(listed)) => listed.last().and_then(Value::as_str).filter(|t| looks_like_jwt(t)),
            _ => None,
        };
        wanted.extend(found.map(|token| (purpose, token.to_owned())));
        if wanted.len() >= MAX_TOKENS {
            break;
        }
    }
    wanted
}

fn looks_like_jwt(text: &str) -> bool {
    text.len() > 20 && text.bytes().filter(|b| *b == b'.').count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_wherever_a_command_takes_one() {
        let login = |t: &str| vec![(Purpose::Login, t.to_owned())];
        let topic = |t: &str| vec![(Purpose::Topic, t.to_owned())];
        assert_eq!(of_typed(r#"{"type":"auth","token":"a"}"#), login("a"));
        assert_eq!(of_typed(r#"{"type":"auth","tok\u0065n":"a"}"#), login("a"));
        assert_eq!(of_typed(r#"{"type":"subscribe","topic":"t","token":"a"}"#), topic("a"));
        assert_eq!(of_typed(r#"{"type":"publish","topic":"t","payload":{"token":"a"}}"#), Wanted::new());
        assert_eq!(of_typed(r#"{"type":"ping","token":"a"}"#), Wanted::new());
        let jwt = format!("ey{}.b.c", "a".repeat(20));
        for (params, want) in [
            (r#""session.authenticate","params":{"token":"a"}"#.to_owned(), login("a")),
            (r#""session.authenticate","params":["a"]"#.to_owned(), login("a")),
            (r#""topic.subscribe","params":{"topic":"t","token":"a"}"#.to_owned(), topic("a")),
            (format!(r#""topic.subscribe","params":["t",null,null,"{jwt}"]"#), topic(&jwt)),
            (r#""topic.publish","params":["t","hello"]"#.to_owned(), Wanted::new()),
            (r#""session.set","params":{"key":"token","value":"a"}"#.to_owned(), Wanted::new()),
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":{params}}}"#);
            assert_eq!(of_jsonrpc(&text), want, "{text}");
            assert_eq!(of_jsonrpc(&format!("[{text}]")), want, "{text}");
        }
    }
}
