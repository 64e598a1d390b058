//! Public keys of a device, the checks they must pass, and the self-signed binding of the two.
//!
//! These checks are stricter than the libraries': plain Ed25519 verification accepts signatures that other
//! implementations reject when the key has a small-order part or a second encoding, so two clients could disagree about
//! one message. Rejecting such keys at registration and verifying strictly removes almost every such case.

use crate::pae;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::montgomery::MontgomeryPoint;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};
use std::ops::Deref;

/// Why 32 bytes are not a valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are not a point of the curve.
    #[error("not a public key")]
    Malformed,
    /// A point, but one that gives no or ambiguous security: small order, a part of small order, or a second encoding of
    /// another key.
    #[error("a weak public key")]
    Weak,
}

/// An Ed25519 public key (RFC 8032) in its one canonical encoding, in the prime-order subgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdentityKey([u8; 32]);

impl IdentityKey {
    /// Checks a key.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn new(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let point = CompressedEdwardsY(bytes).decompress().ok_or(KeyError::Malformed)?;
        let canonical = point.compress().to_bytes() == bytes;
        // The neutral element is torsion-free and still of small order.
        if !canonical || point.is_small_order() || !point.is_torsion_free() {
            return Err(KeyError::Weak);
        }
        Ok(Self(bytes))
    }
}

/// An X25519 public key (RFC 7748) that contributes to a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EncryptionKey([u8; 32]);

impl EncryptionKey {
    /// Checks a key by one key exchange: a low-order point gives zero for every scalar, because clamping makes each
    /// scalar a multiple of the cofactor; no other point does.
    ///
    /// # Errors
    /// [`KeyError::Weak`].
    pub fn new(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let shared = MontgomeryPoint(bytes).mul_clamped([0x5a; 32]);
        if shared.to_bytes() == [0; 32] { Err(KeyError::Weak) } else { Ok(Self(bytes)) }
    }
}

impl Deref for IdentityKey {
    type Target = [u8; 32];
    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Deref for EncryptionKey {
    type Target = [u8; 32];
    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Strict Ed25519 verification: canonical `S`, no `R` or key of small order, no cofactor.
#[must_use]
pub fn verify(key: &IdentityKey, message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(key)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

/// The type of the key that a key id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// An identity (signing) key.
    Ed25519,
    /// An encryption key.
    X25519,
}

/// The short name of a key: base64url of the first 16 bytes of SHA-256 over its kind and bytes; 22 characters.
#[must_use]
pub fn kid(kind: KeyKind, key: &[u8; 32]) -> String {
    let name: &[u8] = match kind {
        KeyKind::Ed25519 => b"ed25519",
        KeyKind::X25519 => b"x25519",
    };
    let hash = Sha256::digest(pae(&[b"fanfare/v1/kid", name, key]));
    crate::b64::encode(&hash[..16])
}

/// The text that a device signs with its identity key to bind both keys to itself. The signature proves possession of
/// the identity key and keeps a server from exchanging the encryption key alone.
#[must_use]
pub fn key_binding_text(
    server_id: &str,
    username: &str,
    device_id: &str,
    identity: &[u8; 32],
    encryption: &[u8; 32],
) -> Vec<u8> {
    pae(&[
        b"fanfare/v1/key-binding",
        server_id.as_bytes(),
        username.as_bytes(),
        device_id.as_bytes(),
        identity,
        encryption,
    ])
}

/// Whether `signature` is that device's binding of the two keys.
#[must_use]
pub fn verify_key_binding(
    server_id: &str,
    username: &str,
    device_id: &str,
    identity: &IdentityKey,
    encryption: &[u8; 32],
    signature: &[u8; 64],
) -> bool {
    let text = key_binding_text(server_id, username, device_id, identity, encryption);
    verify(identity, &text, signature)
}
