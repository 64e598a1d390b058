//! The accept loop: TCP connections, with TLS or without, to HTTP, with timers and limits of our own.

use crate::config::{Config, ConfigError, Host};
use crate::tls::OverTls;
use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Connections the kernel queues while we are busy.
const BACKLOG: u32 = 4096;
/// HTTP connections at a time beyond those that became sockets.
const MAX_HTTP: usize = 20_000;
/// Bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Header fields of a request.
const MAX_HEADERS: usize = 64;
/// Pause after the kernel refused to give us a connection (no descriptor left, usually).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A refusal that goes on is told this often.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A TLS handshake is done by then.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Binds a listener of `server.host`; `key` names the setting that `port` comes from.
///
/// # Errors
/// One line that names the key: the address is in use, not ours, or not to be resolved.
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

/// What a listener serves.
#[derive(Clone)]
pub struct Service {
    /// The routes.
    pub routes: Router,
    /// Longest time for a request's head.
    pub header_timeout: Duration,
    /// Handshakes come first, where this is set.
    pub tls: Option<TlsAcceptor>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

/// Serves a listener until the task is dropped.
pub async fn serve(listener: TcpListener, service: Service) {
    let places = Arc::new(Semaphore::new(MAX_HTTP));
    let mut told: Option<Instant> = None;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                    tracing::warn!(%error, "connections cannot be accepted");
                    told = Some(Instant::now());
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            drop(stream); // beyond any use; the client sees a reset
            continue;
        };
        let service = service.clone();
        tokio::spawn(async move {
            begin(stream, peer, service).await;
            drop(place);
        });
    }
}

/// From an accepted connection to its first byte of HTTP.
async fn begin(stream: TcpStream, peer: SocketAddr, service: Service) {
    // Without this small frames wait for acknowledgements of the ones before.
    let _best_effort = stream.set_nodelay(true);
    let Some(acceptor) = &service.tls else {
        // The header timer of HTTP does not cover a peer that never says a word.
        let spoke = tokio::time::timeout(service.header_timeout, stream.readable()).await;
        if matches!(spoke, Ok(Ok(()))) {
            serve_connection(stream, peer, service).await;
        }
        return;
    };
    let shaken = tokio::time::timeout(HANDSHAKE_WITHIN, Box::pin(acceptor.accept(stream))).await;
    let mut stream = match shaken {
        Ok(Ok(stream)) => Box::new(stream),
        Ok(Err(error)) => return tracing::debug!(%error, client = %peer.ip(), "no TLS handshake"),
        Err(_late) => return tracing::debug!(client = %peer.ip(), "no TLS handshake in time"),
    };
    let spoke = tokio::time::timeout(service.header_timeout, stream.fill_buf()).await;
    if matches!(spoke, Ok(Ok([_, ..]))) {
        serve_connection(stream, peer, service).await;
    }
}

async fn serve_connection<S>(stream: S, peer: SocketAddr, service: Service)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (over_tls, header_timeout) = (service.tls.is_some(), service.header_timeout);
    let service = tower::ServiceBuilder::new()
        .map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            if over_tls {
                request.extensions_mut().insert(OverTls);
            }
            request.map(axum::body::Body::new)
        })
        .service(service.routes);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::trace!(%error, "an HTTP connection ended early");
    }
}
