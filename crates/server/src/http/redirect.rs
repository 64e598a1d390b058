//! The plain HTTP port beside HTTPS: it redirects GET and HEAD, and accepts nothing else.
//!
//! A GET or HEAD gets 308 to the same path of the public origin, without `token` and `ticket`: credentials sent in the
//! clear must not be used again. Any other request carries data, so it is refused with `https_required` and its body is
//! not read; clients must not get used to sending secrets here. With `tls.redirect_all` every request gets 308.

use super::layer::{self, RequestId};
use super::problem::Problem;
use crate::node::Node;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Query parameters that are credentials.
const CREDENTIALS: [&str; 2] = ["token", "ticket"];

/// The one route of the plain port.
pub fn redirects(node: Arc<Node>) -> Router {
    Router::new().fallback(redirect).with_state(node)
}

async fn redirect(State(node): State<Arc<Node>>, request: Request) -> Response {
    let id = RequestId::of(request.headers(), &node);
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let safe = matches!(*request.method(), Method::GET | Method::HEAD) && !upgrade;
    let target = (safe || node.config.tls.redirect_all).then(|| node.bound()).flatten();
    let location = target.and_then(|bound| {
        let origin = node.config.public_origin(bound.address);
        HeaderValue::try_from(format!("{}{}", origin.as_str(), without_credentials(request.uri()))).ok()
    });
    let refused = || {
        let detail = "this port only redirects; send the request to the https:// address";
        Problem::new(StatusCode::FORBIDDEN, "https_required", detail)
    };
    let answer = match layer::too_long(&request) {
        Some(problem) => Err(problem),
        None => location.ok_or_else(refused),
    };
    let mut response = match answer {
        Ok(location) => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response(),
        Err(problem) => {
            let mut response = problem.clone().into_response();
            layer::write_problem(&mut response, &problem, &id, request.method() == Method::HEAD);
            response
        }
    };
    if !safe {
        // An unread body cannot be distinguished from a next request.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    layer::finish(response.headers_mut(), &id, None, false);
    node.metrics.http("(redirect)", response.status().as_u16(), 0);
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, Body::new(body))
}

/// The path and query of a request without its credentials.
fn without_credentials(uri: &Uri) -> String {
    let kept = uri.query().unwrap_or_default().split('&').filter(|pair| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        !pair.is_empty() && !CREDENTIALS.contains(&name.as_ref())
    });
    let query = kept.collect::<Vec<_>>().join("&");
    let path = if uri.path().starts_with('/') { uri.path() } else { "/" };
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn credentials_are_dropped_and_nothing_else() {
        for (from, to) in [
            ("/", "/"),
            ("/a/b?x=1&y=%20", "/a/b?x=1&y=%20"),
            ("/ws?token=secret", "/ws"),
            ("/ws?a=1&ticket=t&b=2", "/ws?a=1&b=2"),
            ("/ws?t%6Fken=secret&a=1", "/ws?a=1"),
            ("/ws?token&ticket=&a", "/ws?a"),
            ("/ws?tokens=1", "/ws?tokens=1"),
            ("//evil.example/x", "//evil.example/x"),
            ("http://evil.example/x?y=1", "/x?y=1"),
            ("*", "/"),
        ] {
            assert_eq!(without_credentials(&from.parse().unwrap()), to, "{from}");
        }
    }
}
