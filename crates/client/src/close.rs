//! Close codes and whether a client may come back (protocol.md 5, RFC 6455 section 7.4).

use std::fmt;

/// Why a connection ended, as the server said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseReason {
    /// The close code; `None` when the connection broke without a close frame.
    pub code: Option<u16>,
    /// The close frame's text, or what broke.
    pub reason: String,
}

/// What a client does after a connection ended or was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Reconnect with the usual backoff.
    Now,
    /// Reconnect, but not before the server had some relief.
    Later,
    /// Coming back would meet the same answer.
    Never,
}

impl CloseReason {
    /// The table of protocol.md 5; codes it does not name (and a broken connection) are worth another try.
    pub fn retry(&self) -> Retry {
        match self.code {
            Some(1000 | 1002 | 1003 | 1007 | 1008 | 1009 | 4401 | 4403 | 4404 | 4408 | 4409) => Retry::Never,
            Some(1013 | 4429) => Retry::Later,
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
