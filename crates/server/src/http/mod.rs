//! HTTP: the routes of `http-api.md` that this release has.
//!
//! A request passes [`layer::every_request`], then one handler; a handler returns JSON or a [`problem::Problem`]. The
//! OpenAPI document is generated from the same declarations as the routes, so they cannot differ.

mod accounts;
mod admin;
mod answers;
mod asyncapi;
mod body;
mod documents;
mod feeds;
mod health;
mod layer;
mod origin;
pub mod pages;
mod problem;
mod redirect;
mod rpc;
mod sender;
mod sessions;
mod topics;
mod upgrade;

pub use problem::{Problem, ProblemBody};
pub use redirect::redirects;

use crate::node::Node;
use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use axum::http::{HeaderMap, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The state shared by handlers.
#[derive(Clone, Debug)]
pub struct Http {
    pub(crate) node: Arc<Node>,
    hasher: std::hash::RandomState,
    documents: Arc<documents::Documents>,
    answers: Arc<answers::Answers>,
}

impl Http {
    /// The `Idempotency-Key` of a creation, with a hash of its body.
    ///
    /// # Errors
    /// 400 for a malformed key.
    fn repeat_key<'a>(&self, headers: &'a HeaderMap, body: &str) -> Result<Option<(&'a str, u64)>, Problem> {
        let content = || std::hash::BuildHasher::hash_one(&self.hasher, body);
        Ok(idempotency_key(headers)?.map(|key| (key, content())))
    }
}

/// Maximum bytes of an `Idempotency-Key`.
const MAX_KEY_BYTES: usize = 128;

/// The request's `Idempotency-Key`, if it has one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_KEY_BYTES => Ok(Some(key)),
        _ => Err(Problem::invalid("Idempotency-Key", "Idempotency-Key is 1 to 128 visible ASCII characters")),
    }
}

/// The set of routes that a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// The public listener, with all routes.
    All,
    /// The public listener if `server.ops_listen` has its own.
    Public,
    /// `server.ops_listen`: metrics, statistics and probes.
    Ops,
}

/// A JSON response.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        json_bytes(&self.0).map(|body| (json_type(), body)).into_response()
    }
}

fn json_bytes(answer: &impl Serialize) -> Result<Vec<u8>, Problem> {
    fanfare_json::to_vec(answer).map_err(|error| {
        tracing::error!(%error, "a response cannot be written");
        let status = http::StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "internal", "the response cannot be written")
    })
}

fn json_type() -> [(header::HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, "application/json")]
}

/// The routes of a listener, ready to serve.
pub fn router(node: Arc<Node>, listener: Listener) -> Router {
    let probes = OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz));
    let ops = OpenApiRouter::new()
        .routes(routes!(health::metrics))
        .routes(routes!(health::stats))
        .merge(admin::routes());
    let public = OpenApiRouter::new()
        .routes(routes!(feeds::list))
        .routes(routes!(feeds::latest))
        .routes(routes!(topics::publish))
        .routes(routes!(topics::list, topics::make))
        .routes(routes!(topics::show, topics::delete))
        .routes(routes!(topics::history))
        .routes(routes!(sessions::send))
        .routes(routes!(sessions::broadcast))
        .merge(accounts::routes())
        .routes(routes!(upgrade::typed_socket))
        .routes(routes!(upgrade::system_socket))
        .routes(routes!(upgrade::rpc_socket, rpc::call));
    let routes = match listener {
        Listener::All => probes.merge(ops).merge(public),
        Listener::Public => probes.merge(public),
        Listener::Ops => probes.merge(ops),
    };
    let (routes, openapi) = routes.merge(documents::routes()).split_for_parts();
    let documents = Arc::new(documents::Documents::new(openapi, node.registry.openrpc_document()));
    let answers = answers::Answers::new(node.metrics.clone());
    let http = Http { node: node.clone(), hasher: std::hash::RandomState::new(), documents, answers };
    let mut routes = routes;
    if listener != Listener::Ops {
        routes = routes.merge(pages::routes());
    }
    routes
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(http)
        .layer(from_fn_with_state(node, layer::every_request))
}

/// The address of a hop; some proxies write its port too.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|at| at.ip());
    hop.parse().ok().or_else(with_port).or_else(bracketed)
}

/// The client's address: the peer's, or behind trusted proxies the rightmost hop that is not one of them.
fn client_address<B>(node: &Node, request: &http::Request<B>) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let mut address = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |p| p.0.ip().to_canonical());
    if !node.config.trusts_proxy(address) {
        return address;
    }
    let hops = request.headers().get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
    // RFC 9110 section 5.6.1.2: a recipient ignores empty elements of a list.
    let hops: Vec<&str> =
        hops.flat_map(|v| v.split(',')).map(str::trim).filter(|hop| !hop.is_empty()).collect();
    for hop in hops.iter().rev() {
        let Some(ip) = hop_address(hop) else { break };
        address = ip.to_canonical();
        if !node.config.trusts_proxy(address) {
            break;
        }
    }
    address
}
