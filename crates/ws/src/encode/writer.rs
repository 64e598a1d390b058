//! A frame whose payload is written before its length is known.

use super::{header, header_bytes};
use crate::OpCode;
use std::{fmt, io};

/// Writes one frame at the end of a buffer.
///
/// Space for the header is reserved by an estimate of the payload's length. An estimate in the right class (up to 125,
/// up to 65 535, above) costs nothing; a wrong one moves the payload once, by a few bytes. If the writer is dropped
/// without [`finish`](Self::finish), the buffer is restored.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    out: &'a mut Vec<u8>,
    opcode: OpCode,
    rsv1: bool,
    /// Where the frame starts in `out`.
    start: usize,
    /// Where its payload starts, given the estimate.
    payload: usize,
    finished: bool,
}

impl<'a> FrameWriter<'a> {
    /// Starts a frame; `expected_bytes` is an estimate of its payload's length.
    pub fn begin(out: &'a mut Vec<u8>, opcode: OpCode, expected_bytes: usize) -> Self {
        Self::begin_with(out, opcode, false, expected_bytes)
    }

    /// The same for a compressed payload: RSV1 is set.
    pub(crate) fn begin_compressed(out: &'a mut Vec<u8>, opcode: OpCode, expected_bytes: usize) -> Self {
        Self::begin_with(out, opcode, true, expected_bytes)
    }

    fn begin_with(out: &'a mut Vec<u8>, opcode: OpCode, rsv1: bool, expected_bytes: usize) -> Self {
        let start = out.len();
        let payload = start + header_bytes(expected_bytes);
        out.reserve(payload - start + expected_bytes);
        out.resize(payload, 0);
        Self { out, opcode, rsv1, start, payload, finished: false }
    }

    /// The buffer to append the payload to. The bytes already in it must not be changed.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Payload written so far.
    pub fn payload_bytes(&self) -> usize {
        self.out.len() - self.payload
    }

    /// Writes the header. Returns the whole frame's length.
    pub fn finish(mut self) -> usize {
        let payload_bytes = self.payload_bytes();
        let header = header(self.opcode, payload_bytes, self.rsv1);
        let header = header.as_bytes();
        let fits = self.start + header.len();
        if fits != self.payload {
            let end = self.out.len();
            self.out.resize(end.max(fits + payload_bytes), 0);
            self.out.copy_within(self.payload..end, fits);
            self.out.truncate(fits + payload_bytes);
        }
        self.out[self.start..fits].copy_from_slice(header);
        self.finished = true;
        header.len() + payload_bytes
    }
}

impl Drop for FrameWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

impl io::Write for FrameWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for FrameWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
