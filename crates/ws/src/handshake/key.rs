//! The accept key, which proves that the server speaks WebSocket (RFC 6455 section 4.2.2, item 5.4).

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use sha1::{Digest as _, Sha1};
use std::fmt;

/// The GUID that is hashed after the client's key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Sixteen bytes are two bits short of 22 digits; clients that draw random digits instead of bytes leave those bits
/// set.
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, PAD.with_decode_allow_trailing_bits(true));

/// The value of `Sec-WebSocket-Accept`: 28 characters of base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AcceptKey([u8; 28]);

impl AcceptKey {
    /// Computes the accept key for a client's key; `None` unless the key is 16 bytes in base64.
    pub fn of(key: &[u8]) -> Option<Self> {
        let mut nonce = [0; 18];
        if key.len() != 24 || BASE64.decode_slice(key, &mut nonce).ok()? != 16 {
            return None;
        }
        let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
        let mut accept = [0; 28];
        BASE64.encode_slice(hash, &mut accept).ok()?;
        Some(Self(accept))
    }

    /// The header's value.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for AcceptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for AcceptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
