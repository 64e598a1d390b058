//! The decoder's error.

use crate::CloseCode;
use std::fmt;

/// Why a connection must be failed (RFC 6455 section 7.1.7).
///
/// The driver sends a close frame with both fields, then ends the connection; the decoder must not be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    /// 1002 for broken framing, 1007 for invalid UTF-8 or invalid compressed data, 1009 for too large, 1008 for a
    /// message that took more bytes on the wire than
    /// [`Limits::max_unfinished_bytes`](crate::Limits::max_unfinished_bytes).
    pub close: CloseCode,
    /// One short English phrase that may be shown to the client.
    pub reason: &'static str,
}

impl ProtocolError {
    pub(crate) const fn framing(reason: &'static str) -> Self {
        Self { close: CloseCode::PROTOCOL_ERROR, reason }
    }

    pub(crate) const fn data(reason: &'static str) -> Self {
        Self { close: CloseCode::INVALID_DATA, reason }
    }

    pub(crate) const fn too_large(reason: &'static str) -> Self {
        Self { close: CloseCode::TOO_LARGE, reason }
    }

    pub(crate) const fn policy(reason: &'static str) -> Self {
        Self { close: CloseCode::POLICY, reason }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.close)
    }
}

impl std::error::Error for ProtocolError {}
