//! Open challenges, for clients that do not send them back (seed 003's body has only name and signature).
//!
//! Kept by (name, client network), so that no other client can evict a user's own; the oldest of [`MAX_OPEN`] is
//! removed. Whether a challenge is genuine and unused is checked elsewhere: this is a cache, not a proof.

use fanfare_core::model::network;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// Open challenges of one name from one network.
const MAX_OPEN: usize = 3;
/// Maximum names and networks with open challenges; beyond that no further ones are kept until some expire.
const MAX_NAMES: usize = 50_000;

type Waiting = VecDeque<(u64, String)>;

#[derive(Debug, Default)]
pub(super) struct OpenChallenges(Mutex<HashMap<(String, IpAddr), Waiting>>);

impl OpenChallenges {
    /// Keeps a challenge until `expires_ms`.
    pub(super) fn add(&self, name: &str, address: IpAddr, text: &str, expires_ms: u64, now_ms: u64) {
        let mut all = self.0.lock();
        if all.len() >= MAX_NAMES {
            all.retain(|_, waiting| waiting.back().is_some_and(|(ends, _)| *ends > now_ms));
        }
        let key = (name.to_owned(), network(address));
        if all.len() >= MAX_NAMES && !all.contains_key(&key) {
            return;
        }
        let waiting = all.entry(key).or_default();
        while waiting.len() >= MAX_OPEN || waiting.front().is_some_and(|(ends, _)| *ends <= now_ms) {
            waiting.pop_front();
        }
        waiting.push_back((expires_ms, text.to_owned()));
    }

    /// Removes and returns those of a name and network, newest first.
    pub(super) fn take(&self, name: &str, address: IpAddr) -> Vec<String> {
        let taken = self.0.lock().remove(&(name.to_owned(), network(address)));
        taken.into_iter().flatten().rev().map(|(_, text)| text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_wait_by_name_and_network() {
        let open = OpenChallenges::default();
        let (here, near, far) = ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1");
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for n in 0..5 {
            open.add("ann", at(here), &n.to_string(), 100, 0);
        }
        open.add("ann", at(far), "far", 100, 0);
        open.add("bob", at(here), "bob", 100, 0);
        assert_eq!(open.take("ann", at(near)), ["4", "3", "2"], "a /64 is one client");
        assert!(open.take("ann", at(here)).is_empty(), "taken ones are removed");
        assert_eq!(open.take("ann", at(far)), ["far"]);
    }

    #[test]
    fn the_expired_make_room() {
        let open = OpenChallenges::default();
        let here: IpAddr = [127, 0, 0, 1].into();
        open.add("ann", here, "old", 50, 0);
        open.add("ann", here, "new", 150, 60);
        assert_eq!(open.take("ann", here), ["new"]);
    }
}
