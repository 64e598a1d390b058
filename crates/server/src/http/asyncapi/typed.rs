//! Every frame of the typed dialect (`protocol.md` 3).
//!
//! Longer than most: it is a table, an entry per frame.

use super::message::{
    From, Member, Message, anything, boolean, bounded, count, epoch, frame, literal, may, must, object,
    one_of, request_id, string, time, topic, written,
};
use super::samples::{self, AT};
use fanfare_core::model::{Body, ErrorCode, FeedSubscribed, HistoryCount, Reply, Subscribed};
use fanfare_core::ports::Info;
use fanfare_dialects::Dialect;
use fanfare_dialects::feed::{self, RecordView};
use fanfare_dialects::typed::{RequestId, Typed, write_error, write_reply};
use fanfare_rpc::allow_null_for_absent;
use serde_json::{Value, json};

/// All messages: clients' frames, their replies, and unsolicited frames of the server.
pub(super) fn messages() -> Vec<Message> {
    let mut all = client();
    all.extend(replies());
    all.push(error());
    all.extend(unsolicited());
    all
}

/// The member `token`, where a topic's rule needs one.
fn subscription_token(action: &str) -> Value {
    string(&format!(
        "A subscription token of an issuer whose actions have {action}, if the topic's rule requires one"
    ))
}

fn client_id(what: &str) -> Member {
    may("client_id", bounded(255, what))
}

fn sent(key: &'static str, replies: &'static [&'static str], group: &'static str) -> Message {
    Message::new(key, From::Client(replies), group)
}

/// Clients' frames. Each example is decoded in a test.
fn client() -> Vec<Message> {
    let mut all = frames();
    all.iter_mut().for_each(|message| allow_null_for_absent(&mut message.schema));
    all
}

fn frames() -> Vec<Message> {
    let since = object([must("epoch", epoch()), must("offset", count("The last offset seen"))]);
    vec![
        sent("typed.subscribe.topic", &["typed.ack.subscribe"], "Topics")
            .says("subscribe", "Hears a topic from now on, with `since` from a position, or with `history` its newest events first")
            .schema(frame(
                "subscribe",
                [
                    must("topic", topic()),
                    client_id("The name the client gives itself"),
                    may("since", since),
                    may("history", history()),
                    may("token", subscription_token("subscribe")),
                    request_id(),
                ],
            ))
            .example("from now on", json!({ "type": "subscribe", "topic": "lobby", "request_id": 1 }))
            .example(
                "after a lost connection",
                json!({ "type": "subscribe", "topic": "lobby", "since": { "epoch": "6b1e0c2f9a3d4e57", "offset": 17 },
                    "request_id": 2 }),
            )
            .example(
                "the newest events first",
                json!({ "type": "subscribe", "topic": "lobby", "history": 20, "request_id": 13 }),
            ),
        sent("typed.unsubscribe.topic", &["typed.ack.unsubscribe"], "Topics")
            .says("unsubscribe", "Unsubscribes from a topic")
            .schema(frame("unsubscribe", [must("topic", topic()), client_id("As in subscribe"), request_id()]))
            .example("a topic", json!({ "type": "unsubscribe", "topic": "lobby", "request_id": 3 })),
        publish(),
        subscribe_feed(),
        sent("typed.unsubscribe.feed", &["typed.ack.unsubscribe.feed"], "Feeds")
            .says("unsubscribe", "Unsubscribes from a feed")
            .schema(frame("unsubscribe", [must("channel", string("The feed's channel")), request_id()]))
            .example("a feed", json!({ "type": "unsubscribe", "channel": "dashboard", "request_id": 9 })),
        sent("typed.auth", &["typed.ack.auth"], "Connection")
            .says("auth", "Logs in on an open socket, or refreshes the login; a member it does not know is refused")
            .schema(strict(frame("auth", [must("token", string("A JWT access token")), request_id()])))
            .example("an access token", json!({ "type": "auth", "token": "eyJhbGciOiJFZERTQSJ9.e30.c2ln", "request_id": 10 })),
        sent("typed.ping", &["typed.pong"], "Connection")
            .says("ping", "Asks whether the connection is alive")
            .schema(frame("ping", [request_id()]))
            .example("with an id", json!({ "type": "ping", "request_id": 7 })),
        sent("typed.server", &["typed.server_response"], "Server commands")
            .says("server", "Runs a command of the server; list_commands lists them with their params")
            .schema(frame(
                "server",
                [
                    must("command", string("Its name")),
                    may("params", json!({ "type": "object", "description": "As the command's schema says" })),
                    request_id(),
                ],
            ))
            .example("which commands there are", json!({ "type": "server", "command": "list_commands", "request_id": 11 }))
            .example(
                "with params",
                json!({ "type": "server", "command": "echo", "params": { "message": "hello" }, "request_id": 12 }),
            ),
    ]
}

/// The number of events that are sent first.
fn history() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": HistoryCount::MAX,
        "description": "The topic's newest events, at most this many, are sent first; ignored with `since`" })
}

fn subscribe_feed() -> Message {
    let texts = |what: &str| json!({ "type": "array", "items": { "type": "string" }, "description": what });
    let by_value = json!({ "type": "object", "description": "A scalar, or a list of them, for each JSON pointer into the record" });
    let filter = object([may("key", texts("Only records with one of these keys")), may("json", by_value)]);
    let since = json!({ "type": "object", "additionalProperties": { "type": "integer" },
        "description": "The last offset seen of each topic/partition; what came after is replayed" });
    let on = |more: Value| {
        let mut frame = json!({ "type": "subscribe", "channel": samples::CHANNEL, "request_id": 8 });
        frame
            .as_object_mut()
            .into_iter()
            .for_each(|f| f.extend(more.as_object().cloned().unwrap_or_default()));
        frame
    };
    sent("typed.subscribe.feed", &["typed.ack.subscribe.feed"], "Feeds")
        .says("subscribe", "Subscribes to a feed: all of it, or the requested part")
        .schema(frame(
            "subscribe",
            [
                must("channel", string("The feed's channel")),
                may("types", texts("Only these types")),
                may("filter", filter),
                may("snapshot", boolean("The latest records first")),
                may("since", since),
                request_id(),
            ],
        ))
        .example("a feed", on(json!({})))
        .example(
            "some of it, the latest first",
            on(json!({ "types": ["trade_data"], "filter": { "key": ["SOL"] }, "snapshot": true })),
        )
        .example("after a lost connection", on(json!({ "since": { "trade-info/0": 1041 } })))
}

/// A frame with a credential accepts no unknown members.
fn strict(mut schema: Value) -> Value {
    schema["additionalProperties"] = json!(false);
    schema
}

fn publish() -> Message {
    let mut schema = frame(
        "publish",
        [
            must("topic", topic()),
            may("payload", anything("Any JSON; reaches subscribers byte for byte")),
            may("message", anything("Another name of `payload`, which takes precedence if both are present")),
            client_id("Shown to subscribers as the event's client_id"),
            may("idempotency_key", bounded(128, "Repeats within five minutes get the first ack")),
            may("token", subscription_token("publish")),
            may("exclude_self", boolean("The event is not delivered to the publishing connection")),
            request_id(),
        ],
    );
    schema["anyOf"] = json!([{ "required": ["payload"] }, { "required": ["message"] }]);
    let hello = json!({ "text": "hello" });
    sent("typed.publish", &["typed.ack.publish"], "Topics")
        .says("publish", "Sends a payload to all subscribers of a topic")
        .schema(schema)
        .example("a payload", json!({ "type": "publish", "topic": "lobby", "payload": hello, "request_id": 4 }))
        .example(
            "once only",
            json!({ "type": "publish", "topic": "lobby", "payload": hello, "idempotency_key": "order-1", "request_id": 5 }),
        )
        .example(
            "not to myself",
            json!({ "type": "publish", "topic": "lobby", "payload": hello, "exclude_self": true, "request_id": 6 }),
        )
}

/// The replies of `write_reply`.
fn replies() -> Vec<Message> {
    samples::replies().map(|reply| reply_message(&reply)).collect()
}

fn reply_message(reply: &Reply<'_>) -> Message {
    let written = |reply: &Reply<'_>| written(|out| write_reply(reply, Some(RequestId("1")), AT, out));
    let message = |key, group| Message::new(key, From::Reply, group);
    let ack = |what, members: Vec<Member>| {
        frame("ack", std::iter::once(must("for", literal(what))).chain(members).chain([request_id()]))
    };
    let already = |what| may("already", json!({ "type": "boolean", "const": true, "description": what }));
    match reply {
        Reply::Subscribed(s) => {
            let back = |recovered| Reply::Subscribed(Subscribed { recovered: Some(recovered), ..s.clone() });
            message("typed.ack.subscribe", "Topics")
                .says("ack of subscribe", "Subscribed: the next live event has the offset one above")
                .schema(ack(
                    "subscribe",
                    vec![
                        must("topic", topic()),
                        must("epoch", epoch()),
                        must("offset", count("The topic's head")),
                        may(
                            "recovered",
                            boolean("Only with `since`: whether everything after it is replayed"),
                        ),
                        may(
                            "history",
                            count("Only with `history`: the number of earlier events that are replayed"),
                        ),
                        already("The connection was subscribed before"),
                    ],
                ))
                .example("subscribed", written(reply))
                .example("all that was missed follows", written(&back(true)))
                .example("the history no longer holds it: reload", written(&back(false)))
                .example(
                    "this number of earlier events follows",
                    written(&Reply::Subscribed(Subscribed { history: Some(17), ..s.clone() })),
                )
                .example(
                    "it was already",
                    written(&Reply::Subscribed(Subscribed { already: true, ..s.clone() })),
                )
        }
        Reply::Unsubscribed { topic: name, .. } => message("typed.ack.unsubscribe", "Topics")
            .says("ack of unsubscribe", "No event of the topic follows")
            .schema(ack(
                "unsubscribe",
                vec![must("topic", topic()), already("The connection was not subscribed")],
            ))
            .example("unsubscribed", written(reply))
            .example("it was not", written(&Reply::Unsubscribed { topic: name.clone(), already: true })),
        Reply::Published { .. } => message("typed.ack.publish", "Topics")
            .says("ack of publish", "Published")
            .schema(ack(
                "publish",
                vec![
                    must("topic", topic()),
                    must("id", string("The event's id; ids sort by time")),
                    must("offset", count("The event's offset")),
                    must(
                        "delivered",
                        count("Subscriptions on this node at that moment, less an excluded sender"),
                    ),
                ],
            ))
            .example("published", written(reply)),
        Reply::Authenticated { .. } => message("typed.ack.auth", "Connection")
            .says("ack of auth", "Logged in: the session has a new code; or the login was refreshed")
            .schema(ack(
                "auth",
                vec![
                    must("user", user()),
                    must("session_code", string("The session's code from now on")),
                    must("resume_token", string("What resumes it next")),
                ],
            ))
            .example("logged in", written(reply)),
        Reply::Server { .. } => message("typed.server_response", "Server commands")
            .says("server_response", "The result of a server command")
            .schema(frame(
                "server_response",
                [
                    must("command", string("Its name")),
                    must("result", anything("As the command says")),
                    request_id(),
                ],
            ))
            .example("users online", written(reply)),
        Reply::FeedSubscribed(s) => {
            let lost =
                FeedSubscribed { recovered: Some(false), lost: vec!["trade-info/0".into()], ..s.clone() };
            let places = json!({ "type": "array", "items": { "type": "string" },
                "description": "The positions that cannot be continued from: reload" });
            message("typed.ack.subscribe.feed", "Feeds")
                .says("ack of subscribe", "Records follow")
                .schema(ack(
                    "subscribe",
                    vec![
                        must("channel", string("The feed's channel")),
                        may(
                            "recovered",
                            boolean("Only with `since`: whether everything after it is replayed"),
                        ),
                        may("lost", places),
                        already("The connection was subscribed before"),
                    ],
                ))
                .example("subscribed", written(reply))
                .example("a position is lost", written(&Reply::FeedSubscribed(lost)))
        }
        Reply::FeedUnsubscribed { .. } => message("typed.ack.unsubscribe.feed", "Feeds")
            .says("ack of unsubscribe", "No record of the feed follows")
            .schema(ack(
                "unsubscribe",
                vec![
                    must("channel", string("The feed's channel")),
                    already("The connection was not subscribed"),
                ],
            ))
            .example("unsubscribed", written(reply)),
        Reply::Pong => message("typed.pong", "Connection")
            .says("pong", "The reply to ping")
            .schema(frame("pong", [request_id(), must("timestamp", time())]))
            .example("the reply", written(reply)),
    }
}

/// One message for all codes: each has the same members.
fn error() -> Message {
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
    let schema = frame(
        "error",
        [
            must("code", one_of(&codes, "What was wrong")),
            must("message", string("What to do, for people")),
            request_id(),
            may("field", string("The member at fault")),
            may("retry_after_ms", count("Milliseconds until a retry can succeed")),
            must("timestamp", time()),
        ],
    );
    let error = Message::new("typed.error", From::Reply, "Errors")
        .says(
            "error",
            "A frame was refused and nothing was changed; SLOW_CONSUMER is sent unsolicited before a close",
        )
        .schema(schema);
    samples::refusals().fold(error, |error, refusal| {
        let id = Some(RequestId("1"));
        error.example(refusal.code.name(), written(|out| write_error(&refusal, id, AT, out)))
    })
}

/// The frames that the encoders of deliveries write.
fn unsolicited() -> Vec<Message> {
    let message = |key: &str, group| Message::new(key, From::Server, group);
    let mut all = vec![
        samples::welcomes().iter().fold(
            message("typed.welcome", "Connection")
                .says("welcome", "The first frame of a connection")
                .schema(frame("welcome", welcome_members())),
            |message, (name, welcome)| message.example(*name, written(|out| Typed.welcome(welcome, AT, out))),
        ),
        message("typed.event", "Topics")
            .says("event", "What was published to a topic")
            .schema(frame("event", event_members(true)))
            .example("an event", written(|out| Typed.event(&samples::event(), out)))
            .example("of a user", written(|out| Typed.event(&samples::users_event(), out))),
        message("typed.session_message", "Connection")
            .says("session_message", "A message of the app's backend to this session or to all")
            .schema(frame("session_message", session_members()))
            .example("a payload", written(|out| Typed.session_message(samples::PAYLOAD, AT, out))),
    ];
    all.extend(samples::records().map(|record| {
        message(&format!("typed.feed.{}", record.kind), "Feeds")
            .says(
                record.kind,
                "A record of a feed, as configured; these are the types unless configured otherwise",
            )
            .schema(object(record_members(literal(record.kind))))
            .example("a record", written(|out| Typed.body(&Body::feed(&record_body(&record)), out)))
    }));
    all.extend(samples::infos().map(|info| {
        message(&format!("typed.info.{}", info.code().to_ascii_lowercase()), "Notices")
            .says(format!("info {}", info.code()), info_summary(&info))
            .schema(frame("info", info_members(&info)))
            .example(info.code(), written(|out| Typed.info(&info, AT, out)))
    }));
    all
}

/// The logged-in user.
fn user() -> Value {
    object([must("id", string("The user's id")), must("username", string("The user's name"))])
}

/// The members of a welcome in either dialect.
pub(super) fn welcome_members() -> Vec<Member> {
    let user = json!({ "type": ["object", "null"], "required": ["id", "username"], "description": "Who is logged in",
        "properties": { "id": { "type": "string" }, "username": { "type": "string" } } });
    let limits = object([
        must("max_message_bytes", count("Maximum bytes of a message")),
        must("queue_messages", count("Maximum messages that wait for a slow reader")),
    ]);
    let server = object([
        must("name", literal("fanfare")),
        must("version", string("Its version")),
        must("id", string("The public origin's host name")),
    ]);
    vec![
        must("session_code", string("The session's code; with the token it resumes the session")),
        must("resume_token", string("A secret, valid once")),
        must("client_id", string("The connection's own id")),
        must("user", user),
        may(
            "resumed",
            json!({ "type": "boolean", "const": true, "description": "The session was there before" }),
        ),
        must("heartbeat_ms", count("Milliseconds between the server's pings")),
        must("limits", limits),
        must("server", server),
        must("timestamp", time()),
    ]
}

/// The members of a topic's event; in JSON-RPC a publisher without a name is left out.
pub(super) fn event_members(named: bool) -> Vec<Member> {
    let client = string("The publisher's client_id");
    vec![
        must("topic", topic()),
        must("id", string("The event's id; ids sort by time")),
        must("offset", count("One above the event before")),
        must("payload", anything("What was published, byte for byte")),
        if named { must("client_id", client) } else { may("client_id", client) },
        may("user", string("The username of a publisher who is logged in; the server sets it")),
        must("timestamp", time()),
    ]
}

/// The members of a delivery, which the feed writes once for all subscribers.
pub(super) fn record_body(record: &RecordView<'_>) -> String {
    let mut body = Vec::new();
    feed::write_body(&mut body, record);
    String::from_utf8(body).unwrap_or_default()
}

/// The members of a record in either dialect.
pub(super) fn record_members(kind: Value) -> Vec<Member> {
    let source = object([
        must("topic", string("The source's topic")),
        must("partition", count("Its partition")),
        must("offset", count("The offset in it")),
    ]);
    vec![
        must("type", kind),
        must("channel", string("The feed's channel")),
        must("data", anything("The record's JSON, byte for byte")),
        must("timestamp", time()),
        must("source", source),
        may("key", string("The record's key")),
    ]
}

/// The members of a message to a session.
pub(super) fn session_members() -> Vec<Member> {
    vec![must("payload", anything("Any JSON")), must("timestamp", time())]
}

/// The summary of a notice: its own message unless that is an admin's text.
pub(super) fn info_summary(info: &Info<'_>) -> String {
    match info {
        Info::Notice { .. } => {
            "a notice of an admin, or of the server itself, to all users on /ws/system".into()
        }
        info => info.message().into(),
    }
}

/// The members of a notice in either dialect.
pub(super) fn info_members(info: &Info<'_>) -> Vec<Member> {
    let own = match info {
        Info::TopicDeleted { .. } | Info::SubscriptionExpired { .. } => vec![must("topic", topic())],
        Info::MessagesDropped { .. } => vec![
            must("count", count("How many were dropped before the next delivery")),
            may("channel", string("The feed they were of")),
        ],
        Info::PositionLost { .. } => vec![
            must("topic", topic()),
            must("epoch", string("The epoch from now on")),
            must("offset", count("The offset before the next event")),
        ],
        Info::ServerShutdown => vec![],
        Info::TokenExpiring { .. } => vec![must("expires_at", time())],
        Info::FeedLag { .. } => vec![
            must("topic", string("The source's topic")),
            must("partition", count("Its partition")),
            must("lag", count("Records behind")),
            must("state", one_of(&["raised", "cleared"], "Whether the alert begins or ends")),
        ],
        Info::Notice { .. } => vec![must("severity", one_of(&["info", "warning", "critical"], "How grave"))],
    };
    let mut members = vec![must("code", literal(info.code()))];
    members.extend(own);
    members.extend([must("message", string("For people")), must("timestamp", time())]);
    members
}
