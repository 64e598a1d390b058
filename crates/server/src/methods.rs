//! The methods of a node, and what they see of a caller that has no connection.

use crate::access::{Caller as By, Granted};
use crate::audit::AuditEvent;
use crate::config::Config;
use crate::credentials::Verified;
use crate::http::Client;
use crate::identity::Take;
use crate::node::{Node, unix_ms};
use crate::telemetry::histogram::Histogram;
use crate::telemetry::metrics::Metrics;
use fanfare_core::model::{Command, ErrorCode, FeedSubscribed, Refusal, Reply, SubscribeFeed};
use fanfare_core::topics;
use fanfare_rpc::{
    BuildError, Caller, Either, FeedRow, HistoryEvent, HistoryPage, HistoryQuery, Identity, Meter, Observer,
    Registry, ServerFacts, SessionGrant, SessionView, TopicPage, TopicQuery, TopicRow,
};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Builds the registry of a node.
///
/// # Errors
/// A method whose schema cannot be enforced.
pub fn registry(config: &Config, metrics: &Arc<Metrics>) -> Result<Registry, BuildError> {
    let mut builder = Registry::builder(crate::VERSION).standard().observer(Arc::new(Times(metrics.clone())));
    if config.rpc.test_methods {
        builder = builder.test_methods();
    }
    builder.build()
}

struct Times(Arc<Metrics>);

impl Observer for Times {
    fn method(&self, name: &'static str) -> Box<dyn Meter> {
        Box::new(MethodTimes(self.0.rpc_times(name)))
    }
}

/// The times of one method: found once, when it is registered.
struct MethodTimes(Arc<Histogram>);

impl Meter for MethodTimes {
    fn ended(&self, took: Duration, _error: Option<i32>) {
        self.0.observe(took.as_nanos() as u64);
    }
}

/// Topics that a caller may list.
///
/// # Errors
/// What the rules refuse.
pub(crate) fn list_topics(node: &Node, by: &By, query: TopicQuery<'_>) -> Result<TopicPage, Refusal> {
    node.access.manage(by)?;
    let (found, more) = node.topics.list(query.after, query.limit);
    let next = more.then(|| found.last().map(|t| t.name.to_string())).flatten();
    let row = |t: topics::TopicInfo| TopicRow {
        name: t.name.to_string(),
        subscribers: t.subscribers,
        offset: t.offset,
    };
    Ok(TopicPage { items: found.into_iter().map(row).collect(), next })
}

/// The feed channels there are.
pub(crate) fn list_feeds(node: &Node) -> Vec<FeedRow> {
    let text = |t: Arc<str>| t.to_string();
    let row = |(channel, types): (Arc<str>, Vec<Arc<str>>)| FeedRow {
        channel: text(channel),
        types: types.into_iter().map(text).collect(),
    };
    node.feeds.channels().into_iter().map(row).collect()
}

/// A page of a history that a caller may read.
///
/// # Errors
/// `TOPIC_NOT_FOUND` and what the rules refuse.
pub(crate) fn read_history(
    node: &Node,
    by: &By,
    query: HistoryQuery<'_>,
    granted: Granted<'_>,
) -> Result<HistoryPage, Refusal> {
    node.access.history(query.topic, by, granted)?;
    let range = topics::HistoryQuery { after: query.after, before: query.before, limit: query.limit };
    let found = node.topics.history(query.topic, range, unix_ms())?;
    let edge = if query.after.is_some() { found.events.last() } else { found.events.first() };
    let next = found.more.then(|| edge.map(|(meta, ..)| meta.offset)).flatten();
    let items =
        found.events.into_iter().map(|(meta, payload, client_id)| HistoryEvent { meta, payload, client_id });
    Ok(HistoryPage { epoch: found.epoch, offset: found.offset, items: items.collect(), next })
}

/// The node's name and figures.
pub(crate) fn facts(node: &Node) -> ServerFacts {
    ServerFacts {
        name: "fanfare".into(),
        version: crate::VERSION.into(),
        id: node.server_id().into(),
        uptime_seconds: node.uptime().as_secs(),
        connections: node.metrics.totals().connections,
        users_online: node.users.online(),
    }
}

/// Stands for publishers over HTTP that give no `client_id`.
pub(crate) const HTTP_CLIENT: &str = "http";

/// Who a caller is, as methods see it.
pub(crate) fn identity_of(by: &By) -> Identity<'_> {
    match by {
        By::Anonymous => Identity::Anonymous,
        By::User(principal) => Identity::User { id: &principal.user_id, username: &principal.username },
        By::Server(_) => Identity::Server,
    }
}

/// A caller over `POST /rpc`.
#[derive(Debug)]
pub(crate) struct PostCaller<'a> {
    /// The node that answers.
    pub(crate) node: &'a Node,
    /// On whose behalf.
    pub(crate) by: &'a By,
    /// From where.
    pub(crate) client: &'a Client,
    /// Subscription tokens of the request that were looked at.
    pub(crate) verified: Verified,
}

fn needs_connection() -> Refusal {
    Refusal::new(ErrorCode::Forbidden, "this needs a connection: call it over a socket")
}

impl Caller for PostCaller<'_> {
    fn identity(&self) -> Identity<'_> {
        identity_of(self.by)
    }

    fn admit(&mut self) -> Result<(), Refusal> {
        self.node.take_message(self.client.ip, self.by)
    }

    fn begin(&mut self, method: &'static str) -> Result<(), Refusal> {
        match self.by {
            By::User(user) if method.starts_with("server.") => {
                let taken = self.node.users.take_apart(Take::Command, &user.user_id, self.node.now().ns);
                taken.map_err(|wait| self.node.command_refused(wait))
            }
            _ => Ok(()),
        }
    }

    fn ended(&mut self, method: &'static str, succeeded: bool) {
        if let (Some(command), By::User(user)) = (method.strip_prefix("server."), self.by) {
            let event = || AuditEvent::server_command(command, succeeded, user).by(self.client);
            self.node.audit.activity(&user.user_id, event);
        }
    }

    fn is_connection(&self) -> bool {
        false
    }

    fn must_authenticate(&self) -> bool {
        self.node.config.auth.require
    }

    fn execute(&mut self, command: Command<'_>) -> Result<Reply<'static>, Refusal> {
        match command {
            Command::Ping => Ok(Reply::Pong),
            Command::Publish(publish) => {
                let topic = publish.topic.as_str();
                let granted = self.verified.granted(publish.token.as_deref());
                self.node.access.publish(topic, self.by, granted)?;
                let client_id = publish.client_id.as_deref().unwrap_or(HTTP_CLIENT);
                let by = self.by.requester(self.client.ip);
                let published = self.node.publish(&publish, client_id, by)?;
                let topic = Cow::Owned(topic.to_owned());
                Ok(Reply::Published { topic, event: published.meta, delivered: published.delivered })
            }
            Command::Subscribe(_)
            | Command::Unsubscribe(_)
            | Command::SubscribeFeed { .. }
            | Command::UnsubscribeFeed { .. }
            | Command::Authenticate { .. }
            | Command::Server { .. } => Err(needs_connection()),
        }
    }

    fn subscribe_feed(&mut self, _: SubscribeFeed<'_>) -> Result<Either<FeedSubscribed>, Refusal> {
        Err(needs_connection())
    }

    fn authenticate(&mut self, _token: &str) -> Result<SessionGrant, Refusal> {
        Err(needs_connection())
    }

    fn resume_session(&mut self, _code: &str, _token: &str) -> Result<SessionGrant, Refusal> {
        Err(needs_connection())
    }

    fn session(&mut self) -> Result<SessionView, Refusal> {
        Err(needs_connection())
    }

    fn session_value(&mut self, _key: &str) -> Result<Option<Box<str>>, Refusal> {
        Err(needs_connection())
    }

    fn set_session_value(&mut self, _key: &str, _json: &str) -> Result<usize, Refusal> {
        Err(needs_connection())
    }

    fn topics(&mut self, query: TopicQuery<'_>) -> Result<TopicPage, Refusal> {
        list_topics(self.node, self.by, query)
    }

    fn history(&mut self, query: HistoryQuery<'_>) -> Result<HistoryPage, Refusal> {
        read_history(self.node, self.by, query, self.verified.granted(query.token))
    }

    fn feeds(&mut self) -> Result<Vec<FeedRow>, Refusal> {
        Ok(list_feeds(self.node))
    }

    fn server(&self) -> ServerFacts {
        facts(self.node)
    }

    fn now_ms(&self) -> u64 {
        unix_ms()
    }
}
