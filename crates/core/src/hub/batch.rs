//! A batch: the events that entered a topic in one turn, encoded once for each variant that has subscribers.
//!
//! While it is open it grows under its topic's lock; closed, it is immutable and shared by reference with every shard
//! and every backlog.

use super::addr::ConnAddr;
use crate::model::Delivery;
use crate::ports::{Encoders, VARIANTS};
use crate::topics::Topic;
use std::sync::Arc;
use std::time::Instant;

/// What happens to a subscriber whose queue is full (`protocol.md` 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Backpressure {
    /// It is sent `SLOW_CONSUMER` and closed with 1013.
    #[default]
    Disconnect,
    /// Its oldest queued events are dropped, and it is sent their number.
    DropOldest,
}

/// Frames of consecutive events in one variant.
#[derive(Debug, Default)]
pub struct Frames {
    /// All frames, one after the other.
    pub bytes: Vec<u8>,
    /// Where each frame ends in `bytes`.
    pub ends: Vec<u32>,
}

impl Frames {
    /// Where frame `index` begins.
    pub fn start(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.ends[index - 1] as usize }
    }

    /// The frame that holds the byte at `pos`, or the number of frames at the end.
    pub fn frame_at(&self, pos: usize) -> usize {
        self.ends.partition_point(|&end| end as usize <= pos)
    }
}

/// Closed deliveries of one topic, at consecutive positions from `first` on.
pub struct Batch {
    /// The topic's id.
    pub topic: u64,
    /// Position of the first; see [`crate::topics::Tail`].
    pub first: u64,
    /// Number of deliveries.
    pub count: u32,
    /// Frames by variant; empty for variants without subscribers when the batch was created.
    pub frames: [Frames; VARIANTS],
    /// Events that one connection is not sent: (index in the batch, connection).
    pub excluded: Vec<(u32, ConnAddr)>,
    /// The topic's policy.
    pub policy: Backpressure,
    /// When the first event entered.
    pub opened: Instant,
    /// The topic, if it is notified when they are flushed.
    pub paced: Option<Arc<Topic>>,
}

// What a batch says, not when: two equal states of a shard print the same.
impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let frames = self.frames.each_ref().map(|frames| frames.ends.len());
        f.debug_struct("Batch")
            .field("topic", &self.topic)
            .field("first", &self.first)
            .field("count", &self.count)
            .field("frames", &frames)
            .field("excluded", &self.excluded)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for OpenBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let frames = self.frames.each_ref().map(|frames| frames.ends.len());
        f.debug_struct("OpenBatch")
            .field("first", &self.first)
            .field("count", &self.count)
            .field("frames", &frames)
            .field("excluded", &self.excluded)
            .finish_non_exhaustive()
    }
}

/// A batch that still grows.
#[derive(Default)]
pub struct OpenBatch {
    first: u64,
    count: u32,
    frames: [Frames; VARIANTS],
    excluded: Vec<(u32, ConnAddr)>,
    opened: Option<Instant>,
}

impl OpenBatch {
    /// Whether it holds no event.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes in its largest variant.
    pub fn bytes(&self) -> usize {
        self.frames.iter().map(|f| f.bytes.len()).max().unwrap_or(0)
    }

    /// Appends the delivery at position `pos`, which enters at `at`, encoded for the variants whose `subscribed` count is not zero.
    pub fn push(
        &mut self,
        pos: u64,
        delivery: &Delivery<'_>,
        encoders: &Encoders,
        subscribed: &[u32; VARIANTS],
        excluded: Option<ConnAddr>,
        at: Instant,
    ) {
        if self.count == 0 {
            self.first = pos;
            self.opened = Some(at);
        }
        for (variant, frames) in self.frames.iter_mut().enumerate() {
            if subscribed[variant] > 0 {
                encoders[variant].delivery(delivery, &mut frames.bytes);
                frames.ends.push(frames.bytes.len() as u32);
            }
        }
        if let Some(addr) = excluded {
            self.excluded.push((self.count, addr));
        }
        self.count += 1;
    }

    /// Takes the events out as a closed batch; nothing when it is empty.
    pub fn close(&mut self, topic: u64, policy: Backpressure) -> Option<Batch> {
        let opened = self.opened?;
        let open = std::mem::take(self);
        Some(Batch {
            topic,
            first: open.first,
            count: open.count,
            frames: open.frames,
            excluded: open.excluded,
            policy,
            opened,
            paced: None,
        })
    }
}
