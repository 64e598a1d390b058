//! Close codes: RFC 6455 section 7.4, the IANA registry, and Fanfare's own (`protocol.md` section 5).

use std::fmt;

/// A close code that may travel in a close frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

/// What a client should do after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// It would end the same way.
    No,
    /// At once, with the usual jitter.
    Now,
    /// After a pause that grows with each attempt.
    Later,
    /// After it got new credentials.
    AfterLogin,
}

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server shuts down, or the read deadline passed.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the framing rules.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data that this endpoint does not take.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Text that is not UTF-8, or compressed data that does not inflate.
    pub const INVALID_DATA: Self = Self(1007);
    /// A limit of the server's policy was passed.
    pub const POLICY: Self = Self(1008);
    /// A message or frame is larger than the limit.
    pub const TOO_LARGE: Self = Self(1009);
    /// The server failed.
    pub const INTERNAL: Self = Self(1011);
    /// The server has to shed this connection: a slow consumer, overload.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// The session ended or its token expired.
    pub const SESSION_ENDED: Self = Self(4401);
    /// Kicked, or no longer allowed.
    pub const FORBIDDEN: Self = Self(4403);
    /// The channel or sketch of this socket is gone.
    pub const GONE: Self = Self(4404);
    /// No authentication arrived in time.
    pub const AUTH_TIMEOUT: Self = Self(4408);
    /// The session was resumed on another socket.
    pub const RESUMED_ELSEWHERE: Self = Self(4409);
    /// The client kept sending after its rate limit was refused.
    pub const FLOODING: Self = Self(4429);

    /// Takes a code from the wire.
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

    /// Whether the client should come back.
    pub const fn reconnect(self) -> Reconnect {
        match self.0 {
            1001 => Reconnect::Now,
            1011..=1014 | 4429 => Reconnect::Later,
            4401 | 4408 => Reconnect::AfterLogin,
            _ => Reconnect::No,
        }
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

    #[test]
    fn reconnect_follows_the_contract() {
        use Reconnect::{AfterLogin, Later, No, Now};
        let table = [
            (CloseCode::NORMAL, 1000, No),
            (CloseCode::GOING_AWAY, 1001, Now),
            (CloseCode::PROTOCOL_ERROR, 1002, No),
            (CloseCode::UNSUPPORTED, 1003, No),
            (CloseCode::INVALID_DATA, 1007, No),
            (CloseCode::POLICY, 1008, No),
            (CloseCode::TOO_LARGE, 1009, No),
            (CloseCode::INTERNAL, 1011, Later),
            (CloseCode::TRY_AGAIN_LATER, 1013, Later),
            (CloseCode::SESSION_ENDED, 4401, AfterLogin),
            (CloseCode::FORBIDDEN, 4403, No),
            (CloseCode::GONE, 4404, No),
            (CloseCode::AUTH_TIMEOUT, 4408, AfterLogin),
            (CloseCode::RESUMED_ELSEWHERE, 4409, No),
            (CloseCode::FLOODING, 4429, Later),
        ];
        for (code, number, reconnect) in table {
            assert_eq!((code.get(), code.reconnect()), (number, reconnect));
            assert_eq!(CloseCode::new(number), Some(code), "every constant is a code that may travel");
        }
    }
}
