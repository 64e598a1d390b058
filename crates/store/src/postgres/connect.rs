//! Reaching PostgreSQL: the address, TLS, the pool, and how long to try.
//!
//! `sslmode` decides about TLS as its owner wrote it: absent, `disable` or `prefer` mean none, `require`, `verify-ca` and
//! `verify-full` mean TLS with the server's certificate and name checked, against `sslrootcert` if given, else against the
//! system's roots. There is no mode that encrypts without checking: it would only look safe.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::errors::from_postgres;
use crate::error::{Result, StoreError};
use crate::options::Durability;

/// How long a start waits for a server that does not answer.
const START: Duration = Duration::from_secs(30);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long a caller waits for a free connection.
const WAIT: Duration = Duration::from_secs(5);
/// Longest pause between attempts.
const PAUSE: Duration = Duration::from_secs(2);
/// Oldest server: 13, as older ones get no fixes any more.
const OLDEST: i32 = 130_000;
/// A statement that runs longer is a fault: nothing here takes seconds. A stuck lock must not hold a connection.
const SESSION: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
                       SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = warning";

/// An address taken apart.
pub(crate) struct Address {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    /// Host and port, for messages.
    pub(crate) shown: String,
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let wrong = |text: String| StoreError::Misconfigured(format!("store.url: {text}"));
        let (rest, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut kept) = ("disable", None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("sslrootcert", value)) => roots = Some(value),
                _ => kept.push(pair),
            }
        }
        // The library's own text may quote the address, and with it a password.
        let mut config: Config = format!("{rest}?{}", kept.join("&")).parse().map_err(|_| {
            wrong("not an address of PostgreSQL (postgres://USER:PASSWORD@HOST:PORT/DATABASE)".to_owned())
        })?;
        let tls = match mode {
            "disable" | "allow" | "prefer" => None,
            "require" | "verify-ca" | "verify-full" => Some(tls(roots).map_err(wrong)?),
            other => return Err(wrong(format!("sslmode={other} is none of disable, require, verify-full"))),
        };
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        config.application_name("fanfare").connect_timeout(ATTEMPT).tcp_user_timeout(2 * ATTEMPT);
        let shown = shown(&config);
        Ok(Self { config, tls, shown })
    }

    /// A pool of connections that each keep what `durability` asks for.
    pub(crate) fn pool(&self, size: usize, durability: Durability) -> Result<Pool> {
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &self.tls {
            Some(tls) => Manager::from_config(self.config.clone(), tls.clone(), how),
            None => Manager::from_config(self.config.clone(), NoTls, how),
        };
        let setup = format!("{SESSION}; {}", synchronous(durability));
        let prepare = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let setup = setup.clone();
            Box::pin(async move { client.batch_execute(&setup).await.map_err(HookError::Backend) })
        });
        Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(ATTEMPT))
            .recycle_timeout(Some(ATTEMPT))
            .post_create(prepare)
            .build()
            .map_err(|error| StoreError::Misconfigured(format!("store.url: {error}")))
    }
}

/// What makes a commit wait for the disk; a server that waits for more (a standby) is left to.
const fn synchronous(durability: Durability) -> &'static str {
    match durability {
        Durability::PowerSafe => {
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        }
        Durability::ProcessSafe | Durability::Memory => "SET synchronous_commit = off",
    }
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
            "sslmode asks for TLS and there is no root certificate (sslrootcert=FILE names one)".to_owned()
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

/// A connection from the pool.
pub(crate) async fn take(pool: &Pool) -> Result<Object> {
    use deadpool_postgres::PoolError;
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => from_postgres(&error),
        PoolError::PostCreateHook(HookError::Backend(error)) => from_postgres(&error),
        PoolError::Closed => crate::closed(),
        PoolError::Timeout(_) => StoreError::Unavailable("no connection to PostgreSQL in time".to_owned()),
        other => StoreError::Unavailable(other.to_string()),
    })
}

/// The first connection: tries until [`START`] is over, but not what trying again cannot cure.
pub(crate) async fn first(pool: &Pool, shown: &str) -> Result<Object> {
    let (begun, mut pause) = (Instant::now(), Duration::from_millis(100));
    loop {
        let error = match take(pool).await {
            Ok(client) => return suitable(client).await,
            Err(StoreError::Unavailable(text)) => text,
            Err(other) => return Err(other),
        };
        if begun.elapsed() + pause >= START {
            return Err(StoreError::Unavailable(format!(
                "store.url: PostgreSQL at {shown} cannot be reached ({error})"
            )));
        }
        tracing::warn!(server = shown, error, "PostgreSQL cannot be reached; trying again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE);
    }
}

/// Refuses a server that is too old or cannot hold all texts; says when it was told not to be careful.
async fn suitable(client: Object) -> Result<Object> {
    let asked = "SELECT current_setting('server_version_num')::int4, current_setting('server_encoding'),
                        current_setting('fsync')";
    let row = client.query_one(asked, &[]).await.map_err(|error| from_postgres(&error))?;
    let (version, encoding, fsync): (i32, &str, &str) = (row.get(0), row.get(1), row.get(2));
    if version < OLDEST {
        return Err(StoreError::Misconfigured(format!(
            "store.url: PostgreSQL {} is too old, 13 or newer is needed",
            version / 10_000
        )));
    }
    if encoding != "UTF8" {
        return Err(StoreError::Misconfigured(format!(
            "store.url: the database is encoded in {encoding}, not UTF8"
        )));
    }
    if fsync != "on" {
        tracing::warn!(
            "PostgreSQL runs with fsync={fsync}: acknowledged writes do not survive a loss of power"
        );
    }
    Ok(client)
}
