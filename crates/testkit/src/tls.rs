//! The client's side of TLS for tests: rustls, driven step by step.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};

/// Takes any certificate; its holder still has to prove that it holds the key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A client's configuration that takes any certificate and speaks these versions.
///
/// # Panics
/// When rustls has none of them.
pub fn client(versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .expect("a version");
    let verifier = Arc::new(Anyone(provider));
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
