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
    /// The position of the last delivery before it: those above are its own.
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
    /// Returns the new cursor; `moved` is called for every subscriber whose place changed.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Backpressure;
    use crate::model::Epoch;
    use crate::ports::{Appended, Log, NewEvent, Opened, Retention, Sequencer};
    use crate::topics::{Chain, Histories, Tail, TopicOptions};
    use std::collections::HashMap;

    #[derive(Debug)]
    struct Silent;

    impl Sequencer for Silent {
        fn append(&mut self, event: &NewEvent<'_>) -> Appended {
            panic!("nobody publishes {event:?}")
        }
    }

    fn local() -> LocalTopic {
        let retention = Retention { size: 0, ttl_ms: 0, bytes: 0 };
        let options = TopicOptions { backpressure: Backpressure::Disconnect, retention, durable: None };
        let tail = Tail::new(retention, &Histories::new(0));
        let log = Log { chain: Chain::new(Epoch(1)), tail, sequencer: Box::new(Silent), client: None };
        LocalTopic::new(Arc::new(Topic::new("t".into(), 1, options, Opened::Here(log), None)))
    }

    #[test]
    fn a_removal_keeps_done_and_not_done_apart_and_tells_who_moved() {
        for len in 1..7_u32 {
            for (place, cursor) in (0..len).flat_map(|p| (0..=len).map(move |c| (p, c as usize))) {
                let mut topic = local();
                let mut places: HashMap<u32, u32> = (0..len).map(|slot| (slot, topic.push(slot))).collect();
                let after = topic.remove(place, cursor, |slot, to| {
                    places.insert(slot, to);
                });
                places.remove(&place);
                let done = |slot: &u32| (*slot as usize) < cursor;
                assert_eq!(topic.list.len(), len as usize - 1);
                assert!(topic.list[..after].iter().all(done), "{len} {place} {cursor}: {topic:?}");
                assert!(!topic.list[after..].iter().any(done), "{len} {place} {cursor}: {topic:?}");
                assert!(
                    places.iter().all(|(slot, at)| topic.list[*at as usize] == *slot),
                    "{places:?} {topic:?}"
                );
            }
        }
    }

    #[test]
    fn a_topic_is_unused_without_subscribers_of_any_kind_and_posts() {
        let mut topic = local();
        assert!(topic.is_unused());
        topic.jobs = 1;
        assert!(!topic.is_unused());
        topic.jobs = 0;
        topic.joins.push(Join { slot: 1, from: 0 });
        assert!(!topic.is_unused());
        topic.joins.clear();
        topic.replaying.push(1);
        assert!(!topic.is_unused());
        topic.replaying.clear();
        topic.push(3);
        assert!(!topic.is_unused());
        topic.remove(0, 0, |_, _| panic!("nobody is left to move"));
        assert!(topic.is_unused() && topic.list.capacity() == 0);
    }
}
