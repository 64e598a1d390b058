//! The append-only log of a user's keys: what the previous key signs to hand over, and the hash that chains entries.
//!
//! An entry's hash covers everything but the time at which the server wrote it: SHA-256 of
//! PAE("fanfare/v1/key-log-entry", transcript, rotation). The transcript holds the hash of the previous entry, so a
//! client that keeps the last hash detects a rollback or a fork.

use crate::pae;
use sha2::{Digest as _, Sha256};

/// `prev_hash` of the first entry.
pub const NO_PREVIOUS: [u8; 32] = [0; 32];

/// The transcript of entry `n` (from 1), signed by the previous identity key in a rotation. A missing binding is an
/// empty piece; `action` is the kind of the entry (`add`, `rotate`, `replace`, `rebind`).
#[must_use]
#[expect(clippy::too_many_arguments, reason = "one per piece of the transcript, in its order")]
pub fn key_log_text(
    server_id: &str,
    username: &str,
    n: u64,
    action: &str,
    identity: &[u8; 32],
    encryption: &[u8; 32],
    key_binding: Option<&[u8; 64]>,
    prev_hash: &[u8; 32],
) -> Vec<u8> {
    pae(&[
        b"fanfare/v1/key-log",
        server_id.as_bytes(),
        username.as_bytes(),
        n.to_string().as_bytes(),
        action.as_bytes(),
        identity,
        encryption,
        key_binding.map_or(&[], |signature| signature.as_slice()),
        prev_hash,
    ])
}

/// The hash of an entry, `prev_hash` of the next: `text` is its [`key_log_text`], `rotation` the signature over it by the
/// previous identity key, if there is one.
#[must_use]
pub fn key_log_hash(text: &[u8], rotation: Option<&[u8; 64]>) -> [u8; 32] {
    let rotation = rotation.map_or(&[][..], |signature| signature.as_slice());
    Sha256::digest(pae(&[b"fanfare/v1/key-log-entry", text, rotation])).into()
}
