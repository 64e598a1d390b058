//! Delays after failed logins. There is no lockout: it could be used against the account's owner.
//!
//! Two counts. Per account and network (an IPv4 address, an IPv6 /64): five failures are free, then one second, doubling to
//! 15 minutes. Per account alone, softer: fifty are free, then one second, doubling to 30 seconds; a network from which this
//! account has logged in before is exempt, so that strangers cannot slow its owner down. Unknown names count like known ones.
//!
//! Memory is bounded: the counts are in a map of fixed capacity, keyed by a hash with a secret of this process, so that
//! the length of a name does not matter. A count expires an hour after its last failure (a known network after 30
//! days); when the map is still full, the least recently used half is removed.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;

/// Maximum number of counts: about 4 MiB.
const CAPACITY: usize = 65_536;
/// A count expires an hour after the last failure.
const FORGET_MS: u64 = 60 * 60 * 1000;
/// How long a network from which a login succeeded stays known.
const KNOWN_MS: u64 = 30 * 24 * FORGET_MS;

/// The number of free failures and the longest delay after them.
struct Rule {
    free: u32,
    longest_ms: u64,
}

const NETWORK: Rule = Rule { free: 5, longest_ms: 15 * 60 * 1000 };
const ACCOUNT: Rule = Rule { free: 50, longest_ms: 30 * 1000 };

impl Rule {
    /// Milliseconds after the last of `failures` during which attempts are rejected.
    fn delay(&self, failures: u32) -> u64 {
        match failures.checked_sub(self.free) {
            None => 0,
            Some(beyond) => (1000 << beyond.min(32)).min(self.longest_ms),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Count {
    failures: u32,
    /// Time of the last failure or success, milliseconds since 1970.
    last: u64,
    /// Whether a login has succeeded from this network.
    known: bool,
}

impl Count {
    fn over(&self, now: u64) -> bool {
        now.saturating_sub(self.last) >= if self.known { KNOWN_MS } else { FORGET_MS }
    }

    /// The number of failures that have not expired.
    fn failures(&self, now: u64) -> u32 {
        if now.saturating_sub(self.last) >= FORGET_MS { 0 } else { self.failures }
    }

    fn wait(&self, rule: &Rule, now: u64) -> u64 {
        self.last.saturating_add(rule.delay(self.failures(now))).saturating_sub(now)
    }
}

/// Delays repeated guesses of passwords and keys.
#[derive(Default)]
pub struct LoginGuard {
    counts: Mutex<HashMap<u64, Count>>,
    hash: RandomState,
}

impl std::fmt::Debug for LoginGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginGuard").field("counts", &self.counts.lock().len()).finish_non_exhaustive()
    }
}

impl LoginGuard {
    /// Creates a guard without failures.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Call before a password or signature is checked; `account` is the lower-cased name.
    ///
    /// # Errors
    /// Milliseconds until this account may be tried again from this network.
    pub fn check(&self, account: &str, ip: IpAddr, now_ms: u64) -> Result<(), u64> {
        let counts = self.counts.lock();
        let near = counts.get(&self.near(account, ip)).copied().unwrap_or_default();
        let wide = counts.get(&self.wide(account)).copied().unwrap_or_default();
        let known = near.known && !near.over(now_ms);
        let wide = if known { 0 } else { wide.wait(&ACCOUNT, now_ms) };
        match near.wait(&NETWORK, now_ms).max(wide) {
            0 => Ok(()),
            wait => Err(wait),
        }
    }

    /// Records a wrong password or signature.
    pub fn failed(&self, account: &str, ip: IpAddr, now_ms: u64) {
        let mut counts = self.counts.lock();
        for key in [self.near(account, ip), self.wide(account)] {
            make_room(&mut counts, key, now_ms);
            let count = counts.entry(key).or_default();
            let known = count.known && !count.over(now_ms);
            *count = Count { failures: count.failures(now_ms).saturating_add(1), last: now_ms, known };
        }
    }

    /// Records a login: the count of this network is cleared and the network becomes known. The account's own count
    /// stays, because other networks may still be guessing.
    pub fn succeeded(&self, account: &str, ip: IpAddr, now_ms: u64) {
        let mut counts = self.counts.lock();
        let key = self.near(account, ip);
        make_room(&mut counts, key, now_ms);
        counts.insert(key, Count { failures: 0, last: now_ms, known: true });
    }

    fn near(&self, account: &str, ip: IpAddr) -> u64 {
        self.hash.hash_one((account, Some(network(ip))))
    }

    fn wide(&self, account: &str) -> u64 {
        self.hash.hash_one((account, None::<u64>))
    }
}

/// The block of addresses that one subscriber line has: an IPv4 address, also when mapped into IPv6, or an IPv6 /64.
fn network(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        // 0::/64 contains only the loopback address.
        IpAddr::V4(v4) => u64::from(v4.to_bits()) | 1 << 40,
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

fn make_room(counts: &mut HashMap<u64, Count>, key: u64, now: u64) {
    if counts.len() < CAPACITY || counts.contains_key(&key) {
        return;
    }
    counts.retain(|_, count| !count.over(now));
    if counts.len() > CAPACITY / 2 {
        let mut times: Vec<u64> = counts.values().map(|count| count.last).collect();
        let (_, &mut middle, _) = times.select_nth_unstable(CAPACITY / 2);
        counts.retain(|_, count| count.last > middle);
    }
}

#[cfg(test)]
mod tests;
