//! Publishing on a schedule or within a window, and checking every delivery.
//!
//! Publishers and subscribers are connections of the same swarm, so one clock stamps and reads. Deliveries are stamped with
//! the time they were due, not the time they were sent: a stall, of the server or of this client, shows in the latency of
//! every message it delayed (no coordinated omission).

use super::clock::nanos;
use super::frame::Masker;
use super::handshake::data;
use super::histogram::Histogram;
use super::link::Link;
use super::peer::{Role, Script};
use super::sequence::Arrival;
use super::stamp::{STAMP_BYTES, Stamp};
use super::swarm::{Receive, Swarm};

/// Overdue publishes between two polls of the sockets, so that a burst does not leave deliveries unread.
const BURST: usize = 64;
/// A window's publishes between two polls of the sockets.
const WINDOW_BURST: usize = 4096;
/// The length of a reply's start in which a peer's error is recognised.
const REFUSAL_HEAD: usize = 64;

/// The shape of the publish load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) topics: usize,
    /// Of each topic.
    pub(super) subscribers: usize,
    pub(super) publishers: usize,
    /// Bytes of a payload.
    pub(super) size: usize,
}

impl Shape {
    /// The connections it needs: subscribers first, topic by topic in turn, then publishers.
    pub(super) fn connections(&self) -> Vec<(Role, u32)> {
        let subscribers = (0..self.subscribers_total()).map(|i| (Role::Subscriber, (i % self.topics) as u32));
        let publishers = (0..self.publishers).map(|i| (Role::Publisher, (i % self.topics) as u32));
        subscribers.chain(publishers).collect()
    }

    pub(super) fn subscribers_total(&self) -> usize {
        self.topics * self.subscribers
    }
}

/// Counts of deliveries.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) latencies: Histogram,
    /// Messages that arrived for the first time.
    pub(super) received: u64,
    pub(super) repeated: u64,
    pub(super) reordered: u64,
    /// Messages of a topic the connection has not subscribed to.
    pub(super) misrouted: u64,
    /// Error responses to publishes.
    pub(super) refused: u64,
    /// When the last delivery arrived.
    pub(super) last_at: u64,
}

impl Tally {
    fn new() -> Self {
        let latencies = Histogram::new();
        Self { latencies, received: 0, repeated: 0, reordered: 0, misrouted: 0, refused: 0, last_at: 0 }
    }

    fn message(&mut self, link: &mut Link, stamp: Stamp, now: u64) {
        if stamp.topic != link.topic {
            self.misrouted += 1;
            return;
        }
        match link.sequence.arrived(stamp.number) {
            Arrival::Repeated => {
                self.repeated += 1;
                return;
            }
            Arrival::Reordered => self.reordered += 1,
            Arrival::InOrder => {}
        }
        self.received += 1;
        self.latencies.record(now.saturating_sub(stamp.due));
        self.last_at = now;
    }
}

impl Receive for Tally {
    fn frame(&mut self, link: &mut Link, script: &Script, frame: &[u8], now: u64, _: &mut Masker) {
        if link.role == Role::Publisher {
            let head = &frame[..frame.len().min(REFUSAL_HEAD)];
            self.refused += u64::from(
                head.windows(script.refusal.len()).any(|window| window == script.refusal.as_bytes()),
            );
            return;
        }
        let mut hint = link.hint;
        let mut rest = frame;
        while let Some((stamp, end)) = Stamp::find(rest, &mut hint) {
            if rest.len() == frame.len() {
                link.hint = hint;
            }
            self.message(link, stamp, now);
            if !script.batches {
                return;
            }
            rest = &rest[end..];
        }
    }
}

/// The load of one run.
#[derive(Debug)]
pub(super) struct Traffic {
    shape: Shape,
    /// The next number of each topic.
    numbers: Vec<u32>,
    payload: Vec<u8>,
    text: Vec<u8>,
    script: Script,
    pub(super) published: u64,
    /// The longest delay of a publish after it was due, in nanoseconds: this client's own share of the latency.
    pub(super) late_max: u64,
    pub(super) tally: Tally,
}

impl Traffic {
    /// `script` is the publishers'.
    pub(super) fn new(shape: Shape, script: Script) -> Self {
        Self {
            shape,
            numbers: vec![0; shape.topics],
            payload: vec![b'x'; shape.size.max(STAMP_BYTES)],
            text: Vec::new(),
            script,
            published: 0,
            late_max: 0,
            tally: Tally::new(),
        }
    }

    /// Clears the counts, as between warm-up and measurement; the topics' numbers continue.
    pub(super) fn reset(&mut self) {
        self.published = 0;
        self.late_max = 0;
        self.tally = Tally::new();
    }

    /// The number of deliveries expected.
    pub(super) fn expected(&self) -> u64 {
        self.published * self.shape.subscribers as u64
    }

    /// The number of deliveries that have not arrived.
    pub(super) fn outstanding(&self) -> u64 {
        self.expected().saturating_sub(self.tally.received)
    }

    /// Publishes `rate` messages a second for `seconds`, then waits for the remaining deliveries, at most `grace`
    /// seconds.
    pub(super) fn paced(
        &mut self,
        swarm: &mut Swarm,
        rate: f64,
        seconds: f64,
        grace: f64,
    ) -> Result<(), String> {
        let start = swarm.clock.now();
        let total = (rate * seconds).round() as u64;
        let mut in_burst = 0;
        for sent in 0..total {
            let due = start + nanos(sent as f64 / rate);
            loop {
                let now = swarm.clock.now();
                if now >= due && in_burst < BURST {
                    self.late_max = self.late_max.max(now - due);
                    break;
                }
                in_burst = 0;
                swarm.turn(due, &mut self.tally)?;
            }
            in_burst += 1;
            let publisher = self.publish(swarm, due);
            self.flush(swarm, publisher);
        }
        self.drain(swarm, grace)
    }

    /// Publishes as fast as `window` undelivered messages of each topic allow, for `seconds`.
    pub(super) fn windowed(
        &mut self,
        swarm: &mut Swarm,
        window: u64,
        seconds: f64,
        grace: f64,
    ) -> Result<(), String> {
        let end = swarm.clock.now() + nanos(seconds);
        let bound = window * self.shape.subscribers_total() as u64;
        while swarm.clock.now() < end && swarm.failed == 0 {
            let mut burst = 0;
            while self.outstanding() + self.shape.subscribers as u64 <= bound && burst < WINDOW_BURST {
                self.publish(swarm, swarm.clock.now());
                burst += 1;
            }
            if burst > 0 {
                for publisher in 0..self.shape.publishers {
                    self.flush(swarm, self.shape.subscribers_total() + publisher);
                }
            }
            swarm.turn(end, &mut self.tally)?;
        }
        self.drain(swarm, grace)
    }

    fn drain(&mut self, swarm: &mut Swarm, grace: f64) -> Result<(), String> {
        let end = swarm.clock.now() + nanos(grace);
        while self.outstanding() > 0 && swarm.clock.now() < end && swarm.failed == 0 {
            swarm.turn(end, &mut self.tally)?;
        }
        Ok(())
    }

    /// Queues the next message, topic by topic in turn; returns the publisher.
    fn publish(&mut self, swarm: &mut Swarm, due: u64) -> usize {
        let topic = (self.published % self.shape.topics as u64) as usize;
        let publisher = self.shape.subscribers_total() + topic % self.shape.publishers;
        self.numbers[topic] += 1;
        Stamp { due, number: self.numbers[topic], topic: topic as u32 }.write(&mut self.payload);
        self.text.clear();
        self.script.message.fill(&swarm.topics[topic], &self.payload, &mut self.text);
        swarm.links[publisher].queue(data(&self.script), &self.text, &mut swarm.masker);
        self.published += 1;
        publisher
    }

    fn flush(&self, swarm: &mut Swarm, publisher: usize) {
        if let Err(reason) = swarm.flush(publisher) {
            swarm.fail(publisher, reason);
        }
    }
}
