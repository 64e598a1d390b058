//! Mapping of PostgreSQL's errors to the store's.
//!
//! None is fatal here: after a failed fsync the PostgreSQL server ends and recovers by itself, so an acknowledgement
//! that it sends later is correct.

use tokio_postgres::error::SqlState;

use crate::error::StoreError;

/// The store's error for an error of the client library.
pub(crate) fn from_postgres(error: &tokio_postgres::Error) -> StoreError {
    let Some(db) = error.as_db_error() else { return StoreError::Unavailable(describe(error)) };
    let text = || format!("{} ({})", db.message(), db.code().code());
    match *db.code() {
        SqlState::UNIQUE_VIOLATION => StoreError::unique(db.constraint().unwrap_or_default()),
        SqlState::FOREIGN_KEY_VIOLATION => StoreError::Invalid("a reference to what is not there"),
        SqlState::DISK_FULL => StoreError::Unavailable("the disk is full".to_owned()),
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => StoreError::Corrupt(text()),
        SqlState::INVALID_PASSWORD
        | SqlState::INVALID_AUTHORIZATION_SPECIFICATION
        | SqlState::INVALID_CATALOG_NAME
        | SqlState::INSUFFICIENT_PRIVILEGE
        | SqlState::DUPLICATE_TABLE => {
            StoreError::Misconfigured(format!("store.url: PostgreSQL says {}", text()))
        }
        _ => StoreError::Unavailable(text()),
    }
}

/// Whether the connection is unusable although the server responds: it accepts no writes after a failover (25006), its
/// plans are older than the tables (0A000), its prepared statements are gone (26000), or the server is ending or
/// starting (57P01, 57P02, 57P03). Nothing was executed; a new connection may succeed.
pub(crate) fn is_stale(error: &tokio_postgres::Error) -> bool {
    const STALE: [SqlState; 6] = [
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::FEATURE_NOT_SUPPORTED,
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
    ];
    error.code().is_some_and(|code| STALE.contains(code))
}

/// Whether TLS was required and the server has none, or an untrusted certificate. An interrupted handshake is neither.
pub(crate) fn is_refused_tls(error: &tokio_postgres::Error) -> bool {
    if !error.to_string().starts_with("error performing TLS handshake") {
        return false;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::InvalidData;
        }
        cause = inner.source();
    }
    true
}

/// The error with its causes, which the library's own text omits.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Whether the transaction lost against another and may be run again.
pub(crate) fn is_transient(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code)
    })
}
