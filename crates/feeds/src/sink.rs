//! Where records go: the port between the sources of this crate and whoever fans records out.

use crate::model::{Delivery, Record};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A partition began or ceased to lag behind (`kafka.lag_warn`).
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

/// Takes what the sources read.
///
/// Called on threads of the source, never on an async runtime's: it may wait, which holds back this partition and in
/// time its reading, but no other. Batches of one partition come one after the other and in order; batches of different
/// partitions may come at the same time.
pub trait FeedSink: Send + Sync + 'static {
    /// Takes a batch. Returns when all of it has reached the hub (with a cluster's broker: its acknowledgement too),
    /// because the position after it is stored as soon as this returns: what is still on its way then is lost in a crash.
    fn deliver(&self, batch: &[Delivery<'_>]);

    /// Takes what snapshots hold of a partition's log before live reading began, up to an offset, the newest record first. Answers
    /// false, to be called again with more of the log, when it was given a tombstone above that offset: the record that it took out
    /// may be among these.
    fn fill(&self, topic: &Arc<str>, partition: i32, up_to: i64, records: &[&Record]) -> bool;

    /// A lag alert begins or ends; the sink says so to whoever should know, the log included.
    fn lag(&self, alert: LagAlert);

    /// A thread of the source panicked, so records may stop without an error. The sink ends the process or the source.
    fn failed(&self, thread: &str);
}

/// Starts a thread of a source; its panic is reported to the sink.
///
/// # Errors
/// When the kernel has no thread left.
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
