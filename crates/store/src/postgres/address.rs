//! The address of a PostgreSQL: its parameters, and TLS.
//!
//! `sslmode` decides about TLS as it is written: absent, `disable`, `allow` or `prefer` mean none, `require`,
//! `verify-ca` and `verify-full` mean TLS with the server's certificate and name checked, against `sslrootcert` if
//! given, else against the system's roots. There is no mode that encrypts without checking, because it would only
//! appear safe. Every other parameter belongs to the client library; an unknown one is an error that names it.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Result, StoreError};

/// How long one attempt to connect may take.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(5);
/// Parameters that are passed on to the client library.
const PASSED: [&str; 18] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// A parsed address.
pub(crate) struct Address {
    pub(super) config: Config,
    pub(super) tls: Option<MakeRustlsConnect>,
    /// `sslmode` as given.
    pub(super) mode: String,
    /// Host and port, for messages.
    pub(crate) shown: String,
}

fn wrong(text: impl std::fmt::Display) -> StoreError {
    StoreError::Misconfigured(format!("store.url: {text}"))
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let (rest, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut kept) = ("disable".to_owned(), None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = parameter(pair)?;
            match name.as_str() {
                "sslmode" => mode = value,
                "sslrootcert" => roots = Some(value),
                _ => kept.push(passed(&name, pair)?),
            }
        }
        // The library's own error may quote the address, and with it a password.
        let mut config: Config = format!("{rest}?{}", kept.join("&")).parse().map_err(|_| {
            wrong("not an address of PostgreSQL (postgres://USER:PASSWORD@HOST:PORT/DATABASE)")
        })?;
        let tls = match mode.as_str() {
            "disable" | "allow" | "prefer" => None,
            "require" | "verify-ca" | "verify-full" => Some(tls(roots.as_deref()).map_err(wrong)?),
            other => return Err(wrong(format!("sslmode={other} must be disable, require or verify-full"))),
        };
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        defaults(&mut config, &kept);
        let shown = shown(&config);
        Ok(Self { config, tls, mode, shown })
    }
}

/// Sets defaults that the address does not specify.
fn defaults(config: &mut Config, kept: &[&str]) {
    let says = |name: &str| kept.iter().any(|pair| pair.split('=').next() == Some(name));
    if !says("application_name") {
        config.application_name("fanfare");
    }
    if !says("connect_timeout") {
        config.connect_timeout(ATTEMPT);
    }
    if !says("tcp_user_timeout") {
        config.tcp_user_timeout(2 * ATTEMPT);
    }
    // A read-only server (a standby, the old primary after a failover) is skipped.
    if !says("target_session_attrs") {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
}

/// A parameter's name and value, percent-decoded.
fn parameter(pair: &str) -> Result<(String, String)> {
    let (name, value) = pair
        .split_once('=')
        .ok_or_else(|| wrong(format!("the parameter {} has no value (NAME=VALUE)", shown_name(pair))))?;
    let decoded = |text: &str| {
        decode(text).ok_or_else(|| {
            let name = shown_name(name);
            wrong(format!("the parameter {name} is not percent-encoded as it should be (a % is written %25)"))
        })
    };
    Ok((decoded(name)?, decoded(value)?))
}

/// Accepts a parameter of the client library; the error names the parameter and never its value.
fn passed<'a>(name: &str, pair: &'a str) -> Result<&'a str> {
    if !PASSED.contains(&name) {
        let known = PASSED.join(", ");
        let name = shown_name(name);
        return Err(wrong(format!("there is no parameter {name}; known are sslmode, sslrootcert, {known}")));
    }
    match format!("postgres://localhost/?{pair}").parse::<Config>() {
        Ok(_) => Ok(pair),
        Err(_) => Err(wrong(format!("the parameter {name} has an invalid value"))),
    }
}

/// A name for a message: only a short, plain one is shown, because it could be anything.
fn shown_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    name.chars().take(40).map(|c| if plain(c) { c } else { '?' }).collect()
}

/// Percent-decodes a text (RFC 3986, section 2.1); `None` if the encoding is invalid.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        out.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    String::from_utf8(out).ok()
}

fn shown(config: &Config) -> String {
    use tokio_postgres::config::Host;
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("{}:{port}", hosts.collect::<Vec<_>>().join(","))
}

fn tls(roots: Option<&str>) -> std::result::Result<MakeRustlsConnect, String> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(path) => {
            let read = |error| format!("sslrootcert {path} cannot be read: {error}");
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| read(error.to_string()))? {
                let certificate = certificate.map_err(|error| read(error.to_string()))?;
                store.add(certificate).map_err(|error| read(error.to_string()))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        return Err(
            "sslmode requires TLS and there is no root certificate (sslrootcert=FILE names one)".to_owned()
        );
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(url: &str) -> String {
        match Address::parse(url) {
            Err(StoreError::Misconfigured(text)) => text,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{url} was taken"),
        }
    }

    #[test]
    fn parameters_are_decoded_and_passed_on() {
        let url = "postgres://u:p%40ss@h:6543/d%2Fb?application_name=my%20app&options=-c%20work_mem%3D8MB&sslmode=disabl%65";
        let address = Address::parse(url).unwrap();
        assert_eq!(address.config.get_password(), Some(&b"p@ss"[..]));
        assert_eq!(address.config.get_dbname(), Some("d/b"));
        assert_eq!(address.config.get_application_name(), Some("my app"));
        assert_eq!(address.config.get_options(), Some("-c work_mem=8MB"));
        assert_eq!(address.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!((address.shown.as_str(), address.tls.is_none()), ("h:6543", true));
        let any = Address::parse("postgres://h/d?target_session_attrs=any&connect_timeout=1").unwrap();
        assert_eq!(any.config.get_target_session_attrs(), TargetSessionAttrs::Any);
        assert_eq!(any.config.get_connect_timeout(), Some(&Duration::from_secs(1)));
        let own = Address::parse("postgres://h/d").unwrap();
        assert_eq!(own.config.get_application_name(), Some("fanfare"));
    }

    #[test]
    fn a_root_certificate_in_a_folder_with_a_space_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let roots = folder.path().join("my roots.pem");
        let url = |path: &str| format!("postgres://h/d?sslmode=require&sslrootcert={path}");
        let encoded = roots.display().to_string().replace(' ', "%20");
        let error = refused(&url(&encoded));
        assert!(error.contains(&roots.display().to_string()) && error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn errors_name_the_parameter_and_reveal_no_value() {
        for (query, says) in [
            ("sslcert=SECRET", "there is no parameter sslcert; known are sslmode,"),
            ("pool_size=SECRET", "pool_size"),
            ("statement%5Ftimeout=SECRET", "statement_timeout"),
            ("connect_timeout=SECRET", "the parameter connect_timeout has an invalid value"),
            ("target_session_attrs=SECRET", "target_session_attrs"),
            ("port=SECRET", "port"),
            ("sslmode", "the parameter sslmode has no value"),
            ("password=SECRET%", "the parameter password is not percent-encoded"),
            ("application_name=SECRET%zz", "application_name"),
            ("user=SECRET%ff", "user"),
            ("sslmode=no", "sslmode=no must be"),
        ] {
            let error = refused(&format!("postgres://SECRET:SECRET@h/d?{query}"));
            assert!(error.starts_with("store.url: ") && error.contains(says), "{query}: {error}");
            assert!(!error.contains("SECRET") && error.lines().count() == 1, "{error}");
        }
    }
}
