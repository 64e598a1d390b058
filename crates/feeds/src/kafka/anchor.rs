//! Detects a recreated log by its contents. A log that was recreated and is already as long as the old one cannot be
//! detected by its length, and librdkafka continues in the middle of it. So one record that was read is remembered for
//! each partition, its *anchor*, and looked up now and then: while the record is in the log, the log is the same, and a
//! newer record becomes the anchor.
//!
//! Part of the watch. Costs one batch of records from Kafka per partition that is read and [`EVERY`]; less often when a
//! tick has no time for all partitions. What cannot be detected: a log whose anchor was deleted or compacted away
//! between two lookups.

use super::partition::{Partition, Seen, State};
use super::reader::Quiet;
use super::receive::fingerprint_of;
use super::settings;
use super::shared::Shared;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// How often a partition's anchor is looked up while records arrive. After a pause the first record causes a lookup.
const EVERY: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });
/// How long one tick of the watch looks anchors up; the remaining partitions follow in the next.
const TURN: Duration = Duration::from_millis(300);
/// Longest wait for a response.
const ANSWER: Duration = Duration::from_secs(1);

/// The result of looking an anchor up.
enum Found {
    /// The record is unchanged.
    Same,
    /// Another record is at its offset, or the log ends before it.
    Other,
    /// Deleted or compacted away: the log cannot be compared.
    Gone,
}

/// Looks anchors up. Keeps its consumer between two lookups.
#[derive(Default)]
pub(crate) struct Lookout {
    reader: Option<BaseConsumer<Quiet>>,
    /// The partition at which the next tick continues.
    next: usize,
}

impl Lookout {
    /// One tick: checks as many partitions as there is time for.
    pub(crate) fn look(&mut self, shared: &Shared) {
        if shared.trouble.lock().up != Some(true) {
            return;
        }
        let began = Instant::now();
        let partitions = shared.all_partitions();
        for _ in 0..partitions.len() {
            self.next = (self.next + 1) % partitions.len();
            let partition = &partitions[self.next];
            let Some((anchor, newer)) = due(&mut partition.lock(), began) else { continue };
            match self.find(shared, partition, anchor) {
                Ok(found) => settle(partition, anchor, newer, &found),
                // After one timeout the other partitions would time out too: the next tick tries again.
                Err(_) => {
                    self.reader = None;
                    return;
                }
            }
            if began.elapsed() >= TURN {
                return;
            }
        }
    }

    fn find(&mut self, shared: &Shared, partition: &Partition, anchor: Seen) -> Result<Found, KafkaError> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => settings::lookout(&shared.config).create_with_context(Quiet)?,
        };
        let found = look_up(&reader, partition, anchor);
        self.reader = Some(reader);
        found
    }
}

/// The anchor to be looked up now, and the record that replaces it when it is found.
fn due(state: &mut State, now: Instant) -> Option<(Seen, Seen)> {
    let anchor = state.anchor.filter(|_| state.assigned && state.halted.is_none() && !state.other)?;
    let fresh = |(at, arrivals): (Instant, u64)| {
        arrivals == state.arrivals || now.saturating_duration_since(at) < EVERY
    };
    let looked_up = *state.looked_up.get_or_insert((now, state.arrivals));
    if fresh(looked_up) && !state.doubt {
        return None;
    }
    state.looked_up = Some((now, state.arrivals));
    Some((anchor, state.last.unwrap_or(anchor)))
}

/// Reads the record at the anchor's offset.
fn look_up(reader: &BaseConsumer<Quiet>, partition: &Partition, anchor: Seen) -> Result<Found, KafkaError> {
    let (low, end) = reader.fetch_watermarks(&partition.topic, partition.number, ANSWER)?;
    if end <= anchor.offset {
        return Ok(Found::Other);
    }
    if low > anchor.offset {
        return Ok(Found::Gone);
    }
    let mut one = TopicPartitionList::new();
    one.add_partition_offset(&partition.topic, partition.number, Offset::Offset(anchor.offset))?;
    reader.assign(&one)?;
    let deadline = Instant::now() + ANSWER;
    let found = loop {
        match reader.poll(Duration::from_millis(50)) {
            Some(Ok(message)) if message.offset() < anchor.offset => {}
            Some(Ok(message)) if message.offset() > anchor.offset => break Ok(Found::Gone),
            Some(Ok(message)) if fingerprint_of(&message) == anchor.fingerprint => break Ok(Found::Same),
            Some(Ok(_)) => break Ok(Found::Other),
            // No record after it either: compacted, or another log that is shorter.
            Some(Err(KafkaError::PartitionEOF(_))) => {
                let (_, end) = reader.fetch_watermarks(&partition.topic, partition.number, ANSWER)?;
                break Ok(if end <= anchor.offset { Found::Other } else { Found::Gone });
            }
            Some(Err(err)) => break Err(err),
            None if Instant::now() >= deadline => {
                break Err(KafkaError::MessageConsumption(
                    rdkafka::types::RDKafkaErrorCode::OperationTimedOut,
                ));
            }
            None => {}
        }
    };
    reader.unassign()?;
    found
}

/// Stores the result in the partition's state, unless the log was found to be another meanwhile. Only the polling
/// thread acts on it: no other thread may seek the fetcher while a record of it is being received.
fn settle(partition: &Partition, anchor: Seen, newer: Seen, found: &Found) {
    let mut state = partition.lock();
    if state.anchor != Some(anchor) {
        return;
    }
    state.doubt = false;
    match found {
        // The newer record was read before this lookup, from the same log.
        Found::Same => state.anchor = Some(newer),
        Found::Gone => state.anchor = Some(newer).filter(|_| newer != anchor),
        Found::Other => state.other = true,
    }
}
