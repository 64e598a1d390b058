//! Resume tokens: sealed, not stored.
//!
//! A token carries what it is good for (code, generation, user, expiry) and an HMAC-SHA256 under the server's key. A
//! session therefore stores only its generation, and a token of an older generation is recognised for what it is: a copy
//! that another client kept (`protocol.md` 6 "Sessions").
//!
//! Bytes: version, code (4), life (4), count (4), expiry (8), user (0 to 255 bytes), MAC (32); base64url without padding.

use super::SessionCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const VERSION: u8 = 1;
const HEAD: usize = 1 + 4 + 4 + 4 + 8;
const MAC: usize = 32;
/// Longest user id a token can carry in bytes.
pub(super) const MAX_USER_BYTES: usize = 255;
/// Longest token text that is looked at.
const MAX_TEXT: usize = (HEAD + MAX_USER_BYTES + MAC).div_ceil(3) * 4;
/// Keeps tokens of this kind apart from anything else sealed with the same key.
const LABEL: &[u8] = b"fanfare/v1/resume\0";

/// Which of a session's tokens: `life` separates sessions that had the same code one after the other, `count` rises
/// with each resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation {
    /// Drawn when the session was opened.
    pub(super) life: u32,
    /// How many tokens were given out before.
    pub(super) count: u32,
}

/// What a token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims<'a> {
    pub code: SessionCode,
    pub generation: Generation,
    /// Milliseconds since 1970.
    pub expires: u64,
    /// The user's id; empty for nobody.
    pub user: &'a str,
}

/// The server's key for tokens.
pub(super) struct Sealer(Hmac<Sha256>);

impl Sealer {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        // HMAC fills a short key up with zeros to its block of 64 bytes (RFC 2104 section 2).
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(LABEL);
        Self(mac)
    }

    pub(super) fn seal(&self, claims: &Claims<'_>) -> String {
        let user = claims.user.as_bytes();
        let mut bytes = Vec::with_capacity(HEAD + user.len() + MAC);
        bytes.push(VERSION);
        bytes.extend_from_slice(&claims.code.index().to_be_bytes());
        bytes.extend_from_slice(&claims.generation.life.to_be_bytes());
        bytes.extend_from_slice(&claims.generation.count.to_be_bytes());
        bytes.extend_from_slice(&claims.expires.to_be_bytes());
        bytes.extend_from_slice(user);
        let mac = self.0.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Opens a token into `buffer`; `None` when this server did not seal it.
    pub(super) fn open<'b>(&self, text: &str, buffer: &'b mut Vec<u8>) -> Option<Claims<'b>> {
        if text.len() > MAX_TEXT {
            return None;
        }
        buffer.clear();
        URL_SAFE_NO_PAD.decode_vec(text, buffer).ok()?;
        let (sealed, mac) = buffer.split_last_chunk::<MAC>()?;
        self.0.clone().chain_update(sealed).verify_slice(mac).ok()?;
        let mut rest = sealed;
        let [version] = take(&mut rest)?;
        let code = SessionCode::from_index(u32::from_be_bytes(take(&mut rest)?))?;
        let life = u32::from_be_bytes(take(&mut rest)?);
        let count = u32::from_be_bytes(take(&mut rest)?);
        let expires = u64::from_be_bytes(take(&mut rest)?);
        let user = std::str::from_utf8(rest).ok()?;
        (version == VERSION).then_some(Claims { code, generation: Generation { life, count }, expires, user })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = bytes.split_first_chunk::<N>()?;
    *bytes = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(user: &str) -> Claims<'_> {
        Claims {
            code: SessionCode::parse("happy-panda-42").unwrap(),
            generation: Generation { life: 7, count: 3 },
            expires: 1_700_000_000_000,
            user,
        }
    }

    #[test]
    fn what_was_sealed_opens_again() {
        let sealer = Sealer::new(&[1; 32]);
        for user in ["", "01j5", &"u".repeat(MAX_USER_BYTES)] {
            let token = sealer.seal(&claims(user));
            assert!(token.len() >= 43 && token.len() <= MAX_TEXT, "256 bits at least, {}", token.len());
            assert_eq!(sealer.open(&token, &mut Vec::new()), Some(claims(user)));
        }
    }

    #[test]
    fn nothing_else_opens() {
        let sealer = Sealer::new(&[1; 32]);
        let token = sealer.seal(&claims("u"));
        for i in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(sealer.open(&text, &mut Vec::new()), None, "changed at {i}");
        }
        for text in [
            "",
            "x",
            &token[..token.len() - 4],
            &format!("{token}AAAA"),
            &format!("{token}="),
            &"A".repeat(5000),
        ] {
            assert_eq!(sealer.open(text, &mut Vec::new()), None, "{text}");
        }
        assert_eq!(Sealer::new(&[2; 32]).open(&token, &mut Vec::new()), None, "another server's key");
    }
}
