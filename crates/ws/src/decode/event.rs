//! The events that the decoder returns to the driver.

use super::utf8;
use crate::{CloseCode, OpCode, ProtocolError};

/// A whole message or control frame. Payloads are unmasked, and inflated where they were compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// The driver responds with a pong with the same payload of at most 125 bytes.
    Ping(&'a [u8]),
    /// A response to a ping, or an unsolicited pong.
    Pong(&'a [u8]),
    /// The peer ends the connection, with its code if it sent one and a reason of at most 123 bytes. The driver
    /// responds with a close frame with the same code, unless it has sent one already.
    Close(Option<CloseCode>, &'a str),
}

impl<'a> Event<'a> {
    /// Makes the event of a complete payload.
    #[inline]
    pub(super) fn whole(opcode: OpCode, payload: &'a [u8]) -> Result<Self, ProtocolError> {
        Ok(match opcode {
            OpCode::Text => Self::Text(utf8::check_whole(payload)?),
            OpCode::Binary => Self::Binary(payload),
            OpCode::Ping => Self::Ping(payload),
            OpCode::Pong => Self::Pong(payload),
            OpCode::Close => Self::close(payload)?,
            OpCode::Continuation => return Err(ProtocolError::framing("continuation without a message")),
        })
    }

    /// Section 5.5.1: nothing, or a code and a reason.
    fn close(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            return match payload {
                [] => Ok(Self::Close(None, "")),
                _ => Err(ProtocolError::framing("close payload of one byte")),
            };
        };
        let Some(code) = CloseCode::new(u16::from_be_bytes(*code)) else {
            return Err(ProtocolError::framing("close code that must not be sent"));
        };
        Ok(Self::Close(Some(code), utf8::check_whole(reason)?))
    }
}
