//! Mapping of SQLite's errors to the store's.

use rusqlite::ErrorCode;
use rusqlite::ffi;

use crate::error::StoreError;

/// The store's error for an error of SQLite. An input/output error is always fatal: after a failed fsync the kernel may
/// have dropped the pages, so that a retry would succeed without them.
pub(crate) fn from_sqlite(error: rusqlite::Error) -> StoreError {
    let text = error.to_string();
    let rusqlite::Error::SqliteFailure(failure, detail) = error else {
        return StoreError::Unavailable(text);
    };
    match failure.code {
        ErrorCode::ConstraintViolation => match failure.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
                StoreError::unique(detail.as_deref().unwrap_or_default())
            }
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY => StoreError::Invalid("a reference to what is not there"),
            _ => StoreError::Unavailable(text),
        },
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(text),
        ErrorCode::SystemIoFailure => StoreError::Fatal(text),
        ErrorCode::DiskFull => StoreError::Unavailable("the disk is full".to_owned()),
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            StoreError::Misconfigured(format!("store.url: {text}"))
        }
        _ => StoreError::Unavailable(text),
    }
}
