//! Topics: what a caller may do with them, by every way in (`protocol.md` 3, `http-api.md`, seed 004).
//!
//! Each act is judged by the rules (`topics.rules`) and carried out on the node's topics. What is made by hand is kept in the
//! store, so that it is there after a restart, however it was made.

mod kept;
mod page;

pub use fanfare_core::topics::HistoryEvent;
pub use page::{HistoryPage, HistoryQuery};

use crate::access::Access;
use crate::clock::unix_ms;
use crate::ports::Sockets;
use crate::repeats::{RepeatKey, Repeats};
use fanfare_config::ConfigError;
use fanfare_core::hub::{Backpressure, Inbox};
use fanfare_core::model::{Actor, Either, ErrorCode, Publish, Refusal, Requester, StartFrom};
use fanfare_core::session::SessionCode;
use fanfare_core::topics::{self, Made, Published, Publishing, TopicInfo, TopicOptions, Topics};
use fanfare_store::{Store, StoreError};
use std::sync::Arc;
use std::time::Instant;

/// The `client_id` of publishers without a connection that give none.
const HTTP_CLIENT: &str = "http";

/// The topics of a node, whatever its shards are posted.
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
    fn publish(&self, publishing: &Publishing<'_>) -> Result<Published, Refusal>;
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

    fn publish(&self, publishing: &Publishing<'_>) -> Result<Published, Refusal> {
        Ok(self.publish(publishing)?)
    }
}

/// Where an event enters its topic: on a shard in its turn, or from outside at once.
pub trait Entry {
    /// Publishes.
    ///
    /// # Errors
    /// As [`Topics::publish`].
    fn enter(
        &mut self,
        publish: &Publish<'_>,
        client_id: &str,
        by: Requester<'_>,
    ) -> Result<Published, Refusal>;
}

/// The entry from outside a shard.
struct AtOnce<'a>(&'a dyn TopicTable);

impl Entry for AtOnce<'_> {
    fn enter(
        &mut self,
        publish: &Publish<'_>,
        client_id: &str,
        by: Requester<'_>,
    ) -> Result<Published, Refusal> {
        self.0.publish(&Publishing {
            topic: publish.topic.as_str(),
            payload: publish.payload,
            client_id,
            idempotency_key: publish.idempotency_key.as_deref(),
            publisher: by,
            exclude: None,
            shard: None,
            now_ms: unix_ms(),
            at: Instant::now(),
        })
    }
}

/// A topic that is made by hand. What is `None` is as the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name, which was checked.
    pub name: String,
    /// What happens to a subscriber that reads too slowly.
    pub backpressure: Option<Backpressure>,
    /// Events kept.
    pub history_size: Option<usize>,
    /// How long they are kept, in milliseconds.
    pub history_ttl_ms: Option<u64>,
}

/// The right to subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaySubscribe {
    /// When it ends, in milliseconds since 1970, if a token gave it.
    pub until_ms: Option<u64>,
    /// Whether what was published before may be read.
    pub history: bool,
}

/// See the module's head.
#[derive(Debug)]
pub struct TopicService {
    table: Arc<dyn TopicTable>,
    access: Access,
    store: Store,
    sockets: Arc<dyn Sockets>,
    made: Repeats<Made>,
    production: bool,
}

impl TopicService {
    /// Over a node's topics. In production a topic is shown only to callers who may list all.
    pub fn new(
        table: Arc<dyn TopicTable>,
        access: Access,
        store: Store,
        sockets: Arc<dyn Sockets>,
        production: bool,
    ) -> Self {
        Self { table, access, store, sockets, made: Repeats::default(), production }
    }

    /// The rules.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Whether an actor may subscribe from this start on.
    ///
    /// # Errors
    /// As [`Access::subscribe`]; for the newest events of the history as [`Access::history`], too.
    pub fn may_subscribe(
        &self,
        actor: &Actor<'_>,
        topic: &str,
        token: Option<&str>,
        start: &StartFrom<'_>,
    ) -> Result<MaySubscribe, Refusal> {
        let until_ms = self.access.subscribe(topic, actor.caller, actor.granted(token))?;
        let judged = || self.access.history(topic, actor.caller, actor.granted(token));
        let history = match start {
            StartFrom::Live => true,
            StartFrom::Since(_) => judged().is_ok(),
            StartFrom::Last(_) => judged().map(|()| true)?,
        };
        Ok(MaySubscribe { until_ms, history })
    }

    /// Whether an actor may publish this.
    ///
    /// # Errors
    /// As [`Access::publish`].
    pub fn may_publish(&self, actor: &Actor<'_>, publish: &Publish<'_>) -> Result<(), Refusal> {
        let granted = actor.granted(publish.token.as_deref());
        self.access.publish(publish.topic.as_str(), actor.caller, granted)
    }

    /// Publishes. `client_id` stands for the publisher in the event.
    ///
    /// # Errors
    /// As [`Access::publish`] and [`Topics::publish`].
    pub fn publish(
        &self,
        actor: &Actor<'_>,
        publish: &Publish<'_>,
        client_id: &str,
        entry: &mut impl Entry,
    ) -> Result<Published, Refusal> {
        self.may_publish(actor, publish)?;
        entry.enter(publish, client_id, actor.requester())
    }

    /// Publishes for a caller without a connection; the batch goes out at once.
    ///
    /// # Errors
    /// As [`TopicService::publish`].
    pub fn publish_at_once(
        &self,
        actor: &Actor<'_>,
        publish: &Publish<'_>,
    ) -> Result<Either<Published>, Refusal> {
        let client_id = publish.client_id.as_deref().unwrap_or(HTTP_CLIENT);
        self.publish(actor, publish, client_id, &mut AtOnce(&*self.table)).map(Either::Now)
    }

    /// The same; the connection of a session, if it has one, does not get the event.
    ///
    /// # Errors
    /// As [`TopicService::publish`]; `SERVER_SHUTDOWN` when the node stops meanwhile.
    pub async fn publish_beside(
        &self,
        actor: &Actor<'_>,
        publish: &Publish<'_>,
        session: Option<SessionCode>,
        sessions: &dyn fanfare_core::session::SessionPort,
    ) -> Result<Published, Refusal> {
        let Some(addr) = session.and_then(|code| sessions.address(code)) else {
            return self.publish_at_once(actor, publish)?.resolve().await;
        };
        self.may_publish(actor, publish)?;
        let client_id = publish.client_id.as_deref().unwrap_or(HTTP_CLIENT);
        // Whether the connection is subscribed is known on its shard only.
        let published = self.sockets.publish_beside(addr, publish, client_id, actor).await;
        published
            .unwrap_or_else(|_| Err(Refusal::new(ErrorCode::ServerShutdown, "the server is shutting down")))
    }

    /// A page of a topic's history.
    ///
    /// # Errors
    /// `TOPIC_NOT_FOUND`, and as [`Access::history`].
    pub fn history(&self, actor: &Actor<'_>, query: HistoryQuery<'_>) -> Result<HistoryPage, Refusal> {
        self.access.history(query.topic, actor.caller, actor.granted(query.token))?;
        let found = self.table.history(query.topic, query.range(), unix_ms())?;
        Ok(HistoryPage::new(found, &query))
    }

    /// Topics behind a name, in the order of their names, and the name to continue behind, if there are more.
    ///
    /// # Errors
    /// As [`Access::manage`].
    pub fn list(
        &self,
        actor: &Actor<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<TopicInfo>, Option<String>), Refusal> {
        self.access.manage(actor.caller)?;
        let (found, more) = self.table.list(after, limit);
        let next = more.then(|| found.last().map(|t| t.name.to_string())).flatten();
        Ok((found, next))
    }

    /// A topic.
    ///
    /// # Errors
    /// `TOPIC_NOT_FOUND`, and as [`Access::show`].
    pub fn show(&self, actor: &Actor<'_>, name: &str) -> Result<TopicInfo, Refusal> {
        self.access.show(name, actor.caller, self.production)?;
        self.table.show(name)
    }

    /// Whether an actor may make topics: to be asked before a body is read.
    ///
    /// # Errors
    /// As [`Access::manage`].
    pub fn may_manage(&self, actor: &Actor<'_>) -> Result<(), Refusal> {
        self.access.manage(actor.caller)
    }

    /// Makes a topic and keeps it over restarts, or keeps the one that is there. `key` is the caller's `Idempotency-Key` with a hash
    /// of the content.
    ///
    /// # Errors
    /// As [`Access::manage`] and [`Topics::make`]; `CONFLICT` for a used key; `UNAVAILABLE` when the store cannot keep it: a
    /// repeat mends that.
    pub async fn make(
        &self,
        actor: &Actor<'_>,
        new: &NewTopic,
        key: Option<(&str, u64)>,
    ) -> Result<Made, Refusal> {
        self.access.manage(actor.caller)?;
        let now = unix_ms();
        let key = key.map(|(key, content)| {
            let scope = actor.caller.key_scope().unwrap_or_else(|| actor.origin.ip.to_string());
            RepeatKey { key: format!("{scope} {key}"), content }
        });
        let made = self.made.once(key, now, || {
            let plain = self.table.options_of(&new.name);
            let options = new.options(plain);
            self.table.make(&new.name, (options != plain).then_some(options), actor.requester(), now)
        })?;
        self.keep(&new.name, now).await.map_err(|error| not_kept(&error))?;
        Ok(made)
    }

    /// Deletes a topic with its history, for good; its subscribers are told.
    ///
    /// # Errors
    /// `TOPIC_NOT_FOUND`, as [`Access::manage`], or `UNAVAILABLE` when the store cannot forget it.
    pub async fn delete(&self, actor: &Actor<'_>, name: &str) -> Result<(), Refusal> {
        self.access.manage(actor.caller)?;
        self.table.delete(name, unix_ms())?;
        self.store.forget_topic(name).await.map_err(|error| not_kept(&error))?;
        self.made.forget(|made| *made.info.name == *name);
        Ok(())
    }

    /// Keeps a topic that was made. Done after every success, so that a repeat mends what a store that was away has missed.
    async fn keep(&self, name: &str, now_ms: u64) -> Result<(), StoreError> {
        // A repeat of a topic that was deleted since keeps nothing.
        let Ok(info) = self.table.show(name) else { return Ok(()) };
        self.store.keep_topic(kept::kept_topic(name, self.table.options_of(name), info.options, now_ms)).await
    }

    /// Makes the topics that were kept in a life of the node before.
    ///
    /// # Errors
    /// One line that names `store.url`.
    pub async fn restore(&self) -> Result<(), ConfigError> {
        let failed = |e: StoreError| ConfigError::key("store.url", e.to_string());
        for topic in self.store.kept_topics().await.map_err(failed)? {
            let options = kept::topic_options(self.table.options_of(&topic.name), &topic);
            if let Err(refusal) = self.table.make(&topic.name, options, Requester::Backend, unix_ms()) {
                tracing::warn!(why = %refusal.message, "a topic that was kept cannot be made again");
            }
        }
        Ok(())
    }
}

impl NewTopic {
    /// The options it asks for, beside those of the configuration.
    fn options(&self, plain: TopicOptions) -> TopicOptions {
        let mut options = plain;
        options.backpressure = self.backpressure.unwrap_or(plain.backpressure);
        options.retention.size = self.history_size.unwrap_or(plain.retention.size);
        options.retention.ttl_ms = self.history_ttl_ms.unwrap_or(plain.retention.ttl_ms);
        options
    }
}

fn not_kept(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "the store cannot keep a change of a topic");
    let why = "the store cannot be reached, so this does not outlive a restart; try again later";
    Refusal::new(ErrorCode::Unavailable, why)
}
