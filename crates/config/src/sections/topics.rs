//! Topics, sessions, RPC and presence.

use crate::error::Fault;
use crate::group::{settings, table_setting};
use crate::node::Node;
use crate::table::{Form, Setting};
use crate::{ByteSize, Feature};
use fanfare_core::topics::rules::{Backpressure, Pattern, Right};
use std::borrow::Cow;
use std::time::Duration;

settings! {
    /// Topics: slow subscribers, history, and who may do what.
    pub struct Topics in "topics", cx: {
        /// What happens to a subscriber whose queue is full: it is closed (`disconnect`), or its oldest events go (`drop_oldest`).
        backpressure: Backpressure = Backpressure::Disconnect,
        /// Events each topic keeps in memory for clients that reconnect. 0 keeps none. What durable topics keep in the store is bounded by
        /// their rule.
        history_size: usize = 100; unit "events",
        /// How long events are kept in memory, and how long a topic that nobody uses can be continued.
        history_ttl: Duration = Duration::from_secs(300),
        /// Bytes of events that one topic keeps in memory; the oldest go.
        history_topic_bytes: ByteSize = ByteSize::mib(1),
        /// Bytes of events that all topics together keep in memory; the oldest go.
        history_total_bytes: ByteSize = ByteSize::mib(256),
        /// Publishing to a topic that does not exist makes it for `topics.history_ttl`.
        publish_creates: bool = false,
        /// Every topic command must carry a `client_id`.
        require_client_id: bool = false,
        /// Who may use which topics; the first rule whose pattern matches holds. A right that is left out, and a topic
        /// that no rule matches: everything to anyone in development; in production anyone may subscribe and read back, only `server` publishes.
        rules: Vec<TopicRule> = Vec::new(),
    }
}

settings! {
    /// One rule of `topics.rules`.
    pub struct TopicRule in "", cx: {
        /// A name, `prefix*`, or either with `{user}` for the caller's name, at the end or before a `/`.
        pattern: TopicPattern,
        /// Who may subscribe: `anyone`, `user` (logged in), `server` (API key, admin) or `token` (subscription token).
        subscribe: Option<Right> = None,
        /// Who may publish.
        publish: Option<Right> = None,
        /// Who may read earlier events.
        history: Option<Right> = None,
        /// Instead of `topics.backpressure`.
        backpressure: Option<Backpressure> = None,
        /// The events are in the store before they are acknowledged, and topics and events outlive restarts. `false` unless given.
        durable: Option<bool> = None,
        /// Events kept, instead of `topics.history_size`. Durable topics: 100000 unless given, 0 is without bound.
        history_size: Option<u64> = None; unit "events",
        /// How long events are kept, instead of `topics.history_ttl`. Durable topics: `30d` unless given, `0s` is without bound.
        history_ttl: Option<Duration> = None,
        /// Bytes of events kept, instead of `topics.history_topic_bytes`. Durable topics: `256MiB` unless given, 0 is without bound.
        history_topic_bytes: Option<ByteSize> = None,
    }
}
table_setting!(TopicRule, "table");

impl TopicRule {
    fn checked(self) -> Result<Self, Fault> {
        Ok(self)
    }
}

/// A rule's pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern(pub Pattern);

impl Setting for TopicPattern {
    const FORM: Form = Form::Text;

    fn shape() -> Cow<'static, str> {
        "pattern of topic names".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = crate::basic::text_of(node, "a pattern of topic names")?;
        Pattern::parse(text).map(Self).map_err(|e| Fault::new(e.to_string()))
    }

    fn show(&self) -> Option<Node> {
        Some(Node::text(self.0.to_string()))
    }
}

settings! {
    /// Sessions: what a client keeps over a lost connection.
    pub struct Session in "session", cx: {
        /// How long a session without connection is kept when it has data or a user.
        ttl: Duration = Duration::from_secs(24 * 3600); positive,
        /// How long a session without connection, data and user is kept.
        detached_ttl: Duration = Duration::from_secs(120); positive,
        /// Sessions kept at all; the oldest without connection go.
        max: usize = 1_000_000; unit "sessions"; positive,
        /// Bytes of data one session may hold.
        max_data_bytes: ByteSize = ByteSize::kib(64),
        /// Bytes of data all sessions may hold together; that of detached and anonymous sessions goes first.
        data_total_bytes: ByteSize = ByteSize::mib(256),
    }
}

settings! {
    /// JSON-RPC.
    pub struct Rpc in "rpc", cx: {
        /// Adds the specification's example methods and `test.panic`, for conformance tests.
        test_methods: bool = false,
    }
}

settings! {
    /// Who is online.
    pub struct Presence in "presence", cx: {
        /// How long after the last connection a user still counts as online.
        grace: Duration = Duration::from_secs(10); with Feature::Presence,
    }
}
