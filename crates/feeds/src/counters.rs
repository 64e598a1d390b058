//! Counters since the start, by topic; never by channel or key, whose number has no bound.

use crate::mapping::Bad;
use crate::status::FeedsStatus;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// All counters of a source.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    records: Mutex<BTreeMap<Arc<str>, u64>>,
    skipped: Mutex<BTreeMap<(Arc<str>, Bad), u64>>,
    dead: Mutex<BTreeMap<(Arc<str>, Bad), u64>>,
    log_restarts: Mutex<BTreeMap<Arc<str>, u64>>,
    expired: Mutex<BTreeMap<Arc<str>, u64>>,
    pub(crate) restarts: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) rebalances: AtomicU64,
}

impl Counters {
    /// Counts records that were read.
    pub(crate) fn read(&self, topic: &Arc<str>, count: u64) {
        *self.records.lock().entry(Arc::clone(topic)).or_default() += count;
    }

    /// Counts an invalid record that was skipped.
    #[cfg(feature = "kafka")]
    pub(crate) fn skipped(&self, topic: &Arc<str>, bad: Bad) {
        *self.skipped.lock().entry((Arc::clone(topic), bad)).or_default() += 1;
    }

    /// Counts an invalid record that was written to the dead letters.
    #[cfg(feature = "kafka")]
    pub(crate) fn dead(&self, topic: &Arc<str>, bad: Bad) {
        *self.dead.lock().entry((Arc::clone(topic), bad)).or_default() += 1;
    }

    /// Counts a partition's log that restarted.
    #[cfg(feature = "kafka")]
    pub(crate) fn log_restarted(&self, topic: &Arc<str>) {
        *self.log_restarts.lock().entry(Arc::clone(topic)).or_default() += 1;
    }

    /// Counts a stored position that was not in its log any more.
    #[cfg(feature = "kafka")]
    pub(crate) fn expired(&self, topic: &Arc<str>) {
        *self.expired.lock().entry(Arc::clone(topic)).or_default() += 1;
    }

    /// Writes the counts into a status.
    pub(crate) fn fill(&self, status: &mut FeedsStatus) {
        let by_reason = |counts: &Mutex<BTreeMap<(Arc<str>, Bad), u64>>| {
            let counts = counts.lock();
            counts.iter().map(|((topic, bad), &count)| (Arc::clone(topic), bad.word(), count)).collect()
        };
        let by_topic = |counts: &Mutex<BTreeMap<Arc<str>, u64>>| {
            counts.lock().iter().map(|(topic, &count)| (Arc::clone(topic), count)).collect()
        };
        status.records_total = by_topic(&self.records);
        status.log_restarts_total = by_topic(&self.log_restarts);
        status.expired_total = by_topic(&self.expired);
        status.skipped_total = by_reason(&self.skipped);
        status.dead_letters_total = by_reason(&self.dead);
        status.restarts_total = self.restarts.load(Ordering::Relaxed);
        status.errors_total = self.errors.load(Ordering::Relaxed);
        status.rebalances_total = self.rebalances.load(Ordering::Relaxed);
    }
}
