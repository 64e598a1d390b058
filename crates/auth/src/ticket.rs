//! One-time tickets that open a socket: issued to a logged-in user, sent in a query where no header can be sent.
//!
//! A ticket is sealed, not stored: version, id (16), expiry (8), origin and subject with their lengths, HMAC-SHA256
//! (32); base64url. The caller burns the id in the store when it is used, so that it stays used across a restart. It is
//! not encrypted: it contains nothing that its bearer may not know.

use crate::secret::{derive, mac, random, same};
use fanfare_e2ee::b64;
use std::fmt;

const VERSION: u8 = 1;
const MAC: usize = 32;
/// Maximum bytes of a [`Grant`]'s subject; a ticket with more can be created but never opens.
pub const MAX_SUBJECT: usize = 2048;
/// Maximum bytes of an origin, with the same effect.
const MAX_ORIGIN: usize = 512;
/// Longest text that is parsed.
const MAX_TEXT: usize = (1 + 16 + 8 + 4 + MAX_ORIGIN + 4 + MAX_SUBJECT + MAC).div_ceil(3) * 4;

/// What a ticket permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The user it admits, in the caller's own form (JSON of at most [`MAX_SUBJECT`] bytes).
    pub subject: String,
    /// The page origin it is valid for; `None` for sockets without an origin.
    pub origin: Option<String>,
    /// Expiry in milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// A valid ticket of this server that has not expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTicket {
    /// What it permits.
    pub grant: Grant,
    /// Its id; burn it before the grant is used.
    pub id: [u8; 16],
}

/// Not a ticket of this server, changed, or expired: one error for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid ticket")]
pub struct Invalid;

/// Creates and opens the tickets of one server.
pub struct Tickets {
    key: [u8; 32],
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl Tickets {
    /// `key` may serve other purposes too: a separate key is derived from it here.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key: derive(&key, b"fanfare/v1/ticket") }
    }

    /// Seals a grant.
    #[must_use]
    pub fn make(&self, grant: Grant) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&random::<16>());
        bytes.extend_from_slice(&grant.expires_at_ms.to_be_bytes());
        // A marker distinguishes no origin from an empty one.
        let origin = grant.origin.map_or(String::new(), |origin| format!("={origin}"));
        for text in [origin.as_bytes(), grant.subject.as_bytes()] {
            bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(text);
        }
        let mac = mac(&self.key, &bytes);
        bytes.extend_from_slice(&mac);
        b64::encode(&bytes)
    }

    /// Opens a ticket.
    ///
    /// # Errors
    /// [`Invalid`] for every reason.
    pub fn open(&self, text: &str, now_ms: u64) -> Result<OpenTicket, Invalid> {
        self.try_open(text).filter(|ticket| now_ms < ticket.grant.expires_at_ms).ok_or(Invalid)
    }

    fn try_open(&self, text: &str) -> Option<OpenTicket> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let bytes = b64::decode(text).ok()?;
        let (sealed, seal) = bytes.split_last_chunk::<MAC>()?;
        if !same(&mac(&self.key, sealed), seal) {
            return None;
        }
        let (&[VERSION], rest) = sealed.split_first_chunk()? else { return None };
        let (id, rest) = rest.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (origin, rest) = piece(rest)?;
        let (subject, []) = piece(rest)? else { return None };
        let origin = origin.strip_prefix('=').map(str::to_owned);
        let subject = (subject.len() <= MAX_SUBJECT).then(|| subject.to_owned())?;
        Some(OpenTicket {
            grant: Grant { subject, origin, expires_at_ms: u64::from_be_bytes(*expires) },
            id: *id,
        })
    }
}

/// Reads a length, that many bytes of UTF-8, and returns the rest.
fn piece(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::{Grant, Invalid, MAX_SUBJECT, Tickets};

    const NOW: u64 = 1_780_000_000_000;

    fn grant(origin: Option<&str>) -> Grant {
        Grant {
            subject: r#"{"sub":"u1"}"#.into(),
            origin: origin.map(Into::into),
            expires_at_ms: NOW + 30_000,
        }
    }

    #[test]
    fn a_ticket_opens_to_its_grant() {
        let tickets = Tickets::new([1; 32]);
        for origin in [None, Some(""), Some("https://valid.test")] {
            let (a, b) = (tickets.make(grant(origin)), tickets.make(grant(origin)));
            let (a, b) = (tickets.open(&a, NOW).unwrap(), tickets.open(&b, NOW).unwrap());
            assert_eq!(a.grant, grant(origin));
            assert_ne!(a.id, b.id, "each has its own id");
        }
    }

    #[test]
    fn it_ends_at_its_time() {
        let tickets = Tickets::new([1; 32]);
        let text = tickets.make(grant(None));
        assert!(tickets.open(&text, NOW + 29_999).is_ok());
        assert_eq!(tickets.open(&text, NOW + 30_000), Err(Invalid));
    }

    #[test]
    fn no_changed_byte_opens() {
        let tickets = Tickets::new([1; 32]);
        let text = tickets.make(grant(Some("https://valid.test")));
        for at in 0..text.len() {
            for other in [b'A', b'z', b'_'] {
                let mut bytes = text.clone().into_bytes();
                if std::mem::replace(&mut bytes[at], other) != other {
                    let bent = String::from_utf8(bytes).unwrap();
                    assert_eq!(tickets.open(&bent, NOW), Err(Invalid), "{bent}");
                }
            }
            assert_eq!(tickets.open(&text[..at], NOW), Err(Invalid));
        }
        assert_eq!(Tickets::new([2; 32]).open(&text, NOW), Err(Invalid));
        assert_eq!(tickets.open(&format!("{text}AAAA"), NOW), Err(Invalid));
        assert_eq!(tickets.open(&"A".repeat(1 << 20), NOW), Err(Invalid));
    }

    #[test]
    fn the_largest_subject_opens_and_one_more_does_not() {
        let tickets = Tickets::new([1; 32]);
        for (size, opens) in [(MAX_SUBJECT, true), (MAX_SUBJECT + 1, false)] {
            let text = tickets.make(Grant { subject: "x".repeat(size), ..grant(None) });
            assert_eq!(tickets.open(&text, NOW).is_ok(), opens);
        }
    }
}
