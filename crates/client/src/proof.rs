//! Verifying a server by its key alone: names, dates and authorities are ignored.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};

use crate::trust::Pin;

/// Accepts one certificate, or any; the handshake's signature still proves that the peer holds its key.
///
/// Accept any certificate only where no secret is sent or received: a probe of one's own server, a test.
#[derive(Debug)]
pub struct ProofOnly {
    pin: Option<Pin>,
    provider: Arc<CryptoProvider>,
}

impl ProofOnly {
    /// Accepts the certificate with this SHA-256.
    pub const fn pinned(pin: Pin, provider: Arc<CryptoProvider>) -> Self {
        Self { pin: Some(pin), provider }
    }

    /// Accepts any certificate.
    pub const fn any(provider: Arc<CryptoProvider>) -> Self {
        Self { pin: None, provider }
    }
}

impl ServerCertVerifier for ProofOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.pin.is_none_or(|pin| pin.is(&Sha256::digest(end_entity))) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
