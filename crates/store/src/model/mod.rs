//! The stored types, as the rest of the program uses them.
//!
//! Ids are text, times are milliseconds since 1970, hashes and keys are byte arrays of their length. Secrets (password
//! hashes, token hashes) are redacted in `Debug`.

mod accounts;
mod logins;
mod logs;
mod messages;
mod records;

pub(crate) use accounts::stored_role;
pub use accounts::{ChangedUser, DeviceKeys, KeyLogEntry, KeysPut, NewUser, ProfileChange, Proven, User};
pub use fanfare_core::model::Role;
pub use fanfare_core::topics::{LogRetention, Space};
pub use logins::{EndLogins, EndedLogin, LoginProof, LoginRow, NewLogin, Refreshed};
pub(crate) use logs::OVERHEAD;
pub use logs::{Committed, LogEntry, LogHead, LogId, LogPage, NewEntry, Receipt, Trimmed};
pub use messages::{Appended, Message, NewMessage};
pub use records::{
    ApiKeyRow, AuditEnd, AuditFilter, AuditPlace, AuditRow, Checkpoint, ConnectionRow, KeptTopic,
    MetricPlace, MetricQuery, MetricRow,
};
