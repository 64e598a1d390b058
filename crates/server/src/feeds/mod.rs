//! The feeds of a node: from the source's sink to the hub's channels, and the source's part in a subscription.
//!
//! ```text
//! fanfare-feeds: source ─ HubSink (frame bodies) ─ Topics::deliver ─ groups ─ shards
//!                replay ─ replay::Pump (on the runtime) ─ HubPrelude, pulled by the shard
//! ```
//!
//! Invariants: a record's body is written in one place, so that its live, replayed and snapshot deliveries are the same
//! bytes; nothing here blocks on a shard; feeds are stopped, and their positions committed, before clients are drained.

mod config;
mod lookup;
mod metrics;
mod replay;
mod sink;

pub(crate) use lookup::JsonLookup;
pub(crate) use replay::{HubPrelude, Wanted, prelude};

pub use config::{mappings, of_config};

use crate::node::Node;
use fanfare_config::{Config, ConfigError};
use fanfare_core::feeds::ChannelOptions;
use fanfare_core::model::{ErrorCode, FeedPosition, Refusal};
use fanfare_feeds::{ChannelSpec, Conflate, Feeds, FeedsStatus};
use parking_lot::RwLock;
use sink::{HubSink, Shaper};
use std::sync::Arc;
use std::time::Duration;

/// How long replays that are being opened may delay the stop.
const STOP_PATIENCE: Duration = Duration::from_secs(6);

/// The feeds of a node: none before the start and after the stop.
#[derive(Default)]
pub struct NodeFeeds {
    running: RwLock<Option<Running>>,
}

#[derive(Clone)]
struct Running {
    feeds: Arc<Feeds>,
    shaper: Arc<Shaper>,
}

impl std::fmt::Debug for NodeFeeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeFeeds").field("running", &self.running.read().is_some()).finish()
    }
}

impl NodeFeeds {
    fn running(&self) -> Option<Running> {
        self.running.read().clone()
    }

    /// The options of a channel's subscribers.
    ///
    /// # Errors
    /// `CHANNEL_NOT_FOUND`.
    pub fn options(&self, channel: &str) -> Result<ChannelOptions, Refusal> {
        let running = self.running().filter(|r| r.feeds.is_channel(channel));
        options_of(channel, running.and_then(|r| r.feeds.spec_of(channel)))
    }

    /// As [`options`](Self::options) for a reconnecting client: a channel to which no record was mapped since the start
    /// is resolved by the topics of the client's positions.
    ///
    /// # Errors
    /// `CHANNEL_NOT_FOUND`.
    pub fn options_since(&self, channel: &str, since: &[FeedPosition]) -> Result<ChannelOptions, Refusal> {
        self.options(channel).or_else(|_| {
            let topics = &mut since.iter().map(|at| &*at.topic);
            options_of(channel, self.running().and_then(|r| r.feeds.spec_to_be(channel, topics)))
        })
    }

    /// The existing channels, and the types of each.
    pub fn channels(&self) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
        let channels = self.running().map(|r| r.feeds.channels()).unwrap_or_default();
        channels.into_iter().map(|c| (c.name, c.spec.kinds)).collect()
    }

    /// The status of the feeds.
    pub fn status(&self) -> FeedsStatus {
        self.running().map(|r| r.feeds.status()).unwrap_or_default()
    }

    /// Stops reading, lets queued records reach the subscribers, and commits.
    pub async fn stop(&self) {
        let Some(Running { mut feeds, .. }) = self.running.write().take() else { return };
        let until = tokio::time::Instant::now() + STOP_PATIENCE;
        loop {
            match Arc::try_unwrap(feeds) {
                Ok(feeds) => return feeds.stop().await,
                Err(shared) if tokio::time::Instant::now() < until => feeds = shared,
                // Dropping the last reference ends its threads; uncommitted records are read again.
                Err(_) => return tracing::warn!("a replay delayed the stop of the feeds"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn options_of(channel: &str, spec: Option<ChannelSpec>) -> Result<ChannelOptions, Refusal> {
    let spec = spec.ok_or_else(|| {
        let shown: String = channel.chars().take(64).collect();
        Refusal::new(ErrorCode::ChannelNotFound, format!("there is no feed {shown:?}")).field("channel")
    })?;
    let conflate = spec.conflate == Conflate::Key;
    Ok(ChannelOptions { backpressure: spec.backpressure, conflate })
}

/// Starts the feeds of a node.
///
/// # Errors
/// One line that names the key of an invalid mapping or property.
pub fn start(node: &Arc<Node>) -> Result<(), ConfigError> {
    let config = of_config(&node.config, &node.client_id(0));
    let shaper = Arc::new(Shaper::new(&config.mappings));
    let sink = Arc::new(HubSink::new(node, shaper.clone()));
    let feeds = Feeds::start(config, sink).map_err(|fault| fault_of(&fault))?;
    *node.feeds.running.write() = Some(Running { feeds: Arc::new(feeds), shaper });
    metrics::watch(node);
    Ok(())
}

fn fault_of(fault: &fanfare_feeds::ConfigFault) -> ConfigError {
    ConfigError::key(fault.key.clone(), fault.what.clone())
}

/// Tries the mappings of a configuration on a sample (`fanfare feeds test-mapping`).
///
/// # Errors
/// One line that names the key of an invalid mapping.
pub fn try_sample(
    config: &Config,
    sample: &fanfare_feeds::SampleRecord,
) -> Result<Vec<fanfare_feeds::MappingTrial>, ConfigError> {
    let max = config.limits.max_message_bytes.len();
    fanfare_feeds::test_mapping(&mappings(config), max, sample).map_err(|fault| fault_of(&fault))
}
