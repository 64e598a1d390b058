//! The accept loop: TCP connections, with TLS or without, to HTTP, with the server's own timers and limits.
//!
//! Everything a peer can delay has a bound: the handshake, a request's head (`server.header_timeout`, also between two
//! requests) and body, writes ([`socket`]), unread bodies ([`unread`]), the number of connections ([`places`]).

mod places;
mod socket;
mod unread;

pub use places::{Overflow, Places, RESERVE};
pub(crate) use socket::Socket;

use crate::tls::OverTls;
use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use fanfare_config::{Config, ConfigError, Host};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use places::Place;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;
use unread::Unread;

/// Connections the kernel queues while the server is busy.
const BACKLOG: u32 = 4096;
/// Maximum bytes read of a request's head. Heads have a tighter bound where the refusal can have a body
/// (`http/layer.rs`); beyond this one the library responds with 431 without a body.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Maximum header fields read of a request; as above.
const MAX_FIELDS: usize = 128;
/// Pause after the kernel refused a connection (usually because no descriptor is left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often a lasting refusal is logged.
const LOG_EVERY: Duration = Duration::from_secs(5);
/// Time limit of a TLS handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Time limit for the head of a request on a reserve place.
const PROBE_WITHIN: Duration = Duration::from_secs(2);

/// Binds a listener of `server.host`; `key` names the setting of `port`.
///
/// # Errors
/// One line that names the key: the address is in use, not available on this machine, or cannot be resolved.
pub async fn bind(config: &Config, key: &'static str, port: u16) -> Result<TcpListener, ConfigError> {
    let host = &config.server.host;
    let addresses: Vec<SocketAddr> = match host {
        Host::Ip(ip) => vec![(*ip, port).into()],
        Host::Name(name) => match tokio::net::lookup_host((name.as_str(), port)).await {
            Ok(found) => found.collect(),
            Err(error) => {
                return Err(ConfigError::key("server.host", format!("{name} cannot be resolved: {error}")));
            }
        },
    };
    let mut last = None;
    for address in addresses {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some((address, error)),
        }
    }
    Err(match last {
        Some((address, error)) => cannot_listen(key, address, &error),
        None => ConfigError::key("server.host", format!("{host} has no address")),
    })
}

fn cannot_listen(key: &'static str, address: SocketAddr, error: &std::io::Error) -> ConfigError {
    match error.kind() {
        ErrorKind::AddrInUse if key == "server.port" => ConfigError::key(
            key,
            format!(
                "{address} is in use; choose another with --set server.port=8081 or PORT=8081 (0 picks a free one)"
            ),
        ),
        ErrorKind::AddrInUse => ConfigError::key(
            key,
            format!("{address} is in use; choose another with --set {key}=8443 (0 picks a free one)"),
        ),
        ErrorKind::PermissionDenied => ConfigError::key(
            key,
            format!(
                "{address} needs a privilege this user lacks (CAP_NET_BIND_SERVICE); choose a port above 1023 with --set \
                 {key}=8443"
            ),
        ),
        _ => ConfigError::key("server.host", format!("cannot listen on {address}: {error}")),
    }
}

/// Binds any listener.
///
/// # Errors
/// The kernel's.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A listener's routes and limits.
#[derive(Clone)]
pub struct Service {
    /// The routes.
    pub routes: Router,
    /// The time limits of its connections.
    pub bounds: Bounds,
    /// Its connections' places; listeners may share them.
    pub places: Arc<Places>,
    /// The TLS acceptor, if connections start with a handshake.
    pub tls: Option<TlsAcceptor>,
}

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// For a request's head.
    pub header: Duration,
    /// For a request's body.
    pub body: Duration,
    /// Without progress of a write.
    pub write: Duration,
}

impl From<&Config> for Bounds {
    fn from(config: &Config) -> Self {
        let server = &config.server;
        Self { header: server.header_timeout, body: server.body_timeout, write: config.ws.write_timeout }
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

/// Serves a listener until the task is dropped.
pub async fn serve(listener: TcpListener, service: Service) {
    let mut refusals = Occasionally::default();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if refusals.is_due() {
                    tracing::warn!(%error, "connections cannot be accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = service.places.enter(peer.ip()) else {
            if refusals.is_due() {
                tracing::warn!("all places for HTTP connections are taken, including those for probes");
            }
            continue; // no place is left; the client sees a reset
        };
        let place = Arc::new(place);
        let connection = begin(stream, peer, service.clone(), place.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = place.evicted() => {}
                () = connection => {}
            }
        });
    }
}

/// Whether a repeated event is to be logged now.
#[derive(Default)]
struct Occasionally(Option<Instant>);

impl Occasionally {
    fn is_due(&mut self) -> bool {
        let due = self.0.is_none_or(|at| at.elapsed() >= LOG_EVERY);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}

/// From an accepted connection to its first byte of HTTP.
async fn begin(stream: TcpStream, peer: SocketAddr, mut service: Service, place: Arc<Place>) {
    // Without this, small frames wait for acknowledgements of earlier ones.
    let _best_effort = stream.set_nodelay(true);
    if place.overflow.is_some() {
        service.bounds.header = service.bounds.header.min(PROBE_WITHIN);
    }
    let header = service.bounds.header;
    let socket = Socket::new(stream, place.clone(), service.bounds.write);
    let Some(acceptor) = &service.tls else {
        // The header timer of HTTP does not cover a peer that never sends a byte.
        let spoke = tokio::time::timeout(header, socket.readable()).await;
        if matches!(spoke, Ok(Ok(()))) {
            serve_connection(socket, peer, service, place).await;
        }
        return;
    };
    let shaken = tokio::time::timeout(HANDSHAKE_WITHIN, Box::pin(acceptor.accept(socket))).await;
    let mut stream = match shaken {
        Ok(Ok(stream)) => Box::new(stream),
        Ok(Err(error)) => return tracing::debug!(%error, client = %peer.ip(), "no TLS handshake"),
        Err(_late) => return tracing::debug!(client = %peer.ip(), "no TLS handshake in time"),
    };
    let spoke = tokio::time::timeout(header, stream.fill_buf()).await;
    if matches!(spoke, Ok(Ok([_, ..]))) {
        serve_connection(stream, peer, service, place).await;
    }
}

async fn serve_connection<S>(stream: S, peer: SocketAddr, service: Service, place: Arc<Place>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (over_tls, bounds, overflow) = (service.tls.is_some(), service.bounds, place.overflow);
    let mut routes = service.routes;
    let answer = tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        place.serve();
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(ConnectInfo(peer));
        if over_tls {
            parts.extensions.insert(OverTls);
        }
        if let Some(overflow) = overflow {
            parts.extensions.insert(overflow);
        }
        let (unread, lent) = Unread::lend(&parts.headers, body);
        let answer = routes.call(http::Request::from_parts(parts, axum::body::Body::new(lent)));
        let place = place.clone();
        async move {
            let mut response = answer.await?;
            unread.settle(&mut response, bounds.body);
            place.answered();
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header)
        .max_headers(MAX_FIELDS)
        .max_buf_size(MAX_HEAD_BYTES)
        // A client may close its side after the request and still read the response.
        .half_close(true)
        // A place of the reserve serves one request.
        .keep_alive(overflow.is_none())
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(answer))
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::trace!(%error, "an HTTP connection ended early");
    }
}
