//! The types of frames: the one list that the dialects write and read by, and that no mapping of a feed may use.

macro_rules! frame_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The `type` of a frame of the protocol (`docs/protocol.md`). A delivery of a feed has a `type` that the operator chose,
        /// which must not be one of these.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum FrameType {
            $($(#[$doc])* $variant,)*
        }

        impl FrameType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The type of that name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

frame_types! {
    /// A client subscribes.
    Subscribe = "subscribe",
    /// A client ends a subscription.
    Unsubscribe = "unsubscribe",
    /// A client publishes.
    Publish = "publish",
    /// A client asks for a `pong`.
    Ping = "ping",
    /// A client logs in.
    Auth = "auth",
    /// A client calls a command of the server.
    Server = "server",
    /// The answer to a command.
    Ack = "ack",
    /// The refusal of a command.
    Error = "error",
    /// An event of a topic.
    Event = "event",
    /// A notice.
    Info = "info",
    /// The answer to a `ping`.
    Pong = "pong",
    /// The answer to a `server` frame.
    ServerResponse = "server_response",
    /// A message to one session.
    SessionMessage = "session_message",
    /// The first frame of a connection.
    Welcome = "welcome",
    /// A message to one user; reserved.
    Direct = "direct",
    /// What became of a `direct` message; reserved.
    Receipt = "receipt",
    /// A message to all; reserved.
    Broadcast = "broadcast",
    /// A user came or went; reserved.
    Presence = "presence",
    /// A user's identity key changed; reserved.
    KeyChanged = "key_changed",
    /// A message of a conversation; reserved.
    Message = "message",
}

#[cfg(test)]
mod tests {
    use super::FrameType;

    #[test]
    fn names_are_read_back() {
        for kind in FrameType::ALL {
            assert_eq!(FrameType::parse(kind.name()), Some(*kind));
        }
        assert_eq!((FrameType::parse("trade_data"), FrameType::parse("ACK")), (None, None));
    }
}
