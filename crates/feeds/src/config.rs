//! What the feeds are told at the start. The server's settings `kafka.*` and `feeds.*` are turned into these.

use crate::model::{Conflate, Snapshot};
use fanfare_core::topics::rules::Backpressure;
use std::collections::BTreeMap;

/// Everything the feeds need to know.
#[derive(Clone, Debug)]
pub struct FeedsConfig {
    /// Where records come from.
    pub source: SourceConfig,
    /// Topics to channels, in order (`kafka.topics`). The demo market feeds those of its three topics that are mapped.
    pub mappings: Vec<MappingConfig>,
    /// Longest key and value together in bytes (`limits.max_message_bytes`); a longer record is a bad one.
    pub max_record_bytes: usize,
    /// Records a partition may be behind before it counts as lagging (`kafka.lag_warn`).
    pub lag_warn: u64,
}

/// Where records come from.
#[derive(Clone, Debug)]
pub enum SourceConfig {
    /// Nowhere: there are no channels.
    Off,
    /// The made-up market.
    Demo(DemoConfig),
    /// Apache Kafka.
    Kafka(KafkaConfig),
}

/// The demo market.
#[derive(Clone, Debug)]
pub struct DemoConfig {
    /// Records a second, at least 1 (`feeds.demo_rate`).
    pub rate: u32,
    /// The same seed makes the same market.
    pub seed: u64,
}

/// How nodes share the partitions (`kafka.mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `Shared`.
    #[default]
    Auto,
    /// As one consumer group; what a node reads reaches the others through the cluster's broker.
    Shared,
    /// Every node reads everything.
    Broadcast,
}

/// Where reading starts without a stored position, and where it goes on after a position that is out of range
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
    /// Brokers to start from, `host:port`, at least one.
    pub brokers: Vec<String>,
    /// Consumer group.
    pub group: String,
    /// Name of this node, shown to Kafka as `client.id`.
    pub client_id: String,
    /// How nodes share the partitions.
    pub mode: Mode,
    /// Whether what this node reads reaches the other nodes (a cluster broker is configured).
    pub relayed: bool,
    /// Where reading starts.
    pub offset_reset: OffsetReset,
    /// Most records taken per partition and turn, at least 1 (`kafka.batch_size`).
    pub batch_size: usize,
    /// Handed on to librdkafka; those that the delivery guarantees rest on are refused.
    pub properties: BTreeMap<String, String>,
}

/// What becomes of a record that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadRecord {
    /// Logged with its coordinates, counted, passed over.
    #[default]
    Skip,
    /// Written to `<topic>.dlq`, then passed over.
    DeadLetter,
    /// Its partition stands still.
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
    /// What becomes of bad records.
    pub on_bad_record: OnBadRecord,
    /// What is kept for newcomers.
    pub snapshot: Snapshot,
    /// What may be replaced while it waits.
    pub conflate: Conflate,
    /// What happens to a subscriber whose queue is full.
    pub backpressure: Backpressure,
}

/// A setting that cannot be served. The server ends with status 2 and this line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} {what}")]
pub struct ConfigFault {
    /// Dotted name of the setting, such as `kafka.topics[1].channel`.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
}

impl ConfigFault {
    pub(crate) fn new(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into() }
    }
}
