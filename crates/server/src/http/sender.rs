//! The sender of a request: its caller and its origin.

use super::layer::RequestId;
use super::problem::Problem;
use crate::node::Node;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use fanfare_core::model::{Actor, Caller, ErrorCode, Grants, Origin, Refusal};
use fanfare_services::audit::{AuditEvent, Outcome};
use std::net::IpAddr;
use std::sync::Arc;

/// The header of an API key.
pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Maximum characters kept of a `User-Agent`.
const MAX_AGENT: usize = 256;
/// Longest credential that is checked.
const MAX_CREDENTIAL_BYTES: usize = 8192;

/// The sender of a request: its caller and its origin. Resolved once, by the outermost layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Sender {
    pub(super) caller: Caller,
    pub(super) origin: Origin,
}

impl Sender {
    /// The sender as an actor, without tokens of its own.
    pub(super) fn actor(&self) -> Actor<'_> {
        self.actor_with(&NO_GRANTS)
    }

    /// The sender as an actor with these subscription tokens.
    pub(super) fn actor_with<'a>(&'a self, grants: &'a Grants) -> Actor<'a> {
        Actor { caller: &self.caller, origin: &self.origin, grants }
    }
}

static NO_GRANTS: Grants = Grants::none();

/// The origin of a request, from its headers.
pub(super) fn origin_of(request: &Request, ip: IpAddr, id: &RequestId) -> Origin {
    let text = |name: HeaderName| request.headers().get(name).map(|v| String::from_utf8_lossy(v.as_bytes()));
    let clean = |text: std::borrow::Cow<'_, str>| -> Arc<str> {
        text.chars().filter(|c| !c.is_control()).take(MAX_AGENT).collect::<String>().into()
    };
    Origin {
        ip,
        user_agent: text(header::USER_AGENT).map(clean),
        request_id: Some(id.0.as_str().into()),
        page: text(header::ORIGIN).map(clean),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Sender {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// Verifies the subscription token of a request.
pub(super) async fn grants(node: &Node, token: Option<&str>) -> Grants {
    let mut grants = Grants::default();
    if let Some(token) = token {
        grants.add(token.to_owned(), node.services.identity.subscription(token).await);
    }
    grants
}

/// The credentials in a request's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presented<'a> {
    Nothing,
    Bearer(&'a str),
    Key(&'a str),
    /// A key beside an `Authorization`.
    Both(&'a str),
}

/// Reads the credential of a request's headers. The same one twice is accepted, two different ones are 400.
pub(super) fn presented(headers: &HeaderMap) -> Result<Presented<'_>, Problem> {
    let bearer = only(headers.get_all(header::AUTHORIZATION).iter())?;
    let key = only(headers.get_all(API_KEY).iter())?;
    match (bearer, key.map(key_of)) {
        (None, None) => Ok(Presented::Nothing),
        (_, Some(None)) => Err(invalid_credential("the API key is not valid")),
        (Some(_), Some(Some(key))) => Ok(Presented::Both(key)),
        (None, Some(Some(key))) => Ok(Presented::Key(key)),
        (Some(value), None) => bearer_of(value).map(Presented::Bearer),
    }
}

fn key_of(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= MAX_CREDENTIAL_BYTES)
}

fn only<'a>(mut all: impl Iterator<Item = &'a HeaderValue>) -> Result<Option<&'a HeaderValue>, Problem> {
    let Some(first) = all.next() else { return Ok(None) };
    if all.all(|other| other == first) { Ok(Some(first)) } else { Err(two_credentials()) }
}

/// The token of `Bearer token` (RFC 6750 section 2.1; the scheme is case-insensitive).
fn bearer_of(value: &HeaderValue) -> Result<&str, Problem> {
    let parts = value.to_str().ok().and_then(|text| text.split_once(' '));
    let token = parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, t)| t.trim());
    match token {
        Some(token) if token.len() > MAX_CREDENTIAL_BYTES => {
            Err(invalid_credential("the bearer token is longer than 8192 bytes, which no token may be"))
        }
        Some(token) if !token.is_empty() => Ok(token),
        _ => Err(invalid_credential("send Authorization: Bearer and a token")),
    }
}

pub(super) fn two_credentials() -> Problem {
    let detail = "two different credentials came with one request: send one";
    Problem::new(StatusCode::BAD_REQUEST, "invalid_field", detail)
}

pub(super) fn invalid_credential(why: &'static str) -> Problem {
    Refusal::new(ErrorCode::Unauthorized, why).into()
}

/// Records that a request was refused for its credential, in its headers or, of an upgrade, in its query.
pub(super) fn refused(node: &Node, request: &Request, in_query: bool, problem: &Problem) {
    let reason = match presented(request.headers()) {
        Ok(Presented::Key(_) | Presented::Both(_)) => "api_key",
        Ok(Presented::Bearer(_)) => "token",
        Ok(Presented::Nothing) if in_query => "token",
        _ => return,
    };
    if problem.status == StatusCode::UNAUTHORIZED
        && let Some(Sender { origin, .. }) = request.extensions().get::<Sender>()
    {
        let event = || AuditEvent::new("authn_login_fail", Outcome::Failure).by(origin).reason(reason);
        node.services.audit.refused(origin.ip, event);
    }
}

/// Resolves the caller of a request.
pub(super) async fn caller(node: &Node, headers: &HeaderMap) -> Result<Caller, Problem> {
    match presented(headers)? {
        Presented::Nothing => Ok(Caller::Anonymous),
        Presented::Bearer(token) => Ok(Caller::User(node.services.identity.bearer(token).await?)),
        Presented::Key(key) => Ok(Caller::Server(node.services.identity.api_key(key).await?)),
        Presented::Both(key) => {
            // A wrong key is 401 in any combination.
            node.services.identity.api_key(key).await?;
            Err(two_credentials())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn one_credential_is_read_and_two_different_ones_are_refused() {
        let refused =
            |all: &[(&'static str, &'static str)]| presented(&headers(all)).unwrap_err().status.as_u16();
        assert_eq!(presented(&headers(&[])).unwrap(), Presented::Nothing);
        let twice = headers(&[("authorization", "bearer a.b.c"), ("authorization", "bearer a.b.c")]);
        assert_eq!(presented(&twice).unwrap(), Presented::Bearer("a.b.c"));
        assert_eq!(presented(&headers(&[("x-api-key", "fan_1")])).unwrap(), Presented::Key("fan_1"));
        assert_eq!(refused(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]), 400);
        let both = headers(&[("authorization", "Bearer a"), ("x-api-key", "k")]);
        assert_eq!(presented(&both).unwrap(), Presented::Both("k"));
        for wrong in ["Bearer", "Bearer ", "Basic YTpi", "", "a.b.c"] {
            assert_eq!(refused(&[("authorization", wrong)]), 401, "{wrong}");
        }
        assert_eq!(refused(&[("x-api-key", "")]), 401);
    }
}
