//! What an act is judged by: the caller, where the request came from, and the tokens that were verified for it.

use crate::model::{Caller, ErrorCode, Refusal, Requester};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Where a request or a connection came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's address, behind trusted proxies too.
    pub ip: IpAddr,
    /// Its `User-Agent`, at most 256 characters, without control characters.
    pub user_agent: Option<Arc<str>>,
    /// The request's correlation id; none for what came over a socket.
    pub request_id: Option<Arc<str>>,
    /// The `Origin` header: the page that the browser sent the request for.
    pub page: Option<Arc<str>>,
}

impl Default for Origin {
    fn default() -> Self {
        Self { ip: Ipv4Addr::UNSPECIFIED.into(), user_agent: None, request_id: None, page: None }
    }
}

/// What a subscription token that was verified opens (`http-api.md` "Subscription token").
#[derive(Clone, Debug)]
pub struct TopicGrant {
    /// The issuer's name.
    pub issuer: String,
    /// The issuer's name of the user.
    pub sub: String,
    /// The topic.
    pub topic: String,
    /// Opens subscribing.
    pub subscribe: bool,
    /// Opens reading the history.
    pub history: bool,
    /// Opens publishing.
    pub publish: bool,
    /// When it ends, in milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// The outcome for a subscription token that came with a command; `None` without a token.
pub type Granted<'a> = Option<Result<&'a TopicGrant, Refusal>>;

/// The subscription tokens that came with a frame or request, and what became of each.
#[derive(Clone, Debug, Default)]
pub struct Grants(Vec<(String, Result<TopicGrant, Refusal>)>);

impl Grants {
    /// No tokens.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Adds the outcome of verifying a token.
    pub fn add(&mut self, token: String, outcome: Result<TopicGrant, Refusal>) {
        self.0.push((token, outcome));
    }

    /// Whether the outcome of a token is known.
    pub fn knows(&self, token: &str) -> bool {
        self.0.iter().any(|(known, _)| known == token)
    }

    /// What a subscription token that came with a command opens. One that was not verified opens nothing.
    pub fn granted(&self, token: Option<&str>) -> Granted<'_> {
        let token = token?;
        let found = self.0.iter().find(|(known, _)| known == token);
        Some(found.map_or_else(
            || {
                Err(Refusal::new(ErrorCode::InvalidToken, "the subscription token is not valid")
                    .field("token"))
            },
            |(_, outcome)| outcome.as_ref().map_err(Clone::clone),
        ))
    }
}

/// Who acts: everything a service judges an act by.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// On whose behalf.
    pub caller: &'a Caller,
    /// From where.
    pub origin: &'a Origin,
    /// With which subscription tokens.
    pub grants: &'a Grants,
}

impl<'a> Actor<'a> {
    /// The actor as topics know it.
    pub fn requester(&self) -> Requester<'a> {
        self.caller.requester(self.origin.ip)
    }

    /// What a token of the command opens.
    pub fn granted(&self, token: Option<&str>) -> Granted<'a> {
        self.grants.granted(token)
    }
}
