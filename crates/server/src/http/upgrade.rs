//! From an upgrade request to a socket on a shard.
//!
//! Everything is decided before the 101: handshake, origin, credentials, caps, session. Then the answer goes out, and the
//! raw socket with whatever came behind the request is handed to a shard; nothing of HTTP stays with it.

use super::problem::Problem;
use super::{Http, client_address, origin};
use crate::admission::Full;
use crate::node::{Node, unix_ms};
use crate::shard::{NewConn, NewSession, Speaks, ToShard};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_ws::deflate::WindowBits;
use fanfare_ws::handshake::{self, Accepted, Options};
use hyper_util::rt::TokioIo;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Subprotocols by endpoint, as `Sec-WebSocket-Protocol` names them.
const TYPED: &str = "fanfare.v1";
const JSONRPC: &str = "jsonrpc";
/// The 101 must have left by then.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

/// What an upgrade may carry in its query, beside headers.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the parameters are read by hand, so that the last of several counts")]
pub(super) struct SocketQuery {
    /// Code of the session to resume.
    #[param(example = "happy-panda-42")]
    session: Option<String>,
    /// Its resume token.
    resume: Option<String>,
    /// A one-time ticket.
    ticket: Option<String>,
    /// An access token, where auth.allow_query_token is on.
    token: Option<String>,
}

/// How an upgrade ends, for the document; further refusals follow from the declaration.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code, reason = "describes answers that are made elsewhere")]
pub(super) enum Upgraded {
    /// The connection is a WebSocket now
    #[response(status = 101)]
    Switched,
    /// The origin may not connect
    #[response(status = 403)]
    Origin,
    /// Not a WebSocket request of version 13
    #[response(status = 426)]
    Version,
    /// Too many connections or guesses from this address
    #[response(status = 429)]
    Address,
}

/// The main socket: the typed dialect, or JSON-RPC by subprotocol or first frame.
#[utoipa::path(
    get,
    path = "/ws",
    tag = "Sockets",
    operation_id = "socket",
    params(SocketQuery),
    responses(Upgraded)
)]
pub(super) async fn typed_socket(State(http): State<Http>, request: Request) -> Result<Response, Problem> {
    upgrade(&http.node, request, &[TYPED, JSONRPC])
}

/// JSON-RPC 2.0 over a socket.
#[utoipa::path(
    get,
    path = "/rpc",
    tag = "Sockets",
    operation_id = "rpcSocket",
    params(SocketQuery),
    responses(Upgraded)
)]
pub(super) async fn rpc_socket(State(http): State<Http>, request: Request) -> Result<Response, Problem> {
    upgrade(&http.node, request, &[JSONRPC])
}

fn upgrade(
    node: &Arc<Node>,
    mut request: Request,
    protocols: &'static [&'static str],
) -> Result<Response, Problem> {
    if request.version() != Version::HTTP_11 {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_field",
            "a WebSocket begins with HTTP/1.1",
        ));
    }
    let has_body = request.headers().contains_key(header::TRANSFER_ENCODING)
        || request.headers().get(header::CONTENT_LENGTH).is_some_and(|n| n != "0");
    if has_body {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_field", "an upgrade request has no body"));
    }
    let accepted = shake_hands(node, &request, protocols)?;
    if !origin::permits_upgrade(node, request.headers()) {
        let detail = "pages of this origin may not connect; add it to server.cors_origins";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let address = client_address(node, &request);
    let query = Query::of(&request);
    refuse_credentials(node, &request, &query)?;
    let anonymous_refused = node.config.auth.require;
    let permit = node.admission.enter(address, anonymous_refused).map_err(|full| refuse_full(node, full))?;
    let session = match anonymous_refused {
        true => None,
        false => Some(session(node, &query, address)?),
    };
    let speaks = match accepted.protocol {
        Some(JSONRPC) => Speaks::JsonRpc,
        Some(_) => Speaks::Typed,
        None if protocols == [JSONRPC] => Speaks::JsonRpc,
        None => Speaks::Undecided,
    };
    let compress = accepted.deflate.is_some_and(|d| d.window() == WindowBits::MAX);
    let upgrading = hyper::upgrade::on(&mut request);
    let (node, deflate) = (node.clone(), accepted.deflate.is_some());
    tokio::spawn(async move {
        let upgraded = tokio::time::timeout(UPGRADE_WITHIN, upgrading).await;
        let Ok(Ok(upgraded)) = upgraded else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
            tracing::error!("an upgraded connection is no plain TCP socket");
            return;
        };
        match parts.io.into_inner().into_std() {
            Ok(stream) => {
                let early = parts.read_buf.to_vec();
                let new = NewConn { stream, early, speaks, deflate, compress, session, permit };
                node.post(node.place(), ToShard::Open(Box::new(new)));
            }
            Err(error) => tracing::error!(%error, "an upgraded socket cannot leave the runtime"),
        }
    });
    Ok(switching(&accepted))
}

fn shake_hands(
    node: &Node,
    request: &Request,
    protocols: &'static [&'static str],
) -> Result<Accepted<'static>, Problem> {
    let headers = request.headers();
    let options = Options { protocols, deflate: node.config.ws.compression };
    handshake::check(|name| headers.get_all(name).iter().map(HeaderValue::as_bytes), &options).map_err(
        |error| {
            let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
            let code =
                if status == StatusCode::UPGRADE_REQUIRED { "upgrade_required" } else { "invalid_field" };
            let mut problem = Problem::new(status, code, error.to_string());
            if status == StatusCode::UPGRADE_REQUIRED {
                problem = problem
                    .with(header::SEC_WEBSOCKET_VERSION, handshake::VERSION)
                    .with(header::UPGRADE, "websocket")
                    .with(header::CONNECTION, "upgrade");
            }
            problem
        },
    )
}

/// The query parameters an upgrade knows. The last of several counts.
#[derive(Default)]
struct Query {
    session: Option<String>,
    resume: Option<String>,
    token: Option<String>,
    ticket: Option<String>,
}

impl Query {
    fn of(request: &Request) -> Self {
        let mut query = Self::default();
        for pair in request.uri().query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "session" => query.session = Some(value),
                "resume" => query.resume = Some(value),
                "token" => query.token = Some(value),
                "ticket" => query.ticket = Some(value),
                _ => {}
            }
        }
        query
    }
}

/// There are no accounts in this release, so no credential can be good; a bad one is refused before the upgrade.
fn refuse_credentials(node: &Node, request: &Request, query: &Query) -> Result<(), Problem> {
    if query.token.is_some() && !node.config.auth.allow_query_token {
        let why = "this server takes no token in the query (auth.allow_query_token); send it as a header";
        return Err(Refusal::new(ErrorCode::Unauthorized, why).into());
    }
    if request.headers().contains_key(header::AUTHORIZATION)
        || query.token.is_some()
        || query.ticket.is_some()
    {
        return Err(Refusal::new(ErrorCode::Unauthorized, "the credential is not valid here").into());
    }
    Ok(())
}

fn refuse_full(node: &Node, full: Full) -> Problem {
    let (status, scope, detail) = match full {
        Full::Server => (StatusCode::SERVICE_UNAVAILABLE, "connections", "limits.max_connections is reached"),
        Full::Address => {
            (StatusCode::TOO_MANY_REQUESTS, "connections_per_ip", "limits.max_connections_per_ip is reached")
        }
        Full::Unauthenticated => {
            (StatusCode::SERVICE_UNAVAILABLE, "unauthenticated", "limits.max_unauthenticated is reached")
        }
    };
    node.metrics.refused_by(scope);
    Problem { retry_after_ms: Some(5000), ..Problem::new(status, "limit_exceeded", detail) }
}

/// The session of a new connection: a new one, or the one it resumes.
fn session(node: &Node, query: &Query, address: IpAddr) -> Result<NewSession, Problem> {
    let now = unix_ms();
    let (code, token) = match (&query.session, &query.resume) {
        (None, None) => {
            let opened = node.sessions.open(None, now)?;
            return Ok(NewSession {
                code: opened.code,
                generation: opened.generation,
                token: opened.token,
                resumed: false,
            });
        }
        (code, token) => (code.as_deref().unwrap_or_default(), token.as_deref().unwrap_or_default()),
    };
    let resumed = node.resume(code, token, address, now)?;
    Ok(NewSession { code: resumed.code, generation: resumed.generation, token: resumed.token, resumed: true })
}

fn switching(accepted: &Accepted<'_>) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(key) = HeaderValue::from_str(accepted.accept_key.as_str()) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    if let Some(protocol) = accepted.protocol.and_then(|p| HeaderValue::from_str(p).ok()) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    if let Some(deflate) = accepted.deflate.and_then(|d| HeaderValue::from_str(&d.to_string()).ok()) {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, deflate);
    }
    response
}
