//! One value of each kind that an encoder accepts.
//!
//! Invariant: the matches have no wildcard, so that a new kind of reply or notice does not compile until it is in the
//! document.

use fanfare_core::model::{
    Epoch, ErrorCode, EventId, EventMeta, EventView, FeedSubscribed, Refusal, Reply, Subscribed,
};
use fanfare_core::ports::Info;
use fanfare_dialects::feed::RecordView;
use fanfare_dialects::{Welcome, WelcomeLimits, WelcomeServer};
use std::iter::successors;

/// The time of all examples: 2026-11-21T11:21:00.123Z.
pub(super) const AT: u64 = 1_795_260_060_123;
pub(super) const TOPIC: &str = "lobby";
pub(super) const CHANNEL: &str = "dashboard";
pub(super) const PAYLOAD: &str = r#"{"text":"hello"}"#;

/// Replies to commands in the order of their kinds.
pub(super) fn replies() -> impl Iterator<Item = Reply<'static>> {
    successors(Some(Reply::Subscribed(subscribed())), |reply| match reply {
        Reply::Subscribed(_) => Some(Reply::Unsubscribed { topic: TOPIC.into(), already: false }),
        Reply::Unsubscribed { .. } => {
            Some(Reply::Published { topic: TOPIC.into(), event: meta(), delivered: 3, durable: false })
        }
        Reply::Published { .. } => Some(Reply::Authenticated {
            user_id: "019aa5f0-7c3d-7a51-9d0e-3f6f6f0d2b11".into(),
            username: "alice".into(),
            session_code: "brave-otter-7".into(),
            resume_token: "a secret, valid once".into(),
        }),
        Reply::Authenticated { .. } => {
            Some(Reply::Server { command: "user_count".into(), result: r#"{"count":3}"#.into() })
        }
        Reply::Server { .. } => Some(Reply::FeedSubscribed(feed_subscribed())),
        Reply::FeedSubscribed(_) => Some(Reply::FeedUnsubscribed { channel: CHANNEL.into(), already: false }),
        Reply::FeedUnsubscribed { .. } => Some(Reply::Pong),
        Reply::Pong => None,
    })
}

/// Notices in the order of their kinds.
pub(super) fn infos() -> impl Iterator<Item = Info<'static>> {
    successors(Some(Info::TopicDeleted { topic: TOPIC }), |info| match info {
        Info::TopicDeleted { .. } => Some(Info::MessagesDropped { count: 4, channel: Some(CHANNEL) }),
        Info::MessagesDropped { .. } => {
            let Subscribed { epoch, offset, .. } = subscribed();
            Some(Info::PositionLost { topic: TOPIC, epoch, offset })
        }
        Info::PositionLost { .. } => Some(Info::ServerShutdown),
        Info::ServerShutdown => Some(Info::TokenExpiring { expires_at_ms: AT + 60_000 }),
        Info::TokenExpiring { .. } => Some(Info::SubscriptionExpired { topic: TOPIC }),
        Info::SubscriptionExpired { .. } => {
            Some(Info::FeedLag { topic: "trade-info", partition: 0, lag: 12_000, raised: true })
        }
        Info::FeedLag { .. } => Some(Info::Notice { message: "maintenance at ten", severity: "warning" }),
        Info::Notice { .. } => None,
    })
}

/// One refusal of each code.
pub(super) fn refusals() -> impl Iterator<Item = Refusal> {
    ErrorCode::ALL.iter().map(|code| {
        let refusal = Refusal::new(*code, code.remedy());
        match code {
            ErrorCode::InvalidTopic => refusal.field("topic"),
            ErrorCode::InvalidMessage => refusal.field("payload"),
            ErrorCode::InvalidMessageType => refusal.field("type"),
            ErrorCode::InvalidClientId => refusal.field("client_id"),
            ErrorCode::RateLimited => refusal.retry_after(40),
            ErrorCode::Unavailable => refusal.retry_after(1000),
            _ => refusal,
        }
    })
}

pub(super) fn subscribed() -> Subscribed<'static> {
    Subscribed {
        topic: TOPIC.into(),
        epoch: Epoch(0x6b1e_0c2f_9a3d_4e57),
        offset: 17,
        recovered: None,
        history: None,
        already: false,
        durable: false,
    }
}

pub(super) fn meta() -> EventMeta {
    EventMeta { id: EventId { time: AT << 20, node: 0x1_2345 }, offset: 18, at_ms: AT }
}

pub(super) fn event() -> EventView<'static> {
    EventView { topic: TOPIC, meta: meta(), payload: PAYLOAD, client_id: "alice-laptop", user: None }
}

/// The same of a logged-in user.
pub(super) fn users_event() -> EventView<'static> {
    EventView { user: Some("alice"), ..event() }
}

pub(super) fn feed_subscribed() -> FeedSubscribed {
    FeedSubscribed { channel: CHANNEL.into(), recovered: None, lost: vec![], already: false }
}

/// A record of each default feed (seed 002).
pub(super) fn records() -> [RecordView<'static>; 3] {
    let record = |kind, topic, value| RecordView {
        kind,
        channel: CHANNEL,
        value,
        at_ms: AT,
        topic,
        partition: 0,
        offset: 1041,
        key: Some("SOL"),
    };
    [
        record("token_info", "token-info", r#"{"symbol":"SOL","price":187.25}"#),
        record("trade_data", "trade-info", r#"{"symbol":"SOL","side":"buy","price":187.25,"amount":3}"#),
        record(
            "aggregate_data",
            "aggregate-info",
            r#"{"symbol":"SOL","interval":"1m","open":187,"close":187.25}"#,
        ),
    ]
}

/// A welcome of a new session, and one of a resumed session.
pub(super) fn welcomes() -> [(&'static str, Welcome<'static>); 2] {
    let anonymous = Welcome {
        session_code: "happy-panda-42",
        resume_token: "a secret, valid once",
        client_id: "01kan8z3v0r5m",
        user: None,
        resumed: false,
        heartbeat_ms: 54_000,
        limits: WelcomeLimits { max_message_bytes: 65_536, queue_messages: 256 },
        server: WelcomeServer { version: crate::VERSION, id: "localhost" },
    };
    let resumed = Welcome { user: Some(("01kan8z3v0r5m", "alice")), resumed: true, ..anonymous };
    [("a new session", anonymous), ("a session resumed by a user", resumed)]
}
