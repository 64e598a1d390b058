//! Token buckets: the number of units a second that a connection, an address or a user may use.

use fanfare_core::model::network;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

/// A rate with a burst: a generic cell rate (GCRA) bucket of one number, the time in nanoseconds at which it is full
/// again. Times count from any fixed start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    cost_ns: u64,
    depth_ns: u64,
}

impl From<fanfare_config::Rate> for Rate {
    fn from(rate: fanfare_config::Rate) -> Self {
        Self::of(rate.per_second.get().into(), rate.burst.get().into())
    }
}

impl Rate {
    /// `per_second` units a second, `burst` at once; `None` when `per_second` is 0.
    pub fn new(per_second: u64, burst: u64) -> Option<Self> {
        (per_second > 0).then(|| Self::of(per_second, burst))
    }

    /// `count` units a minute, as many at once; `None` when 0.
    pub fn per_minute(count: u32) -> Option<Self> {
        (count > 0).then(|| {
            let cost_ns = 60_000_000_000 / u64::from(count);
            Self { cost_ns, depth_ns: cost_ns.saturating_mul(count.into()) }
        })
    }

    fn of(per_second: u64, burst: u64) -> Self {
        let cost_ns = (1_000_000_000 / per_second).max(1);
        Self { cost_ns, depth_ns: cost_ns.saturating_mul(burst) }
    }

    /// Takes `units` out of a bucket.
    ///
    /// # Errors
    /// Milliseconds (at least 1) until they would be available; nothing was taken.
    pub fn take(self, full_at: &mut u64, units: u64, now_ns: u64) -> Result<(), u64> {
        let next = (*full_at).max(now_ns).saturating_add(self.cost_ns.saturating_mul(units));
        let over = (next - now_ns).saturating_sub(self.depth_ns);
        // A full bucket always allows one request, or units larger than its depth would never pass.
        if over > 0 && *full_at > now_ns {
            return Err(over.div_ceil(1_000_000));
        }
        *full_at = next;
        Ok(())
    }
}

/// Buckets by key, bounded: full buckets are removed first.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Option<Rate>,
    full_at: Mutex<HashMap<K, u64>>,
}

/// Maximum keys with a bucket that is not full.
const MAX_KEYS: usize = 100_000;

impl<K: Eq + Hash> Buckets<K> {
    /// Creates it without buckets; without a rate nothing is ever refused.
    pub fn new(rate: Option<Rate>) -> Self {
        Self { rate, full_at: Mutex::default() }
    }

    /// Takes one unit of a key.
    ///
    /// # Errors
    /// Milliseconds until it would be available.
    pub fn take(&self, key: K, now_ns: u64) -> Result<(), u64> {
        let Some(rate) = self.rate else { return Ok(()) };
        let mut all = self.full_at.lock();
        if all.len() >= MAX_KEYS {
            all.retain(|_, full_at| *full_at > now_ns);
        }
        rate.take(all.entry(key).or_default(), 1, now_ns)
    }
}

/// Buckets by network: an IPv4 address, an IPv6 /64.
#[derive(Debug)]
pub struct AddressBuckets(Buckets<IpAddr>);

impl AddressBuckets {
    /// Creates it without buckets; without a rate nothing is ever refused.
    pub fn new(rate: Option<Rate>) -> Self {
        Self(Buckets::new(rate))
    }

    /// Takes one unit of an address.
    ///
    /// # Errors
    /// Milliseconds until it would be available.
    pub fn take(&self, address: IpAddr, now_ns: u64) -> Result<(), u64> {
        self.0.take(network(address), now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let rate = Rate::new(10, 3).unwrap();
        let mut full_at = 0;
        let now = 1_000_000_000;
        for _ in 0..3 {
            assert_eq!(rate.take(&mut full_at, 1, now), Ok(()));
        }
        assert_eq!(rate.take(&mut full_at, 1, now), Err(100));
        assert_eq!(rate.take(&mut full_at, 1, now + 99_000_000), Err(1));
        assert_eq!(rate.take(&mut full_at, 1, now + 100_000_000), Ok(()));
        assert_eq!(Rate::new(0, 5), None);
    }

    #[test]
    fn a_minutes_worth_may_come_at_once() {
        let rate = Rate::per_minute(3).unwrap();
        let (mut full_at, now) = (0, 1_000_000_000);
        for _ in 0..3 {
            assert_eq!(rate.take(&mut full_at, 1, now), Ok(()));
        }
        assert_eq!(rate.take(&mut full_at, 1, now), Err(20_000));
        assert_eq!(rate.take(&mut full_at, 1, now + 20_000_000_000), Ok(()));
        assert_eq!(Rate::per_minute(0), None);
    }
}
