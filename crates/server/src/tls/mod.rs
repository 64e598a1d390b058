//! HTTPS served by Fanfare itself: the certificate, the handshake, and the handover of sockets.
//!
//! [`Tls::load`] reads `tls.cert` and `tls.key` and creates the one configuration all handshakes use: rustls with
//! aws-lc-rs, TLS 1.2 and 1.3, ALPN `http/1.1`, no early data. [`reload`] replaces the certificate for new handshakes;
//! open sockets keep what they negotiated. `handover` takes a socket out of HTTP after its upgrade, so that from then
//! on [`crate::shard`] drives it.

mod certificate;
mod dev_cert;
mod handover;
mod pem;
mod probe;
mod reload;

pub use certificate::{Certificate, Permissions};
pub use dev_cert::dev_cert;
pub(crate) use handover::{Handover, handover};
pub(crate) use probe::probe;
pub use reload::reload;

use fanfare_config::{Config, ConfigError};
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use std::path::PathBuf;
use std::sync::Arc;

/// Marks requests over TLS, in their extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverTls;

/// The TLS configuration, and how to reload it.
#[derive(Clone, Debug)]
pub struct Tls {
    server: Arc<ServerConfig>,
    current: Arc<Current>,
    files: Files,
}

/// The paths of the certificate and key, and how strictly to check them.
#[derive(Clone, Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
    production: bool,
}

impl Files {
    fn of(config: &Config) -> Option<Self> {
        let (true, Some(cert), Some(key)) = (config.serves_tls(), &config.tls.cert, &config.tls.key) else {
            return None;
        };
        Some(Self { cert: cert.clone(), key: key.clone(), production: config.is_production() })
    }
}

/// The certificate for new handshakes.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

/// The cryptography of every handshake.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Tls {
    /// Reads the certificate and its key; `None` where TLS is not configured.
    ///
    /// # Errors
    /// One line that names `tls.cert` or `tls.key`: a file cannot be read or is invalid.
    pub fn load(config: &Config) -> Result<Option<Self>, ConfigError> {
        let Some(files) = Files::of(config) else { return Ok(None) };
        let certificate = files.read()?;
        certificate.warn();
        let current = Arc::new(Current(RwLock::new(certificate.certified)));
        let server =
            server_config(current.clone()).map_err(|e| ConfigError::key("tls.cert", e.to_string()))?;
        Ok(Some(Self { server: Arc::new(server), current, files }))
    }

    /// Checks whether the configured pair is valid now; returns its expiry. `None` where TLS is not configured.
    ///
    /// # Errors
    /// As [`Tls::load`].
    pub fn check(config: &Config) -> Result<Option<std::time::SystemTime>, ConfigError> {
        let files = Files::of(config);
        files.map(|files| files.read()).transpose().map(|found| found.map(|c| c.not_after))
    }

    /// The acceptor for handshakes.
    pub fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        self.server.clone().into()
    }
}

fn server_config(current: Arc<Current>) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(current);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Resumption by sealed tickets: the server keeps no state per client.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}
