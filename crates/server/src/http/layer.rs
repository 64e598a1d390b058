//! The layer of every request: its id, the drain, the origin, security headers, metrics and one log line.

use super::problem::{self, Problem};
use super::sender::{self, Sender};
use super::{client_address, origin};
use crate::listen::Overflow;
use crate::node::Node;
use crate::tls::OverTls;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fanfare_core::model::Caller;
use fanfare_core::model::{ErrorCode, Refusal};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

/// The header of the correlation id.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_BYTES: usize = 128;
/// Longest request target, wherever one is checked.
const MAX_TARGET_BYTES: usize = 8 * 1024;
/// Bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Header fields of a request.
const MAX_FIELDS: usize = 64;

/// The id of a request: the client's if it is well formed, else a new one.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

impl RequestId {
    pub(super) fn of(headers: &HeaderMap, node: &Node) -> Self {
        let well_formed = |v: &&str| {
            (1..=MAX_REQUEST_ID_BYTES).contains(&v.len())
                && v.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        let given = headers.get(REQUEST_ID).and_then(|v| v.to_str().ok()).filter(well_formed);
        Self(given.map_or_else(
            || node.client_id(node.next_serial(fanfare_services::clock::unix_ms())),
            str::to_owned,
        ))
    }
}

/// The outermost layer.
pub(super) async fn every_request(
    State(node): State<Arc<Node>>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let id = RequestId::of(request.headers(), &node);
    let method = request.method().clone();
    let allowed = origin::allowed(&node, request.headers());
    let asked_by = client_address(&node, &request);
    let over_tls = request.extensions().get::<OverTls>().is_some();
    let secret = request.uri().path().starts_with("/auth");
    let socket_methods = socket_methods(request.uri().path());
    request.extensions_mut().insert(id.clone());
    let sender = Sender { caller: Caller::Anonymous, origin: sender::origin_of(&request, asked_by, &id) };
    request.extensions_mut().insert(sender);
    let (route, mut response) = answer(&node, request, next, allowed.as_ref()).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        write_problem(&mut response, &problem, &id, method == Method::HEAD);
    }
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Some(methods) = socket_methods
    {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    }
    let status = response.status().as_u16();
    if secret {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    finish(response.headers_mut(), &id, allowed, over_tls && node.is_named());
    let took = begun.elapsed();
    node.metrics.http(&route, status, took.as_nanos() as u64);
    tracing::debug!(request_id = %id.0, %method, route, status, client = %asked_by, ms = took.as_secs_f64() * 1e3, "request");
    response
}

async fn answer(
    node: &Node,
    mut request: Request,
    next: Next,
    allowed: Option<&HeaderValue>,
) -> (String, Response) {
    // Counted before the drain is checked, so that the drain waits for all requests that passed the check.
    let _in_flight = node.begin_request();
    if let Some((route, response)) = gate(node, &request, allowed) {
        return (route.into(), response);
    }
    match admit(node, request.uri().path(), is_upgrade(&request), request.headers()).await {
        Ok(caller) => {
            if let Some(sender) = request.extensions_mut().get_mut::<Sender>() {
                sender.caller = caller;
            }
        }
        Err(problem) => {
            sender::refused(node, &request, false, &problem);
            return (
                "(refused)".into(),
                refuse(request.method().clone(), request.uri().clone(), next, problem).await,
            );
        }
    };
    let route = request.extensions().get::<MatchedPath>().map(|p| p.as_str().to_owned());
    let route = route.unwrap_or_else(|| "(none)".into());
    let work = futures_util::FutureExt::catch_unwind(AssertUnwindSafe(next.run(request)));
    let response = work.await.unwrap_or_else(|_| {
        tracing::error!(route, "a handler panicked");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed; its log has the details under this id",
        )
        .into_response()
    });
    (route, response)
}

/// The response given before the route and the caller are checked, with its name as a route.
fn gate(node: &Node, request: &Request, allowed: Option<&HeaderValue>) -> Option<(&'static str, Response)> {
    let refused = |route, problem: Problem| Some((route, problem.into_response()));
    if let Err(problem) = overflow(node, request) {
        return refused("(overflow)", problem);
    }
    let probe = matches!(request.uri().path(), "/livez" | "/readyz");
    if node.is_draining() && !probe {
        let problem =
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "server_shutdown", "the server is shutting down");
        return refused("(draining)", Problem { retry_after_ms: Some(1000), ..problem });
    }
    if let Some((route, problem)) = head_fault(request) {
        return refused(route, problem);
    }
    let has_method = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() == Method::OPTIONS && has_method {
        if allowed.is_none() {
            origin::note_refused(node, request);
        }
        return Some(("(preflight)", origin::preflight(allowed.is_some())));
    }
    if origin::is_mutating(request.method())
        && let Err(problem) = origin::check(node, request)
    {
        return refused("(origin)", problem);
    }
    is_upgrade_by_other_method(request).then(|| refused("(upgrade)", problem::no_such_method())).flatten()
}

/// Refuses requests other than probes on a connection with a reserve place only.
fn overflow(node: &Node, request: &Request) -> Result<(), Problem> {
    let Some(overflow) = request.extensions().get::<Overflow>() else { return Ok(()) };
    if matches!(request.uri().path(), "/livez" | "/readyz" | "/health" | "/metrics") {
        return Ok(());
    }
    let (status, scope, detail) = match overflow {
        Overflow::Full => (
            StatusCode::SERVICE_UNAVAILABLE,
            "http_connections",
            "all places for HTTP connections are taken; only probes are served",
        ),
        Overflow::Address => (
            StatusCode::TOO_MANY_REQUESTS,
            "http_connections_per_ip",
            "limits.http_connections_per_ip is reached; only probes are served",
        ),
    };
    node.metrics.refused_by(scope);
    Err(Problem { retry_after_ms: Some(5000), ..Problem::new(status, "limit_exceeded", detail) })
}

/// The fault of a request's head: it has bounds, and one Host. Returned with the route name for metrics.
fn head_fault(request: &Request) -> Option<(&'static str, Problem)> {
    if let Some(problem) = too_long(request) {
        return Some(("(too long)", problem));
    }
    let hosts = request.headers().get_all(header::HOST).iter().count();
    // RFC 9112 section 3.2
    (request.version() == Version::HTTP_11 && hosts != 1).then(|| {
        let detail = "an HTTP/1.1 request names its Host once";
        ("(no host)", Problem::new(StatusCode::BAD_REQUEST, "invalid_field", detail))
    })
}

/// Refuses a target or a head beyond its bound.
pub(super) fn too_long<B>(request: &http::Request<B>) -> Option<Problem> {
    let refused = |status, detail: String| Some(Problem::new(status, "invalid_field", detail));
    let headers = request.headers();
    let target = request.uri().to_string().len();
    if target > MAX_TARGET_BYTES {
        let detail = format!("the request's target is longer than {MAX_TARGET_BYTES} bytes");
        return refused(StatusCode::URI_TOO_LONG, detail);
    }
    // As they are written: `name: value` and a line end.
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers.len() > MAX_FIELDS || target + bytes > MAX_HEAD_BYTES {
        let detail = format!("the request's head has more than {MAX_FIELDS} lines or {MAX_HEAD_BYTES} bytes");
        return refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail);
    }
    None
}

/// Whether a socket is requested by another method than GET: by `HEAD`, which the router treats as `GET`, or by any
/// method with an upgrade.
fn is_upgrade_by_other_method(request: &Request) -> bool {
    if socket_methods(request.uri().path()).is_none() || request.method() == Method::GET {
        return false;
    }
    let mut upgrades = request.headers().get_all(header::UPGRADE).iter().filter_map(|v| v.to_str().ok());
    let upgrades_socket =
        upgrades.any(|v| v.split(',').any(|one| one.trim().eq_ignore_ascii_case("websocket")));
    upgrades_socket || request.method() == Method::HEAD
}

/// Rejects a request with an invalid credential; if the route lacks the method, returns 405 instead.
async fn refuse(method: Method, target: Uri, next: Next, problem: Problem) -> Response {
    let mut probe = Request::new(axum::body::Body::empty());
    *probe.method_mut() = Method::TRACE; // which no route supports
    *probe.uri_mut() = target;
    let answer = next.run(probe).await;
    let allowed = answer.headers().get(header::ALLOW).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let is_taken = allowed.split(',').any(|one| one.trim() == method.as_str());
    if answer.status() == StatusCode::METHOD_NOT_ALLOWED && !is_taken {
        answer
    } else {
        problem.into_response()
    }
}

/// Resolves the caller of a request, and rejects anonymous ones where the server requires a credential.
async fn admit(node: &Node, path: &str, upgrade: bool, headers: &HeaderMap) -> Result<Caller, Problem> {
    // A login must not fail because of an old token that a client still sends; an upgrade checks its own.
    let no_token = is_public(path) || is_login(path) || upgrade;
    if no_token && !headers.contains_key(sender::API_KEY) {
        return Ok(Caller::Anonymous);
    }
    let caller = sender::caller(node, headers).await?;
    if node.config.auth.require && matches!(caller, Caller::Anonymous) {
        let why = "this server accepts no anonymous requests (auth.require)";
        return Err(Refusal::new(ErrorCode::Unauthorized, why).into());
    }
    Ok(caller)
}

/// Liveness, metrics, documents and the start page: public.
pub(super) fn is_public(path: &str) -> bool {
    matches!(path, "/" | "/health" | "/livez" | "/readyz" | "/metrics" | "/docs")
        || (path.ends_with(".json") && path.rfind('/') == Some(0))
        || path.starts_with("/docs/")
        || path.starts_with("/assets/")
}

/// Routes that clients call before they have a token.
pub(super) fn is_login(path: &str) -> bool {
    matches!(path, "/auth/register" | "/auth/login" | "/auth/refresh")
}

fn is_upgrade(request: &Request) -> bool {
    socket_methods(request.uri().path()).is_some() && request.method() == Method::GET
}

/// The methods of a socket's path; `None` for any other path.
fn socket_methods(path: &str) -> Option<&'static str> {
    match path {
        "/rpc" => Some("GET, POST"),
        "/ws" => Some("GET"),
        _ => path.starts_with("/ws/").then_some("GET"),
    }
}

pub(super) fn write_problem(response: &mut Response, problem: &Problem, id: &RequestId, head: bool) {
    let body = if head { String::new() } else { problem.body(&id.0) };
    *response.body_mut() = body.into();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Headers of every response. A page has its own policy; a response that is not a page may load and be framed by
/// nothing. `Cross-Origin-Resource-Policy` applies to requests without CORS, such as a foreign page's `<img>`: it does
/// not restrict origins that CORS allows.
const SAFE: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), ""),
];

/// A year, as browsers' preload lists require.
const HSTS: &str = "max-age=31536000; includeSubDomains";

/// Adds the headers of every response. `hsts`: the connection has TLS and the public origin is a DNS name.
pub(super) fn finish(headers: &mut HeaderMap, id: &RequestId, allowed: Option<HeaderValue>, hsts: bool) {
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, value);
    }
    for (name, value) in SAFE {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if hsts {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("x-request-id, retry-after"),
        );
    }
}
