//! What a client keeps in its session: JSON values under string keys, as they were sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Keys one session may have. Each costs about a hundred bytes beside its own text, so bytes alone would not bound it.
pub(super) const MAX_KEYS: usize = 1024;

/// What a key costs beside its text and its value's, as counted in the total.
const KEY_COST: usize = 100;

/// What the data of all sessions together costs.
#[derive(Debug, Default)]
pub(super) struct Totals {
    all: AtomicUsize,
    /// Of it, the data of sessions without a user.
    strangers: AtomicUsize,
}

impl Totals {
    #[cfg(test)]
    pub(super) fn all(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    pub(super) fn strangers(&self) -> usize {
        self.strangers.load(Ordering::Relaxed)
    }

    /// Counts `cost` more, if that stays within `max`.
    fn reserve(&self, cost: usize, max: usize) -> bool {
        let more = |all: usize| all.checked_add(cost).filter(|sum| *sum <= max);
        self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// Why a value was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Bytes,
    Keys,
    /// All sessions together: so much more must be free.
    Total(usize),
}

/// Ordered by key, so that every answer lists them alike.
pub(super) struct Data {
    values: BTreeMap<Box<str>, Box<str>>,
    bytes: usize,
    totals: Arc<Totals>,
    /// The session has a user.
    owned: bool,
}

impl Drop for Data {
    fn drop(&mut self) {
        self.release(self.cost());
    }
}

impl Data {
    pub(super) fn new(totals: Arc<Totals>, owned: bool) -> Self {
        Self { values: BTreeMap::new(), bytes: 0, totals, owned }
    }

    /// What it counts for in the total.
    pub(super) fn cost(&self) -> usize {
        self.bytes + self.values.len() * KEY_COST
    }

    /// From now on it is a user's.
    pub(super) fn own(&mut self) {
        if !std::mem::replace(&mut self.owned, true) {
            self.totals.strangers.fetch_sub(self.cost(), Ordering::Relaxed);
        }
    }

    fn release(&self, cost: usize) {
        self.totals.all.fetch_sub(cost, Ordering::Relaxed);
        if !self.owned {
            self.totals.strangers.fetch_sub(cost, Ordering::Relaxed);
        }
    }

    /// Bytes of all keys and values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|v| &**v)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(k, v)| (&**k, &**v))
    }

    /// Keeps a value in place of the one before; on refusal nothing changes.
    pub(super) fn set(
        &mut self,
        key: &str,
        value: &str,
        max_bytes: usize,
        max_total: usize,
    ) -> Result<(), Full> {
        let before = self.values.get(key).map(|v| key.len() + v.len());
        let bytes = self.bytes - before.unwrap_or(0) + key.len() + value.len();
        if bytes > max_bytes {
            return Err(Full::Bytes);
        }
        if before.is_none() && self.values.len() >= MAX_KEYS {
            return Err(Full::Keys);
        }
        let before_cost = self.cost();
        let keys = self.values.len() + usize::from(before.is_none());
        let more = (bytes + keys * KEY_COST).saturating_sub(before_cost);
        if !self.totals.reserve(more, max_total) {
            return Err(Full::Total(more));
        }
        self.values.insert(key.into(), value.into());
        self.bytes = bytes;
        if !self.owned {
            self.totals.strangers.fetch_add(more, Ordering::Relaxed);
        }
        // A shorter value than before: what it no longer needs.
        self.release((before_cost + more).saturating_sub(self.cost()));
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some(value) = self.values.remove(key) {
            self.bytes -= key.len() + value.len();
            self.release(key.len() + value.len() + KEY_COST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_refused_value_changes_nothing() {
        let mut data = Data::new(Arc::default(), false);
        data.set("k", "\"old\"", 16, usize::MAX).unwrap();
        assert_eq!(data.set("k", "\"far too long for it\"", 16, usize::MAX), Err(Full::Bytes));
        assert_eq!(data.get("k"), Some("\"old\""));
        assert_eq!(data.bytes(), 6);
        for n in 1..MAX_KEYS {
            data.set(&n.to_string(), "1", usize::MAX, usize::MAX).unwrap();
        }
        assert_eq!(data.set("one more", "1", usize::MAX, usize::MAX), Err(Full::Keys));
        assert_eq!(data.set("k", "2", usize::MAX, usize::MAX), Ok(()), "a key that is there may change");
    }

    proptest! {
        #[test]
        fn the_byte_count_is_what_is_there(steps in proptest::collection::vec(("[a-c]{1,2}", "[0-9]{0,6}"), 0..60)) {
            let totals = Arc::<Totals>::default();
            let mut data = Data::new(totals.clone(), false);
            for (key, value) in &steps {
                if value.is_empty() { data.remove(key) } else { let _ = data.set(key, value, 40, 500); }
                prop_assert_eq!(data.bytes(), data.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>());
                prop_assert!(data.bytes() <= 40 && totals.all() <= 500);
                prop_assert_eq!((totals.all(), totals.strangers()), (data.cost(), data.cost()));
            }
            data.own();
            prop_assert_eq!((totals.all(), totals.strangers()), (data.cost(), 0));
            drop(data);
            prop_assert_eq!((totals.all(), totals.strangers()), (0, 0));
        }
    }
}
