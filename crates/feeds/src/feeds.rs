//! The handle the server holds.

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
    /// Starts the source. A Kafka that is not there yet is no error: it is tried again, for ever.
    ///
    /// # Errors
    /// A mapping or a property that cannot be served, named by its key.
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

    /// Whether there is such a channel: those named in the mappings from the start, those of a template once a record
    /// was mapped to them.
    pub fn is_channel(&self, name: &str) -> bool {
        self.mappings.is_channel(name)
    }

    /// The channels there are, by name.
    pub fn channels(&self) -> Vec<ChannelInfo> {
        self.mappings.channels()
    }

    /// What a channel is made of.
    pub fn spec_of(&self, channel: &str) -> Option<ChannelSpec> {
        self.mappings.spec_of(channel)
    }

    /// What a channel would be made of that no record was mapped to since the start, if a template could make it of records
    /// of these topics: a client that comes back after a restart is known by where its last records came from.
    pub fn spec_to_be(&self, channel: &str, topics: &mut dyn Iterator<Item = &str>) -> Option<ChannelSpec> {
        self.mappings.spec_to_be(channel, topics)
    }

    /// How the feeds are. A copy, cheap enough for every scrape; not for every record.
    pub fn status(&self) -> FeedsStatus {
        match &self.source {
            Source::Off => FeedsStatus::default(),
            Source::Demo(demo) => demo.status(),
            #[cfg(feature = "kafka")]
            Source::Kafka(kafka) => kafka.status(),
        }
    }

    /// Reads again what a client has missed. `from` has the last offset it saw of each partition it names; `to` the last
    /// offset that was delivered live when it subscribed, per partition, inclusive. A partition that `to` does not name
    /// is replayed up to where live reading began.
    ///
    /// # Errors
    /// [`ReplayRefused::Unavailable`] when Kafka does not answer within 5 s, [`ReplayRefused::UnknownChannel`].
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

    /// Stops reading, lets what was read reach the sink, commits. At most 10 s, then without.
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
