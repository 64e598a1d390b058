//! A server's frames (RFC 6455 section 5.2): never masked, never fragmented, so the same bytes serve every connection.
//!
//! Functions that end in `_into` append whole frames to a buffer, so that many frames become one write.

mod writer;

pub use writer::FrameWriter;

use crate::{CloseCode, OpCode};

/// Longest payload of a control frame (section 5.5).
pub const MAX_CONTROL_BYTES: usize = 125;

/// Longest header of a server's frame.
pub const MAX_HEADER_BYTES: usize = 10;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; MAX_HEADER_BYTES],
    len: u8,
}

impl Header {
    /// The bytes for the wire: 2, 4 or 10 of them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Length of the header before a payload of `payload_bytes`.
pub const fn header_bytes(payload_bytes: usize) -> usize {
    match payload_bytes {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// The header of a final frame. `rsv1` marks a compressed message (RFC 7692 section 6).
pub fn header(opcode: OpCode, payload_bytes: usize, rsv1: bool) -> Header {
    let len = header_bytes(payload_bytes);
    let mut bytes = [0; MAX_HEADER_BYTES];
    bytes[0] = 0x80 | if rsv1 { 0x40 } else { 0 } | opcode as u8;
    match len {
        2 => bytes[1] = payload_bytes as u8,
        4 => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
        }
        _ => {
            bytes[1] = 127;
            bytes[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
    Header { bytes, len: len as u8 }
}

/// Appends a whole frame.
pub fn frame_into(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let header = header(opcode, payload.len(), false);
    out.reserve(header.as_bytes().len() + payload.len());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(payload);
}

/// Appends a text message.
pub fn text_into(out: &mut Vec<u8>, text: &str) {
    frame_into(out, OpCode::Text, text.as_bytes());
}

/// Appends a ping. A payload above 125 bytes is cut: no control frame may carry more.
pub fn ping_into(out: &mut Vec<u8>, payload: &[u8]) {
    frame_into(out, OpCode::Ping, &payload[..payload.len().min(MAX_CONTROL_BYTES)]);
}

/// Appends a pong, the response to the ping that carried `payload` (section 5.5.3). Cut like a ping's.
pub fn pong_into(out: &mut Vec<u8>, payload: &[u8]) {
    frame_into(out, OpCode::Pong, &payload[..payload.len().min(MAX_CONTROL_BYTES)]);
}

/// Appends a close frame. A reason above 123 bytes is cut at a character's boundary.
pub fn close_into(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL_BYTES - 2)];
    out.extend_from_slice(header(OpCode::Close, 2 + reason.len(), false).as_bytes());
    out.extend_from_slice(&code.get().to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// A close frame on its own.
pub fn close(code: CloseCode, reason: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + reason.len().min(MAX_CONTROL_BYTES));
    close_into(&mut out, code, reason);
    out
}

/// Appends the response to a close frame without a code (section 5.5.1).
pub fn empty_close_into(out: &mut Vec<u8>) {
    frame_into(out, OpCode::Close, &[]);
}

#[cfg(test)]
mod tests;
