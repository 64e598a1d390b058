//! A cache of store results by credential, each valid for [`super::FRESH`] and bounded in number.

use super::FRESH;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Instant;

/// Maximum credentials in the cache.
const MAX: usize = 10_000;

pub(super) struct Cache<T> {
    known: Mutex<HashMap<Box<str>, (Instant, T)>>,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self { known: Mutex::default() }
    }
}

impl<T: Clone> Cache<T> {
    pub(super) fn get(&self, credential: &str) -> Option<T> {
        let known = self.known.lock();
        known.get(credential).filter(|(since, _)| since.elapsed() < FRESH).map(|(_, answer)| answer.clone())
    }

    pub(super) fn put(&self, credential: &str, answer: T) {
        let mut known = self.known.lock();
        if known.len() >= MAX {
            known.retain(|_, (since, _)| since.elapsed() < FRESH);
        }
        if known.len() < MAX {
            known.insert(credential.into(), (Instant::now(), answer));
        }
    }

    pub(super) fn retain(&self, keep: impl Fn(&T) -> bool) {
        self.known.lock().retain(|_, (_, answer)| keep(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::Cache;

    #[test]
    fn forgotten_entries_are_queried_again() {
        let cache = Cache::default();
        cache.put("a", 1);
        cache.put("b", 2);
        assert_eq!((cache.get("a"), cache.get("c")), (Some(1), None));
        cache.retain(|n| *n != 1);
        assert_eq!((cache.get("a"), cache.get("b")), (None, Some(2)));
    }
}
