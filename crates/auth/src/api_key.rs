//! API keys of an app's own backend: `fan_` and 256 random bits, stored as SHA-256 of the whole text.
//!
//! 256 random bits cannot be guessed, so a fast hash suffices.

use crate::secret::{random, sha256};
use fanfare_e2ee::b64;

/// The prefix of every key, by which scanners for leaked secrets recognise one.
pub const PREFIX: &str = "fan_";

/// Generates a key: its text, shown once, and its hash for the store.
#[must_use]
pub fn new() -> (String, [u8; 32]) {
    let key = format!("{PREFIX}{}", b64::encode(&random::<32>()));
    let hash = hash(&key);
    (key, hash)
}

/// The hash to look a key up by. A text that is not a key also has a hash, which is not in the store.
#[must_use]
pub fn hash(key: &str) -> [u8; 32] {
    sha256(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{hash, new};

    #[test]
    fn a_key_is_found_by_its_hash() {
        let (key, stored) = new();
        assert!(key.starts_with("fan_") && key.len() == 4 + 43);
        assert_eq!(hash(&key), stored);
        assert_ne!(hash(&key[4..]), stored);
        assert_ne!(new().1, stored);
    }
}
