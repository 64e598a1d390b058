//! The safety number: two users compare it aloud to verify that no server replaced their keys.

use crate::pae;
use sha2::{Digest as _, Sha512};

/// Hashes per number; a forger needs the same number of hashes for every key tried.
const ROUNDS: usize = 5_200;
/// Groups of five digits in one user's half.
const GROUPS: usize = 6;

/// The public keys of one device: identity, encryption.
pub type DeviceKeys = ([u8; 32], [u8; 32]);

/// Returns 60 digits that do not depend on the order of the two users: each user's half is six groups of five digits of
/// the hash, iterated 5200 times, over the user's name and the (identity, encryption) keys of all devices in byte
/// order.
#[must_use]
pub fn safety_number(a: (&str, &[DeviceKeys]), b: (&str, &[DeviceKeys])) -> String {
    let mut halves = [half(a.0, a.1), half(b.0, b.1)];
    halves.sort();
    halves.concat()
}

fn half(username: &str, devices: &[DeviceKeys]) -> String {
    let mut devices: Vec<[u8; 64]> = devices.iter().map(|(ik, ek)| join(ik, ek)).collect();
    devices.sort_unstable();
    let keys = devices.concat();
    let first = pae(&[b"fanfare/v1/safety-number", b"0", &keys, username.as_bytes()]);
    let mut hash = Sha512::digest(first);
    for _ in 1..ROUNDS {
        hash = Sha512::new().chain_update(hash).chain_update(&keys).finalize();
    }
    hash.chunks_exact(5).take(GROUPS).map(|five| format!("{:05}", big_endian(five) % 100_000)).collect()
}

fn join(identity: &[u8; 32], encryption: &[u8; 32]) -> [u8; 64] {
    let mut both = [0; 64];
    both[..32].copy_from_slice(identity);
    both[32..].copy_from_slice(encryption);
    both
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}
