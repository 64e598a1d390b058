//! Bounds on audit events that clients can cause at no cost: per address and per user, and over all of them.
//!
//! [`Allowance`] is a set of token buckets by key with one more for all keys together. A key is kept only while its
//! bucket is not full, so that the map is bounded by the rate of the common bucket. Events refused here are counted by
//! [`LeftOut`] and become `audit_gap` rows.

use crate::rates::Rate;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

/// Refusals of one address that are recorded, a minute and at once.
pub(super) const REFUSALS_PER_MINUTE: u32 = 10;
/// Refusals of all addresses together that are recorded, a second: 86 400 rows (about 30 MB) a day.
pub(super) const REFUSALS_PER_SECOND: u64 = 1;
/// The burst of the same.
pub(super) const REFUSALS_BURST: u64 = 600;
/// Openings and closings of sockets, server commands and missing rights of one user that are recorded, a minute and at
/// once.
pub(super) const ACTIVITY_PER_MINUTE: u32 = 120;
/// Maximum keys with a bucket that is not full; beyond it no event of a new key is recorded.
const MAX_KEYS: usize = 100_000;
/// Number of keys from which full buckets are removed.
const SWEEP_AT: usize = 4096;

/// Buckets by key, and one for all keys.
#[derive(Debug)]
pub(super) struct Allowance<K> {
    each: Option<Rate>,
    all: Option<Rate>,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    all_full_at: u64,
    full_at: HashMap<K, u64>,
    sweep_at: usize,
}

impl<K: Eq + Hash> Allowance<K> {
    /// Creates full buckets; an absent rate is unlimited.
    pub(super) fn new(each: Option<Rate>, all: Option<Rate>) -> Self {
        let state = State { all_full_at: 0, full_at: HashMap::new(), sweep_at: SWEEP_AT };
        Self { each, all, state: Mutex::new(state) }
    }

    /// Takes one unit out of the key's bucket and the common one; returns false and takes none if either is empty.
    pub(super) fn take(&self, key: K, now_ns: u64) -> bool {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut full_at = state.full_at.get(&key).copied().unwrap_or_default();
        if self.each.is_some_and(|rate| rate.take(&mut full_at, 1, now_ns).is_err()) {
            return false;
        }
        if state.full_at.len() >= state.sweep_at {
            state.full_at.retain(|_, full_at| *full_at > now_ns);
            state.sweep_at = (2 * state.full_at.len()).clamp(SWEEP_AT, MAX_KEYS);
        }
        if state.full_at.len() >= MAX_KEYS && !state.full_at.contains_key(&key) {
            return false;
        }
        if self.all.is_some_and(|rate| rate.take(&mut state.all_full_at, 1, now_ns).is_err()) {
            return false;
        }
        state.full_at.insert(key, full_at);
        true
    }

    /// The number of keys kept.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.state.lock().full_at.len()
    }
}

/// Why events have no row of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Refusals beyond the bounds of their address or of all addresses.
    Refusals,
    /// Users' activity beyond the bound of one user.
    Activity,
    /// The queue was full, or the store rejected them.
    Overflow,
}

impl Why {
    const ALL: [Self; 3] = [Self::Refusals, Self::Activity, Self::Overflow];

    /// The `reason` of the `audit_gap` row.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Refusals => "refusals",
            Self::Activity => "activity",
            Self::Overflow => "overflow",
        }
    }
}

/// Counts events that have no row of their own.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// By [`Why`], since the last `audit_gap` row.
    since: [AtomicU64; 3],
    ever: AtomicU64,
}

impl LeftOut {
    pub(super) fn add(&self, why: Why, count: u64) {
        self.since[why as usize].fetch_add(count, Ordering::SeqCst);
        self.ever.fetch_add(count, Ordering::Relaxed);
    }

    /// Takes the counts that are not zero.
    pub(super) fn take(&self) -> impl Iterator<Item = (Why, u64)> + '_ {
        let count = |why: Why| (why, self.since[why as usize].swap(0, Ordering::SeqCst));
        Why::ALL.into_iter().map(count).filter(|(_, count)| *count > 0)
    }

    /// The total since the start.
    pub(super) fn ever(&self) -> u64 {
        self.ever.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn a_key_and_all_keys_together_are_bounded_and_so_is_the_map() {
        let all = Rate::new(REFUSALS_PER_SECOND, REFUSALS_BURST);
        let allowance = Allowance::new(Rate::per_minute(REFUSALS_PER_MINUTE), all);
        let now = 10 * MINUTE;
        let of_one = (0..1000).filter(|_| allowance.take(0, now)).count();
        assert_eq!(of_one, 10);
        // An address with an empty bucket takes nothing from the others.
        let of_many = (1..200_000).filter(|key| allowance.take(*key, now)).count();
        assert_eq!(of_many, REFUSALS_BURST as usize - 10);
        assert!(allowance.keys() <= REFUSALS_BURST as usize, "{}", allowance.keys());
        let next_hour: usize = (0..3600)
            .map(|second| {
                (0..5).filter(|n| allowance.take(second * 5 + n, now + second * MINUTE / 60)).count()
            })
            .sum();
        assert!(next_hour <= 3600, "{next_hour} rows an hour");
        assert!(allowance.keys() <= SWEEP_AT);
    }

    #[test]
    fn without_a_common_bucket_the_map_is_bounded_as_well() {
        let allowance = Allowance::new(Rate::per_minute(ACTIVITY_PER_MINUTE), None);
        let taken = (0..MAX_KEYS + 500).filter(|key| allowance.take(*key, MINUTE)).count();
        assert_eq!((taken, allowance.keys()), (MAX_KEYS, MAX_KEYS));
        assert!(allowance.take(usize::MAX, 3 * MINUTE), "a minute later there is room");
        assert_eq!(allowance.keys(), 1);
    }
}
