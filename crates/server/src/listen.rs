//! The accept loop: TCP connections to HTTP, with timers and limits of our own.

use crate::config::{Config, ConfigError, Host};
use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;

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

/// Binds the listener of `server.host` and `server.port`.
///
/// # Errors
/// One line that names the key: the address is in use, not ours, or not to be resolved.
pub async fn bind(config: &Config) -> Result<TcpListener, ConfigError> {
    let (host, port) = (&config.server.host, config.server.port);
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
        Some((address, error)) if error.kind() == std::io::ErrorKind::AddrInUse => ConfigError::key(
            "server.port",
            format!(
                "{address} is in use; choose another with --set server.port=8081 or PORT=8081 (0 picks a free one)"
            ),
        ),
        Some((address, error)) => {
            ConfigError::key("server.host", format!("cannot listen on {address}: {error}"))
        }
        None => ConfigError::key("server.host", format!("{host} has no address")),
    })
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

/// Serves a listener until the task is dropped.
pub async fn serve(listener: TcpListener, routes: Router, header_timeout: Duration) {
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
        let routes = routes.clone();
        tokio::spawn(async move {
            serve_connection(stream, peer, routes, header_timeout).await;
            drop(place);
        });
    }
}

async fn serve_connection(stream: TcpStream, peer: SocketAddr, routes: Router, header_timeout: Duration) {
    // Without this small frames wait for acknowledgements of the ones before.
    let _best_effort = stream.set_nodelay(true);
    // The header timer of HTTP does not cover a peer that never says a word.
    let spoke = tokio::time::timeout(header_timeout, stream.readable()).await;
    if !matches!(spoke, Ok(Ok(()))) {
        return;
    }
    let service = tower::ServiceBuilder::new()
        .map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.map(axum::body::Body::new)
        })
        .service(routes);
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
