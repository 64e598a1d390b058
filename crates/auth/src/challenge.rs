//! Login challenges: the text that a client signs with its identity key.
//!
//! ```text
//! fanfare-login-v1|<public origin>|<username>|<nonce, 32 bytes, base64url>|<expiry, seconds since 1970>|<MAC, 16 bytes, base64url>
//! ```
//!
//! The text itself is what is signed (UTF-8, as it stands). It is sealed rather than stored, so making one costs the same for
//! a name that exists and one that does not, and needs no row. It cannot be mistaken for another signed text of ours:
//! those are PAE and begin with a count, seven of whose eight bytes are zero.
//!
//! The caller burns the nonce before it looks at the signature: one attempt per challenge.

use crate::secret::{derive, mac, random, same};
use fanfare_e2ee::b64;
use std::fmt;

/// What every challenge begins with; a client refuses to sign anything else.
pub const PREFIX: &str = "fanfare-login-v1";
/// How long a challenge is good for in seconds.
pub const LIFETIME_S: u64 = 60;
/// Longest text that is looked at; an origin has at most 253 characters of host.
const MAX_TEXT: usize = 1024;
const MAC: usize = 16;

/// A challenge for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// What to sign, as is.
    pub text: String,
    /// Milliseconds since 1970; a whole second.
    pub expires_at_ms: u64,
}

/// Why a challenge is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Not of the form.
    #[error("not a login challenge")]
    Malformed,
    /// Of the form, but not made here, for another origin, or for another name.
    #[error("not a challenge for this login")]
    Wrong,
    /// Made here for this name, and too old.
    #[error("the challenge has expired")]
    Expired,
}

/// Makes and recognises the challenges of one server.
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
    /// `key` may serve other purposes too: this one has its own derived from it. `origin` is the public origin.
    #[must_use]
    pub fn new(key: [u8; 32], origin: String) -> Self {
        Self { key: derive(&key, b"fanfare/v1/login-challenge"), origin }
    }

    /// Makes a challenge for a (lower-cased) name, whether it exists or not.
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

    /// Checks a challenge that came back and answers its nonce, for the caller to burn.
    ///
    /// # Errors
    /// See [`ChallengeError`]. Which it is tells nothing about accounts.
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

/// A text of the form, its values not judged yet.
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

/// Bytes from the one text that [`b64::encode`] gives for them: a second spelling of a challenge would be a second text.
fn exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    b64::decode_array(text).ok().filter(|bytes: &[u8; N]| b64::encode(bytes) == text)
}

#[cfg(test)]
mod tests;
