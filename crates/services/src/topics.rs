//! Topics: what a caller may do with them, by every way in (`protocol.md` 3, `http-api.md`, seed 004).
//!
//! Each act is judged by the rules (`topics.rules`) and carried out on the node's topics. Topics that are created explicitly are kept in the
//! store, so that it is there after a restart, however it was made.

pub mod durable;
mod entry;
mod kept;
mod options;
mod page;
mod table;

pub use entry::Entry;
pub use fanfare_core::topics::HistoryEvent;
pub use options::{Asked, TopicDefaults};
pub use page::{HistoryPage, HistoryQuery};
pub use table::TopicTable;

use crate::access::Access;
use crate::clock::unix_ms;
use crate::ports::Sockets;
use crate::repeats::{RepeatKey, Repeats};
use durable::DurableLogs;
use entry::AtOnce;
use fanfare_config::ConfigError;
use fanfare_core::model::{Actor, Either, ErrorCode, Publish, Refusal, Requester, StartFrom};
use fanfare_core::session::SessionCode;
use fanfare_core::topics::{Made, NotPublished, Published, TopicInfo, TopicOptions};
use fanfare_store::{Store, StoreError};
use std::sync::Arc;
use std::task::Poll;

/// The `client_id` of publishers without a connection that give none.
const HTTP_CLIENT: &str = "http";

/// Events that an ephemeral topic which is created explicitly keeps at most.
const MAX_EPHEMERAL_HISTORY: u64 = 1_000_000;

/// A topic that is created explicitly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name, which was checked.
    pub name: String,
    /// Its options.
    pub asked: Asked,
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
    defaults: TopicDefaults,
    store: Store,
    logs: DurableLogs,
    sockets: Arc<dyn Sockets>,
    made: Repeats<Made>,
    production: bool,
}

impl TopicService {
    /// Over a node's topics. In production a topic is shown only to callers who may list all.
    pub fn new(
        table: Arc<dyn TopicTable>,
        (access, defaults): (Access, TopicDefaults),
        (store, logs): (Store, DurableLogs),
        sockets: Arc<dyn Sockets>,
        production: bool,
    ) -> Self {
        Self { table, access, defaults, store, logs, sockets, made: Repeats::default(), production }
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

    /// Publishes. `client_id` stands for the publisher in the event. Pending: the topic is durable, and [`Entry::later`] has the
    /// outcome after the store's commit.
    ///
    /// # Errors
    /// As [`Access::publish`] and [`fanfare_core::topics::Topics::publish`].
    pub fn publish(
        &self,
        actor: &Actor<'_>,
        publish: &Publish<'_>,
        client_id: &str,
        entry: &mut impl Entry,
    ) -> Result<Poll<Published>, Refusal> {
        self.may_publish(actor, publish)?;
        self.enter(publish, client_id, actor.requester(), entry)
    }

    /// The same where the rights were checked before.
    ///
    /// # Errors
    /// As [`fanfare_core::topics::Topics::publish`].
    pub fn enter(
        &self,
        publish: &Publish<'_>,
        client_id: &str,
        by: Requester<'_>,
        entry: &mut impl Entry,
    ) -> Result<Poll<Published>, Refusal> {
        match entry.enter(publish, client_id, by) {
            Ok(published) => Ok(Poll::Ready(published)),
            Err(NotPublished::Refused(refusal)) => Err(refusal),
            Err(NotPublished::Elsewhere(to)) => {
                self.logs.append(&to, publish, client_id, by, entry.later(&to.topic));
                Ok(Poll::Pending)
            }
        }
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
        let mut entry = AtOnce::new(&*self.table);
        Ok(match (self.publish(actor, publish, client_id, &mut entry)?, entry.outcome) {
            (Poll::Ready(published), _) => Either::Now(published),
            (Poll::Pending, outcome) => Either::Later(Box::pin(async move {
                match outcome {
                    Some(outcome) => outcome.await.unwrap_or_else(|_| Err(durable::unavailable())),
                    None => Err(durable::unavailable()),
                }
            })),
        })
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
    pub fn history(
        &self,
        actor: &Actor<'_>,
        query: HistoryQuery<'_>,
    ) -> Result<Either<HistoryPage>, Refusal> {
        self.access.history(query.topic, actor.caller, actor.granted(query.token))?;
        let range = query.range();
        if self.table.live_options(query.topic).is_some_and(|options| options.durable.is_some()) {
            let (logs, topic) = (self.logs.clone(), query.topic.to_owned());
            return Ok(Either::Later(Box::pin(async move {
                Ok(HistoryPage::new(logs.history(&topic, range).await?, range))
            })));
        }
        let found = self.table.history(query.topic, range, unix_ms())?;
        Ok(Either::Now(HistoryPage::new(found, range)))
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
    /// As [`Access::manage`] and [`fanfare_core::topics::Topics::make`]; `CONFLICT` for an ephemeral topic with more than 1000000
    /// events, for a used key, or when the topic is there and is durable where it must not be, or the other way round:
    /// nothing changes then. `UNAVAILABLE` when the store cannot keep it: a repeat mends that.
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
        let is_durable = || self.options(new, None).is_ok_and(|options| options.durable.is_some());
        let is_new_log = self.table.live_options(&new.name).is_none() && is_durable();
        if is_new_log {
            self.logs.create(&new.name).await?;
        }
        let made = self.made.once(key, now, || {
            let there = self.table.live_options(&new.name);
            let options = self.options(new, there)?;
            let made = self.table.make(&new.name, Some(options), actor.requester(), now)?;
            // A subscription may have created it between the two.
            check_kind(&new.asked, made.info.options)?;
            Ok::<_, Refusal>(made)
        });
        if is_new_log && self.table.live_options(&new.name).is_none() {
            self.logs.release(&new.name);
        }
        let made = made?;
        self.keep(&new.name, now).await.map_err(|error| not_kept(&error))?;
        Ok(made)
    }

    /// The options of a topic that is created; `there` has those of the live topic of this name.
    fn options(&self, new: &NewTopic, there: Option<TopicOptions>) -> Result<TopicOptions, Refusal> {
        let options = self.defaults.options(self.access.options(&new.name), &new.asked);
        let is = there.unwrap_or(options);
        check_kind(&new.asked, is)?;
        if is.durable.is_none() && new.asked.history_size.is_some_and(|size| size > MAX_EPHEMERAL_HISTORY) {
            let why = "history_size of a topic that is not durable is a number from 0 to 1000000";
            return Err(Refusal::new(ErrorCode::Conflict, why).field("history_size"));
        }
        Ok(options)
    }

    /// Deletes a topic with its history, for good; its subscribers are notified.
    ///
    /// # Errors
    /// `TOPIC_NOT_FOUND`, as [`Access::manage`], or `UNAVAILABLE` when the store cannot forget it.
    pub async fn delete(&self, actor: &Actor<'_>, name: &str) -> Result<(), Refusal> {
        self.access.manage(actor.caller)?;
        let durable = self.table.live_options(name).is_some_and(|options| options.durable.is_some());
        if durable {
            self.logs.delete(name).await.map_err(|error| not_kept(&error))?;
        }
        self.table.delete(name, unix_ms())?;
        self.store.forget_topic(name).await.map_err(|error| not_kept(&error))?;
        self.made.forget(|made| *made.info.name == *name);
        Ok(())
    }

    /// Keeps a topic that was made. Done after every success, so that a repeat mends what a store that was away has missed.
    async fn keep(&self, name: &str, now_ms: u64) -> Result<(), StoreError> {
        // A repeat of a topic that was deleted since keeps nothing.
        let Ok(info) = self.table.show(name) else { return Ok(()) };
        let rule = self.access.options(name);
        let ephemeral = self.defaults.options(rule, &Asked { durable: Some(false), ..Asked::default() });
        let plain = (ephemeral, rule.durable == Some(true));
        self.store.keep_topic(kept::kept_topic(name, plain, info.options, now_ms)).await
    }

    /// Brings the topics of the node's earlier lives back: those that were created explicitly, and those with a log.
    ///
    /// # Errors
    /// One line that names `store.url`.
    pub async fn restore(&self) -> Result<(), ConfigError> {
        let failed = |e: StoreError| ConfigError::key("store.url", e.to_string());
        let lost = |refusal: Refusal| {
            tracing::warn!(why = %refusal.message, "a topic of before the restart cannot be created again");
        };
        let logs = self.logs.load().await.map_err(failed)?;
        for topic in self.store.kept_topics().await.map_err(failed)? {
            let options = self.defaults.options(self.access.options(&topic.name), &kept::asked(&topic));
            if options.durable.is_some()
                && let Err(refusal) = self.logs.create(&topic.name).await
            {
                lost(refusal);
                continue;
            }
            if let Err(refusal) = self.table.make(&topic.name, Some(options), Requester::Backend, unix_ms()) {
                lost(refusal);
            }
        }
        // Without its rule a topic stays durable, and without bounds: what was acknowledged is kept until the topic is deleted.
        let mut unruled = 0;
        for (name, head) in logs {
            if head == 0 {
                if self.table.live_options(&name).is_none() {
                    self.logs.release(&name);
                }
                continue;
            }
            let by_rule = self.table.options_of(&name);
            unruled += usize::from(by_rule.durable.is_none() && self.table.live_options(&name).is_none());
            let durable = by_rule.durable.unwrap_or_default();
            let options = TopicOptions { durable: Some(durable), ..by_rule };
            self.table.revive(&name, options, unix_ms()).map(drop).unwrap_or_else(lost);
        }
        if unruled > 0 {
            tracing::warn!(
                topics = unruled,
                "durable topics without a rule in topics.rules: they stay durable and nothing of them is removed; restore the rule, or \
                 delete the topics"
            );
        }
        Ok(())
    }

    /// Removes what durable topics no longer keep, for as long as it is polled.
    pub fn retention(&self) -> impl Future<Output = ()> + Send + use<> {
        self.logs.clone().run_retention()
    }

    /// Durable topics with a log, and the bytes of their events.
    pub fn durable_totals(&self) -> (u64, u64) {
        self.logs.totals()
    }
}

/// Refuses what is asked of a topic that is durable when it must not be, or the other way round.
fn check_kind(asked: &Asked, is: TopicOptions) -> Result<(), Refusal> {
    let durable = is.durable.is_some();
    if asked.durable.is_none_or(|asked| asked == durable) {
        return Ok(());
    }
    let is = if durable { "is durable" } else { "is not durable" };
    let why = format!(
        "a topic of this name exists and {is}: leave out `durable` to keep it as it is, or delete it and its events with \
         DELETE /topics/{{name}} and create it again"
    );
    Err(Refusal::new(ErrorCode::Conflict, why).field("durable"))
}

fn not_kept(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "the store cannot keep a change of a topic");
    let why = "the store cannot be reached, so this does not outlive a restart; try again later";
    Refusal::new(ErrorCode::Unavailable, why)
}
