//! What is stored, as the rest of the program sees it.
//!
//! Ids are text, times are milliseconds since 1970, hashes and keys are byte arrays of their length. Secrets (password
//! hashes, token hashes) are redacted in `Debug`.

mod accounts;
mod logins;
mod records;

pub use accounts::{
    ChangedUser, DeviceKeys, KeyLogEntry, KeysPut, NewUser, ProfileChange, Proven, Role, User,
};
pub use logins::{AuthSession, EndSessions, EndedSession, LoginProof, NewAuthSession, Refreshed};
pub use records::{
    ApiKeyRow, Appended, AuditEnd, AuditFilter, AuditPlace, AuditRow, Checkpoint, ConnectionRow, KeptTopic,
    Message, MetricPlace, MetricQuery, MetricRow, NewMessage,
};
