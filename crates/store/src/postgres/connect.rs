//! Connecting to PostgreSQL: the pool, the first connection, how long to retry, and when a connection is discarded.
//!
//! A start checks before it sets anything: a server without the TLS that `sslmode` requires and a pooler that shares
//! connections between transactions are rejected at once, because retries help with neither. The state of a pooled
//! connection (settings, prepared statements) belongs to the session, so a session must not be shared.

use std::time::{Duration, Instant};

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::address::{ATTEMPT, Address};
use super::errors::{from_postgres, is_refused_tls};
use crate::error::{Result, StoreError};
use crate::options::Durability;

/// How long a start waits for an unreachable server.
const START: Duration = Duration::from_secs(30);
/// How long a caller waits for a free connection.
const WAIT: Duration = Duration::from_secs(5);
/// Longest pause between attempts.
const PAUSE: Duration = Duration::from_secs(2);
/// Transactions of two connections that are compared to detect a pooler.
const ROUNDS: usize = 4;
/// Oldest server: 13, as older ones get no fixes any more.
const OLDEST: i32 = 130_000;
/// A statement that runs longer is a bug: none here takes seconds. A stuck lock must not hold a connection.
const SESSION: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
                       SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = warning";

impl Address {
    /// A pool of connections with the settings that `durability` needs.
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

/// The setting by which a commit waits for the disk; a stricter setting of the server (waiting for a standby) is kept.
const fn synchronous(durability: Durability) -> &'static str {
    match durability {
        Durability::PowerSafe => {
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        }
        Durability::ProcessSafe | Durability::Memory => "SET synchronous_commit = off",
    }
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

/// Discards a connection and the idle ones of its pool: the cause (a failover, a migration, a restart of the server)
/// applies to them too.
pub(crate) fn discard(pool: &Pool, client: Object) {
    drop(Object::take(client));
    pool.retain(|_, _| false);
}

/// Checks that the server accepts writes. A pooled connection that does not is discarded, and a new one is checked.
pub(crate) async fn look(pool: &Pool) -> Result<()> {
    for _ in 0..2 {
        let client = take(pool).await?;
        let reply = client.simple_query("SHOW transaction_read_only").await;
        match reply.map_err(|error| from_postgres(&error)) {
            Ok(reply) if first_value(&reply) != Some("on") => return Ok(()),
            Ok(_) => discard(pool, client),
            Err(error) => {
                discard(pool, client);
                return Err(error);
            }
        }
    }
    Err(StoreError::Unavailable("PostgreSQL accepts no writes".to_owned()))
}

/// The first connection: retries until [`START`] is over, except for errors that retries cannot fix.
pub(crate) async fn first(address: &Address, pool: &Pool) -> Result<Object> {
    let (begun, mut pause) = (Instant::now(), Duration::from_millis(100));
    let shown = &address.shown;
    loop {
        let taken = match address.must_be_ours().await {
            Ok(()) => take(pool).await,
            Err(error) => Err(error),
        };
        let error = match taken {
            Ok(client) => return suitable(client).await,
            Err(StoreError::Unavailable(text)) => text,
            Err(other) => return Err(other),
        };
        if begun.elapsed() + pause >= START {
            return Err(StoreError::Unavailable(format!(
                "store.url: PostgreSQL at {shown} cannot be reached ({error})"
            )));
        }
        tracing::warn!(server = shown, error, "PostgreSQL cannot be reached; retrying");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE);
    }
}

impl Address {
    /// Rejects, before anything is set, a server without the required TLS and a pooler that shares sessions.
    async fn must_be_ours(&self) -> Result<()> {
        let asked = async {
            let one = self.connect().await?;
            // If there is no room for a second connection, a pooler can neither be detected nor excluded.
            let Ok(two) = self.connect().await else { return Ok(false) };
            are_shared(&one, &two).await
        };
        match tokio::time::timeout(2 * ATTEMPT, asked).await {
            Ok(Ok(false)) => Ok(()),
            Ok(Ok(true)) => Err(StoreError::Misconfigured(format!(
                "store.url: {} is a pooler that shares a connection between transactions of several clients (PgBouncer's \
                 pool_mode transaction or statement): use pool_mode=session, or PostgreSQL's own address",
                self.shown
            ))),
            Ok(Err(error)) if is_refused_tls(&error) => Err(StoreError::Misconfigured(format!(
                "store.url: sslmode={} requires TLS, and {} does not serve it as required ({})",
                self.mode,
                self.shown,
                super::errors::describe(&error)
            ))),
            Ok(Err(error)) => Err(from_postgres(&error)),
            Err(_) => Err(StoreError::Unavailable("no response in time".to_owned())),
        }
    }

    /// A connection without settings; it ends with the client.
    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        Ok(match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                tokio::spawn(connection);
                client
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(connection);
                client
            }
        })
    }
}

/// Whether transactions of two connections run on the same server process, or those of one connection on several.
async fn are_shared(one: &Client, two: &Client) -> Result<bool, tokio_postgres::Error> {
    let mut seen: Option<String> = None;
    for _ in 0..ROUNDS {
        let (first, second) = (process(one).await?, process(two).await?);
        if first == second || seen.as_ref().is_some_and(|seen| *seen != first) {
            return Ok(true);
        }
        seen = Some(first);
    }
    Ok(false)
}

/// The server's process behind a connection. Queried without a prepared statement, which not every pooler supports.
async fn process(client: &Client) -> Result<String, tokio_postgres::Error> {
    let reply = client.simple_query("SELECT pg_backend_pid()").await?;
    Ok(first_value(&reply).unwrap_or_default().to_owned())
}

fn first_value(reply: &[SimpleQueryMessage]) -> Option<&str> {
    reply.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    })
}

/// Rejects a server that is too old or cannot store all texts; warns if it is configured not to be durable.
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
