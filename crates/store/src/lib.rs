//! Fanfare's durable store, on SQLite (embedded, the default) or PostgreSQL (cluster).
//!
//! [`Store`] is the type for other crates: cheap to clone, async, without SQL. Its methods are in one file per family
//! (`users`, `keys`, `logins`, `kept`, `audit`, `records`, `logs`, `messages`), each written once as units of work over
//! `sql::Sql`; the engines run them. A write returns after its commit; [`Durability`] says which failures a commit
//! survives.
//!
//! ```text
//! Store::create_user … ─ unit of work ─→ Engine ─┬ sqlite: one writer thread, many units per commit; a few readers
//! Store::append      … ─ batch of them ─→        └ postgres: pool of connections; a lane for each part of the logs
//! ```
//!
//! Invariants: an acknowledged write survives a crash; a failed unit changes nothing and does not undo other units;
//! after a failed fsync nothing is acknowledged any more ([`StoreOptions::on_fatal`]).

mod audit;
pub mod backup;
mod engine;
mod error;
mod kept;
mod keys;
mod logins;
mod logs;
mod messages;
pub mod migrate;
mod model;
mod options;
mod postgres;
mod records;
mod sql;
mod sqlite;
mod text;
mod users;

use std::sync::Arc;

use engine::{Engine, Work};
use sql::Sql;

pub use engine::{OnCommit, OnFatal, StoreStatus};
pub use error::{Result, StoreError};
pub use logs::OnAppend;
pub use model::{
    ApiKeyRow, Appended, AuditEnd, AuditFilter, AuditPlace, AuditRow, ChangedUser, Checkpoint, Committed,
    ConnectionRow, DeviceKeys, EndLogins, EndedLogin, KeptTopic, KeyLogEntry, KeysPut, LogEntry, LogHead,
    LogId, LogPage, LogRetention, LoginProof, LoginRow, Message, MetricPlace, MetricQuery, MetricRow,
    NewEntry, NewLogin, NewMessage, NewUser, ProfileChange, Proven, Receipt, Refreshed, Role, Space, Trimmed,
    User,
};
use options::Target;
pub use options::{Durability, StoreOptions};

/// An open store; clones share it.
#[derive(Clone)]
pub struct Store {
    engine: Arc<dyn Engine>,
    mailboxes: Arc<messages::Mailboxes>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("status", &self.status()).finish()
    }
}

impl Store {
    /// Opens the store and migrates its tables (an existing SQLite file is copied first).
    ///
    /// # Errors
    /// `Misconfigured` when the address is invalid, `Unavailable` when the engine does not respond (PostgreSQL: after
    /// retries of less than a minute), `TooNew`, `Corrupt`.
    pub async fn open(options: StoreOptions) -> Result<Self> {
        let engine: Arc<dyn Engine> = match options.target()? {
            Target::Sqlite(path) => Arc::new(sqlite::Sqlite::open(path, &options).await?),
            Target::Postgres(url) => Arc::new(postgres::Postgres::open(&url, &options).await?),
        };
        Ok(Self { engine, mailboxes: Arc::default() })
    }

    /// Commits queued writes, checkpoints, and closes; later calls return `Unavailable`.
    pub async fn close(&self) {
        self.engine.close().await;
    }

    /// Whether the store works.
    pub fn status(&self) -> StoreStatus {
        self.engine.status()
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    /// Runs a unit that only reads.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Sql) -> Result<T> + Send + 'static,
    {
        let (unit, answer) = Work::new(work);
        self.engine.read(unit).await;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Runs a unit that writes; returns after its commit.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Sql) -> Result<T> + Send + 'static,
    {
        let (unit, answer) = Work::new(work);
        self.engine.write(unit).await;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}
