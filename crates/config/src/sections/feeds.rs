//! Feeds: Kafka and the built-in demo source.

use crate::Feature;
use crate::error::Fault;
use crate::group::{settings, table_setting};
use crate::hosts::BrokerAddr;
use crate::secret::Properties;
use crate::words::{KafkaMode, OffsetReset, OnBadRecord, PerKey};
use fanfare_core::topics::rules::Backpressure;

settings! {
    /// Feeds from Apache Kafka.
    pub struct Kafka in "kafka", cx: {
        /// Brokers to start from. Unset: the built-in demo source, as `feeds.demo` says.
        brokers: Vec<BrokerAddr> = Vec::new(); env "KAFKA_BROKERS"; with Feature::Feeds,
        /// Consumer group of all nodes.
        group: String = "backend-service".into(); env "KAFKA_CONSUMER_GROUP"; with Feature::Feeds,
        /// Most records taken per partition and turn.
        batch_size: usize = 100; unit "records"; env "KAFKA_BATCH_SIZE"; positive; with Feature::Feeds,
        /// How nodes share the partitions: as one group through the cluster (`shared`), each all of them (`broadcast`), or as fits (`auto`).
        mode: KafkaMode = KafkaMode::Auto; with Feature::Feeds,
        /// Where reading starts without a stored position, and after it expired.
        offset_reset: OffsetReset = OffsetReset::Latest; with Feature::Feeds,
        /// Records a partition may lag behind before it counts as lagging.
        lag_warn: u64 = 1000; unit "records"; with Feature::Feeds,
        /// Handed on to librdkafka, such as `"security.protocol" = "SASL_SSL"`.
        properties: Properties = Properties::default(); secret; with Feature::Feeds,
        /// Which Kafka topics feed which channels. Setting it replaces the three of the default.
        topics: Vec<KafkaTopic> = KafkaTopic::seeds(); with Feature::Feeds,
    }
}

settings! {
    /// One mapping of `kafka.topics`.
    pub struct KafkaTopic in "", cx: {
        /// Kafka topic: a name, or a pattern in slashes such as `/prices-.*/`.
        topic: String,
        /// Channel it feeds; may hold `{key}`, `{header:NAME}` and `{json:/pointer}`.
        channel: String,
        /// `type` of the frames.
        kind as "type": String,
        /// A record that cannot be used is skipped (`skip`), sent to `<topic>.dlq` (`dlq`), or stops its partition (`halt`).
        on_bad_record: OnBadRecord = OnBadRecord::Skip,
        /// Keeps the last record of each key for newcomers (`key`), or nothing (`none`).
        snapshot: PerKey = PerKey::None,
        /// Lets newer records of a key replace those that still wait (`key`), or none (`none`).
        conflate: PerKey = PerKey::None,
        /// What happens to a subscriber whose queue is full.
        backpressure: Backpressure = Backpressure::DropOldest,
    }
}
table_setting!(KafkaTopic, "table");

impl KafkaTopic {
    /// The three feeds of seed 002.
    fn seeds() -> Vec<Self> {
        let feed = |topic: &str, kind: &str| Self {
            topic: topic.into(),
            channel: "dashboard".into(),
            kind: kind.into(),
            on_bad_record: OnBadRecord::Skip,
            snapshot: PerKey::None,
            conflate: PerKey::None,
            backpressure: Backpressure::DropOldest,
        };
        [("token-info", "token_info"), ("trade-info", "trade_data"), ("aggregate-info", "aggregate_data")]
            .map(|(topic, kind)| feed(topic, kind))
            .into()
    }

    /// The channel's template names only what a record has.
    fn checked(self) -> Result<Self, Fault> {
        let known = |hole: &str| {
            let named = |prefix| hole.strip_prefix(prefix).is_some_and(|rest: &str| !rest.is_empty());
            hole == "key" || named("header:") || named("json:/")
        };
        let mut rest = self.channel.as_str();
        while let Some(start) = rest.find(['{', '}']) {
            let hole = rest[start..].strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((_, after)) = hole.filter(|(name, _)| known(name)) else {
                let what = "may hold only `{key}`, `{header:NAME}` and `{json:/pointer}` in braces";
                return Err(Fault::new(what).inside(".channel", None));
            };
            rest = after;
        }
        Ok(self)
    }
}

settings! {
    /// Feeds without Kafka.
    pub struct Feeds in "feeds", cx: {
        /// Serves made-up market data on the channel `dashboard`, marked as demo.
        demo: bool = cx.pick(!cx.brokers_set, false); with Feature::Feeds; varies "true in development without `kafka.brokers`, else false",
        /// Demo records a second.
        demo_rate: u32 = 5; unit "records"; positive; with Feature::Feeds,
    }
}
