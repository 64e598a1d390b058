//! What a subscriber is shown before its group's live records: a snapshot, or a replay out of the source's own log.

use super::record::{FeedRecord, Positions};
use std::collections::VecDeque;
use std::sync::Arc;

/// Records a snapshot gives at a time.
const SNAPSHOT_CHUNK: usize = 32;

/// Pulled by the shard as the client reads, so it never overflows. Dropped when it is shown or its subscription ends.
pub trait Prelude: Send + std::fmt::Debug {
    /// Show what lies above `after` (`None`: above where the client said it was) up to `until`, each by partition. Called
    /// once at the beginning, and again if the live records moved on too far meanwhile; says whether it can.
    fn show(&mut self, after: Option<&Positions>, until: &Positions) -> bool;

    /// The next records.
    fn take(&mut self) -> Taken;

    /// The last offsets that the client said it had seen, of the partitions whose log holds them: the live records up to
    /// them are not shown again. Asked when all was taken.
    fn seen(&self) -> Positions {
        Positions::new()
    }
}

/// What a [`Prelude`] has.
#[derive(Debug)]
pub enum Taken {
    /// Some records.
    Records(Vec<Arc<FeedRecord>>),
    /// None so far: the shard is notified when there are (`Shard::poke`).
    Later,
    /// This number of them is gone.
    Missed(u64),
    /// All was shown.
    End,
}

/// The channel's latest records.
#[derive(Debug)]
pub(crate) struct Snapshot(pub(crate) VecDeque<Arc<FeedRecord>>);

impl Prelude for Snapshot {
    fn show(&mut self, after: Option<&Positions>, _: &Positions) -> bool {
        after.is_none()
    }

    fn take(&mut self) -> Taken {
        if self.0.is_empty() {
            return Taken::End;
        }
        let n = self.0.len().min(SNAPSHOT_CHUNK);
        Taken::Records(self.0.drain(..n).collect())
    }
}
