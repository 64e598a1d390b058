//! What a client keeps in its session: JSON values under string keys, as they were sent.

use std::collections::BTreeMap;

/// Keys one session may have. Each costs about a hundred bytes beside its own text, so bytes alone would not bound it.
pub(super) const MAX_KEYS: usize = 1024;

/// Why a value was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Bytes,
    Keys,
}

/// Ordered by key, so that every answer lists them alike.
#[derive(Default)]
pub(super) struct Data {
    values: BTreeMap<Box<str>, Box<str>>,
    bytes: usize,
}

impl Data {
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
    pub(super) fn set(&mut self, key: &str, value: &str, max_bytes: usize) -> Result<(), Full> {
        let before = self.values.get(key).map(|v| key.len() + v.len());
        let bytes = self.bytes - before.unwrap_or(0) + key.len() + value.len();
        if bytes > max_bytes {
            return Err(Full::Bytes);
        }
        if before.is_none() && self.values.len() >= MAX_KEYS {
            return Err(Full::Keys);
        }
        self.values.insert(key.into(), value.into());
        self.bytes = bytes;
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some(value) = self.values.remove(key) {
            self.bytes -= key.len() + value.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_refused_value_changes_nothing() {
        let mut data = Data::default();
        data.set("k", "\"old\"", 16).unwrap();
        assert_eq!(data.set("k", "\"far too long for it\"", 16), Err(Full::Bytes));
        assert_eq!(data.get("k"), Some("\"old\""));
        assert_eq!(data.bytes(), 6);
        for n in 1..MAX_KEYS {
            data.set(&n.to_string(), "1", usize::MAX).unwrap();
        }
        assert_eq!(data.set("one more", "1", usize::MAX), Err(Full::Keys));
        assert_eq!(data.set("k", "2", usize::MAX), Ok(()), "a key that is there may change");
    }

    proptest! {
        #[test]
        fn the_byte_count_is_what_is_there(steps in proptest::collection::vec(("[a-c]{1,2}", "[0-9]{0,6}"), 0..60)) {
            let mut data = Data::default();
            for (key, value) in &steps {
                if value.is_empty() { data.remove(key) } else { let _ = data.set(key, value, 40); }
                prop_assert_eq!(data.bytes(), data.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>());
                prop_assert!(data.bytes() <= 40);
            }
        }
    }
}
