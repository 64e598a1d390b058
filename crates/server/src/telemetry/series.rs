//! Series of a metric by their labels, created when they are first counted and found without a lock.
//!
//! A hash table that only grows, with linear probing. A slot is written once and its entry never moves, so a reader
//! follows a label's probe sequence until it finds the label or an empty slot, and fills that one. Labels come from the
//! program (routes, statuses, names of limits), never from a client, so their number is far below the slots.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::OnceLock;

/// Maximum number of series. About 80 routes have about 10 statuses each.
const SLOTS: usize = 2048;

/// Empty, or a permanent entry.
type Slot<K, V> = OnceLock<Box<(K, V)>>;

/// A metric's series: `K` are the labels, `V` the value.
#[derive(Debug)]
pub(super) struct Series<K, V> {
    slots: Box<[Slot<K, V>]>,
}

impl<K, V> Default for Series<K, V> {
    fn default() -> Self {
        Self::with_slots(SLOTS)
    }
}

impl<K, V> Series<K, V> {
    fn with_slots(slots: usize) -> Self {
        Self { slots: (0..slots).map(|_| OnceLock::new()).collect() }
    }

    /// The value of the labels for which `is` holds, created by `make` if there is none yet. `hashed` are the same
    /// labels in any form with the same hash. `None` when all slots are taken by others.
    pub(super) fn get(
        &self,
        hashed: impl Hash,
        is: impl Fn(&K) -> bool,
        make: impl Fn() -> (K, V),
    ) -> Option<&V> {
        let first =
            BuildHasherDefault::<DefaultHasher>::default().hash_one(hashed) as usize % self.slots.len();
        let (before, from) = self.slots.split_at(first);
        let probed = from.iter().chain(before).map(|slot| slot.get_or_init(|| Box::new(make())));
        probed.map(|entry| &**entry).find(|(labels, _)| is(labels)).map(|(_, value)| value)
    }

    /// All series in the order of their labels.
    pub(super) fn all(&self) -> Vec<(&K, &V)>
    where
        K: Ord,
    {
        let entries = self.slots.iter().filter_map(OnceLock::get);
        let mut all: Vec<_> = entries.map(|entry| (&entry.0, &entry.1)).collect();
        all.sort_unstable_by_key(|(labels, _)| *labels);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::Series;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn count(series: &Series<String, AtomicU64>, label: &str) -> bool {
        let value = series.get(label, |found| found == label, || (label.to_owned(), AtomicU64::new(0)));
        value.map(|n| n.fetch_add(1, Ordering::Relaxed)).is_some()
    }

    fn counts(series: &Series<String, AtomicU64>) -> Vec<(&str, u64)> {
        series.all().into_iter().map(|(label, n)| (label.as_str(), n.load(Ordering::Relaxed))).collect()
    }

    #[test]
    fn threads_that_meet_at_a_new_label_make_one_series() {
        let series = Series::with_slots(64);
        let labels: Vec<String> = (10..60).map(|n| format!("/route/{n}")).collect();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (series, labels) = (&series, &labels);
                scope.spawn(move || {
                    for n in 0..5000 {
                        assert!(count(series, &labels[(n * 7 + thread) % labels.len()]));
                    }
                });
            }
        });
        let expected: Vec<_> = labels.iter().map(|label| (label.as_str(), 400)).collect();
        assert_eq!(counts(&series), expected, "each once, in order, nothing lost");
    }

    #[test]
    fn labels_beyond_the_slots_are_not_counted_and_the_others_are() {
        let series = Series::with_slots(2);
        for (label, is_counted) in [("b", true), ("a", true), ("c", false), ("a", true), ("b", true)] {
            assert_eq!(count(&series, label), is_counted, "{label}");
        }
        assert_eq!(counts(&series), [("a", 2), ("b", 2)]);
    }
}
