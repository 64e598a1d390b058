//! The errors of the whole crate.
//!
//! Callers branch on the variant; the texts are for logs and never for clients, because they may name files, hosts and
//! constraints. Both engines map their errors here (`sqlite::errors`, `postgres::errors`), so that a story tested on
//! one behaves the same on the other.

/// An error of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A unique value is taken; names the field: `username`, `public_key`, `name`, `n`, `seq`, `id`, `key`.
    #[error("{0} is taken")]
    Conflict(&'static str),
    /// The store cannot do it now (lost, disk full, timed out); a retry may succeed. HTTP 503 `unavailable`.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Only of appends to logs: the response to the commit was lost, so it is unknown whether the entry is in the log.
    /// Other writes return `Unavailable` then.
    #[error("it is unknown whether it was stored: {0}")]
    Unknown(String),
    /// The log does not exist (any more). Nothing was written.
    #[error("there is no such log")]
    NoLog,
    /// The values cannot be stored (U+0000 in a text, a reference to a missing row). Nothing was written.
    #[error("cannot be stored: {0}")]
    Invalid(&'static str),
    /// Migrations are pending, and the caller did not allow to apply them.
    #[error("the database is at version {found}, this program needs {needed}: run `fanfare migrate up`")]
    NeedsMigration {
        /// Version of the database.
        found: i64,
        /// Version this program needs.
        needed: i64,
    },
    /// The database was migrated by a newer program.
    #[error(
        "the database is at version {found}, this program knows {known}: it was migrated by a newer Fanfare"
    )]
    TooNew {
        /// Version of the database.
        found: i64,
        /// Newest version this program knows.
        known: i64,
    },
    /// The configuration is invalid; the text names the key.
    #[error("{0}")]
    Misconfigured(String),
    /// The database is damaged. Fail-stop.
    #[error("the database is corrupt: {0}")]
    Corrupt(String),
    /// A write may be lost although the engine was configured to keep it (fsync failed). Fail-stop: the process has to
    /// end and recover from the log; a retry would report lost data as kept.
    #[error("the store failed permanently: {0}")]
    Fatal(String),
}

impl StoreError {
    /// Whether the store can no longer be trusted after this error: the process has to end.
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Corrupt(_) | Self::Fatal(_))
    }

    /// The error for a row that this program cannot have written. Not `Corrupt`: one unexpected row must not end the
    /// server.
    pub(crate) fn unreadable(what: &str) -> Self {
        Self::Unavailable(format!("the database holds an unreadable value: {what}"))
    }

    /// The error for a violated unique constraint, from the engine's text that names it (`users.username`,
    /// `users_username_key`).
    pub(crate) fn unique(constraint: &str) -> Self {
        const FIELDS: [(&str, &str); 9] = [
            ("user_keys", "public_key"),
            ("key_log", "n"),
            ("username", "username"),
            ("api_keys.hash", "hash"),
            ("api_keys_hash", "hash"),
            ("api_keys", "name"),
            ("audit", "seq"),
            ("messages", "id"),
            ("log_entries", "key"),
        ];
        let found = FIELDS.iter().find(|(part, _)| constraint.contains(part));
        Self::Conflict(found.map_or("id", |(_, field)| field))
    }
}

/// The result of the store's methods.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
