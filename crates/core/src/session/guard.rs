//! How often an address may fail to resume (`protocol.md` 6 "Sessions": five a minute, then 429 for tokens that do not
//! unseal).
//!
//! Two maps of bounded size hold the last failures per address. When the newer is full or older than the window, it
//! becomes the older and the one before is dropped: nothing of the last minute is forgotten unless more addresses than
//! [`MAX_ADDRESSES`] fail within it.

use crate::model::network;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;

/// Failures an address has in a [`WINDOW_MS`].
pub const MAX_FAILURES: usize = 5;
/// The window in milliseconds.
pub const WINDOW_MS: u64 = 60_000;
/// Addresses held per map: about a megabyte each when full.
const MAX_ADDRESSES: usize = 16_384;

/// Times of the last failures, a ring; 0 is none.
type Failures = [u64; MAX_FAILURES];

/// Counts failed resumes per address; an IPv6 address counts with its /64.
#[derive(Default)]
pub struct ResumeGuard(Mutex<Maps>);

#[derive(Default)]
struct Maps {
    newer: HashMap<IpAddr, Failures>,
    older: HashMap<IpAddr, Failures>,
    newer_since: u64,
}

impl ResumeGuard {
    /// Whether an address may present another token that does not unseal.
    ///
    /// # Errors
    /// Milliseconds until the address may try again.
    pub fn check(&self, address: IpAddr, now: u64) -> Result<(), u64> {
        let maps = self.0.lock();
        let key = network(address);
        let Some(failures) = maps.newer.get(&key).or_else(|| maps.older.get(&key)) else { return Ok(()) };
        let oldest = failures.iter().copied().min().unwrap_or(0);
        match (oldest + WINDOW_MS).checked_sub(now) {
            Some(wait) if oldest > 0 && wait > 0 => Err(wait),
            _ => Ok(()),
        }
    }

    /// Notes a failure that counts ([`super::ResumeRefused::counted`]).
    pub fn failed(&self, address: IpAddr, now: u64) {
        let mut maps = self.0.lock();
        let key = network(address);
        let known = maps.older.remove(&key);
        let full = maps.newer.len() >= MAX_ADDRESSES && !maps.newer.contains_key(&key);
        if full || now.saturating_sub(maps.newer_since) >= WINDOW_MS {
            maps.older = std::mem::take(&mut maps.newer);
            maps.newer_since = now;
        }
        let known = known.or_else(|| maps.older.remove(&key)).unwrap_or_default();
        let failures = maps.newer.entry(key).or_insert(known);
        if let Some(oldest) = failures.iter_mut().min() {
            *oldest = now.max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn five_failures_close_the_door_until_the_first_is_a_minute_old() {
        let guard = ResumeGuard::default();
        for n in 0..5 {
            assert_eq!(guard.check(ip("127.0.0.1"), 1000 + n), Ok(()));
            guard.failed(ip("127.0.0.1"), 1000 + n);
        }
        assert_eq!(guard.check(ip("127.0.0.1"), 1010), Err(59_990));
        assert_eq!(guard.check(ip("127.0.0.2"), 1010), Ok(()), "others are not slowed");
        assert_eq!(guard.check(ip("127.0.0.1"), 61_000), Ok(()));
        guard.failed(ip("127.0.0.1"), 61_000);
        assert!(guard.check(ip("127.0.0.1"), 61_000).is_err(), "the second is not a minute old yet");
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_a_mapped_address_as_ipv4() {
        let guard = ResumeGuard::default();
        for n in 1..=5 {
            guard.failed(ip(&format!("fd00::{n}")), 1000);
            guard.failed(ip("::ffff:127.0.0.1"), 1000);
        }
        assert!(guard.check(ip("fd00::ffff"), 1000).is_err());
        assert!(guard.check(ip("fd00:0:0:1::1"), 1000).is_ok());
        assert!(guard.check(ip("127.0.0.1"), 1000).is_err());
    }

    #[test]
    fn memory_is_bounded_and_old_failures_go_first() {
        let guard = ResumeGuard::default();
        let address = |n: u32| IpAddr::V4(n.into());
        for n in 0..(3 * MAX_ADDRESSES as u32) {
            for _ in 0..5 {
                guard.failed(address(n), 1000);
            }
        }
        let maps = guard.0.lock();
        assert!(maps.newer.len() <= MAX_ADDRESSES && maps.older.len() <= MAX_ADDRESSES);
        drop(maps);
        assert!(guard.check(address(3 * MAX_ADDRESSES as u32 - 1), 1001).is_err());
        assert!(guard.check(address(0), 1001).is_ok());
    }

    #[test]
    fn failures_survive_the_turn_of_the_maps() {
        let guard = ResumeGuard::default();
        for n in 0..5u64 {
            guard.failed(ip("127.0.0.1"), 50_000 + n * 3000);
        }
        assert!(guard.check(ip("127.0.0.1"), 62_001).is_err());
    }
}
