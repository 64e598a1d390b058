//! A connection to a server below HTTP: TCP, with TLS for `wss`.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The byte stream that HTTP and WebSocket run on.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A plain or encrypted stream; the dynamic dispatch costs one call a read, which is negligible here.
pub(crate) type Transport = Box<dyn Io>;

/// Connects to `host`, which may be an address in brackets.
pub(crate) async fn connect(
    host: &str,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
) -> std::io::Result<Transport> {
    let host = host.trim_matches(['[', ']']);
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    let Some(config) = tls else { return Ok(Box::new(tcp)) };
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    Ok(Box::new(Box::pin(TlsConnector::from(config).connect(name, tcp)).await?))
}
