//! Who gets in: caps on connections, and the token buckets of connections and addresses.

pub(crate) use fanfare_core::model::network;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// `limits.max_connections`: 503.
    Server,
    /// `limits.max_connections_per_ip`: 429.
    Address,
    /// `limits.max_unauthenticated`: 503.
    Unauthenticated,
}

/// Counts open connections against their caps.
#[derive(Debug)]
pub struct Admission {
    max: usize,
    max_per_ip: usize,
    max_unauthenticated: usize,
    open: AtomicUsize,
    unauthenticated: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, u32>>,
}

/// A connection's place; gives it back when dropped.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    address: IpAddr,
    unauthenticated: bool,
}

impl Admission {
    /// Nobody is in yet. A cap of 0 per address is none.
    pub fn new(max: usize, max_per_ip: usize, max_unauthenticated: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            max_per_ip,
            max_unauthenticated,
            open: AtomicUsize::new(0),
            unauthenticated: AtomicUsize::new(0),
            by_address: Mutex::default(),
        })
    }

    /// Connections that are in.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Lets a connection in. `unauthenticated`: it has yet to log in where that is asked for.
    ///
    /// # Errors
    /// Which cap is reached; nothing was counted then.
    pub fn enter(self: &Arc<Self>, address: IpAddr, unauthenticated: bool) -> Result<Permit, Full> {
        if self.open.fetch_add(1, Ordering::SeqCst) >= self.max {
            self.open.fetch_sub(1, Ordering::SeqCst);
            return Err(Full::Server);
        }
        if unauthenticated && self.unauthenticated.fetch_add(1, Ordering::SeqCst) >= self.max_unauthenticated
        {
            self.unauthenticated.fetch_sub(1, Ordering::SeqCst);
            self.open.fetch_sub(1, Ordering::SeqCst);
            return Err(Full::Unauthenticated);
        }
        let permit = Permit { admission: self.clone(), address: address.to_canonical(), unauthenticated };
        if self.max_per_ip > 0 {
            let mut all = self.by_address.lock();
            let count = all.entry(network(permit.address)).or_default();
            *count += 1;
            if *count as usize > self.max_per_ip {
                drop(all); // the permit takes it back
                return Err(Full::Address);
            }
        }
        Ok(permit)
    }
}

impl Permit {
    /// The client's address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The connection has logged in: it no longer counts among those that have yet to.
    pub fn authenticated(&mut self) {
        if std::mem::take(&mut self.unauthenticated) {
            self.admission.unauthenticated.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let admission = &self.admission;
        admission.open.fetch_sub(1, Ordering::SeqCst);
        if self.unauthenticated {
            admission.unauthenticated.fetch_sub(1, Ordering::SeqCst);
        }
        if admission.max_per_ip > 0 {
            let mut all = admission.by_address.lock();
            if let Some(count) = all.get_mut(&network(self.address)) {
                *count -= 1;
                if *count == 0 {
                    all.remove(&network(self.address));
                }
            }
        }
    }
}

/// So many units a second, so many at once: a generic cell rate (GCRA) bucket of one number, the time in nanoseconds at
/// which it is full again. Times count from any fixed start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    cost_ns: u64,
    depth_ns: u64,
}

impl From<crate::config::Rate> for Rate {
    fn from(rate: crate::config::Rate) -> Self {
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
    /// Milliseconds (at least 1) until they would be there; nothing was taken.
    pub fn take(self, full_at: &mut u64, units: u64, now_ns: u64) -> Result<(), u64> {
        let next = (*full_at).max(now_ns).saturating_add(self.cost_ns.saturating_mul(units));
        let over = (next - now_ns).saturating_sub(self.depth_ns);
        // A bucket that is full always gives once, or units larger than its depth would never pass.
        if over > 0 && *full_at > now_ns {
            return Err(over.div_ceil(1_000_000));
        }
        *full_at = next;
        Ok(())
    }
}

/// Buckets by key, bounded: full buckets are forgotten first.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Option<Rate>,
    full_at: Mutex<HashMap<K, u64>>,
}

/// Keys with a bucket that is not full, at most.
const MAX_KEYS: usize = 100_000;

impl<K: Eq + Hash> Buckets<K> {
    /// No bucket yet; without a rate nothing is ever refused.
    pub fn new(rate: Option<Rate>) -> Self {
        Self { rate, full_at: Mutex::default() }
    }

    /// Takes one unit of a key.
    ///
    /// # Errors
    /// Milliseconds until it would be there.
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
    /// No bucket yet; without a rate nothing is ever refused.
    pub fn new(rate: Option<Rate>) -> Self {
        Self(Buckets::new(rate))
    }

    /// Takes one unit of an address.
    ///
    /// # Errors
    /// Milliseconds until it would be there.
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

    #[test]
    fn an_ipv6_network_shares_one_cap() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let a = Admission::new(10, 2, 1);
        let _first = a.enter(ip("2001:db8::1"), false).unwrap();
        let second = a.enter(ip("2001:db8::2"), false).unwrap();
        assert_eq!(a.enter(ip("2001:db8::3:4"), false).unwrap_err(), Full::Address);
        let _other = a.enter(ip("2001:db8:0:1::1"), false).unwrap();
        assert_eq!(second.address(), ip("2001:db8::2"), "the address itself is kept for the log");
        drop(second);
        assert!(a.enter(ip("2001:db8::5"), false).is_ok());
    }

    #[test]
    fn caps_count_and_give_back() {
        let one: IpAddr = [127, 0, 0, 1].into();
        let a = Admission::new(3, 2, 1);
        let first = a.enter(one, true).unwrap();
        assert_eq!(a.enter(one, true).unwrap_err(), Full::Unauthenticated);
        let _second = a.enter(one, false).unwrap();
        assert_eq!(a.enter(one, false).unwrap_err(), Full::Address);
        let _other = a.enter([127, 0, 0, 2].into(), false).unwrap();
        assert_eq!(a.enter([127, 0, 0, 3].into(), false).unwrap_err(), Full::Server);
        drop(first);
        assert_eq!(a.open(), 2);
        assert!(a.enter(one, true).is_ok());
    }
}
