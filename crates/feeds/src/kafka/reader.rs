//! Replays: a few readers for all clients. A client pulls a chunk, a reader fetches it and is free again, so ten
//! thousand clients that reconnect at once wait in a queue instead of opening ten thousand consumers.
//!
//! Longer than most: a reader's states and the queue before them are one machine.

use super::receive;
use super::settings;
use super::shared::Shared;
use crate::config::ConfigFault;
use crate::mapping::Mapped;
use crate::model::Record;
use crate::replay::{Chunks, Position, Pulling, Replay, ReplayRefused};
use parking_lot::{Condvar, Mutex};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The number of readers.
const READERS: usize = 2;
/// Maximum requests that wait for one; the next is refused as unavailable.
const WAITING: usize = 20_000;
/// Maximum records of a chunk.
const CHUNK_RECORDS: usize = 500;
/// Maximum bytes of values of a chunk, after which no record is added.
const CHUNK_BYTES: usize = 512 << 10;
/// Longest a client waits for the log (`chat-feeds-cluster.md`: then `UNAVAILABLE`).
const ANSWER: Duration = Duration::from_secs(5);
/// Longest a replay waits for its partition to be assigned to this node.
const GIVEN: Duration = Duration::from_secs(1);
/// Longest a replay waits for the group's position.
const COMMITTED: Duration = Duration::from_secs(1);
/// Pause between two checks of the state that this node learns by itself.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// Longest a reader works on one request when it reads few records for the channel.
const TURN: Duration = Duration::from_millis(250);

/// A context that ignores all callbacks: errors are returned to the caller instead.
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "Kafka replay: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "Kafka replay: {reason}");
    }
}

impl ConsumerContext for Quiet {}

type Reader = BaseConsumer<Quiet>;

/// A range of one partition.
#[derive(Clone)]
struct Stretch {
    topic: Arc<str>,
    partition: i32,
    /// Next offset to read.
    next: i64,
    /// Last offset to read.
    last: i64,
}

/// Kafka's offsets of a partition.
struct Marks {
    /// First offset that is retained.
    low: i64,
    /// Offset of the next record to be written.
    end: i64,
    /// The group's position, if it has one.
    committed: Option<i64>,
}

/// The result of one request.
struct Piece {
    records: Vec<Record>,
    /// Next offset to read; after the range's last when it is done.
    next: i64,
}

enum Job {
    /// Fetches the offsets of a partition; the group's position only on request.
    Marks {
        topic: Arc<str>,
        partition: i32,
        committed: bool,
        reply: oneshot::Sender<Result<Marks, KafkaError>>,
    },
    Read {
        stretch: Stretch,
        channel: Arc<str>,
        reply: oneshot::Sender<Result<Piece, ReplayRefused>>,
    },
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<VecDeque<Job>>,
    some: Condvar,
    stopped: AtomicBool,
}

/// The readers' handle.
pub(crate) struct Pool(Arc<Queue>);

impl Pool {
    pub(crate) fn start(
        shared: &Arc<Shared>,
        spawn: &impl Fn(&'static str, Box<dyn FnOnce() + Send>) -> Result<(), ConfigFault>,
    ) -> Result<Self, ConfigFault> {
        let queue = Arc::new(Queue::default());
        for _ in 0..READERS {
            let (queue, shared) = (Arc::clone(&queue), Arc::clone(shared));
            spawn("feeds-replay", Box::new(move || serve(&shared, &queue)))?;
        }
        Ok(Self(queue))
    }

    pub(crate) fn stop(&self) {
        self.0.stopped.store(true, Ordering::Release);
        self.0.jobs.lock().clear();
        self.0.some.notify_all();
    }

    /// Determines what can be replayed; see [`crate::Feeds::replay`].
    pub(crate) async fn replay(
        &self,
        shared: &Shared,
        channel: &str,
        from: Vec<Position>,
        to: Vec<Position>,
    ) -> Result<Replay, ReplayRefused> {
        let plan = async {
            let (mut lost, mut stretches) = (Vec::new(), VecDeque::new());
            for (topic, partition, seen) in from {
                let to = to.iter().find(|(name, number, _)| *name == topic && *number == partition);
                match self.stretch(shared, channel, &topic, partition, seen, to.map(|to| to.2)).await? {
                    Some(stretch) if stretch.next <= stretch.last => stretches.push_back(stretch),
                    Some(_) => {}
                    None => lost.push(format!("{topic}/{partition}")),
                }
            }
            Ok((lost, stretches))
        };
        let (lost, stretches) =
            tokio::time::timeout(ANSWER, plan).await.map_err(|_| ReplayRefused::Unavailable)??;
        let pull = Pull { queue: Arc::clone(&self.0), channel: channel.into(), stretches };
        Ok(Replay { lost, chunks: Box::new(pull), ended: false })
    }

    /// The range to read of one partition; `None` when its position cannot be continued from.
    async fn stretch(
        &self,
        shared: &Shared,
        channel: &str,
        topic: &Arc<str>,
        partition: i32,
        seen: i64,
        to: Option<i64>,
    ) -> Result<Option<Stretch>, ReplayRefused> {
        while shared.known.lock().is_none() {
            tokio::time::sleep(ASK_AGAIN).await;
        }
        let there = shared.layout.lock().get(topic).is_some_and(|&count| (0..count).contains(&partition));
        if !there || !shared.mappings.feeds(&shared.mappings.rows_of(topic), channel) {
            return Ok(None);
        }
        let first = live_start(shared, topic, partition);
        let marks = self.marks(topic, partition, to.is_none() && first.is_none()).await?;
        let next = seen.saturating_add(1);
        if next < marks.low || next > marks.end {
            return Ok(None);
        }
        let last = match (to, first, marks.committed) {
            (Some(to), _, _) => to,
            (None, Some(first), _) | (None, None, Some(first)) => first - 1,
            // Another node may read it, and this node has not received a record of it yet.
            (None, None, None) if shared.config.relayed => marks.end - 1,
            (None, None, None) => given_soon(shared, topic, partition).await.unwrap_or(marks.end) - 1,
        };
        Ok(Some(Stretch { topic: Arc::clone(topic), partition, next, last }))
    }

    async fn marks(&self, topic: &Arc<str>, partition: i32, committed: bool) -> Result<Marks, ReplayRefused> {
        let (reply, answer) = oneshot::channel();
        self.0.push(Job::Marks { topic: Arc::clone(topic), partition, committed, reply })?;
        answer.await.ok().and_then(Result::ok).ok_or(ReplayRefused::Unavailable)
    }
}

/// As [`live_start`], but waits for a moment. After a crash the group may keep the dead member for longer than a client
/// can wait: then all records available now are sent first, and the caller sends the rest when it is known where live
/// reading starts.
async fn given_soon(shared: &Shared, topic: &str, partition: i32) -> Option<i64> {
    let deadline = Instant::now() + GIVEN;
    loop {
        let first = live_start(shared, topic, partition);
        if first.is_some() || Instant::now() >= deadline {
            return first;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Where live delivery of a partition started on this node, if it has.
fn live_start(shared: &Shared, topic: &str, partition: i32) -> Option<i64> {
    let live = shared.find(topic, partition)?;
    let state = live.lock();
    state.first.filter(|_| state.assigned)
}

/// Fetches the offsets that a plan needs. The group's position is where live reading will start once this node is
/// assigned the partition; after a crash that lasts until the group drops the dead member.
fn marks(
    shared: &Shared,
    reader: &Reader,
    topic: &str,
    partition: i32,
    committed: bool,
) -> Result<Marks, KafkaError> {
    let (low, end) = reader.fetch_watermarks(topic, partition, ANSWER)?;
    let mut position = None;
    if committed && !shared.broadcast {
        let client = shared.client.read();
        let list = super::shared::list(topic, partition);
        // During a rebalance of the group no broker may respond to this.
        let found = client.as_ref().and_then(|client| client.committed_offsets(list, COMMITTED).ok());
        position = found.and_then(|found| found.elements().first().map(|one| one.offset()));
    }
    let committed = match position {
        Some(Offset::Offset(at)) if (low..=end).contains(&at) => Some(at),
        _ => None,
    };
    Ok(Marks { low, end, committed })
}

impl Queue {
    fn push(&self, job: Job) -> Result<(), ReplayRefused> {
        let mut jobs = self.jobs.lock();
        if jobs.len() >= WAITING || self.stopped.load(Ordering::Acquire) {
            return Err(ReplayRefused::Unavailable);
        }
        jobs.push_back(job);
        self.some.notify_one();
        Ok(())
    }

    /// The next request; one that continues at this reader's position comes first if it is among the first few.
    fn take(&self, at: Option<&Stretch>) -> Option<Job> {
        const LOOK: usize = 8;
        let mut jobs = self.jobs.lock();
        while jobs.is_empty() {
            if self.stopped.load(Ordering::Acquire) {
                return None;
            }
            self.some.wait(&mut jobs);
        }
        let goes_on =
            |job: &Job| matches!((job, at), (Job::Read { stretch, .. }, Some(at)) if at.continues(stretch));
        let index = jobs.iter().take(LOOK).position(goes_on).unwrap_or(0);
        jobs.remove(index)
    }
}

impl Stretch {
    fn continues(&self, other: &Self) -> bool {
        self.topic == other.topic && self.partition == other.partition && self.next == other.next
    }
}

/// A client's side: pulls range after range.
struct Pull {
    queue: Arc<Queue>,
    channel: Arc<str>,
    stretches: VecDeque<Stretch>,
}

impl Pull {
    async fn next(&mut self) -> Result<Option<Vec<Record>>, ReplayRefused> {
        while let Some(stretch) = self.stretches.front_mut() {
            let (reply, answer) = oneshot::channel();
            let channel = Arc::clone(&self.channel);
            self.queue.push(Job::Read { stretch: stretch.clone(), channel, reply })?;
            let piece = answer.await.map_err(|_| ReplayRefused::Unavailable)??;
            stretch.next = piece.next;
            if stretch.next > stretch.last {
                self.stretches.pop_front();
            }
            if !piece.records.is_empty() {
                return Ok(Some(piece.records));
            }
        }
        Ok(None)
    }
}

impl Chunks for Pull {
    fn pull(&mut self) -> Pulling<'_> {
        Box::pin(self.next())
    }
}

/// A reader's main loop. Its consumer is created with the first request and dropped when it fails.
fn serve(shared: &Shared, queue: &Queue) {
    let mut reader: Option<Reader> = None;
    let mut at: Option<Stretch> = None;
    while let Some(job) = queue.take(at.as_ref()) {
        if reader.is_none() {
            at = None;
            reader = settings::reader(&shared.config).create_with_context(Quiet).ok();
        }
        match (job, &reader) {
            (Job::Marks { topic, partition, committed, reply }, Some(reader)) => {
                let _ = reply.send(marks(shared, reader, &topic, partition, committed));
            }
            (Job::Read { stretch, channel, reply }, Some(one)) => {
                if reply.is_closed() {
                    continue;
                }
                let read = read(shared, one, at.as_ref(), &stretch, &channel);
                match &read {
                    Ok(piece) => at = Some(Stretch { next: piece.next, ..stretch }),
                    Err(_) => (reader, at) = (None, None),
                }
                let _ = reply.send(read);
            }
            // No consumer is available: dropping the reply refuses the request.
            (_, None) => {}
        }
    }
}

/// Reads one chunk.
fn read(
    shared: &Shared,
    reader: &Reader,
    at: Option<&Stretch>,
    stretch: &Stretch,
    channel: &str,
) -> Result<Piece, ReplayRefused> {
    if !at.is_some_and(|at| at.continues(stretch)) {
        let mut one = TopicPartitionList::new();
        one.add_partition_offset(&stretch.topic, stretch.partition, Offset::Offset(stretch.next))
            .and_then(|()| reader.assign(&one))
            .map_err(|_| ReplayRefused::Unavailable)?;
    }
    let partition = shared.partition(&stretch.topic, stretch.partition);
    let began = Instant::now();
    let mut deadline = began + ANSWER;
    let (mut piece, mut bytes) = (Piece { records: Vec::new(), next: stretch.next }, 0);
    while piece.next <= stretch.last && piece.records.len() < CHUNK_RECORDS && bytes < CHUNK_BYTES {
        match reader.poll(Duration::from_millis(50)) {
            Some(Ok(message)) if message.offset() < piece.next => {}
            Some(Ok(message)) if message.offset() > stretch.last => piece.next = stretch.last + 1,
            Some(Ok(message)) => {
                piece.next = message.offset() + 1;
                deadline = Instant::now() + ANSWER;
                for mapped in receive::map(shared, &partition, &partition.rows, &message) {
                    if let Mapped::Record(record) = mapped
                        && *record.channel == *channel
                    {
                        bytes += record.value.len();
                        piece.records.push(record);
                    }
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => piece.next = stretch.last + 1,
            Some(Err(err)) if is_lost(&err) => return Err(ReplayRefused::Unavailable),
            Some(Err(_)) | None if Instant::now() > deadline => return Err(ReplayRefused::Unavailable),
            Some(Err(_)) | None => {}
        }
        if began.elapsed() > TURN && piece.next > stretch.next {
            break;
        }
    }
    Ok(piece)
}

/// Whether the log was truncated during the read.
fn is_lost(err: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    matches!(
        err.rdkafka_error_code(),
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::UnknownPartition)
    )
}
