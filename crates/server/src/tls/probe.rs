//! Probing the own server over TLS, for `fanfare doctor`.
//!
//! The server's certificate has its public name, not the address it is probed at, and it may have been renewed since
//! the server read it. A probe sends no secret and only checks whether the server responds, so it accepts any
//! certificate; the handshake still proves that the peer holds its key.

use super::provider;
use fanfare_client::ProofOnly;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

/// Connects over TLS without checking the certificate.
///
/// # Errors
/// Of the socket and of rustls.
pub(crate) fn probe(stream: TcpStream) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let provider = provider();
    let name = ServerName::IpAddress(stream.peer_addr()?.ip().into());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ProofOnly::any(provider)))
        .with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(session, stream))
}
