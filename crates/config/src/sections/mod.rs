//! The settings themselves, a file per theme: every key with its doc, type and default, and nothing else.

pub(super) mod access;
pub(super) mod durable;
pub(super) mod feeds;
pub(super) mod limits;
pub(super) mod serving;
pub(super) mod topics;
