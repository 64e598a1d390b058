//! Snapshots after a start: fills `snapshot = "key"` as if this node had read the log from its beginning. Each
//! partition assigned to this node is read once, in parallel to its live reading, up to the offset where that started,
//! and the newest record of each key is passed to the sink at the end.
//! Invariant: no record is passed on that a later one, or a tombstone, has superseded. So when the sink reports that it
//! received a tombstone meanwhile, the log is read further; and a log that restarted is filled from its own beginning.
//! meanwhile, the log is read on; and a log that restarted is filled from its own beginning.

use super::partition::Partition;
use super::reader::Quiet;
use super::receive;
use super::settings;
use super::shared::Shared;
use crate::mapping::{Mapped, RowSet};
use crate::model::Record;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause between two searches for partitions to fill from.
const LOOK: Duration = Duration::from_millis(200);
/// Longest wait for a record.
const ANSWER: Duration = Duration::from_secs(5);
/// Maximum records and bytes of values held of one partition; the oldest half is dropped first.
const HELD: (usize, usize) = (100_000, 64 << 20);

/// Channel, type and key.
type Subject = (Arc<str>, Arc<str>, Arc<str>);

/// The newest record of each key.
#[derive(Default)]
struct Newest {
    records: HashMap<Subject, Record>,
    bytes: usize,
}

impl Newest {
    fn put(&mut self, mapped: Mapped) {
        match mapped {
            Mapped::Record(record) => {
                let Some(key) = record.key.clone() else { return };
                self.bytes += record.value.len();
                let subject = (Arc::clone(&record.channel), Arc::clone(&record.kind), key);
                if let Some(old) = self.records.insert(subject, record) {
                    self.bytes -= old.value.len();
                }
                if self.records.len() > HELD.0 || self.bytes > HELD.1 {
                    self.shed();
                }
            }
            Mapped::Tombstone { channel, kind, key } => {
                if let Some(old) = self.records.remove(&(channel, kind, key)) {
                    self.bytes -= old.value.len();
                }
            }
            Mapped::Nothing | Mapped::Bad(..) => {}
        }
    }

    fn shed(&mut self) {
        let mut offsets: Vec<i64> = self.records.values().map(|record| record.offset).collect();
        offsets.sort_unstable();
        let middle = offsets[offsets.len() / 2];
        self.records.retain(|_, record| record.offset > middle);
        self.bytes = self.records.values().map(|record| record.value.len()).sum();
    }

    /// All of them, newest first.
    fn list(&self) -> Vec<&Record> {
        let mut all: Vec<&Record> = self.records.values().collect();
        all.sort_unstable_by_key(|record| std::cmp::Reverse(record.offset));
        all
    }
}

/// The thread's main loop.
pub(crate) fn run(shared: &Arc<Shared>) {
    while !shared.is_stopping() {
        for partition in shared.all_partitions() {
            let rows = shared.mappings.keyed(&partition.rows);
            if let (false, Some((life, first))) = (rows.is_empty(), due(&partition)) {
                match fill(shared, &partition, &rows, life, first) {
                    Ok(()) => partition.lock().filled = Some(life),
                    Err(err) => tracing::debug!(topic = &*partition.topic, "Kafka snapshot: {err}"),
                }
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// The life of a log from which no snapshot was filled yet, and the offset where its live reading started.
fn due(partition: &Partition) -> Option<(u64, i64)> {
    let state = partition.lock();
    let first = state.first.filter(|_| state.assigned && state.filled != Some(state.life))?;
    Some((state.life, first))
}

fn fill(
    shared: &Shared,
    partition: &Partition,
    rows: &RowSet,
    life: u64,
    mut until: i64,
) -> Result<(), KafkaError> {
    let mut log = Reading::open(shared, partition)?;
    loop {
        log.read(shared, partition, rows, until)?;
        // The lock is held, so that the mark of a restarted log comes after this.
        let state = partition.lock();
        if shared.is_stopping() || state.life != life || !state.assigned {
            return Ok(());
        }
        if shared.sink.fill(&partition.topic, partition.number, until - 1, &log.newest.list()) {
            return Ok(());
        }
        until = state.position.unwrap_or(until).max(until);
    }
}

/// A partition that is read from its beginning.
struct Reading {
    reader: BaseConsumer<Quiet>,
    newest: Newest,
    next: i64,
    /// A record after the requested end; it belongs to the next call.
    ahead: Option<(i64, Vec<Mapped>)>,
}

impl Reading {
    fn open(shared: &Shared, partition: &Partition) -> Result<Self, KafkaError> {
        let reader: BaseConsumer<Quiet> = settings::reader(&shared.config).create_with_context(Quiet)?;
        let (low, _) = reader.fetch_watermarks(&partition.topic, partition.number, ANSWER)?;
        let mut one = TopicPartitionList::new();
        one.add_partition_offset(&partition.topic, partition.number, Offset::Offset(low))?;
        reader.assign(&one)?;
        Ok(Self { reader, newest: Newest::default(), next: low, ahead: None })
    }

    /// Reads further, up to `until`.
    fn read(
        &mut self,
        shared: &Shared,
        partition: &Partition,
        rows: &RowSet,
        until: i64,
    ) -> Result<(), KafkaError> {
        if let Some((_, mapped)) = self.ahead.take_if(|(offset, _)| *offset < until) {
            mapped.into_iter().for_each(|one| self.newest.put(one));
        }
        let mut deadline = Instant::now() + ANSWER;
        while self.next < until && !shared.is_stopping() {
            match self.reader.poll(Duration::from_millis(50)) {
                Some(Ok(message)) if message.offset() < self.next => {}
                Some(Ok(message)) => {
                    self.next = message.offset() + 1;
                    deadline = Instant::now() + ANSWER;
                    let mapped = receive::map(shared, partition, rows, &message);
                    if message.offset() < until {
                        mapped.into_iter().for_each(|one| self.newest.put(one));
                    } else {
                        self.ahead = Some((message.offset(), mapped));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(err)) => return Err(err),
                None if Instant::now() > deadline => {
                    let late = rdkafka::types::RDKafkaErrorCode::OperationTimedOut;
                    return Err(KafkaError::MessageConsumption(late));
                }
                None => {}
            }
        }
        Ok(())
    }
}
