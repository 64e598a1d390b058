//! Why an upgrade request is refused.

use std::fmt;

/// The reason an upgrade request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// No `Upgrade: websocket`: a plain HTTP request.
    NoUpgrade,
    /// No `Connection: Upgrade`.
    NoConnectionUpgrade,
    /// `Sec-WebSocket-Key` is missing, repeated, or not 16 bytes in base64.
    BadKey,
    /// `Sec-WebSocket-Version` is missing or not 13.
    UnsupportedVersion,
    /// `Sec-WebSocket-Extensions` breaks its grammar (section 9.1). Reported only where compression is enabled.
    BadExtensions,
}

impl HandshakeError {
    /// The HTTP status of the response: 426 where another kind of request would succeed (section 4.2.2), else 400.
    pub const fn status(self) -> u16 {
        match self {
            Self::NoUpgrade | Self::UnsupportedVersion => 426,
            Self::NoConnectionUpgrade | Self::BadKey | Self::BadExtensions => 400,
        }
    }

    /// The header that must accompany the status.
    pub const fn header(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::NoUpgrade => Some(("upgrade", "websocket")),
            Self::UnsupportedVersion => Some(("sec-websocket-version", super::VERSION)),
            Self::NoConnectionUpgrade | Self::BadKey | Self::BadExtensions => None,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUpgrade => "this endpoint takes WebSocket upgrades only: send \"Upgrade: websocket\"",
            Self::NoConnectionUpgrade => "the Connection header must name \"Upgrade\"",
            Self::BadKey => "Sec-WebSocket-Key must be sent once and hold 16 bytes in base64",
            Self::UnsupportedVersion => "Sec-WebSocket-Version must be 13",
            Self::BadExtensions => "Sec-WebSocket-Extensions is malformed",
        })
    }
}

impl std::error::Error for HandshakeError {}
