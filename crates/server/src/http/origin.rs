//! Which pages may talk to this server (`protocol.md` 5, `security.md`).
//!
//! The same rule serves CORS and the upgrade: an exact match with `server.cors_origins` or the public origin, or the
//! server's own address as the page has it, when that is `localhost` or an IP address.

use crate::node::Node;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

/// The request's origin, if it has one that may.
pub(super) fn allowed(node: &Node, headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(header::ORIGIN)?;
    let origin = value.to_str().ok()?;
    may(node, origin, headers.get(header::HOST).and_then(|h| h.to_str().ok())).then(|| value.clone())
}

/// Whether an upgrade may go on: no origin (not a browser's page), or one that may.
pub(super) fn permits_upgrade(node: &Node, headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(header::ORIGIN).iter();
    match (all.next(), all.next()) {
        (None, _) => true,
        (Some(_), None) => allowed(node, headers).is_some(),
        _ => false,
    }
}

/// Whether pages of `origin` may connect by the address this request came to.
pub(super) fn may_connect(node: &Node, headers: &HeaderMap, origin: &str) -> bool {
    may(node, origin, headers.get(header::HOST).and_then(|h| h.to_str().ok()))
}

fn may(node: &Node, origin: &str, host: Option<&str>) -> bool {
    let Some(bound) = node.bound() else { return false };
    if bound.origins.iter().any(|o| o == origin) {
        return true;
    }
    let scheme = if node.config.serves_tls() { "https://" } else { "http://" };
    host.is_some_and(|host| is_local(host) && origin.strip_prefix(scheme) == Some(host))
}

/// Whether a Host names this machine by `localhost` or an address: a name could be somebody else's (DNS rebinding).
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    name == "localhost" || bare.parse::<IpAddr>().is_ok()
}

/// The answer to a preflight request.
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
    use super::is_local;

    #[test]
    fn only_addresses_and_localhost_are_local() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:80", "[::1]", "10.0.0.7"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["example.com", "localhost.evil.example:80", "127.0.0.1.nip.example", ""] {
            assert!(!is_local(host), "{host}");
        }
    }
}
