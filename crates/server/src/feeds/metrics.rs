//! The metrics of the feeds, read at each scrape.

use crate::node::Node;
use fanfare_feeds::{FeedsStatus, PartitionStatus};
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Arc;

/// Registers the feeds' metrics of a node.
pub(super) fn watch(node: &Arc<Node>) {
    let weak = Arc::downgrade(node);
    let families = move |e: &mut DescriptorEncoder<'_>| {
        weak.upgrade().map_or(Ok(()), |node| encode(&node.feeds.status(), e))
    };
    node.metrics.watch_families(Box::new(families));
}

fn encode(status: &FeedsStatus, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
    const COUNTER: MetricType = MetricType::Counter;
    by_topic(e, "fanfare_feed_records", "Records read since the start", &status.records_total)?;
    let mut m =
        e.encode_descriptor("fanfare_feed_skipped", "Bad records that were passed over", None, COUNTER)?;
    for (topic, reason, count) in &status.skipped_total {
        ConstCounter::new(*count).encode(m.encode_family(&[("topic", &**topic), ("reason", *reason)])?)?;
    }
    let help = "Bad records that were written to a dead letter topic";
    let mut m = e.encode_descriptor("fanfare_feed_dead_letters", help, None, COUNTER)?;
    for (topic, reason, count) in &status.dead_letters_total {
        ConstCounter::new(*count).encode(m.encode_family(&[("topic", &**topic), ("reason", *reason)])?)?;
    }
    let help = "Partitions whose log restarted: the topic was recreated, or truncated";
    by_topic(e, "fanfare_feed_logs_anew", help, &status.log_restarts_total)?;
    let help = "Stored positions that were not in their log any more";
    by_topic(e, "fanfare_feed_positions_expired", help, &status.expired_total)?;
    counter(e, "fanfare_feed_restarts", "Times the Kafka client was recreated", status.restarts_total)?;
    counter(e, "fanfare_feed_connection_errors", "Errors of connections to Kafka", status.errors_total)?;
    counter(e, "fanfare_feed_rebalances", "Changes of this node's partitions", status.rebalances_total)?;
    if let Some(up) = status.up {
        let help = "Whether a Kafka broker responds; 1 for the demo source";
        ConstGauge::new(i64::from(up)).encode(e.encode_descriptor(
            "fanfare_feed_up",
            help,
            None,
            MetricType::Gauge,
        )?)?;
    }
    gauges(status, e, "fanfare_feed_lag_records", "Records behind", |p| p.lag as f64)?;
    gauges(status, e, "fanfare_feed_lag_seconds", "Seconds behind", |p| p.lag_seconds)?;
    let help = "Whether the lag alert is raised (kafka.lag_warn)";
    gauges(status, e, "fanfare_feed_lag_alert", help, |p| f64::from(u8::from(p.alert)))
}

fn by_topic(
    e: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    counts: &[(Arc<str>, u64)],
) -> fmt::Result {
    let mut m = e.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (topic, count) in counts {
        ConstCounter::new(*count).encode(m.encode_family(&[("topic", &**topic)])?)?;
    }
    Ok(())
}

fn counter(e: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(e.encode_descriptor(name, help, None, MetricType::Counter)?)
}

/// A gauge for each partition. One that several mappings read is shown once.
fn gauges(
    status: &FeedsStatus,
    e: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    of: fn(&PartitionStatus) -> f64,
) -> fmt::Result {
    let mut m = e.encode_descriptor(name, help, None, MetricType::Gauge)?;
    let mut shown = std::collections::BTreeSet::new();
    for feed in &status.feeds {
        for p in feed.partitions.iter().filter(|p| shown.insert((feed.topic.clone(), p.partition))) {
            let labels = [("topic", feed.topic.to_string()), ("partition", p.partition.to_string())];
            ConstGauge::new(of(p)).encode(m.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
