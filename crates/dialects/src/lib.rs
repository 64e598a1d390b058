//! Fanfare's dialects: the same commands and events in different wire forms, as pure functions of bytes.

pub mod jsonrpc;
pub mod time;
