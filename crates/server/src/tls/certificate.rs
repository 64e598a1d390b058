//! A certificate chain and its key, read from PEM files and checked before they are used.

use super::{Files, provider};
use crate::config::ConfigError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_cert::der::Decode;

/// Warned so long before the end.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// Permission bits for everybody.
const OTHERS: u32 = 0o007;

/// Who may read the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// The owner, perhaps a group.
    Private,
    /// Everybody.
    World,
}

/// A certificate that can be served now.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(super) certified: Arc<CertifiedKey>,
    /// Its last moment.
    pub not_after: SystemTime,
    /// Of the key's file.
    pub permissions: Permissions,
}

impl Certificate {
    /// Says in the log what an operator should do something about.
    pub(super) fn warn(&self) {
        if self.permissions == Permissions::World {
            tracing::warn!(
                "tls.key can be read by every user of this machine; chmod 600 it (production refuses it)"
            );
        }
        self.warn_of_end();
    }

    /// Warns when the end is near.
    pub(super) fn warn_of_end(&self) {
        let left = self.not_after.duration_since(SystemTime::now()).unwrap_or_default();
        if left < SOON {
            tracing::warn!(days = left.as_secs() / 86_400, "tls.cert expires soon; renew it");
        }
    }
}

impl Files {
    /// The two files' bytes; equal means that there is nothing to do.
    pub(super) fn bytes(&self) -> Result<(Vec<u8>, Vec<u8>), ConfigError> {
        Ok((bytes("tls.cert", &self.cert)?, bytes("tls.key", &self.key)?))
    }

    /// Reads and checks the pair.
    pub(super) fn read(&self) -> Result<Certificate, ConfigError> {
        let (chain, key) = self.bytes()?;
        let permissions = permissions(&self.key)?;
        if permissions == Permissions::World && self.production {
            let what = format!(
                "{} can be read by every user of this machine, which production refuses; chmod 600 it",
                self.key.display()
            );
            return Err(ConfigError::key("tls.key", what));
        }
        let (certified, (from, not_after)) = self.parse(&chain, &key)?;
        let now = SystemTime::now();
        if now < from || now > not_after {
            let what = if now < from { "is not valid yet" } else { "has expired" };
            let what = format!("{} {what}; check the clock or renew it", self.cert.display());
            return Err(ConfigError::key("tls.cert", what));
        }
        Ok(Certificate { certified: Arc::new(certified), not_after, permissions })
    }

    fn parse(
        &self,
        chain: &[u8],
        key: &[u8],
    ) -> Result<(CertifiedKey, (SystemTime, SystemTime)), ConfigError> {
        let cert = |what: String| ConfigError::key("tls.cert", format!("{} {what}", self.cert.display()));
        let bad_key = |what: String| ConfigError::key("tls.key", format!("{} {what}", self.key.display()));
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|e| cert(format!("is no PEM: {e}")))?;
        let first = chain.first().ok_or_else(|| cert("holds no certificate".into()))?;
        let validity = validity(first).ok_or_else(|| cert("holds no X.509 certificate".into()))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| {
            bad_key(format!("holds no private key (PKCS#8, SEC1 or PKCS#1 in PEM, without a password): {e}"))
        })?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => bad_key("is not the key of tls.cert".into()),
            rustls::Error::InvalidCertificate(e) => cert(format!("cannot be served: {e:?}")),
            e => bad_key(format!("cannot be used: {e}")),
        })?;
        Ok((certified, validity))
    }
}

fn bytes(key: &'static str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|e| ConfigError::key(key, format!("{} cannot be read: {e}", path.display())))
}

fn permissions(path: &Path) -> Result<Permissions, ConfigError> {
    let found = std::fs::metadata(path);
    let found =
        found.map_err(|e| ConfigError::key("tls.key", format!("{} cannot be read: {e}", path.display())))?;
    Ok(match found.permissions().mode() & OTHERS {
        0 => Permissions::Private,
        _ => Permissions::World,
    })
}

/// From when to when a certificate is valid.
fn validity(certificate: &CertificateDer<'_>) -> Option<(SystemTime, SystemTime)> {
    let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
    let validity = parsed.tbs_certificate().validity();
    let at = |time: &x509_cert::time::Time| UNIX_EPOCH.checked_add(time.to_unix_duration());
    Some((at(&validity.not_before)?, at(&validity.not_after)?))
}
