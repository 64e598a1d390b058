//! A topic's subscribers on one shard.
//!
//! `list` is flat, in no order, and is what a flush walks. A flush of one batch may be sliced, so a removal keeps what is
//! done (`..cursor`) and what is not apart. A subscriber that came while batches from before it still wait stands in
//! `joins` with the head it saw; it enters the list when those are done.

use crate::topics::Topic;
use std::sync::Arc;

/// A place in [`LocalTopic::list`], or one of the two waiting states.
pub(crate) const JOINING: u32 = u32::MAX;
/// The subscriber is still being replayed to.
pub(crate) const REPLAYING: u32 = u32::MAX - 1;

/// One subscription of a connection: which local topic, and where in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sub {
    pub(crate) local: u32,
    pub(crate) place: u32,
}

/// A subscriber that waits for the batches from before it to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Join {
    pub(crate) slot: u32,
    /// The head it was told: events above it are its own.
    pub(crate) from: u64,
}

#[derive(Debug)]
pub(crate) struct LocalTopic {
    pub(crate) topic: Arc<Topic>,
    pub(crate) list: Vec<u32>,
    pub(crate) joins: Vec<Join>,
    pub(crate) replaying: Vec<u32>,
    /// Posts about this topic that are not done.
    pub(crate) jobs: usize,
}

impl LocalTopic {
    pub(crate) fn new(topic: Arc<Topic>) -> Self {
        Self { topic, list: Vec::new(), joins: Vec::new(), replaying: Vec::new(), jobs: 0 }
    }

    pub(crate) fn is_unused(&self) -> bool {
        self.list.is_empty() && self.joins.is_empty() && self.replaying.is_empty() && self.jobs == 0
    }

    /// Appends a subscriber; answers its place.
    pub(crate) fn push(&mut self, slot: u32) -> u32 {
        self.list.push(slot);
        (self.list.len() - 1) as u32
    }

    /// Takes the subscriber at `place` out. `cursor` is how far a flush of this topic has come (0 when there is none).
    /// Answers the new cursor; `moved` is told of every subscriber whose place changed.
    pub(crate) fn remove(&mut self, place: u32, cursor: usize, mut moved: impl FnMut(u32, u32)) -> usize {
        let mut hole = place as usize;
        let mut cursor = cursor;
        if hole < cursor {
            // Fill the hole with the last one done, so that the last one not done does not land among the done.
            cursor -= 1;
            self.list.swap(hole, cursor);
            if hole != cursor {
                moved(self.list[hole], hole as u32);
            }
            hole = cursor;
        }
        self.list.swap_remove(hole);
        if let Some(&slot) = self.list.get(hole) {
            moved(slot, hole as u32);
        }
        // An empty list keeps no room: a topic that was large once costs nothing later.
        if self.list.is_empty() {
            self.list = Vec::new();
        }
        cursor
    }
}
