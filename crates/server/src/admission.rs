//! Caps on open connections.

use fanfare_core::model::network;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Why a connection is refused.
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

/// A connection's permit; the connection is no longer counted when this is dropped.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    address: IpAddr,
    unauthenticated: bool,
}

impl Admission {
    /// Creates it without connections. A cap of 0 per address is unlimited.
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

    /// The number of open connections.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Admits a connection. `unauthenticated`: it has yet to log in where that is required.
    ///
    /// # Errors
    /// The cap that is reached; nothing was counted then.
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
                drop(all); // dropping the permit undoes the count
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

    /// The connection has logged in and no longer counts as unauthenticated.
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

#[cfg(test)]
mod tests {
    use super::*;

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
