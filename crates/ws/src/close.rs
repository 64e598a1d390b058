//! Close codes: RFC 6455 section 7.4 and the IANA registry. An application's own are 3000 to 4999.

use std::fmt;

/// A close code that may travel in a close frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The connection has served its purpose.
    pub const NORMAL: Self = Self(1000);
    /// The server is shutting down, or the read deadline passed.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the framing rules.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data that this endpoint does not accept.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Text that is not UTF-8, or compressed data that does not inflate.
    pub const INVALID_DATA: Self = Self(1007);
    /// A limit of the server's policy was exceeded.
    pub const POLICY: Self = Self(1008);
    /// A message or frame is larger than the limit.
    pub const TOO_LARGE: Self = Self(1009);
    /// The server failed.
    pub const INTERNAL: Self = Self(1011);
    /// The server drops this connection because of a slow consumer or overload.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// Reads a code from the wire.
    ///
    /// `None` below 1000, for the reserved 1004, 1005, 1006 and 1015, for the unassigned 1016–2999, and from 5000 on.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_codes_never_travel() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert_eq!(CloseCode::new(code), None, "{code}");
        }
        for code in
            [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
        {
            assert_eq!(CloseCode::new(code).map(CloseCode::get), Some(code));
        }
    }
}
