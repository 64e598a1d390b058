//! Feeds in the document: what clients send and what a channel delivers (`protocol.md` 3.3).
//!
//! The types of deliveries are configuration; the three of seed 002 stand for all.

use super::message::{
    From, Member, Message, anything, boolean, count, frame, literal, may, must, object, request_id, string,
    time, written,
};
use fanfare_core::model::FeedSubscribed;
use fanfare_dialects::feed::{RecordView, write_body};
use serde_json::{Value, json};

/// A channel's three kinds of records, each with a value of its topic.
const RECORDS: [(&str, &str, &str); 3] = [
    ("token_info", "token-info", r#"{"symbol":"TUBA","name":"Tuba","decimals":9}"#),
    ("trade_data", "trade-info", r#"{"symbol":"TUBA","side":"buy","price":1.25,"amount":40}"#),
    ("aggregate_data", "aggregate-info", r#"{"symbol":"TUBA","window":"1m","volume":1200,"trades":31}"#),
];

pub(super) const CHANNEL: &str = "dashboard";

fn channel() -> Member {
    must("channel", string("The feed's channel"))
}

fn texts(what: &str) -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "description": what })
}

/// What a client asks of a channel: the same in both dialects.
fn wishes() -> Vec<Member> {
    let filter = json!({ "type": "object", "description": "Only records that fit all of it",
        "properties": { "key": texts("One of these keys"),
            "json": { "type": "object", "description": "By JSON pointer a scalar, or an array of scalars" } } });
    let since = json!({ "type": "object", "additionalProperties": { "type": "integer", "minimum": -1 },
        "description": "The last offset seen of each topic/partition; -1 for nothing seen" });
    vec![
        may("types", texts("Only these types")),
        may("filter", filter),
        may("snapshot", boolean("The latest record of each type and key comes first")),
        may("since", since),
    ]
}

/// What clients send in the typed dialect.
pub(super) fn client() -> Vec<Message> {
    let sent = |key, answers| Message::new(key, From::Client(answers), "Feeds");
    let members = std::iter::once(channel()).chain(wishes()).chain([request_id()]);
    vec![
        sent("typed.subscribe.feed", &["typed.ack.subscribe.feed"])
            .says("subscribe", "Hears a feed")
            .schema(frame("subscribe", members))
            .example("a feed", json!({ "type": "subscribe", "channel": CHANNEL, "request_id": 8 }))
            .example(
                "trades of one key, the latest first",
                json!({ "type": "subscribe", "channel": CHANNEL, "types": ["trade_data"], "filter": { "key": ["TUBA"] },
                    "snapshot": true, "request_id": 13 }),
            )
            .example(
                "after a lost connection",
                json!({ "type": "subscribe", "channel": CHANNEL, "since": { "trade-info/0": 41 }, "request_id": 14 }),
            ),
        sent("typed.unsubscribe.feed", &["typed.ack.unsubscribe.feed"])
            .says("unsubscribe", "Stops hearing a feed")
            .schema(frame("unsubscribe", [channel(), request_id()]))
            .example("a feed", json!({ "type": "unsubscribe", "channel": CHANNEL, "request_id": 9 })),
    ]
}

pub(super) fn subscribed() -> FeedSubscribed {
    FeedSubscribed { channel: CHANNEL.into(), recovered: None, lost: Vec::new(), already: false }
}

/// The members of an ack of `subscribe`.
pub(super) fn ack_members() -> Vec<Member> {
    vec![
        channel(),
        may("recovered", boolean("Only with `since`: whether everything after it is replayed")),
        may("lost", texts("The positions, as topic/partition, that cannot be continued from")),
    ]
}

/// The member of an ack of `unsubscribe`.
pub(super) fn unsubscribed_members() -> Vec<Member> {
    vec![channel()]
}

fn delivery(kind: &str) -> Vec<Member> {
    let source = object([
        must("topic", string("The Kafka topic")),
        must("partition", count("Its partition")),
        must("offset", count("The record's offset in it")),
    ]);
    vec![
        must("type", literal(kind)),
        channel(),
        must("data", anything("The record's JSON, byte for byte")),
        must("timestamp", time()),
        must("source", source),
        may("key", string("The record's key")),
    ]
}

/// One delivery of each kind: its type, its members, and the members of an example as text.
fn deliveries() -> impl Iterator<Item = (&'static str, Vec<Member>, String)> {
    RECORDS.iter().map(|(kind, topic, value)| {
        let mut body = Vec::new();
        let record = RecordView {
            kind,
            channel: CHANNEL,
            value,
            at_ms: super::samples::AT,
            topic,
            partition: 0,
            offset: 41,
            key: Some("TUBA"),
        };
        write_body(&mut body, &record);
        (*kind, delivery(kind), String::from_utf8(body).unwrap_or_default())
    })
}

/// What a channel delivers in the typed dialect.
pub(super) fn typed(record: impl Fn(&str, &mut Vec<u8>)) -> Vec<Message> {
    let message = |(kind, members, body): (&str, Vec<Member>, String)| {
        Message::new(format!("typed.{kind}"), From::Server, "Feeds")
            .says(kind, "A record of a feed; the types are those of `kafka.topics`, these three without it")
            .schema(object(members))
            .example("a record", written(|out| record(&body, out)))
    };
    deliveries().map(message).collect()
}

/// What a channel delivers in JSON-RPC: one notification for all types.
pub(super) fn jsonrpc(record: impl Fn(&str, &mut Vec<u8>)) -> (Vec<Member>, Vec<(String, Value)>) {
    let mut members = delivery("");
    members[0] = must("type", string("The record's type: those of `kafka.topics`"));
    let examples = deliveries().map(|(kind, _, body)| (kind.to_owned(), written(|out| record(&body, out))));
    (members, examples.collect())
}
