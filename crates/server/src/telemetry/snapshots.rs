//! Metrics stored in the store: a row per metric and interval, for a week (seed 003's table `metrics`).
//!
//! A snapshot is the content of `/metrics` at that moment: every counter and gauge with its labels, and of a histogram
//! its sum and its count; buckets are left to a scraper. If the store rejects one, it is not retried: the next snapshot
//! replaces it.

use super::metrics::Metrics;
use fanfare_services::clock::unix_ms;
use fanfare_store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How long snapshots are kept.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The snapshots of one node.
#[derive(Debug)]
pub struct Snapshots {
    /// The metrics to store.
    pub metrics: Arc<Metrics>,
    /// The store.
    pub store: Store,
    /// The node's name in the rows.
    pub node: String,
    /// Interval between two snapshots (`metrics.snapshot_interval`).
    pub every: Duration,
}

impl Snapshots {
    /// Takes snapshots as long as it is polled.
    pub async fn run(self) {
        let mut clock = tokio::time::interval_at(tokio::time::Instant::now() + self.every, self.every);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            if let Err(error) = self.take(unix_ms()).await {
                tracing::warn!(%error, "a snapshot of the metrics is left out");
            }
        }
    }

    async fn take(&self, now_ms: u64) -> Result<(), StoreError> {
        let text = self.metrics.render().map_err(|e| StoreError::Unavailable(e.to_string()))?;
        self.store.put_metrics(now_ms as i64, &self.node, samples(&text)).await?;
        self.store.prune_metrics(now_ms.saturating_sub(KEPT.as_millis() as u64) as i64).await?;
        Ok(())
    }
}

/// Name with labels and value of every sample except buckets.
fn samples(text: &str) -> Vec<(String, f64)> {
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        let family = name.split('{').next().unwrap_or(name);
        if line.starts_with('#') || family.ends_with("_bucket") {
            return None;
        }
        Some((name.to_owned(), value.parse().ok().filter(|v: &f64| v.is_finite())?))
    };
    text.lines().filter_map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::ShardMetrics;

    #[test]
    fn a_snapshot_has_every_sample_but_buckets() {
        let shard = Arc::new(ShardMetrics::new());
        shard.publish_to_write.observe(2_000_000_000);
        shard.opened.fetch_add(3, std::sync::atomic::Ordering::Relaxed);
        let metrics = Arc::new(Metrics::new(vec![shard]));
        metrics.watch("fanfare_odd", "With a label that looks like a sample", || 7);
        metrics.http("/a b", 200, 5);
        let text = metrics.render().unwrap();
        let rows = samples(&text);
        let value = |name: &str| rows.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
        assert_eq!(value("fanfare_connections_opened_total"), Some(3.0));
        assert_eq!(value("fanfare_publish_to_write_seconds_sum"), Some(2.0));
        assert_eq!(value("fanfare_publish_to_write_seconds_count"), Some(1.0));
        assert_eq!(value("fanfare_odd"), Some(7.0));
        let http = "fanfare_http_request_seconds_count{route=\"/a b\",status=\"200\"}";
        assert_eq!(value(http), Some(1.0));
        let plain = |line: &&str| !line.starts_with('#') && !line.contains("_bucket{");
        assert_eq!(rows.len(), text.lines().filter(plain).count());
        assert!(!rows.iter().any(|(name, _)| name.contains("_bucket")));
    }
}
