//! The options of a store, and how durable an acknowledged write is.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::engine::{OnCommit, OnFatal};
use crate::error::{Result, StoreError};

/// The failures that an acknowledged write survives (`store.durability`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Loss of power: each commit waits for the disk.
    #[default]
    PowerSafe,
    /// A crash of the process, but not of the machine.
    ProcessSafe,
    /// None.
    Memory,
}

impl Durability {
    /// SQLite's `synchronous`, by name and by the value it reads back as.
    pub(crate) const fn synchronous(self) -> (&'static str, i64) {
        match self {
            Self::PowerSafe => ("FULL", 2),
            Self::ProcessSafe => ("NORMAL", 1),
            Self::Memory => ("OFF", 0),
        }
    }
}

/// The options to open a store.
#[derive(Clone)]
pub struct StoreOptions {
    /// `sqlite:PATH`, `sqlite://PATH` or `postgres://…`; `{data_dir}` stands for the server's folder.
    pub url: String,
    /// The failures that an acknowledged write survives. On PostgreSQL `PowerSafe` sets `synchronous_commit=on`, the
    /// others `off`; the server's own `fsync` setting is unchanged.
    pub durability: Durability,
    /// The server's data folder.
    pub data_dir: PathBuf,
    /// Connections for reads (SQLite) or for everything but appends (PostgreSQL); at least one.
    pub pool: usize,
    /// Called after each commit.
    pub on_commit: Option<OnCommit>,
    /// Called once when the store has failed permanently.
    pub on_fatal: Option<OnFatal>,
}

impl StoreOptions {
    /// Options for this address, power-safe, with four connections.
    pub fn new(url: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            url: url.into(),
            durability: Durability::default(),
            data_dir: data_dir.into(),
            pool: 4,
            on_commit: None,
            on_fatal: None,
        }
    }

    pub(crate) fn target(&self) -> Result<Target> {
        let url = self.url.replace("{data_dir}", &self.data_dir.to_string_lossy());
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Target::Postgres(url));
        }
        let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
        match path {
            Some("" | ":memory:") => Err(StoreError::Misconfigured(
                "store.url: sqlite: needs the path of a file (store.durability = \"memory\" makes it fast)"
                    .to_owned(),
            )),
            Some(path) => Ok(Target::Sqlite(Path::new(path).to_owned())),
            None => Err(StoreError::Misconfigured(
                "store.url: begins with neither sqlite: nor postgres:".to_owned(),
            )),
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not derived: the address may hold a password.
        f.debug_struct("StoreOptions")
            .field("durability", &self.durability)
            .field("data_dir", &self.data_dir)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

/// The location of the data.
pub(crate) enum Target {
    Sqlite(PathBuf),
    Postgres(String),
}
