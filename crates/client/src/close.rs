//! Close codes and whether a client may reconnect (protocol.md 5, RFC 6455 section 7.4).

use std::fmt;

/// Why a connection ended, as the server reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseReason {
    /// The close code; `None` when the connection broke without a close frame.
    pub code: Option<u16>,
    /// The close frame's text, or the error of the connection.
    pub reason: String,
}

/// How a client proceeds after a connection ended or was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Reconnect with the usual backoff.
    Now,
    /// Reconnect, but only after the server had some relief.
    Later,
    /// Reconnecting would fail again.
    Never,
}

/// The server's own close codes (`docs/protocol.md`).
mod codes {
    /// The session ended, or the token expired.
    pub(super) const SESSION_ENDED: u16 = 4401;
    /// Closed by an administrator, or no longer allowed.
    pub(super) const FORBIDDEN: u16 = 4403;
    /// The channel or sketch no longer exists.
    pub(super) const GONE: u16 = 4404;
    /// No authentication arrived in time.
    pub(super) const NOT_AUTHENTICATED: u16 = 4408;
    /// The session was resumed on another socket.
    pub(super) const RESUMED_ELSEWHERE: u16 = 4409;
    /// The client continued to send after it was rate-limited.
    pub(super) const FLOODING: u16 = 4429;
}

impl CloseReason {
    /// The table of protocol.md 5; other codes (and a broken connection) are retried.
    pub fn retry(&self) -> Retry {
        match self.code {
            Some(1000 | 1002 | 1003 | 1007 | 1008 | 1009) => Retry::Never,
            Some(
                codes::SESSION_ENDED
                | codes::FORBIDDEN
                | codes::GONE
                | codes::NOT_AUTHENTICATED
                | codes::RESUMED_ELSEWHERE,
            ) => Retry::Never,
            Some(1013 | codes::FLOODING) => Retry::Later,
            _ => Retry::Now,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.reason.as_str()) {
            (Some(code), "") => write!(f, "{code}"),
            (Some(code), reason) => write!(f, "{code} {reason}"),
            (None, "") => f.write_str("connection lost"),
            (None, reason) => f.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_close_codes() {
        let retry = |code| CloseReason { code, reason: String::new() }.retry();
        for code in [1000, 1002, 1003, 1007, 1008, 1009, 4401, 4403, 4404, 4408, 4409] {
            assert_eq!(retry(Some(code)), Retry::Never, "{code}");
        }
        for code in [1013, 4429] {
            assert_eq!(retry(Some(code)), Retry::Later, "{code}");
        }
        for code in [None, Some(1001), Some(1011), Some(1012)] {
            assert_eq!(retry(code), Retry::Now, "{code:?}");
        }
    }
}
