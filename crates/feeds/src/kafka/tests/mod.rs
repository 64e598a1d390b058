//! The Kafka source against librdkafka's mock cluster, which injects faults, and (in `real`) against a real broker. The
//! oracle is the same everywhere: the sink has, per partition, what was produced: each record once, in order.

mod bad_records;
mod faults;
mod group;
mod live;
mod real;
mod replays;

use crate::config::{FeedsConfig, KafkaConfig, MappingConfig, Mode, OffsetReset, OnBadRecord, SourceConfig};
use crate::model::{Conflate, Delivery, Record, Snapshot};
use crate::sink::{FeedSink, LagAlert};
use crate::status::{FeedsStatus, Health, PartitionStatus};
use crate::{ConfigFault, Feeds};
use fanfare_core::topics::rules::Backpressure;
use parking_lot::{Condvar, Mutex};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longest wait of a test.
const LONG: Duration = Duration::from_secs(60);

type Mock = MockCluster<'static, DefaultProducerContext>;

/// A mock cluster and a topic in it.
fn mock(topic: &str, partitions: i32) -> Mock {
    let mock = MockCluster::new(2).unwrap();
    mock.create_topic(topic, partitions, 2).unwrap();
    mock
}

/// Polls a condition until it holds; panics with its last state.
fn until<T: std::fmt::Debug>(what: &str, mut ask: impl FnMut() -> Result<(), T>) {
    let deadline = Instant::now() + LONG;
    loop {
        match ask() {
            Ok(()) => return,
            Err(state) if Instant::now() > deadline => panic!("{what}: not within {LONG:?}: {state:?}"),
            Err(_) => std::thread::park_timeout(Duration::from_millis(20)),
        }
    }
}

/// What a sink received.
#[derive(Default)]
struct Received {
    records: Vec<Record>,
    tombstones: Vec<String>,
    /// For each restart of a log, the number of records received before it.
    restarts: Vec<usize>,
    alerts: Vec<LagAlert>,
    /// What snapshots were filled with: up to which offset, keys and values.
    filled: Vec<(i64, Vec<(String, String)>)>,
}

/// A sink that keeps everything, and can be made to block.
#[derive(Default)]
struct RecordingSink {
    received: Mutex<Received>,
    /// The number of records after which no call returns any more.
    stuck_after: Mutex<Option<usize>>,
    freed: Condvar,
    more: Condvar,
}

impl FeedSink for RecordingSink {
    fn failed(&self, thread: &str) {
        panic!("{thread} failed");
    }

    fn deliver(&self, batch: &[Delivery<'_>]) {
        {
            let mut stuck = self.stuck_after.lock();
            while stuck.is_some_and(|most| self.received.lock().records.len() >= most) {
                self.freed.wait(&mut stuck);
            }
        }
        let mut received = self.received.lock();
        for one in batch {
            match one {
                Delivery::Record(record) => received.records.push((*record).clone()),
                Delivery::Tombstone { key, .. } => received.tombstones.push((**key).to_string()),
                Delivery::Restarted { .. } => {
                    let before = received.records.len();
                    received.restarts.push(before);
                }
            }
        }
        drop(received);
        self.more.notify_all();
    }

    fn fill(&self, _: &Arc<str>, _: i32, up_to: i64, records: &[&Record]) -> bool {
        let mut received = self.received.lock();
        let keyed = |record: &&Record| {
            (record.key.as_deref().unwrap_or_default().to_owned(), record.value.to_string())
        };
        received.filled.push((up_to, records.iter().map(keyed).collect()));
        received.filled.len() > 1
    }

    fn lag(&self, alert: LagAlert) {
        self.received.lock().alerts.push(alert);
    }
}

impl RecordingSink {
    fn free(&self) {
        *self.stuck_after.lock() = None;
        self.freed.notify_all();
    }

    fn count(&self) -> usize {
        self.received.lock().records.len()
    }

    /// Numbers by partition in order of arrival.
    fn numbers(&self) -> BTreeMap<i32, Vec<u64>> {
        let mut numbers: BTreeMap<i32, Vec<u64>> = BTreeMap::new();
        for record in &self.received.lock().records {
            numbers.entry(record.partition).or_default().extend(record.value.parse::<u64>());
        }
        numbers
    }

    fn wait(&self, count: usize) {
        let deadline = Instant::now() + LONG;
        let mut received = self.received.lock();
        while received.records.len() < count {
            let late = self.more.wait_until(&mut received, deadline).timed_out();
            assert!(!late, "{} of {count} records", received.records.len());
        }
    }
}

fn row(topic: &str, channel: &str) -> MappingConfig {
    MappingConfig {
        topic: topic.into(),
        channel: channel.into(),
        kind: "rec".into(),
        on_bad_record: OnBadRecord::Skip,
        snapshot: Snapshot::None,
        conflate: Conflate::None,
        backpressure: Backpressure::DropOldest,
    }
}

/// The configuration of a node.
struct Setup {
    kafka: KafkaConfig,
    rows: Vec<MappingConfig>,
    lag_warn: u64,
}

impl Setup {
    fn new(brokers: &str, rows: Vec<MappingConfig>) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let kafka = KafkaConfig {
            brokers: brokers.split(',').map(Into::into).collect(),
            group: format!("group-{}-{number}", std::process::id()),
            client_id: format!("node-{number}"),
            mode: Mode::Shared,
            relayed: true,
            offset_reset: OffsetReset::Earliest,
            batch_size: 100,
            properties: BTreeMap::from([("session.timeout.ms".to_owned(), "6000".to_owned())]),
        };
        Self { kafka, rows, lag_warn: 1000 }
    }

    fn start(&self, sink: &Arc<RecordingSink>) -> Feeds {
        self.try_start(sink).unwrap()
    }

    fn try_start(&self, sink: &Arc<RecordingSink>) -> Result<Feeds, ConfigFault> {
        let config = FeedsConfig {
            source: SourceConfig::Kafka(self.kafka.clone()),
            mappings: self.rows.clone(),
            max_record_bytes: 65536,
            lag_warn: self.lag_warn,
        };
        Feeds::start(config, Arc::clone(sink) as Arc<dyn FeedSink>)
    }
}

/// Stops a node and waits.
fn stop(feeds: Feeds) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(feeds.stop());
}

/// Runs a future.
fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// A producer that counts what it sent.
struct Source {
    producer: BaseProducer,
    topic: String,
}

impl Source {
    fn new(brokers: &str, topic: &str) -> Self {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("linger.ms", "1")
            .set("enable.idempotence", "true")
            .set("reconnect.backoff.max.ms", "500")
            .set("queue.buffering.max.messages", "1000000");
        Self { producer: config.create().unwrap(), topic: topic.into() }
    }

    fn put(&self, partition: i32, key: Option<&str>, value: Option<&[u8]>) {
        let mut record = BaseRecord::<str, [u8]>::to(&self.topic).partition(partition);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(value) = value {
            record = record.payload(value);
        }
        self.producer.send(record).map_err(|(err, _)| err).unwrap();
    }

    /// Numbers, each to the partition that it leaves as a remainder.
    fn numbers(&self, range: std::ops::Range<u64>, partitions: u64) {
        for number in range {
            self.put(i32::try_from(number % partitions).unwrap(), None, Some(number.to_string().as_bytes()));
        }
        self.flush();
    }

    fn flush(&self) {
        self.producer.flush(LONG).unwrap();
    }
}

/// The oracle: numbers 0..count over `partitions` partitions, each once and in order.
fn complete(sink: &RecordingSink, count: u64, partitions: u64) -> Result<(), String> {
    for partition in 0..partitions {
        let want: Vec<u64> = (0..count).filter(|number| number % partitions == partition).collect();
        let numbers = sink.numbers();
        let have = numbers.get(&i32::try_from(partition).unwrap()).cloned().unwrap_or_default();
        if have != want {
            let lost = want.iter().filter(|number| !have.contains(number)).count();
            let (have, want) = (have.len(), want.len());
            return Err(format!("partition {partition}: {have} of {want}, {lost} lost"));
        }
    }
    Ok(())
}

/// The reasons of a degraded status.
fn wrong(status: &FeedsStatus) -> String {
    match &status.health {
        Health::Degraded(why) => why.join("; "),
        _ => String::new(),
    }
}

fn partition_of(status: &FeedsStatus, topic: &str, number: i32) -> Option<PartitionStatus> {
    let of = status.feeds.iter().find(|feed| &*feed.topic == topic)?;
    of.partitions.iter().find(|partition| partition.partition == number).cloned()
}
