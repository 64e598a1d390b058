//! Echo requests: each connection keeps a number of them outstanding and sends another with every response. The stamp
//! is part of the request and of the response, so that any depth is timed exactly and responses are checked for order.

use super::clock::{Clock, nanos};
use super::frame::Masker;
use super::handshake::data;
use super::histogram::Histogram;
use super::link::Link;
use super::peer::Script;
use super::stamp::{STAMP_BYTES, Stamp};
use super::swarm::{Receive, Swarm};

/// The load and its counts.
#[derive(Debug)]
pub(super) struct Echo {
    topics: Vec<String>,
    payload: Vec<u8>,
    text: Vec<u8>,
    clock: Clock,
    /// The last request of each connection.
    numbers: Vec<u32>,
    pub(super) answered: u64,
    /// Responses that arrived before an earlier one, or twice.
    pub(super) reordered: u64,
    /// Responses without the request's text: errors.
    pub(super) refused: u64,
    pub(super) latencies: Histogram,
}

impl Echo {
    /// `topics` has one name for each connection (a peer without requests publishes to itself).
    pub(super) fn new(size: usize, topics: Vec<String>, clock: Clock) -> Self {
        Self {
            payload: vec![b'x'; size.max(STAMP_BYTES)],
            text: Vec::new(),
            clock,
            numbers: vec![0; topics.len()],
            topics,
            answered: 0,
            reordered: 0,
            refused: 0,
            latencies: Histogram::new(),
        }
    }

    /// Sends `depth` requests on every connection.
    pub(super) fn begin(&mut self, swarm: &mut Swarm, script: &Script, depth: u32) -> Result<(), String> {
        for index in 0..swarm.links.len() {
            for _ in 0..depth {
                self.ask(&mut swarm.links[index], script, &mut swarm.masker);
            }
            swarm.flush(index)?;
        }
        Ok(())
    }

    pub(super) fn run(&mut self, swarm: &mut Swarm, seconds: f64) -> Result<(), String> {
        let end = swarm.clock.now() + nanos(seconds);
        while swarm.clock.now() < end && swarm.failed == 0 {
            swarm.turn(end, self)?;
        }
        Ok(())
    }

    /// Clears the counts; requests stay outstanding.
    pub(super) fn reset(&mut self) {
        (self.answered, self.reordered, self.refused) = (0, 0, 0);
        self.latencies = Histogram::new();
    }

    fn ask(&mut self, link: &mut Link, script: &Script, masker: &mut Masker) {
        let connection = link.topic as usize;
        self.numbers[connection] += 1;
        Stamp { due: self.clock.now(), number: self.numbers[connection], topic: link.topic }
            .write(&mut self.payload);
        self.text.clear();
        script.message.fill(&self.topics[connection], &self.payload, &mut self.text);
        link.queue(data(script), &self.text, masker);
    }

    fn answer(&mut self, link: &mut Link, stamp: Stamp, now: u64) {
        use super::sequence::Arrival;
        if link.sequence.arrived(stamp.number) != Arrival::InOrder {
            self.reordered += 1;
        }
        self.answered += 1;
        self.latencies.record(now.saturating_sub(stamp.due));
    }
}

impl Receive for Echo {
    fn frame(&mut self, link: &mut Link, script: &Script, frame: &[u8], now: u64, masker: &mut Masker) {
        let mut rest = frame;
        let mut hint = link.hint;
        let mut found = false;
        while let Some((stamp, end)) = Stamp::find(rest, &mut hint) {
            if !found {
                link.hint = hint;
                found = true;
            }
            self.answer(link, stamp, now);
            self.ask(link, script, masker);
            if !script.batches {
                break;
            }
            rest = &rest[end..];
        }
        if !found && frame.windows(script.refusal.len()).any(|window| window == script.refusal.as_bytes()) {
            self.refused += 1;
            // A refusal completes a request, too; without another request the connection would become idle.
            self.ask(link, script, masker);
        }
    }
}
