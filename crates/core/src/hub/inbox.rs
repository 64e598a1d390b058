//! A shard's inbox: what other threads, and the shard itself, have for it to do, in order.
//!
//! The order of a topic across shards rests on this queue: the holder of a topic's lock appends, so two posts about one
//! topic are seen by every shard in the order in which the lock was held (`performance.md` "Order").

use super::addr::ConnAddr;
use super::batch::Batch;
use crate::ports::{Arrival, Away};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One thing to do. `D` is the driver's own kind of post (new sockets, notices), which the hub passes through.
#[derive(Debug)]
pub enum Post<D> {
    /// Events of a topic for its local subscribers.
    Batch(Arc<Batch>),
    /// The topic is gone: end its local subscriptions and notify them.
    Deleted {
        /// The topic's id.
        topic: u64,
    },
    /// What subscriptions to followed topics have waited for.
    Upstream(Came),
    /// For the driver.
    Driver(D),
}

/// What an upstream has said.
#[derive(Debug)]
pub enum Came {
    /// A topic knows where its log is, or that it cannot know.
    Attached {
        /// The topic's id.
        topic: u64,
    },
    /// What a subscription reads back.
    Events {
        /// The connection.
        reader: ConnAddr,
        /// The topic's id.
        topic: u64,
        /// The number of the read.
        serial: u64,
        /// The events, if the upstream is there.
        events: Result<Vec<Arrival>, Away>,
    },
}

/// A queue of posts with a bell that wakes its shard.
pub struct Inbox<D> {
    queue: Mutex<VecDeque<Post<D>>>,
    rung: AtomicBool,
    bell: Box<dyn Fn() + Send + Sync>,
}

impl<D> std::fmt::Debug for Inbox<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("posts", &self.queue.lock().len()).finish_non_exhaustive()
    }
}

impl<D> Inbox<D> {
    /// An empty inbox; `bell` is called from other threads when the shard may be asleep.
    pub fn new(bell: impl Fn() + Send + Sync + 'static) -> Self {
        Self { queue: Mutex::default(), rung: AtomicBool::new(false), bell: Box::new(bell) }
    }

    /// Appends a post. `own` says that the shard's own thread is the caller, which looks by itself.
    pub fn push(&self, post: Post<D>, own: bool) {
        self.queue.lock().push_back(post);
        if !own && !self.rung.swap(true, Ordering::AcqRel) {
            (self.bell)();
        }
    }

    /// Moves everything to `into`, keeping the order.
    pub fn take(&self, into: &mut VecDeque<Post<D>>) {
        self.rung.store(false, Ordering::Release);
        into.append(&mut self.queue.lock());
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }
}
