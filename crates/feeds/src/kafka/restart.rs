//! A restarted log: its topic was deleted and recreated, or truncated. How that is distinguished from a repeat, and
//! what follows.
//!
//! ```text
//! receive: a record at the offset of another delivered one  ─┐
//! context: the fetcher at rest below the position, or        ├─ begin: the offset where reading continues, a mark in the
//!          beyond the end (librdkafka's figures)             │  queue for the sink, a seek if the fetcher is elsewhere
//! anchor:  a record read before is not in the log any more  ─┘ (by way of the next of the two above)
//! ```
//!
//! Invariants: with `earliest` no record of the new log is skipped; records read of the old one reach the sink before
//! [`Delivery::Restarted`](crate::model::Delivery::Restarted), those of the new one after it; every restart is logged
//! and counted.

use super::partition::{Fingerprint, Item, Partition, State};
use super::shared::{Shared, list};
use crate::config::OffsetReset;
use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the offsets of a log's ends.
const ANSWER: Duration = Duration::from_secs(2);

/// Whether a record at an offset that was already passed belongs to a new life of the log. An undecided one sets
/// `doubt`, and the watch looks the log up.
pub(crate) fn is_new_life(
    shared: &Shared,
    partition: &Partition,
    state: &mut State,
    offset: i64,
    fingerprint: Fingerprint,
    first_of_run: bool,
) -> bool {
    let wanted = state.wanted.unwrap_or(0);
    if state.last.is_some_and(|last| last.offset == offset && last.fingerprint != fingerprint) {
        return true;
    }
    // One query per run of repeats: is the log shorter than what was delivered?
    if !first_of_run {
        return false;
    }
    state.doubt = true;
    marks(shared, partition).is_some_and(|(_, end)| end < wanted)
}

/// The first retained offset and the end of a log, if Kafka returns them in time.
pub(crate) fn marks(shared: &Shared, partition: &Partition) -> Option<(i64, i64)> {
    let client = shared.client.read();
    client.as_ref()?.fetch_watermarks(&partition.topic, partition.number, ANSWER).ok()
}

/// On the polling thread: switches to the new life of a log, in which the fetcher is at `reached`. With `earliest` all
/// of it is read; with `latest` the records from there on, which is where librdkafka found its end, or the end now.
/// Returns whether the fetcher was moved: then the record in hand is received again, or is not wanted.
pub(crate) fn begin(shared: &Shared, partition: &Arc<Partition>, state: &mut State, reached: i64) -> bool {
    let marks = marks(shared, partition);
    let at = match (shared.config.offset_reset, marks) {
        (OffsetReset::Earliest, marks) => marks.map_or(0, |(low, _)| low),
        (OffsetReset::Latest, Some((_, end))) => reached.min(end),
        (OffsetReset::Latest, None) => reached,
    };
    let position = state.position;
    log(partition, position, at);
    shared.counters.log_restarted(&partition.topic);
    state.restart_at(at, marks.map_or(at, |(_, end)| end));
    state.queue.push_back(Item::mark(at));
    if state.claim() {
        shared.schedule(Arc::clone(partition));
    }
    let elsewhere = at != reached;
    if elsewhere {
        seek(shared, partition, at);
    }
    elsewhere
}

fn log(partition: &Partition, position: Option<i64>, at: i64) {
    tracing::warn!(
        topic = &*partition.topic,
        partition = partition.number,
        position,
        at,
        "a Kafka log restarted (its topic was recreated, or truncated); reading continues as kafka.offset_reset says"
    );
}

/// Moves the fetcher. Records it had fetched before are not returned any more.
fn seek(shared: &Shared, partition: &Partition, to: i64) {
    let client = shared.client.read();
    let Some(client) = client.as_ref() else { return };
    let mut one = list(&partition.topic, partition.number);
    let sought =
        one.set_all_offsets(Offset::Offset(to)).and_then(|()| client.seek_partitions(one, Duration::ZERO));
    if let Err(err) = sought {
        shared.complain(&format!("seek in {}/{}: {err}", partition.topic, partition.number));
    }
}

/// Commits the position of the new life for the group. Storing it would not suffice: librdkafka commits no stored
/// position that is smaller than the last committed one.
pub(crate) fn commit_position(shared: &Shared, partition: &Partition, at: i64) {
    if shared.broadcast {
        return;
    }
    let client = shared.client.read();
    let Some(client) = client.as_ref() else { return };
    let mut one = list(&partition.topic, partition.number);
    let committed =
        one.set_all_offsets(Offset::Offset(at)).and_then(|()| client.commit(&one, CommitMode::Async));
    if let Err(err) = committed {
        shared.complain(&format!("commit of {}/{}: {err}", partition.topic, partition.number));
    }
}
