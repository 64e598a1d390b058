//! Which servers a client trusts: TLS by rustls with aws-lc-rs, 1.2 and 1.3.

use std::fs::File;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;
use crate::proof::ProofOnly;

/// The servers to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// A server with a certificate of one of this machine's certificate authorities.
    #[default]
    System,
    /// A server with a certificate of one of the authorities in this PEM file, or with one of the certificates itself.
    Authorities(PathBuf),
    /// The holder of one certificate; its names and dates are ignored.
    Pinned(Pin),
}

/// The SHA-256 of a server's certificate (its DER form).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl Pin {
    /// Whether a certificate's SHA-256 is this one.
    pub(crate) fn is(self, digest: &[u8]) -> bool {
        self.0 == digest
    }
}

/// The text is not a pin. A pin is 64 hexadecimal digits; colons between them are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pin is the SHA-256 of the certificate: 64 hexadecimal digits")]
pub struct InvalidPin;

impl FromStr for Pin {
    type Err = InvalidPin;

    fn from_str(text: &str) -> Result<Self, InvalidPin> {
        let digits: Vec<u8> = text.bytes().filter(|b| *b != b':').collect();
        let mut pin = [0; 32];
        if digits.len() != 2 * pin.len() {
            return Err(InvalidPin);
        }
        let value = |digit: u8| char::from(digit).to_digit(16).ok_or(InvalidPin);
        for (byte, pair) in pin.iter_mut().zip(digits.chunks(2)) {
            *byte = (value(pair[0])? * 16 + value(pair[1])?) as u8;
        }
        Ok(Self(pin))
    }
}

impl Trust {
    /// The TLS configuration for handshakes.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let unusable = |what: String| Error::Connect(what);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|e| unusable(e.to_string()))?;
        let mut config = match self {
            Self::System => {
                let mut roots = RootCertStore::empty();
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    let what = "this machine has no certificate authorities; give --ca FILE or --pin SHA256";
                    return Err(unusable(what.into()));
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Self::Authorities(path) => {
                let failed = |e: String| unusable(format!("{}: {e}", path.display()));
                let file = File::open(path).map_err(|e| failed(e.to_string()))?;
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_reader_iter(file) {
                    let certificate = certificate.map_err(|e| failed(e.to_string()))?;
                    roots.add(certificate).map_err(|e| failed(e.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(failed("no certificate in it".into()));
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Self::Pinned(pin) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(ProofOnly::pinned(*pin, provider)))
                .with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_64_digits_with_or_without_colons() {
        let plain = "78a606d77eb91e282af2903c18396dc16d86b68a57434359c058677650c728ca";
        let spaced: Vec<String> =
            plain.as_bytes().chunks(2).map(|c| String::from_utf8_lossy(c).to_uppercase()).collect();
        assert_eq!(plain.parse::<Pin>(), spaced.join(":").parse());
        for wrong in ["", "78", &plain[1..], &format!("{plain}00"), &plain.replace('7', "g")] {
            assert_eq!(wrong.parse::<Pin>(), Err(InvalidPin), "{wrong}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_an_error() {
        let missing = Trust::Authorities("no/such/file.pem".into());
        assert!(matches!(missing.config(), Err(Error::Connect(why)) if why.starts_with("no/such/file.pem")));
    }
}
