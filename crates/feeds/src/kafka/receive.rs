//! Receiving a record on the polling thread: deduplicated, mapped, queued.
//!
//! A record is identified by topic, partition, offset and the log's life. After a rebalance or with a new client Kafka
//! sends uncommitted records again: they are dropped here. When the topic was recreated its offsets start over: see
//! [`super::restart`].

use super::partition::{Fingerprint, Item, Original, Partition};
use super::restart;
use super::shared::Shared;
use crate::config::OnBadRecord;
use crate::mapping::{Headers, Mapped, Raw};
use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Headers as _, Message};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

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

/// The record's time, or the current time if it has none.
pub(crate) fn timestamp_of(message: &BorrowedMessage<'_>) -> u64 {
    match message.timestamp() {
        Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => u64::try_from(ms).unwrap_or(0),
        Timestamp::NotAvailable => now_ms(),
    }
}

/// Maps a message of a partition under the given rows.
pub(crate) fn map(
    shared: &Shared,
    partition: &Partition,
    rows: &[usize],
    message: &BorrowedMessage<'_>,
) -> Vec<Mapped> {
    shared.mappings.map(
        rows,
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

/// The fingerprint of a message.
pub(crate) fn fingerprint_of(message: &BorrowedMessage<'_>) -> Fingerprint {
    // A record without a time of its own must have the same fingerprint when it is read again.
    let timestamp_ms = message.timestamp().to_millis().and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
    Fingerprint { timestamp_ms, hash: hash_of(message) }
}

/// Receives a message.
pub(crate) fn receive(shared: &Shared, partition: &Arc<Partition>, message: &BorrowedMessage<'_>) {
    let offset = message.offset();
    let mut state = partition.lock();
    if !state.assigned || state.halted.is_some() {
        return;
    }
    state.arrivals += 1;
    let before = state.seen.replace(offset);
    if state.other && restart::begin(shared, partition, &mut state, offset) {
        return;
    }
    if state.wanted.is_some_and(|wanted| offset < wanted) {
        let first_of_run = before.is_none_or(|before| offset <= before);
        let fingerprint = fingerprint_of(message);
        if !restart::is_new_life(shared, partition, &mut state, offset, fingerprint, first_of_run)
            || restart::begin(shared, partition, &mut state, offset)
        {
            return;
        }
    }
    state.take_in(item(shared, partition, message));
    if state.is_full() && !state.paused && shared.pause(partition, true) {
        state.paused = true;
    }
    if state.claim() {
        drop(state);
        shared.schedule(Arc::clone(partition));
    }
}

fn item(shared: &Shared, partition: &Partition, message: &BorrowedMessage<'_>) -> Item {
    let mapped = map(shared, partition, &partition.rows, message);
    Item {
        offset: message.offset(),
        fingerprint: Some(fingerprint_of(message)),
        bytes: message.key_len() + message.payload_len(),
        original: wants_original(&mapped).then(|| original(message)),
        mapped,
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
