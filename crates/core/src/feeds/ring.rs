//! What a group has heard last: bridges a replay and the live records, and is what a slow reader of a conflating channel reads.

use super::record::FeedRecord;
use crate::ports::Lost;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Records and bytes a ring keeps at most. A replay that falls further behind begins again at its source.
const RING: (usize, usize) = (4096, 4 * 1024 * 1024);
/// The same where superseded records go first: room for the newest value of many keys.
const COMPACTED: (usize, usize) = (65_536, 32 * 1024 * 1024);
/// What a record costs beside its texts, in bytes.
const OVERHEAD: usize = 128;

/// A record's type and key.
type Subject = (Arc<str>, Arc<str>);

/// The last records of a group by their offset in it.
#[derive(Debug)]
pub(crate) struct GroupRing {
    records: BTreeMap<u64, Arc<FeedRecord>>,
    /// The newest record of each type and key; only where superseded records go.
    newest: Option<HashMap<Subject, u64>>,
    head: u64,
    /// The highest offset that went for want of room.
    evicted: u64,
    bytes: usize,
    /// Logs that began anew: how many had before, and the head then, by (topic, partition). Records above that are of the new log.
    restarts: BTreeMap<(Arc<str>, i32), (u64, u64)>,
    restarted: u64,
}

impl GroupRing {
    /// An empty ring; `conflate` lets the records of a key that a newer one supersedes go.
    pub(crate) fn new(conflate: bool) -> Self {
        let newest = conflate.then(HashMap::new);
        Self {
            records: BTreeMap::new(),
            newest,
            head: 0,
            evicted: 0,
            bytes: 0,
            restarts: BTreeMap::new(),
            restarted: 0,
        }
    }

    /// Notes that a partition's log began anew.
    pub(crate) fn restart(&mut self, at: (Arc<str>, i32)) {
        self.restarts.insert(at, (self.restarted, self.head));
        self.restarted += 1;
    }

    /// How many logs began anew.
    pub(crate) fn restarted(&self) -> u64 {
        self.restarted
    }

    /// The partitions whose logs began anew since `before` had, and the head when each did.
    pub(crate) fn restarts(&self, before: u64) -> BTreeMap<(Arc<str>, i32), u64> {
        let since = self.restarts.iter().filter(|(_, (count, _))| *count >= before);
        since.map(|(at, (_, head))| (at.clone(), *head)).collect()
    }

    /// The offset of the last record; 0 before the first.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Keeps a record; answers its offset in the group.
    pub(crate) fn push(&mut self, record: Arc<FeedRecord>) -> u64 {
        self.head += 1;
        if let (Some(newest), Some(key)) = (&mut self.newest, &record.key)
            && record.per_key.conflate
            && let Some(old) = newest.insert((record.kind.clone(), key.clone()), self.head)
        {
            self.remove(old);
        }
        self.bytes += cost(&record);
        self.records.insert(self.head, record);
        let (size, bytes) = if self.newest.is_some() { COMPACTED } else { RING };
        while self.records.len() > size || self.bytes > bytes {
            let Some((&oldest, _)) = self.records.first_key_value() else { break };
            self.evicted = oldest;
            if let Some(gone) = self.remove(oldest)
                && let (Some(newest), Some(key)) = (&mut self.newest, &gone.key)
            {
                let subject = (gone.kind.clone(), key.clone());
                if newest.get(&subject) == Some(&oldest) {
                    newest.remove(&subject);
                }
            }
        }
        self.head
    }

    fn remove(&mut self, offset: u64) -> Option<Arc<FeedRecord>> {
        let gone = self.records.remove(&offset)?;
        self.bytes -= cost(&gone);
        Some(gone)
    }

    /// The records above `after`, oldest first, for as long as `each` answers true; says whether the end was reached.
    ///
    /// # Errors
    /// [`Lost`] when records above `after` went for want of room; nothing was shown then.
    pub(crate) fn range(
        &self,
        after: u64,
        mut each: impl FnMut(u64, &Arc<FeedRecord>) -> bool,
    ) -> Result<bool, Lost> {
        if after < self.evicted {
            return Err(Lost { oldest: self.evicted + 1 });
        }
        let mut rest = self.records.range(after + 1..);
        Ok(rest.all(|(&offset, record)| each(offset, record)) || rest.next().is_none())
    }
}

fn cost(record: &FeedRecord) -> usize {
    record.body.len() + record.key.as_ref().map_or(0, |k| k.len()) + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::PerKey;

    fn record(key: Option<&str>, bytes: usize) -> Arc<FeedRecord> {
        Arc::new(FeedRecord {
            kind: "t".into(),
            key: key.map(Into::into),
            topic: "x".into(),
            partition: 0,
            offset: 0,
            per_key: PerKey { snapshot: false, conflate: true },
            body: "x".repeat(bytes).into(),
        })
    }

    fn held(ring: &GroupRing, after: u64) -> Result<Vec<u64>, Lost> {
        let mut found = Vec::new();
        ring.range(after, |offset, _| {
            found.push(offset);
            true
        })
        .map(|end| {
            assert!(end);
            found
        })
    }

    #[test]
    fn what_went_for_want_of_room_is_lost_and_not_skipped() {
        let mut ring = GroupRing::new(false);
        (0..RING.0 + 10).for_each(|_| {
            ring.push(record(Some("k"), 1));
        });
        assert_eq!(held(&ring, 9), Err(Lost { oldest: 11 }));
        assert_eq!(held(&ring, 10).unwrap().len(), RING.0);
        assert_eq!(held(&ring, ring.head()).unwrap(), []);
        ring.push(record(None, RING.1 - OVERHEAD));
        assert_eq!(held(&ring, ring.head() - 1).unwrap(), [ring.head()]);
        assert!(held(&ring, ring.head() - 2).is_err());
    }

    #[test]
    fn superseded_records_leave_a_conflating_ring_without_a_loss() {
        let mut ring = GroupRing::new(true);
        for key in ["a", "b", "a", "a", "c", "b"] {
            ring.push(record(Some(key), 1));
        }
        ring.push(record(None, 1));
        ring.push(record(None, 1));
        assert_eq!(held(&ring, 0).unwrap(), [4, 5, 6, 7, 8]);
        assert_eq!(ring.bytes, 3 * (2 + OVERHEAD) + 2 * (1 + OVERHEAD));
        let mut shown = 0;
        assert_eq!(
            ring.range(4, |_, _| {
                shown += 1;
                false
            }),
            Ok(false)
        );
        assert_eq!(shown, 1);
    }
}
