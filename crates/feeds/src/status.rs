//! The status of the feeds: shown by `GET /feeds`, `/health` and the metrics. A plain copy, created on request.

use std::sync::Arc;

/// Whether the feeds work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// No feed is configured.
    #[default]
    Off,
    /// Records flow, or would if there were any.
    Ok,
    /// Something is wrong; the texts are the reasons, each a sentence without a full stop.
    Degraded(Vec<String>),
}

/// A partition's position (`chat-feeds-cluster.md` "Feeds").
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionStatus {
    /// Number of the partition.
    pub partition: i32,
    /// Next offset to store: everything before it has reached the hub.
    pub offset: i64,
    /// End of the log: the offset of the next record to be written.
    pub end: i64,
    /// Records behind: `max(0, end - offset)`.
    pub lag: u64,
    /// Seconds since the time of the last delivered record; 0 when nothing is behind.
    pub lag_seconds: f64,
    /// Whether its lag alert is raised.
    pub alert: bool,
    /// Why it is halted, if an invalid record halted it.
    pub halted: Option<&'static str>,
}

/// A topic and what it feeds.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicStatus {
    /// Name of the topic; of a pattern that matches nothing yet, the pattern in slashes.
    pub topic: Arc<str>,
    /// Channel, or the channel's template.
    pub channel: Arc<str>,
    /// `type` of the deliveries.
    pub kind: Arc<str>,
    /// The partitions that this node reads, in order.
    pub partitions: Vec<PartitionStatus>,
}

/// The status and counters of the feeds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeedsStatus {
    /// Whether the data is generated.
    pub demo: bool,
    /// Whether the source works.
    pub health: Health,
    /// Whether a broker responds; true for the demo source, `None` without a source.
    pub up: Option<bool>,
    /// A row for each topic and mapping.
    pub feeds: Vec<TopicStatus>,
    /// Records read since the start, by topic.
    pub records_total: Vec<(Arc<str>, u64)>,
    /// Invalid records that were skipped, by topic and reason.
    pub skipped_total: Vec<(Arc<str>, &'static str, u64)>,
    /// Invalid records that were written to a dead letter topic, by topic and reason.
    pub dead_letters_total: Vec<(Arc<str>, &'static str, u64)>,
    /// Partitions whose log restarted: the topic was deleted and recreated, or truncated. By topic.
    pub log_restarts_total: Vec<(Arc<str>, u64)>,
    /// Stored positions that were not in their log any more. By topic.
    pub expired_total: Vec<(Arc<str>, u64)>,
    /// How often the Kafka client was recreated because it had stalled.
    pub restarts_total: u64,
    /// Errors of the connections to Kafka.
    pub errors_total: u64,
    /// How often partitions were assigned to or revoked from this node.
    pub rebalances_total: u64,
}
