//! Login challenges: the text that a client signs with its identity key.
//!
//! ```text
//! fanfare-login-v1|<public origin>|<username>|<nonce, 32 bytes, base64url>|<expiry, seconds since 1970>|<MAC, 16 bytes, base64url>
//! ```
//!
//! The text itself is signed (UTF-8, unchanged). It is sealed rather than stored, so creating one costs the same for a
//! name that exists and one that does not, and needs no row. It cannot be mistaken for another signed text of the
//! server: those are PAE and begin with a count, seven of whose eight bytes are zero.
//!
//! The caller burns the nonce before it checks the signature: one attempt per challenge.

use crate::secret::{derive, mac, random, same};
use fanfare_e2ee::b64;
use std::fmt;

/// The prefix of every challenge; a client refuses to sign anything else.
pub const PREFIX: &str = "fanfare-login-v1";
/// Lifetime of a challenge in seconds.
pub const LIFETIME_S: u64 = 60;
/// Longest text that is parsed; an origin has at most 253 characters of host.
const MAX_TEXT: usize = 1024;
const MAC: usize = 16;

/// A challenge for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The text to sign, unchanged.
    pub text: String,
    /// Expiry in milliseconds since 1970; a whole second.
    pub expires_at_ms: u64,
}

/// Why a challenge is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// The text does not have the form of a challenge.
    #[error("not a login challenge")]
    Malformed,
    /// The form is valid, but the challenge is from another server, for another origin, or for another name.
    #[error("not a challenge for this login")]
    Wrong,
    /// Issued by this server for this name, and expired.
    #[error("the challenge has expired")]
    Expired,
}

/// Creates and verifies the challenges of one server.
pub struct Challenges {
    key: [u8; 32],
    origin: String,
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Challenges {
    /// `key` may serve other purposes too: a separate key is derived from it here. `origin` is the public origin.
    #[must_use]
    pub fn new(key: [u8; 32], origin: String) -> Self {
        Self { key: derive(&key, b"fanfare/v1/login-challenge"), origin }
    }

    /// Creates a challenge for a (lower-cased) name, whether the account exists or not.
    #[must_use]
    pub fn make(&self, username: &str, now_ms: u64) -> Challenge {
        self.make_with(username, now_ms, random())
    }

    fn make_with(&self, username: &str, now_ms: u64, nonce: [u8; 32]) -> Challenge {
        let expires = now_ms / 1000 + LIFETIME_S;
        let sealed = format!("{PREFIX}|{}|{username}|{}|{expires}", self.origin, b64::encode(&nonce));
        let mac = b64::encode(&self.mac(&sealed));
        Challenge { text: format!("{sealed}|{mac}"), expires_at_ms: expires * 1000 }
    }

    /// Checks a challenge that a client returned and returns its nonce for the caller to burn.
    ///
    /// # Errors
    /// See [`ChallengeError`]. The variant reveals nothing about accounts.
    pub fn check(&self, text: &str, username: &str, now_ms: u64) -> Result<[u8; 32], ChallengeError> {
        let Parts { sealed, origin, name, nonce, expires, mac } =
            Parts::parse(text).ok_or(ChallengeError::Malformed)?;
        let ours = same(&self.mac(sealed), &mac);
        if !ours || origin != self.origin || name != username {
            return Err(ChallengeError::Wrong);
        }
        if now_ms >= expires.saturating_mul(1000) { Err(ChallengeError::Expired) } else { Ok(nonce) }
    }

    fn mac(&self, sealed: &str) -> [u8; MAC] {
        let mut short = [0; MAC];
        short.copy_from_slice(&mac(&self.key, sealed.as_bytes())[..MAC]);
        short
    }
}

/// The parts of a challenge, not yet checked.
struct Parts<'a> {
    sealed: &'a str,
    origin: &'a str,
    name: &'a str,
    nonce: [u8; 32],
    expires: u64,
    mac: [u8; MAC],
}

impl<'a> Parts<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let (sealed, mac) = text.rsplit_once('|')?;
        let fields: Vec<&str> = sealed.split('|').collect();
        let [PREFIX, origin, name, nonce, expires] = fields[..] else { return None };
        Some(Self {
            sealed,
            origin,
            name,
            nonce: exact(nonce)?,
            expires: expires.parse().ok().filter(|n: &u64| n.to_string() == expires)?,
            mac: exact(mac)?,
        })
    }
}

/// Decodes bytes and accepts only the text that [`b64::encode`] gives for them: with two spellings, a challenge could
/// be used twice.
fn exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    b64::decode_array(text).ok().filter(|bytes: &[u8; N]| b64::encode(bytes) == text)
}

#[cfg(test)]
mod tests;
