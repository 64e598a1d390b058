//! permessage-deflate (RFC 7692) without context takeover in either direction.
//!
//! Each message is compressed on its own, so one compressed frame serves every subscriber with the same window, and a
//! connection keeps no window between messages. The (de)compressors, tens to hundreds of kilobytes each, belong to the
//! thread and are reset between messages.

use crate::encode::FrameWriter;
use crate::{OpCode, ProtocolError, encode};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::cell::RefCell;

/// The bytes that a sender omits at the end of each message (section 7.2.1): the end of an empty stored block.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The tail, then an empty final block. A stream that was not cut short ends exactly here (section 7.2.2).
const END: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// Level 2 of 9, by measurement on JSON events: level 1 has fixed codes only and leaves a 229-byte event at 217 bytes in
/// 3 µs; level 2 makes it 175 in 8 µs, and batches 25 % shorter; higher levels gain 8 % at most for twice the work.
const LEVEL: u32 = 2;

/// Output space that a compressor is given at a time.
const STEP_BYTES: usize = 4 * 1024;

/// Output space that an inflated message starts with; it doubles from there.
const FIRST_BYTES: usize = 512;

/// Size of a compressor's window: two to the power of 9 up to 15 bytes.
///
/// RFC 7692 allows 8 as well, which zlib cannot do for raw streams; such an offer is declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowBits(u8);

impl WindowBits {
    /// The largest window, 32 KiB: every peer that states no limit can inflate it.
    pub const MAX: Self = Self(15);

    /// Accepts 9 up to 15.
    pub const fn new(bits: u8) -> Option<Self> {
        match bits {
            9..=15 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The exponent.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for WindowBits {
    fn default() -> Self {
        Self::MAX
    }
}

/// One thread's compressors, one per window size in use, and its decompressor.
#[derive(Default)]
struct Pool {
    compress: [Option<Compress>; 7],
    decompress: Option<Decompress>,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// Appends a frame with a compressed payload; a plain one when that would not make it shorter, and for control frames,
/// which are never compressed (section 6).
///
/// Both kinds are allowed once the extension is negotiated. Returns whether it was compressed.
pub fn frame_into(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8], window: WindowBits) -> bool {
    if opcode.is_control() {
        encode::frame_into(out, opcode, payload);
        return false;
    }
    let mut frame = FrameWriter::begin_compressed(out, opcode, payload.len());
    if compress_into(frame.payload(), payload, window) && frame.payload_bytes() < payload.len() {
        frame.finish();
        return true;
    }
    drop(frame);
    encode::frame_into(out, opcode, payload);
    false
}

/// Appends the payload of a compressed message: a raw deflate stream without its tail (section 7.2.1).
///
/// Returns false, with some of the stream written, when the compressor failed; zlib has no such case for an owned,
/// reset stream.
#[must_use]
pub(crate) fn compress_into(out: &mut Vec<u8>, payload: &[u8], window: WindowBits) -> bool {
    POOL.with_borrow_mut(|pool| {
        let compress = pool.compress[usize::from(window.0 - 9)]
            .get_or_insert_with(|| Compress::new_with_window_bits(Compression::new(LEVEL), false, window.0));
        compress.reset();
        loop {
            out.reserve(STEP_BYTES.min(payload.len() + 64));
            let read = compress.total_in() as usize;
            let Ok(Status::Ok | Status::BufError) =
                compress.compress_vec(&payload[read..], out, FlushCompress::Sync)
            else {
                return false;
            };
            if out.len() < out.capacity() {
                break;
            }
        }
        let complete = out.ends_with(&TAIL);
        out.truncate(out.len() - if complete { TAIL.len() } else { 0 });
        complete
    })
}

/// Inflates a message's payload to at most `max_bytes` (section 7.2.2).
///
/// # Errors
/// 1009 as soon as the output passes `max_bytes`; 1007 when the payload is no complete deflate stream.
pub(crate) fn inflate(payload: &[u8], max_bytes: usize) -> Result<Vec<u8>, ProtocolError> {
    POOL.with_borrow_mut(|pool| {
        let inflater = pool.decompress.get_or_insert_with(|| Decompress::new(false));
        let mut out = Vec::new();
        inflater.reset(false);
        // A sender may mark blocks as final and continue (section 7.2.3.4): the rest is a stream of its own.
        let mut rest = payload;
        while run(inflater, &mut rest, &mut out, max_bytes)? == Status::StreamEnd {
            inflater.reset(false);
            if rest.is_empty() {
                break;
            }
        }
        let inflated = out.len();
        let mut end = &END[..];
        let status = run(inflater, &mut end, &mut out, max_bytes)?;
        let whole = status == Status::StreamEnd && end.is_empty() && out.len() == inflated;
        if whole { Ok(out) } else { Err(CORRUPT) }
    })
}

const CORRUPT: ProtocolError = ProtocolError::data("compressed data is corrupt");

/// Inflates until the input is used up or a final block ended.
fn run(
    inflater: &mut Decompress,
    input: &mut &[u8],
    out: &mut Vec<u8>,
    max_bytes: usize,
) -> Result<Status, ProtocolError> {
    loop {
        // One byte above the limit distinguishes "exactly full" from "too large".
        let room = max_bytes.saturating_add(1).saturating_sub(out.len()).min(FIRST_BYTES.max(out.len()));
        out.reserve_exact(room);
        let before = inflater.total_in();
        let status = inflater.decompress_vec(input, out, FlushDecompress::Sync).map_err(|_| CORRUPT)?;
        *input = &input[(inflater.total_in() - before) as usize..];
        if out.len() > max_bytes {
            return Err(ProtocolError::too_large("message too large when inflated"));
        }
        if status == Status::StreamEnd || (input.is_empty() && out.len() < out.capacity()) {
            return Ok(status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CloseCode;
    use proptest::prelude::*;

    fn compressed(payload: &[u8], bits: u8) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(compress_into(&mut out, payload, WindowBits::new(bits).unwrap()));
        out
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let bomb = compressed(&vec![0; 10_000_000], 15);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        assert_eq!(inflate(&bomb, 65_536).unwrap_err().close, CloseCode::TOO_LARGE);
        assert_eq!(inflate(&bomb, 9_999_999).unwrap_err().close, CloseCode::TOO_LARGE);
        let whole = inflate(&bomb, 10_000_000).unwrap();
        assert_eq!(whole.len(), 10_000_000);
        assert!(whole.capacity() <= 10_000_001);
    }

    #[test]
    fn broken_streams_are_refused() {
        let valid = compressed(&b"fan-out ".repeat(50), 15);
        for cut in 1..valid.len() {
            assert_eq!(
                inflate(&valid[..cut], 1000).map_err(|e| e.close),
                Err(CloseCode::INVALID_DATA),
                "cut at {cut}"
            );
        }
        // The last one is a stored block whose four bytes are missing: the end mark could be mistaken for them.
        let stored = [0x00, 0x04, 0x00, 0xfb, 0xff];
        for invalid in [&[0xff][..], b"\x06", b"garbage", &[0x02, 0x05, 0x00, 0xfa, 0xff, 0x48], &stored] {
            assert_eq!(inflate(invalid, 1000).unwrap_err().close, CloseCode::INVALID_DATA, "{invalid:x?}");
        }
        assert_eq!(
            inflate(&valid, 1000).unwrap(),
            b"fan-out ".repeat(50),
            "errors leave no trace in the pool"
        );
    }

    #[test]
    fn frames_are_compressed_only_where_it_pays() {
        let mut out = b"before".to_vec();
        assert!(!frame_into(&mut out, OpCode::Text, b"Hi", WindowBits::MAX));
        assert!(!frame_into(&mut out, OpCode::Ping, &[0; 9], WindowBits::MAX));
        assert_eq!(out, b"before\x81\x02Hi\x89\x09\0\0\0\0\0\0\0\0\0");
        out.truncate(10);
        let text = "subscribe ".repeat(20);
        assert!(frame_into(&mut out, OpCode::Text, text.as_bytes(), WindowBits::MAX));
        assert_eq!(out[10], 0xc1);
        assert_eq!(usize::from(out[11]), out.len() - 12);
        assert_eq!(inflate(&out[12..], 1000).unwrap(), text.as_bytes());
    }

    #[test]
    fn compressors_keep_to_their_window() {
        // Lines that repeat at every distance, so that a compressor that looked further back would gain by it.
        let payload: Vec<u8> =
            (0..3000).flat_map(|i| format!("line {} of a log\n", i * i % 1013).into_bytes()).collect();
        for bits in 9..=15 {
            let mut out = Vec::with_capacity(payload.len() + 1);
            let input = [compressed(&payload, bits), TAIL.to_vec()].concat();
            let mut inflater = Decompress::new_with_window_bits(false, bits);
            inflater.decompress_vec(&input, &mut out, FlushDecompress::Sync).unwrap();
            assert!(out == payload, "window {bits}");
        }
    }

    #[test]
    fn an_empty_message_is_one_byte() {
        assert_eq!(compressed(b"", 15), [0x00]);
        assert_eq!(inflate(&[0x00], 0).unwrap(), b"");
    }

    proptest! {
        #[test]
        fn round_trip(
            words in proptest::collection::vec("[a-d]{0,9}|\\PC{0,9}", 0..800), bits in 9u8..=15
        ) {
            let payload = words.concat().into_bytes();
            prop_assert_eq!(inflate(&compressed(&payload, bits), payload.len()).unwrap(), payload);
        }

        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            if let Ok(out) = inflate(&bytes, 500) {
                prop_assert!(out.len() <= 500);
            }
        }
    }
}
