//! The frame types of RFC 6455 section 5.2.

/// A frame's type. The values are those on the wire; all others are reserved and refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// A further fragment of the message that was started.
    Continuation = 0x0,
    /// A message of UTF-8 text, or its first fragment.
    Text = 0x1,
    /// A message of bytes, or its first fragment.
    Binary = 0x2,
    /// End of the connection.
    Close = 0x8,
    /// Requests a pong with the same payload.
    Ping = 0x9,
    /// The response to a ping, or unsolicited.
    Pong = 0xA,
}

impl OpCode {
    /// Reads the low four bits of a frame's first byte; `None` for reserved values.
    pub(crate) const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it is a control frame (section 5.5): never fragmented, at most 125 bytes.
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}
