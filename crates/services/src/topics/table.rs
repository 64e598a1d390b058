//! The topics of a node as services use them, whatever its shards are posted.

use super::durable::Followers;
use fanfare_core::hub::{Inbox, Turn};
use fanfare_core::model::{Refusal, Requester};
use fanfare_core::ports::{Arrival, Arrivals, AttachTicket, Attached, Away, LogRef, ReadTicket};
use fanfare_core::topics::{
    self, Made, NotPublished, Published, Publishing, TopicInfo, TopicOptions, Topics,
};

/// The topics of a node.
pub trait TopicTable: Send + Sync + std::fmt::Debug {
    /// As [`Topics::make`].
    ///
    /// # Errors
    /// As there.
    fn make(
        &self,
        name: &str,
        options: Option<TopicOptions>,
        by: Requester<'_>,
        now_ms: u64,
    ) -> Result<Made, Refusal>;

    /// As [`Topics::delete`], from outside a shard.
    ///
    /// # Errors
    /// As there.
    fn delete(&self, name: &str, now_ms: u64) -> Result<(), Refusal>;

    /// As [`Topics::show`].
    ///
    /// # Errors
    /// As there.
    fn show(&self, name: &str) -> Result<TopicInfo, Refusal>;

    /// As [`Topics::list`].
    fn list(&self, after: Option<&str>, limit: usize) -> (Vec<TopicInfo>, bool);

    /// As [`Topics::history`].
    ///
    /// # Errors
    /// As there.
    fn history(
        &self,
        name: &str,
        query: topics::HistoryQuery,
        now_ms: u64,
    ) -> Result<topics::History, Refusal>;

    /// As [`Topics::options_of`].
    fn options_of(&self, name: &str) -> TopicOptions;

    /// As [`Topics::publish`].
    ///
    /// # Errors
    /// As there.
    fn publish(&self, publishing: &Publishing<'_>) -> Result<Published, NotPublished>;

    /// As [`Topics::revive`].
    ///
    /// # Errors
    /// As there.
    fn revive(&self, name: &str, options: TopicOptions, now_ms: u64) -> Result<bool, Refusal>;

    /// As [`Topics::live_options`].
    fn live_options(&self, name: &str) -> Option<TopicOptions>;
}

impl<D: Send + 'static> TopicTable for Topics<D>
where
    Inbox<D>: Send + Sync,
{
    fn make(
        &self,
        name: &str,
        options: Option<TopicOptions>,
        by: Requester<'_>,
        now_ms: u64,
    ) -> Result<Made, Refusal> {
        self.make(name, options, by, now_ms)
    }

    fn delete(&self, name: &str, now_ms: u64) -> Result<(), Refusal> {
        self.delete(name, None, now_ms)
    }

    fn show(&self, name: &str) -> Result<TopicInfo, Refusal> {
        self.show(name)
    }

    fn list(&self, after: Option<&str>, limit: usize) -> (Vec<TopicInfo>, bool) {
        self.list(after, limit)
    }

    fn history(
        &self,
        name: &str,
        query: topics::HistoryQuery,
        now_ms: u64,
    ) -> Result<topics::History, Refusal> {
        self.history(name, query, now_ms)
    }

    fn options_of(&self, name: &str) -> TopicOptions {
        self.options_of(name)
    }

    fn publish(&self, publishing: &Publishing<'_>) -> Result<Published, NotPublished> {
        self.publish(publishing)
    }

    fn revive(&self, name: &str, options: TopicOptions, now_ms: u64) -> Result<bool, Refusal> {
        self.revive(name, options, now_ms)
    }

    fn live_options(&self, name: &str) -> Option<TopicOptions> {
        self.live_options(name)
    }
}

impl<D: Send + 'static> Followers for Topics<D>
where
    Inbox<D>: Send + Sync,
{
    fn arrive(&self, arrivals: Arrivals<'_>) -> u64 {
        self.arrive(arrivals)
    }

    fn attached(&self, log: &LogRef, ticket: AttachTicket, at: Result<Attached, Away>, now: Turn) {
        self.attached(log, ticket, at, now);
    }

    fn answer(&self, log: &LogRef, ticket: ReadTicket, events: Result<Vec<Arrival>, Away>, now: Turn) {
        self.answer(log, ticket, events, now);
    }

    fn count_published(&self, events: u64) {
        self.count_published(events);
    }
}
