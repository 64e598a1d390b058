//! The settings `kafka.*` and `feeds.*`, converted to the feeds' configuration.

use fanfare_config::{self as config, Config};
use fanfare_feeds::{
    Conflate, DemoConfig, FeedsConfig, KafkaConfig, MappingConfig, Mode, OffsetReset, OnBadRecord, Snapshot,
    SourceConfig,
};

/// The demo market's seed: the same market at every start.
const DEMO_SEED: u64 = 2;

/// The feeds of a configuration. `node` is this node's name in Kafka.
pub fn of_config(config: &Config, node: &str) -> FeedsConfig {
    FeedsConfig {
        source: source(config, node),
        mappings: mappings(config),
        max_record_bytes: config.limits.max_message_bytes.len(),
        lag_warn: config.kafka.lag_warn,
    }
}

fn source(config: &Config, node: &str) -> SourceConfig {
    let kafka = &config.kafka;
    if kafka.brokers.is_empty() {
        let demo = DemoConfig { rate: config.feeds.demo_rate, seed: DEMO_SEED };
        return if config.feeds.demo { SourceConfig::Demo(demo) } else { SourceConfig::Off };
    }
    let node = config.cluster.node_id.as_deref().unwrap_or(node);
    SourceConfig::Kafka(KafkaConfig {
        brokers: kafka.brokers.iter().map(ToString::to_string).collect(),
        group: kafka.group.clone(),
        client_id: format!("fanfare-{node}"),
        mode: match kafka.mode {
            config::KafkaMode::Auto => Mode::Auto,
            config::KafkaMode::Shared => Mode::Shared,
            config::KafkaMode::Broadcast => Mode::Broadcast,
        },
        relayed: false,
        offset_reset: match kafka.offset_reset {
            config::OffsetReset::Latest => OffsetReset::Latest,
            config::OffsetReset::Earliest => OffsetReset::Earliest,
        },
        batch_size: kafka.batch_size,
        properties: kafka.properties.0.clone(),
    })
}

/// The mappings of a configuration, in order.
pub fn mappings(config: &Config) -> Vec<MappingConfig> {
    let mapping = |row: &config::KafkaTopic| MappingConfig {
        topic: row.topic.clone(),
        channel: row.channel.clone(),
        kind: row.kind.clone(),
        on_bad_record: match row.on_bad_record {
            config::OnBadRecord::Skip => OnBadRecord::Skip,
            config::OnBadRecord::Dlq => OnBadRecord::DeadLetter,
            config::OnBadRecord::Halt => OnBadRecord::Halt,
        },
        snapshot: if row.snapshot == config::PerKey::Key { Snapshot::Key } else { Snapshot::None },
        conflate: if row.conflate == config::PerKey::Key { Conflate::Key } else { Conflate::None },
        backpressure: row.backpressure,
    };
    config.kafka.topics.iter().map(mapping).collect()
}
