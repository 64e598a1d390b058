//! Random bytes, keyed hashes and constant-time comparison, shared by this crate.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The operating system returned no random bytes: no secret can be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system returned no random bytes")]
pub struct NoRandom;

/// `N` bytes from the operating system.
///
/// # Panics
/// If the system has none. Linux blocks until it has; without random bytes no token can be issued and the server cannot
/// continue.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    try_random().unwrap_or_else(|e| panic!("{e}"))
}

/// `N` bytes from the operating system.
pub(crate) fn try_random<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes)
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A key for one purpose, derived from another by HKDF-SHA256 (RFC 5869) with the purpose as `info`.
pub(crate) fn derive(key: &[u8], purpose: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let fits = Hkdf::<Sha256>::new(None, key).expand(purpose, &mut out);
    debug_assert!(fits.is_ok(), "HKDF-SHA256 gives up to 8160 bytes");
    out
}

/// HMAC-SHA256 (RFC 2104).
pub(crate) fn mac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    // HMAC pads a short key with zeros to its block of 64 bytes (RFC 2104 section 2).
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    Hmac::<Sha256>::new(&block.into()).chain_update(message).finalize().into_bytes().into()
}

/// Compares in a time that depends on the lengths alone.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::{derive, mac, random, same};

    #[test]
    fn rfc_4231_case_2_with_a_short_key() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let text: String =
            mac(&key, b"what do ya want for nothing?").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(text, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn purposes_and_draws_differ() {
        assert_ne!(derive(&[1; 32], b"a"), derive(&[1; 32], b"b"));
        assert_ne!(random::<32>(), random::<32>());
        assert!(same(b"abc", b"abc") && !same(b"abc", b"abd") && !same(b"abc", b"ab"));
    }
}
