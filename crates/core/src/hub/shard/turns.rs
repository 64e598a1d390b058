//! A turn: closing batches, taking posts, handing out what the driver must do and what was counted.

use super::*;

impl<D> Shard<D> {
    /// Closes the batches this turn opened. A topic whose flush is still under way here stays open, so that under load
    /// batches grow instead of their number.
    pub fn end_turn(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.retain(|topic| {
            let busy = self.by_id.get(&topic.id).is_some_and(|&l| self.local(l).jobs > 0);
            if busy && topic.lock().open.bytes() < MAX_OPEN_BYTES {
                return true;
            }
            self.topics.close_batch(topic, Some(self.config.id));
            false
        });
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
        self.take_inbox();
    }

    /// Takes the posts of the inbox over, in order.
    pub fn take_inbox(&mut self) {
        self.topics.inboxes()[usize::from(self.config.id)].take(&mut self.taken);
        while let Some(post) = self.taken.pop_front() {
            let (topic, work) = match post {
                Post::Driver(post) => {
                    self.driver.push_back(post);
                    continue;
                }
                Post::Batch(batch) => (batch.topic, Work::Events(batch)),
                Post::Deleted { topic } => (topic, Work::Deletion),
                Post::Upstream(came) => {
                    self.came.push_back(came);
                    continue;
                }
            };
            if let Some(&local) = self.by_id.get(&topic) {
                self.locals_mut(local).jobs += 1;
                self.jobs.push_back(Job { local, work });
            } else if let Work::Events(batch) = &work {
                self.told_flushed(batch);
            }
        }
    }

    /// The next post that is the driver's own.
    pub fn next_driver_post(&mut self) -> Option<D> {
        self.driver.pop_front()
    }

    /// Whether [`Shard::run`] has something to do.
    pub fn has_work(&self) -> bool {
        self.is_flushing() || !self.dirty.is_empty() || !self.driver.is_empty()
    }

    /// Whether posted batches or replays wait for [`Shard::run`].
    pub fn is_flushing(&self) -> bool {
        !self.jobs.is_empty() || !self.pulling.is_empty() || !self.came.is_empty()
    }

    /// Everything that decides what the shard does next, for tests that compare states.
    pub fn state(&self) -> impl std::fmt::Debug + '_ {
        let connections = (&self.hot, &self.cold, &self.free, self.queued_bytes);
        let topics = (&self.locals, &self.free_locals);
        (connections, topics, &self.jobs, self.cursor, &self.dirty, &self.pulling)
    }

    /// Topics that connections of this shard are subscribed to, or of which posts are not flushed.
    pub fn local_topics(&self) -> usize {
        self.by_id.len()
    }

    /// Whether batches of this shard's own turns are still open or being flushed.
    pub fn is_flushed(&self) -> bool {
        self.jobs.is_empty() && self.dirty.is_empty()
    }

    /// Flushes with at most `budget` sends (a send more for each that needs more than one).
    pub fn run(&mut self, wire: &mut impl Wire, mut budget: usize, now_ms: u64) {
        while let Some(came) = self.came.pop_front() {
            self.on_upstream(came);
        }
        for _ in 0..self.pulling.len().min(budget) {
            if let Some(slot) = self.pulling.pop_front() {
                self.pull(slot, wire, now_ms);
            }
        }
        while budget > 0 && !self.jobs.is_empty() {
            budget = self.run_job(wire, budget, now_ms);
        }
    }

    /// What the driver must do, in order.
    pub fn effects(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// Counts since the last call.
    pub fn take_counts(&mut self) -> ShardCounts {
        std::mem::take(&mut self.counts)
    }

    /// When the batches flushed since the last call were opened.
    pub fn take_flushes(&mut self) -> std::vec::Drain<'_, std::time::Instant> {
        self.flushes.drain(..)
    }

    /// Bytes that wait in all outboxes.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }
}
