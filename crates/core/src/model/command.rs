//! What a client can ask for and what it is answered, apart from any wire form.
//!
//! A dialect decodes bytes to a [`Command`]; the services answer a [`Reply`] or a `Refusal`; the dialect encodes that.
//! Commands borrow from the frame they came in, so that decoding copies nothing.

use super::{EventMeta, SinceEpoch, TopicRef, Touch};
use crate::feeds::GroupSpec;
use std::borrow::Cow;

/// A validated command of one client.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<'a> {
    /// Subscribe to a topic from now on, or from a position (`protocol.md` 3.2).
    Subscribe(Subscribe<'a>),
    /// Unsubscribe from a topic.
    Unsubscribe(Unsubscribe<'a>),
    /// Send a payload to all subscribers of a topic.
    Publish(Publish<'a>),
    /// Subscribe to a feed (seed 002).
    SubscribeFeed(Box<SubscribeFeed<'a>>),
    /// Unsubscribe from a feed.
    UnsubscribeFeed {
        /// The feed channel's name.
        channel: Cow<'a, str>,
    },
    /// Present a credential on an open socket.
    Authenticate {
        /// A JWT access token.
        token: Cow<'a, str>,
    },
    /// Run a server command (seed 003): one of the registry's `server.*` methods.
    Server {
        /// Its name, as `list_commands` has it.
        command: Cow<'a, str>,
        /// Its parameters' JSON exactly as it was sent.
        params: Option<&'a str>,
    },
    /// Ask whether the connection is alive.
    Ping,
}

/// What a token in a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenUse {
    /// To log in.
    Login,
    /// To open a topic.
    Topic,
}

impl Command<'_> {
    /// The token that must be verified before the command is carried out.
    pub fn token(&self) -> Option<(TokenUse, &str)> {
        match self {
            Self::Authenticate { token } => Some((TokenUse::Login, token)),
            Self::Subscribe(Subscribe { token, .. }) | Self::Publish(Publish { token, .. }) => {
                token.as_deref().map(|token| (TokenUse::Topic, token))
            }
            _ => None,
        }
    }

    /// What the command has effects on.
    pub fn touches(&self) -> Touch<'_> {
        match self {
            Self::Subscribe(Subscribe { topic, .. }) | Self::Unsubscribe(Unsubscribe { topic, .. }) => {
                Touch::Topic(topic.as_str().into())
            }
            Self::Publish(publish) => Touch::Log(publish.topic.as_str().into()),
            Self::SubscribeFeed(order) => Touch::Channel(Cow::Borrowed(&order.channel)),
            Self::UnsubscribeFeed { channel } => Touch::Channel(Cow::Borrowed(channel)),
            Self::Authenticate { .. } => Touch::Login,
            Self::Server { .. } | Self::Ping => Touch::Nothing,
        }
    }
}

/// `subscribe` of a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe<'a> {
    /// The topic.
    pub topic: TopicRef<'a>,
    /// The name the client gives itself; the connection's id stands in.
    pub client_id: Option<Cow<'a, str>>,
    /// Which earlier events come first.
    pub start: StartFrom<'a>,
    /// A subscription token of an issuer, for a topic whose rule asks for one (`http-api.md` "Subscription token").
    pub token: Option<Cow<'a, str>>,
}

/// Where a subscription's events start.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum StartFrom<'a> {
    /// With the next event.
    #[default]
    Live,
    /// After the last position that the client has seen.
    Since(Since<'a>),
    /// With the newest events that the topic has, at most this many.
    Last(HistoryCount),
}

impl<'a> StartFrom<'a> {
    /// What the members `since` and `history` mean together: with `since`, `history` is ignored.
    pub fn new(since: Option<Since<'a>>, history: Option<HistoryCount>) -> Self {
        match (since, history) {
            (Some(since), _) => Self::Since(since),
            (None, Some(count)) => Self::Last(count),
            (None, None) => Self::Live,
        }
    }

    /// The same with its own text.
    pub fn to_static(&self) -> StartFrom<'static> {
        match self {
            Self::Live => StartFrom::Live,
            Self::Since(Since { epoch, offset }) => {
                let epoch = SinceEpoch(epoch.0.clone().into_owned().into());
                StartFrom::Since(Since { epoch, offset: *offset })
            }
            Self::Last(count) => StartFrom::Last(*count),
        }
    }
}

/// The number of events that a `subscribe` asks for with `history`: 1 to [`HistoryCount::MAX`] (`protocol.md` 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryCount(u32);

impl HistoryCount {
    /// The largest.
    pub const MAX: u32 = 100;

    /// Checks a number; `None` when it is out of range.
    pub fn new(count: u64) -> Option<Self> {
        u32::try_from(count).ok().filter(|count| (1..=Self::MAX).contains(count)).map(Self)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// `subscribe` of a feed channel (`protocol.md` 3.3).
#[derive(Clone, Debug, PartialEq)]
pub struct SubscribeFeed<'a> {
    /// The feed channel's name.
    pub channel: Cow<'a, str>,
    /// Which of its records.
    pub spec: GroupSpec,
    /// The channel's latest records come first.
    pub snapshot: bool,
    /// The last offset seen in each partition it names; what came after is replayed. `snapshot` counts for nothing then.
    pub since: Option<Vec<FeedPosition>>,
}

/// The last offset a client saw in a partition of a feed's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPosition {
    /// The source's topic.
    pub topic: Box<str>,
    /// The partition.
    pub partition: i32,
    /// The offset; -1 for one who has seen nothing.
    pub offset: i64,
}

/// A position a client resumes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Since<'a> {
    /// The epoch the offset belongs to.
    pub epoch: SinceEpoch<'a>,
    /// The last offset seen; replay starts at the next.
    pub offset: u64,
}

/// `unsubscribe` of a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe<'a> {
    /// The topic.
    pub topic: TopicRef<'a>,
    /// As in [`Subscribe`]; only its form is judged.
    pub client_id: Option<Cow<'a, str>>,
}

/// `publish` to a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish<'a> {
    /// The topic.
    pub topic: TopicRef<'a>,
    /// The payload's JSON exactly as it was sent.
    pub payload: &'a str,
    /// Shown to subscribers as the event's `client_id`.
    pub client_id: Option<Cow<'a, str>>,
    /// Repeats within five minutes answer the first ack (`protocol.md` 6).
    pub idempotency_key: Option<Cow<'a, str>>,
    /// The publishing connection is not sent this event.
    pub exclude_self: bool,
    /// A subscription token whose actions have `publish`, for a topic whose rule asks for one.
    pub token: Option<Cow<'a, str>>,
}

/// The answer to a command that was carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<'a> {
    /// Answer to `subscribe`.
    Subscribed(Subscribed<'a>),
    /// Answer to `unsubscribe`.
    Unsubscribed {
        /// The topic.
        topic: Cow<'a, str>,
        /// The connection was not subscribed.
        already: bool,
    },
    /// Answer to `subscribe` of a feed.
    FeedSubscribed(FeedSubscribed),
    /// Answer to `unsubscribe` of a feed.
    FeedUnsubscribed {
        /// The feed channel.
        channel: String,
        /// The connection was not subscribed.
        already: bool,
    },
    /// Answer to `publish`.
    Published {
        /// The topic.
        topic: Cow<'a, str>,
        /// Id and offset the event got.
        event: EventMeta,
        /// Subscriptions on this node when the offset was given, less an excluded sender.
        delivered: u64,
        /// The event is in the store.
        durable: bool,
    },
    /// Answer to `auth`.
    Authenticated {
        /// The user's id.
        user_id: Cow<'a, str>,
        /// The user's name.
        username: Cow<'a, str>,
        /// The session's code from now on.
        session_code: Cow<'a, str>,
        /// What resumes it next.
        resume_token: Cow<'a, str>,
    },
    /// Answer to a server command.
    Server {
        /// Its name.
        command: Cow<'a, str>,
        /// The result's JSON.
        result: Cow<'a, str>,
    },
    /// Answer to `ping`.
    Pong,
}

/// Where a subscription begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribed<'a> {
    /// The topic.
    pub topic: Cow<'a, str>,
    /// The topic's epoch.
    pub epoch: super::Epoch,
    /// The topic's head: the next live event has the offset one above.
    pub offset: u64,
    /// Only with `since`: whether everything after it is replayed.
    pub recovered: Option<bool>,
    /// Only with `history` and without `since`: the number of earlier events that are replayed.
    pub history: Option<u32>,
    /// The connection was subscribed before; nothing changed.
    pub already: bool,
    /// The topic is durable.
    pub durable: bool,
}

/// Where a subscription to a feed begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedSubscribed {
    /// The feed channel.
    pub channel: String,
    /// Only with `since`: whether everything after it is replayed.
    pub recovered: Option<bool>,
    /// The positions (`topic/partition`) that cannot be continued from.
    pub lost: Vec<String>,
    /// The connection was subscribed before; nothing changed.
    pub already: bool,
}
