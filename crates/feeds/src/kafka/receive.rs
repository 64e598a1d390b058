//! What happens to a record that Kafka hands over, on the polling thread: recognised if it came before, mapped, queued.
//!
//! A record is known by topic, partition, offset and the log's life. After a rebalance or a new client Kafka sends again
//! what was not committed: dropped here. When the topic was made again its offsets start over: that is told from a repeat
//! by the log's end (shorter than what was delivered) or by the record that stands at the last delivered offset now.

use super::partition::{Fingerprint, Item, Original, Partition, State};
use super::shared::{Shared, list};
use crate::config::OnBadRecord;
use crate::mapping::{Headers, Mapped, Raw};
use crate::model::Delivery;
use rdkafka::consumer::Consumer;
use rdkafka::message::{BorrowedMessage, Headers as _, Message};
use rdkafka::{Offset, Timestamp};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A message's headers.
struct Borrowed<'a, 'b>(&'a BorrowedMessage<'b>);

impl Headers for Borrowed<'_, '_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let headers = self.0.headers()?;
        headers.iter().filter(|header| header.key == name).last().and_then(|header| header.value)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The record's time, else now.
pub(crate) fn timestamp_of(message: &BorrowedMessage<'_>) -> u64 {
    match message.timestamp() {
        Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => u64::try_from(ms).unwrap_or(0),
        Timestamp::NotAvailable => now_ms(),
    }
}

/// Maps a message under the rows of its partition.
pub(crate) fn map(shared: &Shared, partition: &Partition, message: &BorrowedMessage<'_>) -> Vec<Mapped> {
    shared.mappings.map(
        &partition.rows,
        &Raw {
            topic: &partition.topic,
            partition: partition.number,
            offset: message.offset(),
            key: message.key(),
            value: message.payload(),
            headers: &Borrowed(message),
            timestamp_ms: timestamp_of(message),
        },
    )
}

/// Takes a message in.
pub(crate) fn receive(shared: &Shared, partition: &Arc<Partition>, message: &BorrowedMessage<'_>) {
    let offset = message.offset();
    let fingerprint = Fingerprint { timestamp_ms: timestamp_of(message), hash: hash_of(message) };
    let mut state = partition.lock();
    if !state.assigned || state.halted.is_some() {
        return;
    }
    state.arrivals += 1;
    let before = state.seen.replace(offset);
    let mut restarted = false;
    if let Some(wanted) = state.wanted
        && offset < wanted
    {
        let first_of_run = before.is_none_or(|before| offset <= before);
        if !is_new_life(shared, partition, &state, offset, fingerprint, first_of_run) {
            return;
        }
        log_restart(partition, Some(wanted), offset);
        restarted = true;
        state.end = 0;
        begin_anew(&mut state, offset);
    }
    let mapped = map(shared, partition, message);
    let item = Item {
        offset,
        timestamp_ms: fingerprint.timestamp_ms,
        bytes: message.payload_len(),
        original: wants_original(&mapped).then(|| original(message)),
        mapped,
        restarted,
    };
    state.first.get_or_insert(offset);
    state.wanted = Some(offset + 1);
    state.last = Some(fingerprint);
    state.end = state.end.max(offset + 1);
    state.queued_bytes += item.bytes;
    state.queue.push_back(item);
    if state.is_full() && !state.paused && shared.pause(partition, true) {
        state.paused = true;
    }
    if !state.scheduled && !state.busy && state.retry_at.is_none() {
        state.scheduled = true;
        drop(state);
        shared.schedule(Arc::clone(partition));
    }
}

/// Whether an offset that was passed already belongs to a new life of the log.
fn is_new_life(
    shared: &Shared,
    partition: &Partition,
    state: &State,
    offset: i64,
    fingerprint: Fingerprint,
    first_of_run: bool,
) -> bool {
    let wanted = state.wanted.unwrap_or(0);
    if offset == wanted - 1 && state.last.is_some_and(|last| last != fingerprint) {
        return true;
    }
    // One question per run of repeats: is the log shorter than what was delivered?
    first_of_run && end_of(shared, partition).is_some_and(|end| end < wanted)
}

/// The end of a log, when Kafka tells it soon.
pub(crate) fn end_of(shared: &Shared, partition: &Partition) -> Option<i64> {
    let client = shared.client.read();
    let wait = Duration::from_secs(2);
    let marks = client.as_ref()?.fetch_watermarks(&partition.topic, partition.number, wait);
    marks.ok().map(|(_, end)| end)
}

/// Positions of a log that starts over. The queue is kept: what is in it was read before.
pub(crate) fn begin_anew(state: &mut State, at: i64) {
    state.position = Some(at);
    state.wanted = Some(at);
    state.first = Some(at);
    state.last = None;
    state.rest = None;
}

/// Lets the sink know, when there is no record to travel with. The queue is empty then.
pub(crate) fn tell_restart(shared: &Shared, partition: &Partition) {
    shared.sink.deliver(&[Delivery::Restarted { topic: &partition.topic, partition: partition.number }]);
}

pub(crate) fn log_restart(partition: &Partition, position: Option<i64>, at: i64) {
    tracing::warn!(
        topic = &*partition.topic,
        partition = partition.number,
        position,
        at,
        "a Kafka log began anew (its topic was made again, or cut); reading goes on as kafka.offset_reset says"
    );
}

/// Sends the fetcher elsewhere.
pub(crate) fn seek(shared: &Shared, partition: &Partition, to: Offset) {
    let client = shared.client.read();
    let Some(client) = client.as_ref() else { return };
    let mut one = list(&partition.topic, partition.number);
    let sought = one.set_all_offsets(to).and_then(|()| client.seek_partitions(one, Duration::ZERO));
    if let Err(err) = sought {
        shared.complain(&format!("seek in {}/{}: {err}", partition.topic, partition.number));
    }
}

fn wants_original(mapped: &[Mapped]) -> bool {
    mapped.iter().any(|one| matches!(one, Mapped::Bad(_, OnBadRecord::DeadLetter)))
}

fn original(message: &BorrowedMessage<'_>) -> Original {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(Into::into))).collect()
    });
    Original {
        key: message.key().map(Into::into),
        value: message.payload().map(Into::into),
        headers: headers.unwrap_or_default(),
    }
}

fn hash_of(message: &BorrowedMessage<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.key().hash(&mut hasher);
    message.payload().hash(&mut hasher);
    hasher.finish()
}
