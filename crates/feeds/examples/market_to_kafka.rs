//! Writes the demo market to a real Kafka: `market_to_kafka HOST:PORT [RECORDS A SECOND]`, until it is stopped.
//!
//! `make demo-kafka` uses it, so that the way from a producer through Kafka to a browser can be seen without a producer
//! of one's own. It makes the three topics of the default mapping when they are missing.

use fanfare_feeds::{
    Conflate, Delivery, DemoConfig, FeedSink, Feeds, FeedsConfig, LagAlert, MappingConfig, OnBadRecord,
    Record, Snapshot, SourceConfig,
};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

const TOPICS: [&str; 3] = ["token-info", "trade-info", "aggregate-info"];

/// The market's records, written instead of shown.
struct Writer(BaseProducer);

impl FeedSink for Writer {
    fn failed(&self, _thread: &str) {
        std::process::exit(1)
    }

    fn deliver(&self, batch: &[Delivery<'_>]) {
        for one in batch {
            if let Delivery::Record(record) = one {
                let letter = BaseRecord::<str, str>::to(&record.topic).payload(&record.value);
                // A full queue means a Kafka that is away: the market does not wait for it.
                let _ = self.0.send(letter.key(record.key.as_deref().unwrap_or_default()));
            }
        }
        self.0.poll(Duration::ZERO);
    }

    fn fill(&self, _: &Arc<str>, _: i32, _: i64, _: &[&Record]) -> bool {
        true
    }

    fn lag(&self, _: LagAlert) {}
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let brokers = arguments.next().ok_or("usage: market_to_kafka HOST:PORT [RECORDS A SECOND]")?;
    let rate = arguments.next().map_or(Ok(20), |rate| rate.parse())?;
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &brokers).set("linger.ms", "5");

    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let wanted = TOPICS.map(|topic| NewTopic::new(topic, 3, TopicReplication::Fixed(-1)));
    for made in admin.create_topics(&wanted, &AdminOptions::new()).await? {
        if let Err((topic, why)) = made {
            eprintln!("{topic}: {why}");
        }
    }

    let mapping = |topic: &str| MappingConfig {
        topic: topic.into(),
        channel: "market".into(),
        kind: topic.into(),
        on_bad_record: OnBadRecord::Skip,
        snapshot: Snapshot::None,
        conflate: Conflate::None,
        backpressure: fanfare_core::topics::rules::Backpressure::DropOldest,
    };
    let config = FeedsConfig {
        source: SourceConfig::Demo(DemoConfig { rate, seed: u64::from(std::process::id()) }),
        mappings: TOPICS.map(mapping).into(),
        max_record_bytes: 65536,
        lag_warn: u64::MAX,
    };
    let feeds = Feeds::start(config, Arc::new(Writer(client.create()?)))?;
    eprintln!("writing {rate} records a second to {brokers}");
    std::future::pending::<()>().await;
    feeds.stop().await;
    Ok(())
}
