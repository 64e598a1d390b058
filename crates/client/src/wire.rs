//! The typed dialect's frames as types (protocol.md 3.1, 3.2).
//!
//! Unknown fields and unknown frame types are accepted, so that an older client works with a newer server.

use fanfare_json::{Raw, RawBuf};
use serde::{Deserialize, Serialize};

/// A position in a topic's history: everything up to and including `offset` has been received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Names one sequence of offsets; a recreated topic has a new one.
    pub epoch: String,
    /// Increases by one with every message of the topic.
    pub offset: u64,
}

/// The first frame of a connection.
#[derive(Debug, Clone, Deserialize)]
pub struct Welcome {
    /// The session's public name, such as `happy-panda-42`.
    pub session_code: String,
    /// Resumes the session, once; every welcome has a new one.
    pub resume_token: String,
    /// This connection's id, new with every connection.
    pub client_id: String,
    /// The logged-in user, if there is one.
    pub user: Option<User>,
    /// The server's WebSocket ping interval in milliseconds.
    pub heartbeat_ms: u64,
    /// The limits of this connection.
    pub limits: Limits,
    /// The server.
    pub server: ServerIdentity,
    /// Whether an existing session was resumed.
    #[serde(default)]
    pub resumed: bool,
}

/// A logged-in user.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    /// The server's id of the user, as JSON.
    pub id: serde_json::Value,
    /// The user's name.
    pub username: String,
}

/// Limits named in the welcome.
#[derive(Debug, Clone, Deserialize)]
pub struct Limits {
    /// The largest frame or message the server accepts, in bytes.
    pub max_message_bytes: u64,
    /// Messages the server queues for this connection before it counts as slow.
    pub queue_messages: u64,
}

/// The server's identity in the welcome.
#[derive(Debug, Clone, Deserialize)]
pub struct ServerIdentity {
    /// The product's name.
    pub name: String,
    /// The product's version.
    pub version: String,
    /// This node's id.
    pub id: String,
}

/// A message of a topic.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// The topic it was published to.
    pub topic: String,
    /// Unique across nodes; sorts by time.
    pub id: String,
    /// Its position in the topic's order.
    pub offset: u64,
    /// The publisher's JSON, byte for byte.
    pub payload: RawBuf,
    /// The publisher.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The username of a publisher who was logged in.
    #[serde(default)]
    pub user: Option<String>,
    /// When the server accepted it, RFC 3339.
    pub timestamp: String,
    /// The whole frame, unchanged.
    #[serde(skip)]
    pub raw: String,
}

/// An unsolicited info of the server, such as `TOPIC_DELETED` or `SERVER_SHUTDOWN`.
#[derive(Debug, Clone, Deserialize)]
pub struct Info {
    /// Its code.
    pub code: String,
    /// The topic concerned, if there is one.
    #[serde(default)]
    pub topic: Option<String>,
    /// With `POSITION_LOST`: the new epoch.
    #[serde(default)]
    pub epoch: Option<String>,
    /// With `POSITION_LOST`: the offset before the next event.
    #[serde(default)]
    pub offset: Option<u64>,
    /// The server's message.
    #[serde(default)]
    pub message: String,
    /// With `MESSAGES_DROPPED`: the number of messages.
    #[serde(default)]
    pub count: Option<u64>,
    /// With `MOVE`: milliseconds until this client should move to another node.
    #[serde(default)]
    pub in_ms: Option<u64>,
    /// With `MOVE`: the token to resume the session with.
    #[serde(default)]
    pub resume_token: Option<String>,
    /// The whole frame, unchanged.
    #[serde(skip)]
    pub raw: String,
}

/// The reply to `subscribe`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Subscribed {
    /// The topic's current epoch.
    pub epoch: String,
    /// The topic's head: the next live event has the offset after it.
    pub offset: u64,
    /// With `since`: whether all missed messages follow. `Some(false)` means that the caller has to reload its state.
    #[serde(default)]
    pub recovered: Option<bool>,
    /// With [`StartFrom::Last`](crate::StartFrom::Last): the number of earlier events that follow first.
    #[serde(default)]
    pub history: Option<u32>,
    /// Whether this connection was subscribed before.
    #[serde(default)]
    pub already: bool,
    /// Whether the topic is durable.
    #[serde(default)]
    pub durable: bool,
}

/// The reply to `publish`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Published {
    /// The message's id.
    pub id: String,
    /// The message's offset in its topic.
    pub offset: u64,
    /// The number of subscriptions on that node when the offset was assigned; not a receipt.
    pub delivered: u64,
    /// Whether the topic is durable: the message is in the store.
    #[serde(default)]
    pub durable: bool,
}

/// The reply to `ping`.
#[derive(Debug, Deserialize)]
pub(crate) struct Pong {
    pub(crate) timestamp: String,
}

/// The fields read first of every frame of the server.
#[derive(Debug, Deserialize)]
pub(crate) struct Head<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    request_id: Option<Raw<'a>>,
}

impl Head<'_> {
    /// The id of the request to which this frame is the reply; this client's own ids are integers.
    pub(crate) fn reply_to(&self) -> Option<u64> {
        self.request_id.and_then(|id| id.get().parse().ok())
    }
}

/// A request of this client.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Request<'a> {
    Subscribe {
        request_id: u64,
        topic: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        since: Option<&'a Position>,
        #[serde(skip_serializing_if = "Option::is_none")]
        history: Option<u32>,
    },
    Unsubscribe {
        request_id: u64,
        topic: &'a str,
    },
    Publish {
        request_id: u64,
        topic: &'a str,
        payload: Raw<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<&'a str>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        exclude_self: bool,
    },
    Ping {
        request_id: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(request: &Request<'_>) -> String {
        fanfare_json::to_string(request).unwrap()
    }

    #[test]
    fn requests_have_the_documented_shape() {
        let since = Position { epoch: "e".into(), offset: 7 };
        assert_eq!(
            text(&Request::Subscribe { request_id: 1, topic: "t", since: Some(&since), history: None }),
            r#"{"type":"subscribe","request_id":1,"topic":"t","since":{"epoch":"e","offset":7}}"#
        );
        assert_eq!(
            text(&Request::Subscribe { request_id: 1, topic: "t", since: None, history: Some(5) }),
            r#"{"type":"subscribe","request_id":1,"topic":"t","history":5}"#
        );
        let payload = RawBuf::new(r#"{"b":1, "a":1.0}"#).unwrap();
        assert_eq!(
            text(&Request::Publish {
                request_id: 2,
                topic: "t",
                payload: payload.as_raw(),
                idempotency_key: None,
                exclude_self: true
            }),
            r#"{"type":"publish","request_id":2,"topic":"t","payload":{"b":1, "a":1.0},"exclude_self":true}"#
        );
        assert_eq!(text(&Request::Ping { request_id: 3 }), r#"{"type":"ping","request_id":3}"#);
    }

    #[test]
    fn an_event_keeps_its_payload_byte_for_byte() {
        let frame = r#"{"type":"event","topic":"t","id":"i","offset":18,"payload":{"b":1, "a":1.0},"timestamp":"x","new":1}"#;
        let event: Event = fanfare_json::from_str(frame).unwrap();
        assert_eq!((event.payload.get(), event.offset), (r#"{"b":1, "a":1.0}"#, 18));
    }

    /// Issue 10, entry 1: no name in a hostile server's frame has a special meaning, and its depth overflows nothing.
    #[test]
    fn a_hostile_servers_frame_is_read_without_special_names() {
        let frame = |payload: &str, id: &str| {
            format!(
                r#"{{"type":"event","topic":"t","id":{id},"offset":1e1,"payload":{payload},"timestamp":"x","client_id":null}}"#
            )
        };
        let magic = r#"{"$serde_json::private::RawValue":"\"inj\""}"#;
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        for payload in [magic, &deep] {
            let text = frame(payload, "\"i\"");
            let event: Event = fanfare_json::from_str(&text).unwrap();
            assert_eq!((event.payload.get(), event.offset), (payload, 10));
        }
        assert!(fanfare_json::from_str::<Event>(&frame("1", magic)).is_err());
        let user = format!(r#"{{"id":{magic},"username":"a"}}"#);
        let user: User = fanfare_json::from_str(&user).unwrap();
        assert!(user.id.is_object());
        assert!(fanfare_json::from_str::<User>(&format!(r#"{{"id":{deep},"username":"a"}}"#)).is_err());
    }

    #[test]
    fn foreign_request_ids_match_no_request() {
        let head: Head<'_> = fanfare_json::from_str(r#"{"request_id":"7","type":"ack"}"#).unwrap();
        assert_eq!((head.kind.as_ref(), head.reply_to()), ("ack", None));
        let head: Head<'_> = fanfare_json::from_str(r#"{"type":"pong","request_id":7}"#).unwrap();
        assert_eq!(head.reply_to(), Some(7));
    }
}
