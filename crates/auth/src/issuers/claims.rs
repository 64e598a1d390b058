//! The claims of an issuer's token, checked apart from its signature.

use super::{IssuerError, Refused};
use crate::jws::{LEEWAY_S, text, time};
use serde_json::{Map, Value};

/// Maximum characters of the claim that names a user.
const MAX_CLAIM: usize = 200;
/// Maximum bytes of a `jti`.
const MAX_JTI: usize = 256;

/// A verified login of an issuer's user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// `name:claim`.
    pub username: String,
    /// The claim as the issuer sent it.
    pub claim: String,
    /// The expiry of the login, seconds since 1970.
    pub exp: u64,
    /// The token's id, if it has one.
    pub jti: Option<String>,
    /// The issue time, if the token has one.
    pub iat: Option<u64>,
}

/// A verified right to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// The user it is for, as the issuer's claim ([`Login::claim`]).
    pub sub: String,
    /// The topic's name as written in the token.
    pub topic: String,
    /// The actions it allows on that topic.
    pub actions: Actions,
    /// The expiry, seconds since 1970.
    pub exp: u64,
}

/// The actions that a subscription token allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Actions {
    /// Subscribe to the topic.
    pub subscribe: bool,
    /// Read its history.
    pub history: bool,
    /// Publish to it.
    pub publish: bool,
}

/// The part of an issuer's configuration that claims are checked against.
#[derive(Debug)]
pub(super) struct ClaimRules {
    pub name: String,
    pub issuer: String,
    pub audience: String,
    pub user_claim: String,
}

type Claims = Map<String, Value>;

impl ClaimRules {
    pub(super) fn login(&self, claims: &Claims, now: u64) -> Result<Login, Refused> {
        if claims.contains_key("topic") {
            return Err(Refused::by("topic"));
        }
        let claim = name(claims, &self.user_claim)?.to_owned();
        let jti = match claims.get("jti") {
            None => None,
            Some(jti) => {
                let valid = |jti: &&str| (1..=MAX_JTI).contains(&jti.len());
                Some(jti.as_str().filter(valid).ok_or(Refused::by("jti"))?.to_owned())
            }
        };
        let Times { iat, exp } = self.times(claims, now)?;
        let username = format!("{}:{claim}", self.name);
        Ok(Login { issuer: self.name.clone(), username, claim, exp, jti, iat })
    }

    pub(super) fn subscription(&self, claims: &Claims, now: u64) -> Result<Subscription, Refused> {
        let sub = name(claims, "sub")?.to_owned();
        let topic = text(claims, "topic").filter(|topic| !topic.is_empty());
        let topic = topic.ok_or(Refused::by("topic"))?.to_owned();
        let actions = actions(claims.get("actions"))?;
        let Times { exp, .. } = self.times(claims, now)?;
        Ok(Subscription { issuer: self.name.clone(), sub, topic, actions, exp })
    }

    /// Checks audience, issuer and times; `Expired` is reported last, after all checks that make a token invalid.
    fn times(&self, claims: &Claims, now: u64) -> Result<Times, Refused> {
        let ours = match claims.get("aud") {
            Some(Value::String(aud)) => *aud == self.audience,
            Some(Value::Array(list)) => {
                list.iter().all(Value::is_string)
                    && list.iter().any(|aud| aud.as_str() == Some(&self.audience))
            }
            _ => false,
        };
        if !ours {
            return Err(Refused::by("aud"));
        }
        if text(claims, "iss") != Some(&self.issuer) {
            return Err(Refused::by("iss"));
        }
        let read = |name| time(claims, name).map_err(|()| Refused::by(name));
        let (exp, nbf, iat) = (read("exp")?.ok_or(Refused::by("exp"))?, read("nbf")?, read("iat")?);
        for (name, at) in [("nbf", nbf), ("iat", iat)] {
            if at.is_some_and(|at| at > now.saturating_add(LEEWAY_S)) {
                return Err(Refused::by(name));
            }
        }
        if now >= exp {
            return Err(Refused { error: IssuerError::Expired, check: "exp" });
        }
        Ok(Times { iat, exp })
    }
}

struct Times {
    iat: Option<u64>,
    exp: u64,
}

/// Returns the claim that names a user. Control characters are rejected: the name is shown and logged.
fn name<'a>(claims: &'a Claims, claim: &str) -> Result<&'a str, Refused> {
    let refused = Refused::by("user claim");
    let name = text(claims, claim).ok_or(refused)?;
    let length = name.chars().take(MAX_CLAIM + 1).count();
    let valid = (1..=MAX_CLAIM).contains(&length) && !name.chars().any(char::is_control);
    valid.then_some(name).ok_or(refused)
}

/// Reads the actions, `["subscribe","history"]` by default; an unknown action is rejected rather than ignored.
fn actions(claim: Option<&Value>) -> Result<Actions, Refused> {
    let Some(claim) = claim else { return Ok(Actions { subscribe: true, history: true, publish: false }) };
    let mut actions = Actions::default();
    for word in claim.as_array().ok_or(Refused::by("actions"))? {
        match word.as_str() {
            Some("subscribe") => actions.subscribe = true,
            Some("history") => actions.history = true,
            Some("publish") => actions.publish = true,
            _ => return Err(Refused::by("actions")),
        }
    }
    Ok(actions)
}
