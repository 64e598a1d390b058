//! Feeds: records of Kafka topics, or of the built-in demo market, mapped to channels and handed to a [`FeedSink`].
//!
//! ```text
//! Kafka ─ kafka: one polling thread ─ mapping: decode, name the channel ─ a bounded queue per partition ─ workers ─ FeedSink
//! demo ──────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Invariants: records of a partition reach the sink in order and once; a position is stored only after the sink has
//! returned; a record's bytes are passed on unchanged; no queue is unbounded; an unreachable broker is retried.
//!
//! Sources: seed 002, `chat-feeds-cluster.md` "Feeds", `durability-and-cluster.md` "Feeds".

mod config;
mod counters;
mod demo;
mod feeds;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod lag;
mod mapping;
mod model;
mod replay;
mod sink;
mod status;
#[cfg(feature = "kafka")]
mod throttle;

pub use config::{
    ConfigFault, DemoConfig, FeedsConfig, KafkaConfig, MappingConfig, Mode, OffsetReset, OnBadRecord,
    SourceConfig,
};
pub use feeds::Feeds;
pub use mapping::{MappingTrial, SampleRecord, TrialOutcome, test_mapping};
pub use model::{ChannelInfo, ChannelSpec, Conflate, Delivery, KindSpec, Record, Snapshot};
pub use replay::{Position, Replay, ReplayRefused};
pub use sink::{FeedSink, LagAlert};
pub use status::{FeedsStatus, Health, PartitionStatus, TopicStatus};
