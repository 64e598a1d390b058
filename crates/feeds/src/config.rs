//! Configuration of the feeds. The server builds it from its settings `kafka.*` and `feeds.*`.

use crate::model::{Conflate, Snapshot};
use fanfare_core::topics::rules::Backpressure;
use std::collections::BTreeMap;

/// The configuration of a node's feeds.
#[derive(Clone, Debug)]
pub struct FeedsConfig {
    /// The source of records.
    pub source: SourceConfig,
    /// Topics to channels, in order (`kafka.topics`). The demo market feeds those of its three topics that are mapped.
    pub mappings: Vec<MappingConfig>,
    /// Maximum length of key and value together in bytes (`limits.max_message_bytes`); a longer record is invalid.
    pub max_record_bytes: usize,
    /// Records a partition may be behind before it counts as lagging (`kafka.lag_warn`).
    pub lag_warn: u64,
}

/// The source of records.
#[derive(Clone, Debug)]
pub enum SourceConfig {
    /// None: there are no channels.
    Off,
    /// The generated demo market.
    Demo(DemoConfig),
    /// Apache Kafka.
    Kafka(KafkaConfig),
}

/// The demo market.
#[derive(Clone, Debug)]
pub struct DemoConfig {
    /// Records a second, at least 1 (`feeds.demo_rate`).
    pub rate: u32,
    /// The seed of the market; the same seed generates the same records.
    pub seed: u64,
}

/// How nodes share the partitions (`kafka.mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `Shared`.
    #[default]
    Auto,
    /// As one consumer group; records that a node reads reach the others through the cluster's broker.
    Shared,
    /// Every node reads everything.
    Broadcast,
}

/// Where reading starts without a stored position, and where it continues after a position that is out of range
/// (`kafka.offset_reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the end.
    #[default]
    Latest,
    /// At the beginning.
    Earliest,
}

/// A Kafka cluster to read from.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// Bootstrap brokers, `host:port`, at least one.
    pub brokers: Vec<String>,
    /// Consumer group.
    pub group: String,
    /// Name of this node, shown to Kafka as `client.id`.
    pub client_id: String,
    /// How nodes share the partitions.
    pub mode: Mode,
    /// Whether records that this node reads reach the other nodes (a cluster broker is configured).
    pub relayed: bool,
    /// Where reading starts.
    pub offset_reset: OffsetReset,
    /// Maximum records per partition and turn, at least 1 (`kafka.batch_size`).
    pub batch_size: usize,
    /// Properties passed to librdkafka; those that would break the delivery guarantees are rejected.
    pub properties: BTreeMap<String, String>,
}

/// How a record that cannot be used is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadRecord {
    /// It is logged with its coordinates, counted and skipped.
    #[default]
    Skip,
    /// It is written to `<topic>.dlq`, then skipped.
    DeadLetter,
    /// Its partition stops at the record.
    Halt,
}

/// A row of `kafka.topics`.
#[derive(Clone, Debug)]
pub struct MappingConfig {
    /// A topic's name, or a pattern in slashes.
    pub topic: String,
    /// Channel; may hold `{key}`, `{header:NAME}` and `{json:/pointer}`.
    pub channel: String,
    /// `type` of the deliveries.
    pub kind: String,
    /// How invalid records are handled.
    pub on_bad_record: OnBadRecord,
    /// The snapshot kept for new subscribers.
    pub snapshot: Snapshot,
    /// Which waiting records may be replaced.
    pub conflate: Conflate,
    /// How a subscriber whose queue is full is handled.
    pub backpressure: Backpressure,
}

/// An invalid setting. The server exits with status 2 and prints this line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} {what}")]
pub struct ConfigFault {
    /// Dotted name of the setting, such as `kafka.topics[1].channel`.
    pub key: String,
    /// The error.
    pub what: String,
}

impl ConfigFault {
    pub(crate) fn new(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into() }
    }
}
