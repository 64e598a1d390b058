//! Frames as they are on the wire, good or bad (RFC 6455 section 5.2), and their compression (RFC 7692).

use serde_json::Value;

/// Opcodes (RFC 6455 section 5.2).
pub mod op {
    /// Continuation of a fragmented message.
    pub const CONTINUATION: u8 = 0;
    /// Text.
    pub const TEXT: u8 = 1;
    /// Binary.
    pub const BINARY: u8 = 2;
    /// Close.
    pub const CLOSE: u8 = 8;
    /// Ping.
    pub const PING: u8 = 9;
    /// Pong.
    pub const PONG: u8 = 10;
}

/// A frame, good or bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The last of its message.
    pub fin: bool,
    /// The three reserved bits, RSV1 as 4.
    pub rsv: u8,
    /// See [`op`].
    pub opcode: u8,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A whole message or control frame.
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self { fin: true, rsv: 0, opcode, payload: payload.as_ref().to_vec() }
    }

    /// A text message.
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self::new(op::TEXT, text)
    }

    /// A close frame.
    pub fn close(code: u16, reason: &str) -> Self {
        Self::new(op::CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
    }

    /// The same as a part that is not the last.
    #[must_use]
    pub fn part(mut self) -> Self {
        self.fin = false;
        self
    }

    /// The same with reserved bits.
    #[must_use]
    pub fn rsv(mut self, bits: u8) -> Self {
        self.rsv = bits;
        self
    }

    /// The close code, if it is a close frame with one.
    pub fn close_code(&self) -> Option<u16> {
        let code = self.payload.first_chunk::<2>()?;
        (self.opcode == op::CLOSE).then(|| u16::from_be_bytes(*code))
    }

    /// The payload as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        let text = || String::from_utf8_lossy(&self.payload).into_owned();
        serde_json::from_slice(&self.payload).unwrap_or_else(|_| panic!("no JSON: {}", text()))
    }

    /// Its bytes, masked as a client must.
    pub fn encode(&self) -> Vec<u8> {
        const KEY: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
        let mut bytes = self.head(0x80, self.payload.len() as u64);
        bytes.extend_from_slice(&KEY);
        bytes.extend(self.payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
        bytes
    }

    /// Its bytes without a mask.
    pub fn encode_unmasked(&self) -> Vec<u8> {
        [self.head(0, self.payload.len() as u64), self.payload.clone()].concat()
    }

    /// A masked header that announces `length`, without a payload.
    pub fn announce(&self, length: u64) -> Vec<u8> {
        [self.head(0x80, length), vec![1, 2, 3, 4]].concat()
    }

    fn head(&self, mask: u8, length: u64) -> Vec<u8> {
        let mut head = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        match length {
            0..126 => head.push(mask | length as u8),
            126..65536 => {
                head.push(mask | 126);
                head.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                head.push(mask | 127);
                head.extend_from_slice(&length.to_be_bytes());
            }
        }
        head
    }
}

/// Inflates one message of permessage-deflate, as it is written in RFC 7692 section 7.2.2.
///
/// # Panics
/// When it is no such stream.
pub fn inflate(payload: &[u8]) -> Vec<u8> {
    let mut stream = flate2::Decompress::new(false);
    let mut text = Vec::with_capacity(1 << 20);
    let input = [payload, &[0, 0, 0xff, 0xff]].concat();
    stream.decompress_vec(&input, &mut text, flate2::FlushDecompress::Sync).expect("a deflate stream");
    assert_eq!(stream.total_in() as usize, input.len(), "all of it is a stream");
    text
}

/// Deflates one message as a client does.
///
/// # Panics
/// When zlib fails.
pub fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut stream = flate2::Compress::new(flate2::Compression::best(), false);
    let mut out = Vec::with_capacity(payload.len() + 64);
    stream.compress_vec(payload, &mut out, flate2::FlushCompress::Sync).expect("zlib");
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]), "all of it was written");
    out.truncate(out.len() - 4);
    out
}
