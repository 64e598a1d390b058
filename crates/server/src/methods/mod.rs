//! The JSON-RPC methods of a node, one file each by family; `server.*` are also the typed dialect's server commands.
//!
//! A method holds the services it calls ([`Parts`]); of its caller it uses the actor and the connection.

mod feed;
mod post;
mod server;
mod session;
mod topic;

pub(crate) use post::PostCaller;
pub(crate) use server::NodeFacts;

use crate::feeds::NodeFeeds;
use crate::telemetry::histogram::Histogram;
use crate::telemetry::metrics::Metrics;
use fanfare_config::Config;
use fanfare_core::model::{ErrorCode, Refusal, Reply};
use fanfare_json::RawBuf;
use fanfare_rpc::{BuildError, Caller, Connection, Meter, Observer, Registry};
use fanfare_services::sessions::SessionService;
use fanfare_services::topics::TopicService;
use std::sync::Arc;
use std::time::Duration;

/// The services that methods call.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// Topics.
    pub(crate) topics: Arc<TopicService>,
    /// Sessions.
    pub(crate) sessions: Arc<SessionService>,
    /// Feeds.
    pub(crate) feeds: Arc<NodeFeeds>,
    /// The node's facts.
    pub(crate) facts: Arc<NodeFacts>,
}

/// Builds the registry of a node.
///
/// # Errors
/// A method whose schema cannot be enforced.
pub(crate) fn registry(config: &Config, parts: Parts) -> Result<Registry, BuildError> {
    let times = Arc::new(Times(parts.facts.metrics.clone()));
    let Parts { topics, sessions, feeds, facts } = parts;
    let builder = Registry::builder(crate::VERSION).observer(times);
    let commands = server::ListCommands(builder.commands());
    let builder = builder
        .basic_test_methods()
        .method(session::Get(sessions.clone()))
        .method(session::Set(sessions))
        .method(session::Resume)
        .method(session::Authenticate)
        .either_method(topic::Subscribe)
        .either_method(topic::Unsubscribe)
        .either_method(topic::Publish(topics.clone()))
        .method(topic::List(topics.clone()))
        .either_method(topic::History(topics))
        .either_method(feed::Subscribe)
        .either_method(feed::Unsubscribe)
        .method(feed::List(feeds))
        .method(server::Ping)
        .method(server::Echo)
        .method(server::Info(facts.clone()))
        .method(server::UserCount(facts))
        .method(server::Whoami)
        .method(commands);
    match config.rpc.test_methods {
        true => builder.test_methods().build(),
        false => builder.build(),
    }
}

struct Times(Arc<Metrics>);

impl Observer for Times {
    fn method(&self, name: &'static str) -> Box<dyn Meter> {
        Box::new(MethodTimes(self.0.rpc_times(name)))
    }
}

/// The times of one method, looked up once, when it is registered.
struct MethodTimes(Arc<Histogram>);

impl Meter for MethodTimes {
    fn ended(&self, took: Duration, _error: Option<i32>) {
        self.0.observe(took.as_nanos() as u64);
    }
}

/// The connection of a caller.
fn connection(caller: &mut dyn Caller) -> Result<&mut dyn Connection, Refusal> {
    let none = || Refusal::new(ErrorCode::Forbidden, "this needs a connection: call it over a socket");
    caller.connection().ok_or_else(none)
}

/// JSON text as a serializable value; invalid text becomes null.
fn raw(text: &str) -> RawBuf {
    RawBuf::new(text).unwrap_or_default()
}

/// A reply of the wrong kind for the command, which is a bug.
fn unexpected(reply: &Reply<'_>) -> Refusal {
    Refusal::new(ErrorCode::Internal, format!("unexpected reply {:?}", std::mem::discriminant(reply)))
}

#[cfg(test)]
mod tests;
