//! Why the server ends a connection: close codes and their reasons, in one table (`protocol.md` 5).

macro_rules! ends {
    ($($(#[doc = $doc:literal])* $variant:ident = $code:literal, $reason:literal;)*) => {
        /// Why the server ends a connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum End {
            $($(#[doc = $doc])* $variant,)*
        }

        impl End {
            /// All of the table.
            pub const ALL: &'static [End] = &[$(End::$variant,)*];

            /// The close code.
            pub const fn code(self) -> u16 {
                match self { $(End::$variant => $code,)* }
            }

            /// The close frame's text.
            pub const fn reason(self) -> &'static str {
                match self { $(End::$variant => $reason,)* }
            }
        }
    };
}

ends! {
    /// The server shuts down.
    ShuttingDown = 1001, "server shutting down";
    /// The server failed in work for this connection.
    Internal = 1011, "internal error";
    /// The session ended, or the login it belongs to.
    SessionEnded = 4401, "session ended";
    /// The token that the connection was logged in with expired.
    TokenExpired = 4401, "token expired";
    /// An administrator closed the connection.
    Kicked = 4403, "closed by an administrator";
    /// The channel or sketch of this socket is gone.
    ChannelGone = 4404, "channel gone";
    /// No authentication arrived in time.
    NotAuthenticated = 4408, "no authentication in time";
    /// The session was resumed on another socket.
    ResumedElsewhere = 4409, "session resumed elsewhere";
    /// The client kept sending after its rate limit was refused.
    Flooding = 4429, "flooding";
}

/// The close codes that a connection can end with, chosen by either side: RFC 6455 section 7.4, the IANA registry, and [`End`].
pub const CLOSE_CODES: [u16; 19] = [
    1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 4401, 4403, 4404, 4408,
    4409, 4429,
];

#[cfg(test)]
mod tests {
    use super::{CLOSE_CODES, End};

    #[test]
    fn every_end_has_a_known_code_and_a_reason_that_fits_a_frame() {
        for end in End::ALL {
            assert!(CLOSE_CODES.contains(&end.code()), "{end:?}");
            assert!((1..=123).contains(&end.reason().len()), "{end:?}");
        }
    }
}
