//! A log that begins anew: its topic was deleted and made again, or cut. How that is told from a repeat, and what follows.
//!
//! ```text
//! receive: a record that stands where another was delivered ─┐
//! context: the fetcher at rest below the position, or        ├─ begin: where reading goes on, a mark in the queue for
//!          beyond the end (librdkafka's figures)             │  the sink, a seek when the fetcher stands elsewhere
//! anchor:  a record read before is not in the log any more  ─┘ (by way of the next of the two above)
//! ```
//!
//! What must always hold: with `earliest` nothing of the new log is passed over; what was read of the old one reaches the
//! sink before [`Delivery::Restarted`](crate::model::Delivery::Restarted), what is read of the new one behind it; the log
//! and the counters say so every time.

use super::partition::{Fingerprint, Item, Partition, State};
use super::shared::{Shared, list};
use crate::config::OffsetReset;
use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the ends of a log.
const ANSWER: Duration = Duration::from_secs(2);

/// Whether an offset that was passed already belongs to a new life of the log. One that cannot be told is left in doubt: the
/// watch looks the log up.
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
    // One question per run of repeats: is the log shorter than what was delivered?
    if !first_of_run {
        return false;
    }
    state.doubt = true;
    marks(shared, partition).is_some_and(|(_, end)| end < wanted)
}

/// First offset that is kept and end of a log, when Kafka tells them soon.
pub(crate) fn marks(shared: &Shared, partition: &Partition) -> Option<(i64, i64)> {
    let client = shared.client.read();
    client.as_ref()?.fetch_watermarks(&partition.topic, partition.number, ANSWER).ok()
}

/// On the polling thread: goes over to the new life of a log, in which the fetcher stands at `reached`. With `earliest` all of
/// it is read; with `latest` what comes from there on, which is where librdkafka found its end, or the end now. Answers whether the
/// fetcher was sent elsewhere: then the record in hand comes again, or is not wanted.
pub(crate) fn begin(shared: &Shared, partition: &Arc<Partition>, state: &mut State, reached: i64) -> bool {
    let marks = marks(shared, partition);
    let at = match (shared.config.offset_reset, marks) {
        (OffsetReset::Earliest, marks) => marks.map_or(0, |(low, _)| low),
        (OffsetReset::Latest, Some((_, end))) => reached.min(end),
        (OffsetReset::Latest, None) => reached,
    };
    let position = state.position;
    log(partition, position, at);
    shared.counters.anew(&partition.topic);
    state.begin_anew(at, marks.map_or(at, |(_, end)| end));
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
        "a Kafka log began anew (its topic was made again, or cut); reading goes on as kafka.offset_reset says"
    );
}

/// Sends the fetcher elsewhere. What it had fetched before is not handed over any more.
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

/// Makes the group's position that of the new life. Storing alone would not: librdkafka commits no stored position that is
/// smaller than the last it committed.
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
