//! `Sec-WebSocket-Extensions` (RFC 6455 section 9.1) and the choice among permessage-deflate offers (RFC 7692 section 5).

use super::HandshakeError;
use crate::deflate::WindowBits;
use std::borrow::Cow;
use std::fmt;

/// The agreed compression. Its `Display` is the value of the response's `Sec-WebSocket-Extensions`.
///
/// Context takeover is always disabled in both directions: a server may do so unasked (section 7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateParams {
    /// The window the client limited the server to; `None` when it stated no limit.
    pub server_max_window_bits: Option<WindowBits>,
}

impl DeflateParams {
    /// The window to compress with for this client.
    pub fn window(self) -> WindowBits {
        self.server_max_window_bits.unwrap_or_default()
    }

    /// Accepts an offer, or declines it with `None`: unknown, repeated or invalid parameters (section 7.1), or a window
    /// of 256 bytes, which the compressor cannot do.
    fn accept(offer: &Extension<'_>) -> Option<Self> {
        let mut server_max_window_bits = None;
        for (i, (name, value)) in offer.params.iter().enumerate() {
            if offer.params[..i].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return None;
            }
            match (name.to_ascii_lowercase().as_slice(), value) {
                (b"server_no_context_takeover" | b"client_no_context_takeover", None) => {}
                (b"server_max_window_bits", Some(value)) => {
                    server_max_window_bits = Some(WindowBits::new(window_bits(value)?)?);
                }
                // A hint about the client's own window; the server always accepts the largest, so it needs no response.
                (b"client_max_window_bits", None) => {}
                (b"client_max_window_bits", Some(value)) => {
                    window_bits(value)?;
                }
                _ => return None,
            }
        }
        Some(Self { server_max_window_bits })
    }
}

impl fmt::Display for DeflateParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permessage-deflate; server_no_context_takeover; client_no_context_takeover")?;
        match self.server_max_window_bits {
            Some(bits) => write!(f, "; server_max_window_bits={}", bits.get()),
            None => Ok(()),
        }
    }
}

/// Section 7.1.2: a decimal from 8 to 15 without leading zeros.
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// Chooses the first of the client's offers that can be met.
pub(super) fn negotiate<'h>(
    values: impl Iterator<Item = &'h [u8]>,
) -> Result<Option<DeflateParams>, HandshakeError> {
    let mut chosen = None;
    for value in values {
        let mut parser = Parser { rest: value };
        while let Some(offer) = parser.extension()? {
            if chosen.is_none() && offer.name.eq_ignore_ascii_case(b"permessage-deflate") {
                chosen = DeflateParams::accept(&offer);
            }
        }
    }
    Ok(chosen)
}

/// One element of the list.
struct Extension<'h> {
    name: &'h [u8],
    params: Vec<Param<'h>>,
}

/// A parameter's name and its value, if it has one.
type Param<'h> = (&'h [u8], Option<Cow<'h, [u8]>>);

/// Reads the list from left to right.
struct Parser<'h> {
    rest: &'h [u8],
}

impl<'h> Parser<'h> {
    /// The next element; `None` at the end. Empty elements are skipped (RFC 9110 section 5.6.1.2).
    fn extension(&mut self) -> Result<Option<Extension<'h>>, HandshakeError> {
        while self.skip(b',') {}
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut extension = Extension { name: self.token()?, params: Vec::new() };
        while self.skip(b';') {
            let name = self.token()?;
            let value = match self.skip(b'=') {
                true => Some(self.value()?),
                false => None,
            };
            extension.params.push((name, value));
        }
        match self.rest.is_empty() || self.skip(b',') {
            true => Ok(Some(extension)),
            false => Err(HandshakeError::BadExtensions),
        }
    }

    /// Skips spaces and, if it comes next, one separator with the spaces after it.
    fn skip(&mut self, separator: u8) -> bool {
        self.rest = self.rest.trim_ascii_start();
        match self.rest.split_first() {
            Some((byte, rest)) if *byte == separator => {
                self.rest = rest.trim_ascii_start();
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Result<&'h [u8], HandshakeError> {
        let end = self.rest.iter().position(|byte| !is_token(*byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        if token.is_empty() { Err(HandshakeError::BadExtensions) } else { Ok(token) }
    }

    /// A token, or a quoted string that holds one after unescaping.
    fn value(&mut self) -> Result<Cow<'h, [u8]>, HandshakeError> {
        let Some(quoted) = self.rest.strip_prefix(b"\"") else { return self.token().map(Cow::Borrowed) };
        let mut value = Vec::new();
        let mut bytes = quoted.iter();
        loop {
            let byte = match bytes.next() {
                Some(b'"') => break,
                Some(b'\\') => bytes.next(),
                byte => byte,
            };
            match byte {
                Some(byte) if is_token(*byte) => value.push(*byte),
                _ => return Err(HandshakeError::BadExtensions),
            }
        }
        self.rest = bytes.as_slice();
        if value.is_empty() { Err(HandshakeError::BadExtensions) } else { Ok(Cow::Owned(value)) }
    }
}

/// A character of a token (RFC 9110 section 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}
