//! Which page origins may access this server (`protocol.md` 5, `security.md`).
//!
//! One rule applies to CORS, upgrades, requests that change something, and tickets: a match with `server.cors_origins`
//! or the public origin; the server's own address as the page has it, if that is `localhost` or an IP address; in
//! development, while `server.cors_origins` is not set, any origin of this machine. Origins are compared in their
//! normal form.

use super::problem::Problem;
use super::sender::Sender;
use crate::node::Node;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fanfare_config::Origin;
use fanfare_services::audit::{AuditEvent, Outcome};
use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Instant;

/// The hosts of this machine that development allows (`configuration.md`), besides its own name.
const LOCAL_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The request's origin, if it has an allowed one.
pub(super) fn allowed(node: &Node, headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(header::ORIGIN)?;
    may_connect(node, headers, value.to_str().ok()?).then(|| value.clone())
}

/// Whether a request may continue: it has no origin (it is not from a browser's page), or an allowed one.
fn permits(node: &Node, headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(header::ORIGIN).iter();
    match (all.next(), all.next()) {
        (None, _) => true,
        (Some(_), None) => allowed(node, headers).is_some(),
        _ => false,
    }
}

/// Rejects an upgrade, or a request that changes something, from a page of a disallowed origin. A browser sends such
/// requests without a preflight if they look like a form's, and always to a name that resolves to this server (DNS
/// rebinding).
pub(super) fn check(node: &Node, request: &Request) -> Result<(), Problem> {
    if permits(node, request.headers()) {
        return Ok(());
    }
    note_refused(node, request);
    let detail = "pages of this origin may not connect; add it to server.cors_origins";
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

/// Whether a request of this method may change something.
pub(super) fn is_mutating(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Records a refused origin in the log and the audit log.
pub(super) fn note_refused(node: &Node, request: &Request) {
    let Some(Sender { origin: client, .. }) = request.extensions().get::<Sender>() else { return };
    node.services.audit.refused(client.ip, || AuditEvent::new("origin_denied", Outcome::Denied).by(client));
    let origin = client.page.as_deref().unwrap_or_default();
    if node.refused_origins.is_due(origin, Instant::now()) {
        tracing::warn!(
            origin,
            client = %client.ip,
            "a page of this origin was refused; to admit it, add it to server.cors_origins"
        );
    }
}

/// Whether pages of `origin` may connect by the address of this request.
pub(super) fn may_connect(node: &Node, headers: &HeaderMap, origin: &str) -> bool {
    let (Some(bound), Ok(origin)) = (node.bound(), Origin::parse(origin)) else { return false };
    if bound.origins.iter().any(|listed| listed == origin.as_str()) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| is_local(host));
    let scheme = if node.config.serves_tls() { "https" } else { "http" };
    if host.is_some_and(|host| Origin::parse(&format!("{scheme}://{host}")).is_ok_and(|own| own == origin)) {
        return true;
    }
    let is_web = matches!(origin.scheme(), "http" | "https");
    let is_here = LOCAL_HOSTS.contains(&origin.host()) || origin.host() == bound.machine;
    node.config.server.cors_origins.any_local && is_web && is_here
}

/// An origin in its normal form; a text that is not an origin unchanged.
pub(super) fn normal(origin: &str) -> Cow<'_, str> {
    Origin::parse(origin).map_or(origin.into(), |origin| origin.as_str().to_owned().into())
}

/// Whether a Host names this machine by `localhost` or an address: a name could point to another machine (DNS
/// rebinding).
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

/// The response to a preflight request.
pub(super) fn preflight(permitted: bool) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if permitted {
        let headers = response.headers_mut();
        let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let allowed = "authorization, content-type, idempotency-key, x-api-key, x-request-id";
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_local() {
        for host in ["localhost", "LocalHost:8080", "127.0.0.1:1", "[::1]:80", "[::1]", "10.0.0.7"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["example.com", "localhost.evil.example:80", "127.0.0.1.nip.example", ""] {
            assert!(!is_local(host), "{host}");
        }
    }
}
