//! The client's side of TLS for tests: rustls, driven step by step.

use fanfare_client::ProofOnly;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};

/// A client's configuration that takes any certificate and speaks these versions.
///
/// # Panics
/// When rustls has none of them.
pub fn client(versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .expect("a version");
    let verifier = Arc::new(ProofOnly::any(provider));
    Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The configuration for which a test does not care: TLS 1.3 or 1.2, any certificate.
pub fn anyone() -> &'static Arc<ClientConfig> {
    static ANYONE: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    ANYONE.get_or_init(|| client(rustls::ALL_VERSIONS))
}

/// A session after its handshake; `None` when that fails.
pub(crate) fn handshake(
    config: &Arc<ClientConfig>,
    to: SocketAddr,
    tcp: &mut TcpStream,
) -> Option<Box<ClientConnection>> {
    let name = ServerName::IpAddress(to.ip().into());
    let mut session = Box::new(ClientConnection::new(config.clone(), name).expect("a client"));
    while session.is_handshaking() {
        session.complete_io(tcp).ok()?;
    }
    Some(session)
}

/// What a session has to write.
pub(crate) fn ciphertext(session: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut bytes).expect("memory");
    }
    bytes
}

/// Plaintext as records.
pub(crate) fn seal(session: &mut ClientConnection, mut plain: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !plain.is_empty() {
        let taken = session.writer().write(plain).expect("an open session");
        plain = &plain[taken..];
        bytes.extend(ciphertext(session));
    }
    bytes
}

/// Takes ciphertext in; appends what it says. Whether the peer has said goodbye.
pub(crate) fn open(
    session: &mut ClientConnection,
    mut bytes: &[u8],
    into: &mut Vec<u8>,
) -> Result<bool, rustls::Error> {
    let mut goodbye = false;
    while !bytes.is_empty() {
        if session.read_tls(&mut bytes).expect("room") == 0 {
            break;
        }
        goodbye = session.process_new_packets()?.peer_has_closed();
        let mut chunk = [0; 16 * 1024];
        while let Ok(n @ 1..) = session.reader().read(&mut chunk) {
            into.extend_from_slice(&chunk[..n]);
        }
    }
    Ok(goodbye)
}
