//! The sink of records: the port between the sources of this crate and the hub that fans records out.

use crate::model::{Delivery, Record};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A partition started or ceased to lag behind (`kafka.lag_warn`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagAlert {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition of it.
    pub partition: i32,
    /// Records it is behind.
    pub lag: u64,
    /// `true` when the alert begins, `false` when it ends.
    pub raised: bool,
}

/// Receives what the sources read.
///
/// Called on threads of the source, never on an async runtime's: it may block, which holds back this partition and in
/// time its reading, but no other. Batches of one partition arrive one after the other and in order; batches of
/// different partitions may arrive at the same time.
pub trait FeedSink: Send + Sync + 'static {
    /// Delivers a batch. Returns when all of it has reached the hub (with a cluster's broker: after its
    /// acknowledgement), because the position after it is stored as soon as this returns: records still in flight then
    /// are lost in a crash.
    fn deliver(&self, batch: &[Delivery<'_>]);

    /// Fills snapshots with the records of a partition's log before live reading started, up to an offset, newest
    /// first. Returns false when a tombstone above that offset has been delivered, because the record it removed may be
    /// among these; the source then calls again with more of the log.
    fn fill(&self, topic: &Arc<str>, partition: i32, up_to: i64, records: &[&Record]) -> bool;

    /// Notifies that a lag alert was raised or ended; the sink logs it and notifies the clients concerned.
    fn lag(&self, alert: LagAlert);

    /// A thread of the source panicked, so records may stop without an error. The sink ends the process or the source.
    fn failed(&self, thread: &str);
}

/// Starts a thread of a source; its panic is reported to the sink.
///
/// # Errors
/// If the system cannot start another thread.
pub(crate) fn spawn(
    name: &'static str,
    sink: Arc<dyn FeedSink>,
    run: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    let thread = move || {
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            sink.failed(name);
        }
    };
    std::thread::Builder::new().name(name.into()).spawn(thread).map(drop)
}
