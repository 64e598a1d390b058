//! librdkafka's settings for each of the clients, and those that an operator may not change.

use crate::config::{ConfigFault, KafkaConfig, OffsetReset};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

/// The settings on which this crate's guarantees rest; changing one would lose or repeat records silently.
const OURS: [&str; 13] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.partition.eof",
    "isolation.level",
    "partition.assignment.strategy",
    "group.protocol",
    "statistics.interval.ms",
    "log.queue",
    "client.id",
];

/// Maximum bytes of a dead letter, for the producer and for a dead letter topic that it creates.
pub(crate) const LETTER_BYTES: &str = "1000000000";

/// Values of `security.protocol` and `sasl.mechanisms` that need OpenSSL.
const NEED_TLS: [&str; 5] = ["SSL", "SASL_SSL", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

/// Rejects invalid properties.
///
/// # Errors
/// Names the invalid property.
pub(crate) fn check(config: &KafkaConfig) -> Result<(), ConfigFault> {
    for (name, value) in &config.properties {
        let key = || format!("kafka.properties.{name}");
        if OURS.contains(&name.as_str()) {
            return Err(ConfigFault::new(key(), "is set by Fanfare itself; see docs/feeds.md"));
        }
        let wants = NEED_TLS.iter().find(|word| value.eq_ignore_ascii_case(word));
        if let (false, true, Some(word)) = (
            cfg!(feature = "kafka-tls"),
            name.starts_with("security.") || name.starts_with("sasl.mech"),
            wants,
        ) {
            let what = format!("needs {word}, which this build lacks: build with the feature `kafka-tls`");
            return Err(ConfigFault::new(key(), what));
        }
    }
    // Names and values that librdkafka itself rejects: found by creating a configuration, which connects to nothing.
    let made = live(config).create_native_config();
    made.map(drop).map_err(|err| match err {
        rdkafka::error::KafkaError::ClientConfig(_, what, name, _) => {
            ConfigFault::new(format!("kafka.properties.{name}"), format!("is refused by librdkafka: {what}"))
        }
        other => ConfigFault::new("kafka.properties", format!("is refused by librdkafka: {other}")),
    })
}

/// The settings common to all clients.
fn base(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", config.brokers.join(","))
        .set("client.id", &config.client_id)
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("log.connection.close", "false");
    client
}

fn with_properties(client: &mut ClientConfig, config: &KafkaConfig) {
    for (name, value) in &config.properties {
        client.set(name, value);
    }
}

/// The consumer for live data.
pub(crate) fn live(config: &KafkaConfig) -> ClientConfig {
    let reset = match config.offset_reset {
        OffsetReset::Latest => "latest",
        OffsetReset::Earliest => "earliest",
    };
    let mut client = base(config);
    // Its warnings report what it does by itself, such as resetting a position.
    client.set_log_level(RDKafkaLogLevel::Warning);
    client
        .set("group.id", &config.group)
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "2000")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.error.backoff.ms", "100")
        .set("queued.max.messages.kbytes", "32768");
    with_properties(&mut client, config);
    client
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "250")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", reset)
        .set("isolation.level", "read_committed")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("statistics.interval.ms", "1000");
    client
}

/// A reader of the replay pool: assigns explicitly, commits nothing, reports the end of a partition.
pub(crate) fn reader(config: &KafkaConfig) -> ClientConfig {
    let mut client = base(config);
    client
        .set("group.id", format!("{}.replay", config.group))
        .set("fetch.wait.max.ms", "20")
        .set("fetch.error.backoff.ms", "100")
        .set("queued.max.messages.kbytes", "2048");
    with_properties(&mut client, config);
    client
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed");
    client
}

/// The reader that looks single records up: it fetches one batch of records only.
pub(crate) fn lookout(config: &KafkaConfig) -> ClientConfig {
    let mut client = reader(config);
    client.set("fetch.message.max.bytes", "1").set("queued.min.messages", "1");
    client
}

/// The producer of dead letters. It sends letters of any size: the broker decides what is too large.
pub(crate) fn producer(config: &KafkaConfig) -> ClientConfig {
    let mut client = base(config);
    client
        .set("linger.ms", "0")
        .set("message.timeout.ms", "5000")
        .set("topic.metadata.propagation.max.ms", "1000")
        .set("enable.idempotence", "true");
    with_properties(&mut client, config);
    // librdkafka's maximum.
    client.set("message.max.bytes", LETTER_BYTES);
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;

    fn with(name: &str, value: &str) -> Result<(), ConfigFault> {
        check(&KafkaConfig {
            brokers: vec!["127.0.0.1:9".into()],
            group: "g".into(),
            client_id: "c".into(),
            mode: Mode::Auto,
            relayed: false,
            offset_reset: OffsetReset::Latest,
            batch_size: 100,
            properties: [(name.to_owned(), value.to_owned())].into(),
        })
    }

    #[test]
    fn every_build_speaks_sasl_plain_and_reads_every_codec() {
        let mut client = ClientConfig::new();
        for (name, value) in [
            ("bootstrap.servers", "127.0.0.1:9"),
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "u"),
            ("sasl.password", "p"),
        ] {
            client.set(name, value);
        }
        client.create::<rdkafka::consumer::BaseConsumer>().unwrap();
        let features = ClientConfig::new().create_native_config().unwrap().get("builtin.features").unwrap();
        for feature in ["gzip", "snappy", "lz4", "zstd", "sasl_plain"] {
            assert!(features.split(',').any(|has| has.trim() == feature), "{feature} is not in {features}");
        }
    }

    #[test]
    fn errors_name_the_invalid_property() {
        with("fetch.max.bytes", "1000000").unwrap();
        for (name, value) in [
            ("enable.auto.offset.store", "true"),
            ("no.such.property", "1"),
            ("session.timeout.ms", "soon"),
            #[cfg(not(feature = "kafka-tls"))]
            ("security.protocol", "SASL_SSL"),
            #[cfg(not(feature = "kafka-tls"))]
            ("sasl.mechanism", "SCRAM-SHA-256"),
        ] {
            let fault = with(name, value).unwrap_err();
            assert_eq!(fault.key, format!("kafka.properties.{name}"), "{fault}");
        }
    }
}
