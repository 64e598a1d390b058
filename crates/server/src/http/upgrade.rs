//! From an upgrade request to a socket on a shard.
//!
//! Everything is decided before the 101: handshake, origin, credentials, caps, session. Then the response is sent, and
//! the raw socket with the bytes that followed the request is passed to a shard; nothing of HTTP stays with it.
//!
//! Longer than most: half of it is the OpenAPI description of each route.

use super::problem::Problem;
use super::sender::{self, Presented, Sender};
use super::{Http, client_address, origin};
use crate::admission::{Full, Permit};
use crate::node::Node;
use crate::posts::{NewConn, NewSession, Speaks, ToShard};
use crate::tls::{Handover, handover};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use fanfare_core::model::Principal;
use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_core::session::Opened;
use fanfare_services::identity::Login;
use fanfare_ws::deflate::WindowBits;
use fanfare_ws::handshake::{self, Accepted, Options};
use hyper::upgrade::OnUpgrade;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Subprotocols by endpoint, as `Sec-WebSocket-Protocol` names them.
const TYPED: &str = "fanfare.v1";
const JSONRPC: &str = "jsonrpc";
/// Time limit for sending the 101.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

/// The query parameters of an upgrade, besides headers.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the parameters are parsed manually, so that the last of several counts")]
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

/// The outcome of an upgrade, for the document; further refusals follow from the declaration.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code, reason = "describes responses that are created elsewhere")]
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
    upgrade(&http.node, request, Endpoint::Main).await
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
    upgrade(&http.node, request, Endpoint::Rpc).await
}

/// Account-wide notices for logged-in users; it accepts only `ping`.
#[utoipa::path(
    get,
    path = "/ws/system",
    tag = "Sockets",
    operation_id = "systemSocket",
    params(SocketQuery),
    responses(Upgraded)
)]
pub(super) async fn system_socket(State(http): State<Http>, request: Request) -> Result<Response, Problem> {
    upgrade(&http.node, request, Endpoint::System).await
}

/// The requested socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    /// `/ws`
    Main,
    /// `/rpc`
    Rpc,
    /// `/ws/system`
    System,
}

impl Endpoint {
    fn protocols(self) -> &'static [&'static str] {
        match self {
            Self::Main | Self::System => &[TYPED, JSONRPC],
            Self::Rpc => &[JSONRPC],
        }
    }

    fn speaks(self, protocol: Option<&str>) -> Speaks {
        match (self, protocol) {
            (_, Some(JSONRPC)) | (Self::Rpc, None) => Speaks::JsonRpc,
            (_, Some(_)) => Speaks::Typed,
            (Self::Main | Self::System, None) => Speaks::Undecided,
        }
    }
}

async fn upgrade(node: &Arc<Node>, mut request: Request, endpoint: Endpoint) -> Result<Response, Problem> {
    check_form(&request)?;
    let accepted = shake_hands(node, &request, endpoint.protocols())?;
    origin::check(node, &request)?;
    let address = client_address(node, &request);
    let query = Query::of(&request)?;
    let principal = credential(node, request.headers(), &query).await;
    let in_query = query.token.is_some() || query.ticket.is_some();
    let principal = principal.inspect_err(|problem| sender::refused(node, &request, in_query, problem))?;
    if endpoint == Endpoint::System && principal.is_none() {
        return Err(Refusal::new(ErrorCode::Unauthorized, "log in first: this socket is for users").into());
    }
    let resuming = query.session.is_some() || query.resume.is_some();
    let unauthenticated = node.config.auth.require && principal.is_none() && !resuming;
    let permit = node.admission.enter(address, unauthenticated).map_err(|full| refuse_full(node, full))?;
    let begun = match unauthenticated {
        true => None,
        false => Some(begin(node, &query, principal, address).await?),
    };
    let agent = request.extensions().get::<Sender>().and_then(|sender| sender.origin.user_agent.clone());
    let (session, login) = match begun {
        Some((session, login)) => (Some(session), login),
        None => (None, None),
    };
    let new = Coming {
        speaks: endpoint.speaks(accepted.protocol),
        system: endpoint == Endpoint::System,
        deflate: accepted.deflate.is_some(),
        compress: accepted.deflate.is_some_and(|d| d.window() == WindowBits::MAX),
        session,
        login,
        agent,
        permit,
    };
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(hand_over(node.clone(), upgrading, new));
    Ok(switching(&accepted))
}

/// Checks an upgrade request apart from WebSocket.
fn check_form(request: &Request) -> Result<(), Problem> {
    let wrong = |why: &'static str| Problem::new(StatusCode::BAD_REQUEST, "invalid_field", why);
    if request.version() != Version::HTTP_11 {
        return Err(wrong("a WebSocket begins with HTTP/1.1"));
    }
    let has_body = request.headers().contains_key(header::TRANSFER_ENCODING)
        || request.headers().get(header::CONTENT_LENGTH).is_some_and(|n| n != "0");
    if has_body { Err(wrong("an upgrade request has no body")) } else { Ok(()) }
}

/// A connection being opened, without its socket.
struct Coming {
    speaks: Speaks,
    system: bool,
    deflate: bool,
    compress: bool,
    session: Option<NewSession>,
    login: Option<Box<Login>>,
    agent: Option<Arc<str>>,
    permit: Permit,
}

/// Takes the raw socket out of HTTP and passes it to a shard.
async fn hand_over(node: Arc<Node>, upgrading: OnUpgrade, coming: Coming) {
    let upgraded = tokio::time::timeout(UPGRADE_WITHIN, upgrading).await;
    let Ok(Ok(upgraded)) = upgraded else { return };
    match handover(upgraded) {
        Ok(Handover { stream, tls, early }) => {
            let Coming { speaks, system, deflate, compress, session, login, agent, permit } = coming;
            let new = NewConn {
                stream,
                tls,
                early,
                speaks,
                system,
                deflate,
                compress,
                session,
                login,
                agent,
                permit,
            };
            node.posts.post(node.place(), ToShard::Open(Box::new(new)));
        }
        Err(error) => tracing::error!(%error, "an upgraded socket cannot leave the runtime"),
    }
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

/// The known query parameters of an upgrade. The last of several counts, but a credential must not be repeated.
#[derive(Default)]
struct Query {
    session: Option<String>,
    resume: Option<String>,
    token: Option<String>,
    ticket: Option<String>,
}

impl Query {
    fn of(request: &Request) -> Result<Self, Problem> {
        let mut query = Self::default();
        for pair in request.uri().query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
            let credential = match name {
                "session" => {
                    query.session = Some(value);
                    continue;
                }
                "resume" => {
                    query.resume = Some(value);
                    continue;
                }
                "token" => &mut query.token,
                "ticket" => &mut query.ticket,
                _ => continue,
            };
            if credential.as_ref().is_some_and(|first| *first != value) {
                return Err(sender::two_credentials());
            }
            *credential = Some(value);
        }
        Ok(query)
    }
}

/// The login of a handshake: by header, by ticket or by token. An invalid credential is refused before the upgrade.
async fn credential(
    node: &Node,
    headers: &HeaderMap,
    query: &Query,
) -> Result<Option<Arc<Principal>>, Problem> {
    if query.token.is_some() && !node.config.auth.allow_query_token {
        let why = "this server accepts no token in the query (auth.allow_query_token); send it as a header";
        return Err(Refusal::new(ErrorCode::Unauthorized, why).into());
    }
    let bearer = match sender::presented(headers)? {
        Presented::Bearer(token) => Some(token),
        Presented::Key(key) => {
            // A wrong key is refused everywhere; a valid one grants a socket no rights.
            node.services.identity.api_key(key).await?;
            None
        }
        Presented::Both(key) => {
            node.services.identity.api_key(key).await?;
            return Err(sender::two_credentials());
        }
        Presented::Nothing => None,
    };
    let token = match (bearer, query.token.as_deref()) {
        (Some(a), Some(b)) if a != b => return Err(sender::two_credentials()),
        (a, b) => a.or(b),
    };
    match (token, query.ticket.as_deref()) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(sender::two_credentials()),
        (Some(token), None) => Ok(Some(node.services.identity.bearer(token).await?)),
        (None, Some(ticket)) => {
            let origin = headers.get(header::ORIGIN).and_then(|o| o.to_str().ok()).map(origin::normal);
            Ok(Some(node.services.identity.ticket(ticket, origin.as_deref()).await?))
        }
    }
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

/// The session of a new connection, a new or a resumed one, and its login.
async fn begin(
    node: &Node,
    query: &Query,
    principal: Option<Arc<Principal>>,
    address: IpAddr,
) -> Result<(NewSession, Option<Box<Login>>), Problem> {
    let now = fanfare_services::clock::unix_ms();
    if query.session.is_none() && query.resume.is_none() {
        let login = principal.map(|p| enter(node, p)).transpose()?;
        let user = login.as_ref().map(|l| &*l.principal().user_id);
        let Opened { code, generation, token } = node.services.sessions.table().open(user, now)?;
        return Ok((NewSession { code, generation, token, resumed: false }, login));
    }
    let (code, token) =
        (query.session.as_deref().unwrap_or_default(), query.resume.as_deref().unwrap_or_default());
    let proved = principal.as_ref().map(|p| &*p.user_id);
    let resumed = node.services.sessions.resume(code, token, proved, address, now)?;
    let session = |code, generation, token| NewSession { code, generation, token, resumed: true };
    match (principal, resumed.user) {
        (None, None) if node.config.auth.require => Err(not_resumed()),
        (None, None) => Ok((session(resumed.code, resumed.generation, resumed.token), None)),
        // A session of a user, resumed with its token: valid as long as the login it was opened with.
        (None, Some(_)) => {
            let last = node.services.sessions.remembered(resumed.code).ok_or_else(not_resumed)?;
            let login = enter(node, node.services.identity.recheck(&last).await.map_err(|_| not_resumed())?)?;
            Ok((session(resumed.code, resumed.generation, resumed.token), Some(login)))
        }
        (Some(principal), Some(_)) => {
            let login = enter(node, principal)?;
            Ok((session(resumed.code, resumed.generation, resumed.token), Some(login)))
        }
        // With a login the session gets a new code, so that a client that knew the old one cannot resume it.
        (Some(principal), None) => {
            let login = enter(node, principal)?;
            let Opened { code, generation, token } =
                node.services.sessions.table().renew(resumed.code, &login.principal().user_id, now)?;
            Ok((session(code, generation, token), Some(login)))
        }
    }
}

fn enter(node: &Node, principal: Arc<Principal>) -> Result<Box<Login>, Problem> {
    node.services.users.enter(principal).ok_or_else(|| {
        node.metrics.refused_by("connections_per_user");
        let detail = "limits.max_connections_per_user is reached";
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "limit_exceeded", detail);
        Problem { retry_after_ms: Some(5000), ..problem }
    })
}

/// The same error for every reason not to resume.
fn not_resumed() -> Problem {
    fanfare_services::sessions::not_resumed().into()
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
