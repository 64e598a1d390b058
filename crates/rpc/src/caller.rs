//! What a method can do on behalf of whoever called it. The server implements [`Caller`] once for a socket and once for
//! `POST /rpc`.

use crate::method::Either;
use fanfare_core::model::{Command, Epoch, EventMeta, FeedSubscribed, Refusal, Reply, SubscribeFeed};

/// Who calls, and all a method may ask for in their name. Nothing here waits.
pub trait Caller {
    /// Who calls.
    fn identity(&self) -> Identity<'_>;

    /// Whether the call came over a connection that outlives it.
    fn is_connection(&self) -> bool;

    /// Whether `auth.require` is on and nobody has authenticated here.
    fn must_authenticate(&self) -> bool;

    /// Called for every call of a batch but the first, which its message stands for; an error refuses the call.
    ///
    /// # Errors
    /// `RATE_LIMITED` where the caller may not send so many.
    fn admit(&mut self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Called before a method runs; an error refuses the call.
    ///
    /// # Errors
    /// `RATE_LIMITED` where the caller may not call it so often.
    fn begin(&mut self, method: &'static str) -> Result<(), Refusal> {
        let _ = method;
        Ok(())
    }

    /// Called when a method that [`Caller::begin`] let through has run, or has gone to run elsewhere.
    fn ended(&mut self, method: &'static str, succeeded: bool) {
        let _ = (method, succeeded);
    }

    /// Carries out a command on topics or feeds.
    ///
    /// # Errors
    /// Whatever the services refuse; nothing was changed.
    fn execute(&mut self, command: Command<'_>) -> Result<Reply<'static>, Refusal>;

    /// Subscribes to a feed; with `since` the answer comes when the source's log has been asked.
    ///
    /// # Errors
    /// Whatever the services refuse; nothing was changed.
    fn subscribe_feed(&mut self, order: SubscribeFeed<'_>) -> Result<Either<FeedSubscribed>, Refusal>;

    /// Logs in on this connection with an access token. The session gets a new code.
    ///
    /// # Errors
    /// `UNAUTHORIZED` for a bad token.
    fn authenticate(&mut self, token: &str) -> Result<SessionGrant, Refusal>;

    /// Takes over another session on this connection.
    ///
    /// # Errors
    /// `UNAUTHORIZED` alike for every reason, `RATE_LIMITED` after too many.
    fn resume_session(&mut self, code: &str, token: &str) -> Result<SessionGrant, Refusal>;

    /// The connection's session with all its data.
    ///
    /// # Errors
    /// `NOT_FOUND` when it has ended.
    fn session(&mut self) -> Result<SessionView, Refusal>;

    /// A value of the session's data as JSON.
    ///
    /// # Errors
    /// `NOT_FOUND` when the session has ended.
    fn session_value(&mut self, key: &str) -> Result<Option<Box<str>>, Refusal>;

    /// Keeps a JSON value in the session; answers the bytes now kept.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`, or `NOT_FOUND` when the session has ended.
    fn set_session_value(&mut self, key: &str, json: &str) -> Result<usize, Refusal>;

    /// Topics this caller may know of, in order of their names.
    ///
    /// # Errors
    /// What the rules refuse.
    fn topics(&mut self, query: TopicQuery<'_>) -> Result<TopicPage, Refusal>;

    /// Events a topic's history holds.
    ///
    /// # Errors
    /// `TOPIC_NOT_FOUND` and what the rules refuse.
    fn history(&mut self, query: HistoryQuery<'_>) -> Result<HistoryPage, Refusal>;

    /// The feed channels there are.
    ///
    /// # Errors
    /// What the rules refuse.
    fn feeds(&mut self) -> Result<Vec<FeedRow>, Refusal>;

    /// The server's name and figures.
    fn server(&self) -> ServerFacts;

    /// The time in milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity<'a> {
    /// Nobody known.
    Anonymous,
    /// A user.
    User {
        /// The id.
        id: &'a str,
        /// The name.
        username: &'a str,
    },
    /// The app's own backend, by an API key.
    Server,
}

/// The same, kept: what an asynchronous method knows of its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody known.
    Anonymous,
    /// A user.
    User {
        /// The id.
        id: Box<str>,
        /// The name.
        username: Box<str>,
    },
    /// The app's own backend.
    Server,
}

impl From<Identity<'_>> for Who {
    fn from(identity: Identity<'_>) -> Self {
        match identity {
            Identity::Anonymous => Self::Anonymous,
            Identity::User { id, username } => Self::User { id: id.into(), username: username.into() },
            Identity::Server => Self::Server,
        }
    }
}

/// A session a connection was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionGrant {
    /// Its code.
    pub code: String,
    /// What resumes it next.
    pub token: String,
    /// Its user: id and name.
    pub user: Option<(String, String)>,
}

/// A session as `session.get` shows it. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Its code.
    pub code: String,
    /// When it was opened.
    pub created_at: u64,
    /// When it was last used.
    pub last_seen: u64,
    /// Keys and their values as JSON, in order of the keys.
    pub data: Vec<(Box<str>, Box<str>)>,
}

/// Which topics are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicQuery<'a> {
    /// Only names behind this one.
    pub after: Option<&'a str>,
    /// At most so many.
    pub limit: usize,
}

/// A page of topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicPage {
    /// In order of their names.
    pub items: Vec<TopicRow>,
    /// What to ask for `after` to get more, if there is more.
    pub next: Option<String>,
}

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRow {
    /// Its name.
    pub name: String,
    /// Subscriptions on all nodes.
    pub subscribers: u64,
    /// The last event's offset.
    pub offset: u64,
}

/// Which events are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryQuery<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Only offsets above; the oldest of them first.
    pub after: Option<u64>,
    /// Only offsets below; without `after` the newest of them, still in rising order.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
    /// A subscription token, where the topic's rule asks for one.
    pub token: Option<&'a str>,
}

/// A page of a topic's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// The topic's epoch.
    pub epoch: Epoch,
    /// The topic's last offset.
    pub offset: u64,
    /// In rising order.
    pub items: Vec<HistoryEvent>,
    /// The offset to go on from in the direction asked for, if there is more.
    pub next: Option<u64>,
}

/// An event of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEvent {
    /// Id, offset, time.
    pub meta: EventMeta,
    /// The payload's JSON as it was published.
    pub payload: String,
    /// The publisher's `client_id`; empty for none.
    pub client_id: String,
}

/// A feed in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    /// The channel to subscribe to.
    pub channel: String,
    /// The types of its records.
    pub types: Vec<String>,
}

/// The server's name and figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// The product's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The public origin's host name.
    pub id: String,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Open connections of this node.
    pub connections: u64,
    /// Distinct users online.
    pub users_online: u64,
}
