//! The handle of the feeds.

use crate::config::{ConfigFault, FeedsConfig, SourceConfig};
use crate::demo::DemoSource;
#[cfg(feature = "kafka")]
use crate::kafka::KafkaSource;
use crate::mapping::Mappings;
use crate::model::{ChannelInfo, ChannelSpec};
use crate::replay::{Position, Replay, ReplayRefused};
use crate::sink::FeedSink;
use crate::status::FeedsStatus;
use std::sync::Arc;

enum Source {
    Off,
    Demo(DemoSource),
    #[cfg(feature = "kafka")]
    Kafka(Box<KafkaSource>),
}

/// The feeds of this node. Its threads run from [`Feeds::start`] to [`Feeds::stop`] or drop.
pub struct Feeds {
    mappings: Arc<Mappings>,
    source: Source,
}

impl Feeds {
    /// Starts the source. An unreachable Kafka is not an error: connecting is retried indefinitely.
    ///
    /// # Errors
    /// A mapping or a property that is invalid, named by its key.
    pub fn start(config: FeedsConfig, sink: Arc<dyn FeedSink>) -> Result<Self, ConfigFault> {
        let FeedsConfig { source, mappings, max_record_bytes, lag_warn } = config;
        let all = Mappings::compile(&mappings, max_record_bytes)?;
        let off = matches!(source, SourceConfig::Off);
        let mappings = Arc::new(if off { Mappings::compile(&[], max_record_bytes)? } else { all });
        let source = match source {
            SourceConfig::Off => Source::Off,
            SourceConfig::Demo(config) => {
                let demo = DemoSource::start(&config, Arc::clone(&mappings), sink);
                Source::Demo(demo.map_err(|err| ConfigFault::new("feeds.demo", err.to_string()))?)
            }
            SourceConfig::Kafka(config) => kafka(config, &mappings, lag_warn, sink)?,
        };
        Ok(Self { mappings, source })
    }

    /// Whether the channel exists: those named in the mappings exist from the start, those of a template once a record
    /// was mapped to them.
    pub fn is_channel(&self, name: &str) -> bool {
        self.mappings.is_channel(name)
    }

    /// The existing channels, ordered by name.
    pub fn channels(&self) -> Vec<ChannelInfo> {
        self.mappings.channels()
    }

    /// The spec of a channel.
    pub fn spec_of(&self, channel: &str) -> Option<ChannelSpec> {
        self.mappings.spec_of(channel)
    }

    /// The spec that a channel would have to which no record was mapped since the start, if a template could make its
    /// name from records of these topics: after a restart, a reconnecting client's channel is resolved by the topics of
    /// its last records.
    pub fn spec_to_be(&self, channel: &str, topics: &mut dyn Iterator<Item = &str>) -> Option<ChannelSpec> {
        self.mappings.spec_to_be(channel, topics)
    }

    /// The status of the feeds. A copy, cheap enough for every scrape, but not for every record.
    pub fn status(&self) -> FeedsStatus {
        match &self.source {
            Source::Off => FeedsStatus::default(),
            Source::Demo(demo) => demo.status(),
            #[cfg(feature = "kafka")]
            Source::Kafka(kafka) => kafka.status(),
        }
    }

    /// Reads again the records a client has missed. `from` has the last offset it received of each partition it names;
    /// `to` the last offset that was delivered live when it subscribed, per partition, inclusive. A partition that `to`
    /// does not name is replayed up to where live reading started.
    ///
    /// # Errors
    /// [`ReplayRefused::Unavailable`] when Kafka does not respond within 5 s, [`ReplayRefused::UnknownChannel`].
    pub async fn replay(
        &self,
        channel: &str,
        from: Vec<Position>,
        to: Vec<Position>,
    ) -> Result<Replay, ReplayRefused> {
        let could_be = || self.spec_to_be(channel, &mut from.iter().map(|(topic, ..)| &**topic)).is_some();
        if !self.is_channel(channel) && !could_be() {
            return Err(ReplayRefused::UnknownChannel);
        }
        match &self.source {
            Source::Off => Err(ReplayRefused::UnknownChannel),
            Source::Demo(demo) => Ok(demo.replay(channel, from, &to)),
            #[cfg(feature = "kafka")]
            Source::Kafka(kafka) => kafka.replay(channel, from, to).await,
        }
    }

    /// Stops reading, lets queued records reach the sink, and commits. Waits for that at most 10 s.
    pub async fn stop(self) {
        match self.source {
            Source::Off => {}
            Source::Demo(demo) => demo.stop(),
            #[cfg(feature = "kafka")]
            Source::Kafka(kafka) => kafka.stop().await,
        }
    }

    #[cfg(all(test, feature = "kafka"))]
    pub(crate) fn kafka(&self) -> &KafkaSource {
        match &self.source {
            Source::Kafka(kafka) => kafka,
            _ => panic!("not from Kafka"),
        }
    }
}

#[cfg(feature = "kafka")]
fn kafka(
    config: crate::config::KafkaConfig,
    mappings: &Arc<Mappings>,
    lag_warn: u64,
    sink: Arc<dyn FeedSink>,
) -> Result<Source, ConfigFault> {
    KafkaSource::start(config, Arc::clone(mappings), lag_warn, sink)
        .map(|kafka| Source::Kafka(Box::new(kafka)))
}

#[cfg(not(feature = "kafka"))]
fn kafka(
    _: crate::config::KafkaConfig,
    _: &Arc<Mappings>,
    _: u64,
    _: Arc<dyn FeedSink>,
) -> Result<Source, ConfigFault> {
    Err(ConfigFault::new("kafka.brokers", "needs a build with the feature `kafka`"))
}
