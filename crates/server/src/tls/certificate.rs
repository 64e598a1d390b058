//! A certificate chain and its key, read from PEM files and checked before they are used.
//!
//! Every section of both files is read or the pair is rejected (see [`super::pem`]), at the start and at a reload
//! alike. The chain's errors name `tls.cert`, the key's `tls.key`.

use super::pem::{Section, sections};
use super::{Files, provider};
use fanfare_config::ConfigError;
use rustls::InconsistentKeys;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;

/// The extension `subjectAltName` (RFC 5280, 4.2.1.6).
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// Time before expiry from which a warning is logged.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// Permission bits of other users.
const OTHERS: u32 = 0o007;

/// Which users may read the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// The owner, and possibly a group.
    Private,
    /// All users.
    World,
}

/// A certificate that is valid now.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(super) certified: Arc<CertifiedKey>,
    /// When it expires.
    pub not_after: SystemTime,
    /// Permissions of the key's file.
    pub permissions: Permissions,
    /// Properties of the chain for which clients may reject it, for the log.
    doubts: Vec<String>,
}

impl Certificate {
    /// Logs warnings that an operator should act on.
    pub(super) fn warn(&self) {
        if self.permissions == Permissions::World {
            tracing::warn!(
                "tls.key can be read by every user of this machine; chmod 600 it (production refuses it)"
            );
        }
        for doubt in &self.doubts {
            tracing::warn!("tls.cert {doubt}");
        }
        self.warn_of_end();
    }

    /// Warns when it expires soon.
    pub(super) fn warn_of_end(&self) {
        let left = self.not_after.duration_since(SystemTime::now()).unwrap_or_default();
        if left < SOON {
            tracing::warn!(days = left.as_secs() / 86_400, "tls.cert expires soon; renew it");
        }
    }
}

impl Files {
    /// The two files' bytes; if they are equal there is nothing to do.
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
        let chain = self.chain(&chain)?;
        let certified = self.certified(&chain, &key)?;
        let Validity { from, until } = chain.validity;
        let now = SystemTime::now();
        if now < from || now > until {
            let what = if now < from { "is not valid yet" } else { "has expired" };
            return Err(self.invalid_cert(format!("{what}; check the clock or renew it")));
        }
        Ok(Certificate {
            certified: Arc::new(certified),
            not_after: until,
            permissions,
            doubts: doubts(&chain.parsed),
        })
    }

    fn invalid_cert(&self, what: impl std::fmt::Display) -> ConfigError {
        ConfigError::key("tls.cert", format!("{} {what}", self.cert.display()))
    }

    fn invalid_key(&self, what: impl std::fmt::Display) -> ConfigError {
        ConfigError::key("tls.key", format!("{} {what}", self.key.display()))
    }

    /// The certificates of a file, each of them parsed. Keys are skipped: the file may hold the whole pair.
    fn chain(&self, file: &[u8]) -> Result<Chain, ConfigError> {
        let found = sections(file).map_err(|why| self.invalid_cert(why))?;
        let (mut der, mut parsed) = (Vec::new(), Vec::new());
        for section in found.into_iter().filter(|section| !is_key(section)) {
            let line = section.line;
            if section.kind != SectionKind::Certificate {
                let why = format!(
                    "has a section on line {line} that is neither a certificate nor a key; remove it"
                );
                return Err(self.invalid_cert(why));
            }
            let read = x509_cert::Certificate::from_der(&section.der);
            parsed.push(read.map_err(|_| {
                self.invalid_cert(format!("has a section on line {line} that is no X.509 certificate"))
            })?);
            der.push(CertificateDer::from(section.der));
        }
        let first = parsed.first().ok_or_else(|| self.invalid_cert("holds no certificate"))?;
        let validity = validity(first)
            .ok_or_else(|| self.invalid_cert("has a certificate with an unreadable validity"))?;
        Ok(Chain { der, parsed, validity })
    }

    /// The only private key of a file, ready for signing.
    fn signing_key(&self, file: &[u8]) -> Result<Arc<dyn SigningKey>, ConfigError> {
        let found = sections(file).map_err(|why| self.invalid_key(why))?;
        let mut keys = found.into_iter().filter_map(|s| PrivateKeyDer::from_pem(s.kind, s.der));
        let none = "holds no private key (PKCS#8, SEC1 or PKCS#1 in PEM, without a password)";
        let key = keys.next().ok_or_else(|| self.invalid_key(none))?;
        if keys.next().is_some() {
            return Err(self.invalid_key("holds more than one private key; keep the one of tls.cert"));
        }
        provider()
            .key_provider
            .load_private_key(key)
            .map_err(|e| self.invalid_key(format!("cannot be used: {e}")))
    }

    fn certified(&self, chain: &Chain, key: &[u8]) -> Result<CertifiedKey, ConfigError> {
        let key = self.signing_key(key)?;
        let fits = |certificate: &CertificateDer<'static>| {
            CertifiedKey::new(vec![certificate.clone()], key.clone()).keys_match()
        };
        let certified = CertifiedKey::new(chain.der.clone(), key.clone());
        match certified.keys_match() {
            // A key that cannot return its public half is checked by the first handshake.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(match chain.der.iter().position(|certificate| fits(certificate).is_ok()) {
                    Some(at) => self.invalid_cert(format!(
                        "is in the wrong order: tls.key belongs to certificate {}; the server's own comes first",
                        at + 1
                    )),
                    None => self.invalid_key("is not the key of tls.cert"),
                })
            }
            Err(rustls::Error::InvalidCertificate(e)) => Err(self.invalid_cert(format!("cannot be served: {e:?}"))),
            Err(e) => Err(self.invalid_key(format!("cannot be used: {e}"))),
        }
    }
}

/// The certificates of a file in its order.
struct Chain {
    der: Vec<CertificateDer<'static>>,
    parsed: Vec<x509_cert::Certificate>,
    /// Of the first certificate.
    validity: Validity,
}

/// The period of validity of a certificate.
struct Validity {
    from: SystemTime,
    until: SystemTime,
}

fn is_key(section: &Section) -> bool {
    use SectionKind::{EcPrivateKey, PrivateKey, RsaPrivateKey};
    matches!(section.kind, PrivateKey | RsaPrivateKey | EcPrivateKey)
}

/// Properties that do not prevent serving the chain, but for which clients may reject it.
fn doubts(chain: &[x509_cert::Certificate]) -> Vec<String> {
    let mut doubts = Vec::new();
    let named = |c: &x509_cert::Certificate| {
        let mut extensions = c.tbs_certificate().extensions().into_iter().flatten();
        extensions.any(|extension| extension.extn_id == SUBJECT_ALT_NAME)
    };
    if !chain.first().is_some_and(named) {
        doubts.push("names no host (it has no subjectAltName): browsers and most clients refuse it".into());
    }
    for (at, pair) in chain.windows(2).enumerate() {
        if pair[0].tbs_certificate().issuer() != pair[1].tbs_certificate().subject() {
            let (below, above) = (at + 1, at + 2);
            doubts.push(format!(
                "holds certificates out of order: certificate {below} was not issued by certificate {above}"
            ));
        }
    }
    doubts
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

fn validity(certificate: &x509_cert::Certificate) -> Option<Validity> {
    let validity = certificate.tbs_certificate().validity();
    let at = |time: &x509_cert::time::Time| UNIX_EPOCH.checked_add(time.to_unix_duration());
    Some(Validity { from: at(&validity.not_before)?, until: at(&validity.not_after)? })
}
