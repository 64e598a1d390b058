//! A frame's header (RFC 6455 section 5.2), checked byte by byte in wire order.

use super::Limits;
use crate::{OpCode, ProtocolError};

/// Longest header a client may send: two bytes, eight of length, four of mask.
pub(super) const MAX_HEAD_BYTES: usize = 14;

/// Longest payload of a control frame (section 5.5).
const MAX_CONTROL_BYTES: u64 = 125;

/// A valid header.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHead {
    pub(super) fin: bool,
    /// RSV1 of RFC 7692: the message that starts here is compressed.
    pub(super) compressed: bool,
    pub(super) opcode: OpCode,
    pub(super) mask: [u8; 4],
    /// The header's own bytes.
    pub(super) head_bytes: usize,
    pub(super) payload_bytes: usize,
}

impl FrameHead {
    pub(super) const fn wire_bytes(&self) -> usize {
        self.head_bytes + self.payload_bytes
    }
}

/// The received part of an unfinished message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    /// Payload bytes of its fragments.
    pub(super) payload_bytes: usize,
    /// The same with their headers.
    pub(super) wire_bytes: usize,
}

/// Reads a header from the start of `bytes`; `None` when bytes are missing.
///
/// Every rule is checked as soon as its byte has arrived, so that an invalid frame is refused before its payload
/// arrives and the result does not depend on how the network split the header.
#[inline]
pub(super) fn parse(
    bytes: &[u8],
    limits: &Limits,
    started: Option<Started>,
) -> Result<Option<FrameHead>, ProtocolError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let (fin, compressed, opcode) = check_first(first, limits.deflate, started.is_some())?;
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    if second & 0x80 == 0 {
        return Err(ProtocolError::framing("client frames must be masked"));
    }
    let Some((length, length_bytes)) = read_length(second & 0x7f, opcode, &bytes[2..])? else {
        return Ok(None);
    };
    let head_bytes = 2 + length_bytes + 4;
    let payload_bytes = if opcode.is_control() {
        length as usize
    } else {
        check_size(
            length,
            head_bytes,
            limits,
            started.unwrap_or(Started { payload_bytes: 0, wire_bytes: 0 }),
        )?
    };
    let Some(mask) = bytes.get(head_bytes - 4..).and_then(|rest| rest.first_chunk::<4>()) else {
        return Ok(None);
    };
    Ok(Some(FrameHead { fin, compressed, opcode, mask: *mask, head_bytes, payload_bytes }))
}

/// FIN, the reserved bits and the opcode.
#[inline]
fn check_first(first: u8, deflate: bool, in_message: bool) -> Result<(bool, bool, OpCode), ProtocolError> {
    let fin = first & 0x80 != 0;
    let compressed = first & 0x40 != 0;
    if first & 0x30 != 0 {
        return Err(ProtocolError::framing("reserved bit set"));
    }
    let Some(opcode) = OpCode::from_bits(first & 0x0f) else {
        return Err(ProtocolError::framing("reserved opcode"));
    };
    let starts_message = matches!(opcode, OpCode::Text | OpCode::Binary);
    if compressed && !(deflate && starts_message) {
        return Err(ProtocolError::framing("reserved bit set"));
    }
    match opcode {
        OpCode::Continuation if !in_message => Err(ProtocolError::framing("continuation without a message")),
        OpCode::Text | OpCode::Binary if in_message => {
            Err(ProtocolError::framing("new message inside a fragmented one"))
        }
        OpCode::Close | OpCode::Ping | OpCode::Pong if !fin => {
            Err(ProtocolError::framing("fragmented control frame"))
        }
        _ => Ok((fin, compressed, opcode)),
    }
}

/// The payload's length and how many extra bytes it took; `None` when they are missing.
#[inline]
fn read_length(short: u8, opcode: OpCode, rest: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    if opcode.is_control() && u64::from(short) > MAX_CONTROL_BYTES {
        return Err(ProtocolError::framing("control frame longer than 125 bytes"));
    }
    let (length, length_bytes, least) = match short {
        126 => match rest.first_chunk::<2>() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 2, 126),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 8, 1 << 16),
            None => return Ok(None),
        },
        short => (u64::from(short), 0, 0),
    };
    if length < least {
        return Err(ProtocolError::framing("length not in its shortest form"));
    }
    if length >> 63 != 0 {
        return Err(ProtocolError::framing("length above 63 bits"));
    }
    Ok(Some((length, length_bytes)))
}

/// Checks an announced data frame against the limits.
#[inline]
fn check_size(
    length: u64,
    head_bytes: usize,
    limits: &Limits,
    started: Started,
) -> Result<usize, ProtocolError> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > limits.max_frame_bytes {
        return Err(ProtocolError::too_large("frame too large"));
    }
    if started.payload_bytes.saturating_add(length) > limits.max_message_bytes {
        return Err(ProtocolError::too_large("message too large"));
    }
    if started.wire_bytes.saturating_add(head_bytes).saturating_add(length) > limits.max_unfinished_bytes {
        return Err(ProtocolError::policy("message takes too many bytes"));
    }
    Ok(length)
}
