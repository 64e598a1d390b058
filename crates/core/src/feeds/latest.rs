//! The latest record of each type, and of each key where the mapping keeps those: what newcomers are shown first.

use super::record::FeedRecord;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Keys and bytes kept of one channel at most; those that were silent longest go first.
const MAX_KEYS: usize = 100_000;
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Ages of what was delivered begin above it, those of what was filled in below: it stood in the log before.
const LIVE: u64 = 1 << 62;

type Subject = (Arc<str>, Option<Arc<str>>);

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Latest {
    by_subject: HashMap<Subject, u64>,
    by_age: BTreeMap<u64, (Subject, Arc<FeedRecord>)>,
    clock: u64,
    filled: u64,
    bytes: usize,
}

impl Latest {
    /// Notes a record: for its key if the mapping keeps those, else only for its type.
    pub(super) fn put(&mut self, record: &Arc<FeedRecord>) {
        let key = record.key.clone().filter(|_| record.per_key.snapshot);
        self.remove((record.kind.clone(), key.clone()));
        self.clock += 1;
        self.bytes += record.body.len();
        let age = LIVE + self.clock;
        self.by_subject.insert((record.kind.clone(), key.clone()), age);
        self.by_age.insert(age, ((record.kind.clone(), key), record.clone()));
        while self.by_age.len() > MAX_KEYS || self.bytes > MAX_BYTES {
            let Some((_, (subject, record))) = self.by_age.pop_first() else { break };
            self.by_subject.remove(&subject);
            self.bytes -= record.body.len();
        }
    }

    /// Notes a record from before live reading began, if there is room and nothing newer of its key. Newest first.
    pub(super) fn fill(&mut self, record: &Arc<FeedRecord>) {
        let subject = (record.kind.clone(), record.key.clone());
        let full = self.by_age.len() >= MAX_KEYS || self.bytes + record.body.len() > MAX_BYTES;
        if full || record.key.is_none() || self.by_subject.contains_key(&subject) {
            return;
        }
        self.filled += 1;
        let age = LIVE - self.filled;
        self.bytes += record.body.len();
        self.by_subject.insert(subject.clone(), age);
        self.by_age.insert(age, (subject, record.clone()));
    }

    /// Forgets a type's key.
    pub(super) fn remove(&mut self, subject: Subject) {
        if let Some(at) = self.by_subject.remove(&subject)
            && let Some((_, record)) = self.by_age.remove(&at)
        {
            self.bytes -= record.body.len();
        }
    }

    /// Forgets what was read of a partition.
    pub(super) fn forget(&mut self, topic: &Arc<str>, partition: i32) {
        let of = |record: &FeedRecord| record.partition == partition && record.topic == *topic;
        let gone = self.by_age.extract_if(.., |_, (_, record)| of(record));
        for (_, (subject, record)) in gone {
            self.by_subject.remove(&subject);
            self.bytes -= record.body.len();
        }
    }

    /// All of them in the order in which they came.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<FeedRecord>> {
        self.by_age.values().map(|(_, record)| record)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::PerKey;

    fn record(kind: &str, key: Option<&str>, snapshot: bool, offset: i64) -> Arc<FeedRecord> {
        Arc::new(FeedRecord {
            kind: kind.into(),
            key: key.map(Into::into),
            topic: "x".into(),
            partition: 0,
            offset,
            per_key: PerKey { snapshot, conflate: false },
            body: "12".into(),
        })
    }

    #[test]
    fn the_newest_of_each_subject_stays_in_the_order_of_arrival() {
        let mut latest = Latest::default();
        for (kind, key, keyed, offset) in [
            ("a", Some("k"), true, 1),
            ("a", Some("l"), true, 2),
            ("b", Some("k"), false, 3),
            ("b", None, false, 4),
            ("a", Some("k"), true, 5),
        ] {
            latest.put(&record(kind, key, keyed, offset));
        }
        assert_eq!(latest.all().map(|r| r.offset).collect::<Vec<_>>(), [2, 4, 5]);
        latest.remove(("a".into(), Some("k".into())));
        latest.remove(("a".into(), Some("nobody".into())));
        assert_eq!((latest.all().count(), latest.bytes), (2, 4));
        for (key, offset) in [("m", -1), ("l", -2), ("n", -3)] {
            latest.fill(&record("a", Some(key), true, offset));
        }
        assert_eq!(latest.all().map(|r| r.offset).collect::<Vec<_>>(), [-3, -1, 2, 4]);
        latest.forget(&"x".into(), 1);
        assert_eq!(latest.all().count(), 4);
        latest.forget(&"x".into(), 0);
        assert!(latest.is_empty() && latest.by_subject.is_empty() && latest.bytes == 0);
    }
}
