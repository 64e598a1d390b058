//! The state shared by the threads of the Kafka source.

use super::context::Context;
use super::dead_letters::DeadLetters;
use super::partition::Partition;
use crate::config::{KafkaConfig, OffsetReset};
use crate::counters::Counters;
use crate::mapping::Mappings;
use crate::sink::FeedSink;
use crate::throttle::Throttle;
use parking_lot::{Condvar, Mutex, RwLock};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The live consumer.
pub(crate) type Client = BaseConsumer<Context>;

/// A topic's partitions by number.
pub(crate) type OfTopic = BTreeMap<i32, Arc<Partition>>;

/// Topics and the number of partitions of each.
pub(crate) type Layout = BTreeMap<Arc<str>, i32>;

/// Problems that the state of the partitions does not show.
#[derive(Default)]
pub(crate) struct Trouble {
    /// Whether a broker responds; `None` before the first statistics.
    pub(crate) up: Option<bool>,
    /// Mapped topics that do not exist.
    pub(crate) missing: Vec<Arc<str>>,
    /// Since when other members own partitions whose records do not reach this node.
    pub(crate) foreign_since: Option<Instant>,
    /// Kafka's last refusal, and when it happened.
    pub(crate) refused: Option<(String, Instant)>,
}

pub(crate) struct Shared {
    pub(crate) config: KafkaConfig,
    /// Whether this node reads all partitions itself, outside the group.
    pub(crate) broadcast: bool,
    pub(crate) mappings: Arc<Mappings>,
    pub(crate) lag_warn: u64,
    pub(crate) sink: Arc<dyn FeedSink>,
    pub(crate) counters: Counters,
    pub(crate) dead_letters: DeadLetters,
    /// By topic, then number. Never shrinks: positions outlive rebalances.
    pub(crate) partitions: RwLock<HashMap<Arc<str>, OfTopic>>,
    /// Partitions with work for a worker.
    ready: Mutex<VecDeque<Arc<Partition>>>,
    work: Condvar,
    /// The consumer, while there is one. Only the polling thread sets and removes it.
    pub(crate) client: RwLock<Option<Client>>,
    /// The topics found at the first check: partitions added later are read from their beginning.
    pub(crate) known: Mutex<Option<Layout>>,
    /// The topics that exist now; the polling thread subscribes to them.
    pub(crate) layout: Mutex<Layout>,
    pub(crate) trouble: Mutex<Trouble>,
    pub(crate) rebuild: AtomicBool,
    pub(crate) stopping: AtomicBool,
    pub(crate) bad_lines: Throttle,
    pub(crate) error_lines: Throttle,
    /// For a negative test: stores an offset before the sink has the record.
    #[cfg(test)]
    pub(crate) sabotage: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        config: KafkaConfig,
        broadcast: bool,
        mappings: Arc<Mappings>,
        lag_warn: u64,
        sink: Arc<dyn FeedSink>,
    ) -> Self {
        Self {
            dead_letters: DeadLetters::new(&config),
            config,
            broadcast,
            mappings,
            lag_warn,
            sink,
            counters: Counters::default(),
            partitions: RwLock::default(),
            ready: Mutex::default(),
            work: Condvar::new(),
            client: RwLock::new(None),
            known: Mutex::default(),
            layout: Mutex::default(),
            trouble: Mutex::default(),
            rebuild: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            bad_lines: Throttle::new(100, Duration::from_secs(10)),
            error_lines: Throttle::new(10, Duration::from_secs(10)),
            #[cfg(test)]
            sabotage: AtomicBool::new(false),
        }
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.work.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The partition of this name, created if it does not exist.
    pub(crate) fn partition(&self, topic: &str, number: i32) -> Arc<Partition> {
        if let Some(found) = self.partitions.read().get(topic).and_then(|of| of.get(&number)) {
            return Arc::clone(found);
        }
        let mut all = self.partitions.write();
        let name = all.get_key_value(topic).map_or_else(|| Arc::from(topic), |(name, _)| Arc::clone(name));
        let of = all.entry(Arc::clone(&name)).or_default();
        let rows =
            of.values().next().map_or_else(|| self.mappings.rows_of(topic), |one| Arc::clone(&one.rows));
        Arc::clone(of.entry(number).or_insert_with(|| Arc::new(Partition::new(name, number, rows))))
    }

    /// The partition of this name, if it exists here.
    pub(crate) fn find(&self, topic: &str, number: i32) -> Option<Arc<Partition>> {
        self.partitions.read().get(topic).and_then(|of| of.get(&number)).cloned()
    }

    /// All partitions seen so far.
    pub(crate) fn all_partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().values().flat_map(|of| of.values().cloned()).collect()
    }

    /// Requests a lookup of a topic's logs: they may have been recreated.
    pub(crate) fn doubt(&self, topic: &str) {
        for partition in self.partitions.read().get(topic).into_iter().flat_map(BTreeMap::values) {
            partition.lock().doubt = true;
        }
    }

    /// Queues a partition for the workers. The caller has marked it as scheduled.
    pub(crate) fn schedule(&self, partition: Arc<Partition>) {
        self.ready.lock().push_back(partition);
        self.work.notify_one();
    }

    /// Waits for a partition with work; `None` at the end.
    pub(crate) fn next_ready(&self) -> Option<Arc<Partition>> {
        let mut ready = self.ready.lock();
        loop {
            if let Some(partition) = ready.pop_front() {
                return Some(partition);
            }
            if self.is_stopping() && self.client.try_read().is_some_and(|client| client.is_none()) {
                return None;
            }
            self.work.wait_for(&mut ready, Duration::from_millis(500));
        }
    }

    /// Pauses or resumes a partition at librdkafka. Returns whether librdkafka received the call.
    pub(crate) fn pause(&self, partition: &Partition, pause: bool) -> bool {
        let client = self.client.read();
        let Some(client) = client.as_ref() else { return false };
        let one = list(&partition.topic, partition.number);
        let done = if pause { client.pause(&one) } else { client.resume(&one) };
        done.is_ok()
    }

    /// Where reading continues when a position is invalid.
    pub(crate) fn reset_offset(&self) -> rdkafka::Offset {
        match self.config.offset_reset {
            OffsetReset::Latest => rdkafka::Offset::End,
            OffsetReset::Earliest => rdkafka::Offset::Beginning,
        }
    }

    /// Logs a problem with Kafka, at a limited rate.
    pub(crate) fn complain(&self, what: &str) {
        self.counters.errors.fetch_add(1, Ordering::Relaxed);
        if let Some(held_back) = self.error_lines.allow(Instant::now()) {
            tracing::warn!(held_back, "Kafka: {what}");
        }
    }
}

/// A list of one partition.
pub(crate) fn list(topic: &str, number: i32) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, number);
    list
}
