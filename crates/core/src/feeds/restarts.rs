//! Which logs of a source began again while a group was there.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A partition: topic and number.
type Partition = (Arc<str>, i32);

/// The partitions whose logs began again: the number of restarts before, and the group's head then. Records above that are of the
/// new log.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    by_partition: BTreeMap<Partition, (u64, u64)>,
    count: u64,
}

impl Restarts {
    /// Notes that a partition's log began again when the group's head was `head`.
    pub(crate) fn note(&mut self, at: Partition, head: u64) {
        self.by_partition.insert(at, (self.count, head));
        self.count += 1;
    }

    /// The number of restarts so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The partitions whose logs began again since there had been `before` restarts, and the group's head when each did.
    pub(crate) fn since(&self, before: u64) -> BTreeMap<Partition, u64> {
        let since = self.by_partition.iter().filter(|(_, (count, _))| *count >= before);
        since.map(|(at, (_, head))| (at.clone(), *head)).collect()
    }
}
