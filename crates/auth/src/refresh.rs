//! Refresh tokens: 256 random bits, stored as their SHA-256, exchanged at each use.

use crate::secret::{random, sha256};
use fanfare_e2ee::b64;

/// Generates a token: its text for the client, its hash for the store.
#[must_use]
pub fn new() -> (String, [u8; 32]) {
    let token = random::<32>();
    (b64::encode(&token), sha256(&token))
}

/// The hash to look a token up by; `None` when the text does not have the form of a token.
#[must_use]
pub fn hash(token: &str) -> Option<[u8; 32]> {
    b64::decode_array::<32>(token).ok().map(|bytes| sha256(&bytes))
}

#[cfg(test)]
mod tests {
    use super::{hash, new};

    #[test]
    fn a_token_is_found_by_its_hash() {
        let (token, stored) = new();
        assert_eq!(token.len(), 43);
        assert_eq!(hash(&token), Some(stored));
        assert_ne!(new().1, stored);
    }

    #[test]
    fn other_texts_have_none() {
        let (token, _) = new();
        for text in ["", &token[1..], &format!("{token}A"), &format!("{token} "), &"A".repeat(100_000)] {
            assert_eq!(hash(text), None);
        }
    }
}
