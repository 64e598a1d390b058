//! Topics that follow a log: what another place has ordered enters here.
//!
//! Data flows: an upstream reports events that arrived, the place of a log, and events that were requested ([`super::arrive`]). The event above the head enters, those up to it are dropped, and those above a hole are held for a moment. What
//! does not come by then is read. If it cannot be read, the topic asks again where the log is, subscribers are sent `POSITION_LOST`, and
//! the topic continues from there.
//!
//! What must always hold: events enter in the order of the log, each once, and nothing is left out without `POSITION_LOST`. Nobody who
//! reports arrivals waits for a topic: one whose shards do not keep up lets events go and reads them later, as it reads a hole.

use crate::model::Epoch;
use crate::ports::{Arrival, AttachTicket, LogRef, Upstream};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long a hole may stay before it is read, in milliseconds: events on several ways overtake each other.
pub const HOLD_MS: u64 = 20;
/// How long an upstream that is away is left alone, in milliseconds.
pub const RETRY_MS: u64 = 1000;
/// Events above a hole that a topic holds at most; those with the highest offsets are read again instead.
pub const HELD_EVENTS: usize = 1024;
/// Bytes of them at most.
pub const HELD_BYTES: usize = 1024 * 1024;

/// How a topic follows its log.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(super) upstream: Arc<dyn Upstream>,
    /// The topic has a position in the log.
    pub(super) attached: bool,
    pub(super) asking: Asking,
    /// Times it was asked.
    pub(super) asked: u64,
    /// What follows the topic's position cannot be read any more.
    pub(super) lost: bool,
    held: BTreeMap<u64, Arrival>,
    held_bytes: usize,
    /// The epoch of what is held.
    pub(super) held_epoch: Option<Epoch>,
    /// The highest offset that is known to exist.
    pub(super) seen: u64,
    /// When a hole is read.
    pub(super) due_ms: u64,
    /// The read that is under way: its number, and up to which offset.
    pub(super) reading: Option<(u64, u64)>,
    pub(super) serial: u64,
    /// Events were let go because the shards do not keep up.
    pub(super) behind: bool,
    /// It is in the list of topics that are looked at as time passes.
    pub(super) watched: bool,
}

/// Whether the upstream was asked where the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// No, or it has answered.
    No,
    /// Yes.
    Asked,
    /// It was away and is asked again at this time.
    At(u64),
}

/// What a followed topic does next.
pub(super) enum Next {
    Nothing,
    Attach,
    Read { after: u64, until: u64 },
}

impl Follow {
    pub(super) fn new(upstream: Arc<dyn Upstream>) -> Self {
        Self {
            upstream,
            attached: false,
            asking: Asking::No,
            asked: 0,
            lost: false,
            held: BTreeMap::new(),
            held_bytes: 0,
            held_epoch: None,
            seen: 0,
            due_ms: 0,
            reading: None,
            serial: 0,
            behind: false,
            watched: false,
        }
    }

    /// The topic has its position from the start.
    pub(super) fn begin(&mut self, epoch: Epoch, head: u64) {
        (self.attached, self.held_epoch, self.seen) = (true, Some(epoch), head);
    }

    /// Whether the log's place is not known yet, and not known to be unknown.
    pub(super) fn is_attaching(&self) -> bool {
        !self.attached && self.asking == Asking::Asked
    }

    /// Whether it is known where the log is, so that what arrives can enter.
    pub(super) fn is_following(&self) -> bool {
        self.attached && self.asking == Asking::No
    }

    /// Asks where the log is.
    pub(super) fn attach(&mut self, log: &LogRef) {
        self.ask_where();
        self.upstream.attach(log, AttachTicket(self.asked));
    }

    /// Keeps an event for later. Beyond the bounds those with the highest offsets go.
    pub(super) fn hold(&mut self, event: Arrival) {
        let offset = event.meta.offset;
        self.seen = self.seen.max(offset);
        self.held_bytes += event.cost();
        if let Some(twice) = self.held.insert(offset, event) {
            self.held_bytes -= twice.cost();
        }
        while self.held.len() > HELD_EVENTS || self.held_bytes > HELD_BYTES {
            let Some((_, gone)) = self.held.pop_last() else { return };
            self.held_bytes -= gone.cost();
        }
    }

    /// Takes out the lowest event that is held, if it is not above `offset`.
    pub(super) fn take_up_to(&mut self, offset: u64) -> Option<Arrival> {
        let first = self.held.first_entry().filter(|first| *first.key() <= offset)?;
        let event = first.remove();
        self.held_bytes -= event.cost();
        Some(event)
    }

    /// Holds events while it is not known where the log is: those of one epoch.
    pub(super) fn hold_all(&mut self, epoch: Epoch, events: Vec<Arrival>) {
        if self.held_epoch != Some(epoch) {
            self.forget_held();
            self.held_epoch = Some(epoch);
        }
        events.into_iter().for_each(|event| self.hold(event));
    }

    pub(super) fn forget_held(&mut self) {
        self.held.clear();
        (self.held_bytes, self.seen) = (0, 0);
    }

    pub(super) fn ask_where(&mut self) -> Next {
        (self.asking, self.asked) = (Asking::Asked, self.asked + 1);
        self.reading = None;
        Next::Attach
    }

    /// What there is to do about a hole above `head`.
    pub(super) fn about_hole(&mut self, head: u64, now_ms: u64) -> Next {
        if let Asking::At(at) = self.asking
            && at <= now_ms
        {
            return self.ask_where();
        }
        let open = self.is_following() && self.reading.is_none() && !self.behind;
        if !open || head >= self.seen || now_ms < self.due_ms {
            return Next::Nothing;
        }
        let until = self.held.first_key_value().map_or(self.seen, |(first, _)| first - 1).max(head + 1);
        self.serial += 1;
        self.reading = Some((self.serial, until));
        Next::Read { after: head, until }
    }

    /// Whether there is something to look at as time passes.
    pub(super) fn is_pending(&self, head: u64) -> bool {
        matches!(self.asking, Asking::At(_)) || (self.attached && head < self.seen)
    }
}
