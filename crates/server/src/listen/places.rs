//! Places for HTTP connections: their number, by address, and which one is evicted when there are too many (ADR 0022).
//!
//! A connection holds a place until it closes or becomes a socket. An address may hold `limits.http_connections_per_ip`
//! of them. When all places are taken, the connection that has waited longest for a request is evicted. A connection
//! for which there is no place, or whose address has reached its share, gets a place of a small reserve: on those only
//! probes are served, one request each.

use fanfare_core::model::network;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;

/// Number of reserve places for probes.
pub const RESERVE: usize = 256;

/// Why a connection has a reserve place only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// All places are taken by connections that are being served.
    Full,
    /// Its address has reached its maximum number of connections.
    Address,
}

/// The places of one or more listeners.
#[derive(Debug)]
pub struct Places {
    per_address: usize,
    exempt: Vec<ipnet::IpNet>,
    inner: Mutex<Inner>,
    evicted: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    next: u64,
    pools: [Pool; 2],
    by_network: HashMap<IpAddr, usize>,
}

/// Places of one kind.
#[derive(Debug, Default)]
struct Pool {
    places: usize,
    taken: usize,
    /// Connections without a request in progress, by the time at which the last one ended.
    waiting: BTreeMap<u64, Arc<Eviction>>,
}

impl Pool {
    /// Takes a place, evicting the connection that has waited longest if none is free. `Err` when all are being served.
    fn enter(&mut self, evicted: &AtomicU64) -> Result<(), ()> {
        if self.taken >= self.places {
            let (_, eviction) = self.waiting.pop_first().ok_or(())?;
            eviction.order();
            evicted.fetch_add(1, Ordering::Relaxed);
            self.taken -= 1;
        }
        self.taken += 1;
        Ok(())
    }
}

/// The signal to a connection to end because another one gets its place.
#[derive(Debug, Default)]
struct Eviction {
    ordered: AtomicBool,
    notify: Notify,
}

impl Eviction {
    fn order(&self) {
        self.ordered.store(true, Ordering::SeqCst);
        self.notify.notify_one();
    }
}

/// A connection's place; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    /// Why it is a reserve place, if it is one.
    pub overflow: Option<Overflow>,
    network: IpAddr,
    eviction: Arc<Eviction>,
    /// Its key among the waiting ones; `None` while a request is in progress.
    waiting: Mutex<Option<u64>>,
    answered: AtomicBool,
}

impl Places {
    /// Creates `places` places and `reserve` more for probes, with at most `per_address` of one address (0: unlimited)
    /// except for addresses in `exempt`.
    pub fn new(places: usize, reserve: usize, per_address: usize, exempt: Vec<ipnet::IpNet>) -> Arc<Self> {
        let pool = |places| Pool { places, ..Pool::default() };
        let inner = Inner { next: 0, pools: [pool(places), pool(reserve)], by_network: HashMap::new() };
        let (evicted, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { per_address, exempt, inner: Mutex::new(inner), evicted, dropped })
    }

    /// The number of connections that were evicted.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// The number of connections for which there was not even a reserve place.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// A place for a connection from `address`; `None` when all are being served, including the reserve.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let exempt = self.exempt.iter().any(|net| net.contains(&address.to_canonical()));
        let mut inner = self.inner.lock();
        let of_address = inner.by_network.get(&network).copied().unwrap_or_default();
        let overflow = if self.per_address > 0 && !exempt && of_address >= self.per_address {
            Some(Overflow::Address)
        } else {
            inner.pools[0].enter(&self.evicted).err().map(|()| Overflow::Full)
        };
        if overflow.is_some() && inner.pools[1].enter(&self.evicted).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *inner.by_network.entry(network).or_default() += 1;
        drop(inner);
        let place = Place {
            places: self.clone(),
            overflow,
            network,
            eviction: Arc::default(),
            waiting: Mutex::default(),
            answered: AtomicBool::new(false),
        };
        place.wait();
        Some(place)
    }
}

impl Place {
    fn pool(&self) -> usize {
        usize::from(self.overflow.is_some())
    }

    /// A request has started: the connection is not evicted until the response is sent.
    pub(super) fn serve(&self) {
        if let Some(key) = self.waiting.lock().take() {
            self.places.inner.lock().pools[self.pool()].waiting.remove(&key);
        }
    }

    /// The response is complete; once it is written, the connection waits again.
    pub(super) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// All output is written.
    pub(super) fn flushed(&self) {
        if self.answered.swap(false, Ordering::Relaxed) {
            self.wait();
        }
    }

    /// The connection waits for a request, or for its end.
    pub(super) fn wait(&self) {
        let mut waiting = self.waiting.lock();
        let mut inner = self.places.inner.lock();
        if waiting.is_some() || self.eviction.ordered.load(Ordering::SeqCst) {
            return;
        }
        inner.next += 1;
        let key = inner.next;
        inner.pools[self.pool()].waiting.insert(key, self.eviction.clone());
        *waiting = Some(key);
    }

    /// Completes when the connection is evicted.
    pub(super) async fn evicted(&self) {
        self.eviction.notify.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let key = self.waiting.lock().take();
        let mut inner = self.places.inner.lock();
        if !self.eviction.ordered.load(Ordering::SeqCst) {
            let pool = &mut inner.pools[self.pool()];
            pool.taken -= 1;
            key.map(|key| pool.waiting.remove(&key));
        }
        if let Some(count) = inner.by_network.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                inner.by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_evicted(place: &Place) -> bool {
        place.evicted().now_or_never().is_some()
    }

    #[test]
    fn an_address_has_its_share_and_probes_beyond_it() {
        let places = Places::new(100, RESERVE, 2, vec!["192.0.2.0/24".parse().unwrap()]);
        let first = places.enter(ip("2001:db8::1")).unwrap();
        let _second = places.enter(ip("2001:db8::2")).unwrap();
        assert_eq!(places.enter(ip("2001:db8::3")).unwrap().overflow, Some(Overflow::Address));
        assert_eq!(places.enter(ip("2001:db8:0:1::3")).unwrap().overflow, None, "another network");
        drop(first);
        assert_eq!(places.enter(ip("2001:db8::4")).unwrap().overflow, None, "a place was given back");
        let proxies: Vec<_> = (0..50).map(|_| places.enter(ip("192.0.2.7")).unwrap()).collect();
        assert!(proxies.iter().all(|place| place.overflow.is_none()), "proxies are exempt");
        drop(proxies);
        let inner = places.inner.lock();
        assert_eq!((inner.pools[0].taken, inner.pools[1].taken, inner.by_network.len()), (1, 0, 1));
    }

    #[test]
    fn the_longest_waiting_is_evicted_and_served_ones_stay() {
        let places = Places::new(3, RESERVE, 0, Vec::new());
        let [a, b, c] = [1, 2, 3].map(|n| places.enter(IpAddr::from([127, 0, 0, n])).unwrap());
        a.serve();
        b.serve();
        b.answered();
        assert!(!is_evicted(&b));
        b.flushed(); // waits again, later than c
        let d = places.enter(ip("127.0.0.4")).unwrap();
        assert_eq!((is_evicted(&a), is_evicted(&b), is_evicted(&c)), (false, false, true));
        drop(c); // its place was taken already
        d.serve();
        let e = places.enter(ip("127.0.0.5")).unwrap();
        e.serve();
        assert!(is_evicted(&b));
        let probe = places.enter(ip("127.0.0.6")).unwrap();
        assert_eq!(probe.overflow, Some(Overflow::Full), "all three are being served");
        drop(a);
        assert_eq!(places.enter(ip("127.0.0.7")).unwrap().overflow, None);
        assert_eq!(places.evicted(), 2);
    }

    #[test]
    fn the_reserve_turns_over_too_and_ends() {
        let places = Places::new(0, RESERVE, 0, Vec::new());
        let all: Vec<_> = (0..RESERVE).map(|_| places.enter(ip("127.0.0.1")).unwrap()).collect();
        let probe = places.enter(ip("127.0.0.2")).unwrap();
        assert!(is_evicted(&all[0]) && !is_evicted(&all[1]));
        probe.serve();
        all.iter().for_each(Place::serve);
        assert!(places.enter(ip("127.0.0.3")).is_none());
        assert_eq!(places.dropped(), 1);
        drop((all, probe));
        assert_eq!(places.inner.lock().pools[1].taken, 0);
    }
}
