//! Feeds on the demo source: frames of both dialects, snapshots, filters, limits, REST (seed 002, `chat-feeds-cluster.md`).

use crate::support::start;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw::{Endpoint, Raw};
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::Server;
use serde_json::{Value, json};

const KINDS: [&str; 3] = ["token_info", "trade_data", "aggregate_data"];

fn fast() -> Server {
    start(&[("feeds.demo_rate", "300")])
}

fn get(server: &Server, path: &str) -> Value {
    let answer = Request::get(path).send(server.addr());
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

#[track_caller]
fn refused(answer: &Value, code: &str, field: &str) {
    assert_eq!(
        (&answer["type"], &answer["code"], &answer["field"]),
        (&json!("error"), &json!(code), &json!(field)),
        "{answer}"
    );
}

fn place(frame: &Value) -> (String, i64, i64) {
    let source = &frame["source"];
    (
        source["topic"].as_str().unwrap().into(),
        source["partition"].as_i64().unwrap(),
        source["offset"].as_i64().unwrap(),
    )
}

#[test]
fn a_subscriber_receives_every_record_of_the_demo_market_once_and_in_order() {
    let server = fast();
    let mut ws = Client::connect(server.addr());
    let ack = ws.call(json!({ "type": "subscribe", "channel": "dashboard" }));
    assert_eq!(
        (&ack["type"], &ack["for"], &ack["channel"]),
        (&json!("ack"), &json!("subscribe"), &json!("dashboard"))
    );
    let mut last = std::collections::HashMap::new();
    for _ in 0..600 {
        let frame = ws.hear();
        assert_eq!(frame["channel"], "dashboard", "{frame}");
        assert!(KINDS.contains(&frame["type"].as_str().unwrap()), "{frame}");
        assert!(frame["timestamp"].as_str().unwrap().ends_with('Z') && frame["data"].is_object());
        let (topic, partition, offset) = place(&frame);
        if let Some(before) = last.insert((topic, partition), offset) {
            assert_eq!(offset, before + 1, "{frame}");
        }
    }
    assert_eq!(ws.call(json!({ "type": "subscribe", "channel": "dashboard" }))["already"], true);
    assert_eq!(ws.call(json!({ "type": "unsubscribe", "channel": "dashboard" }))["channel"], "dashboard");
    while ws.call(json!({ "type": "ping" }))["type"] != "pong" {}
    let ack = ws.call(json!({ "type": "unsubscribe", "channel": "dashboard" }));
    assert_eq!(ack["already"], true, "{ack}");
}

#[test]
fn json_rpc_gets_the_same_records_as_notifications() {
    let server = fast();
    let mut rpc = Client::open(server.addr(), "/rpc", None);
    assert_eq!(rpc.hear()["method"], "session.welcome");
    let list = rpc.rpc("feed.list", json!({}));
    assert_eq!(list["result"]["items"][0]["channel"], "dashboard", "{list}");
    let done = rpc.rpc("feed.subscribe", json!({ "channel": "dashboard", "types": ["trade_data"] }));
    assert_eq!(done["result"], json!({ "channel": "dashboard" }));
    for _ in 0..20 {
        let event = rpc.hear();
        assert_eq!(
            (&event["method"], &event["params"]["type"]),
            (&json!("feed.event"), &json!("trade_data")),
            "{event}"
        );
        assert_eq!(event["params"]["source"]["topic"], "trade-info");
    }
    assert_eq!(
        rpc.rpc("feed.unsubscribe", json!({ "channel": "dashboard" }))["result"]["channel"],
        "dashboard"
    );
    let lost = rpc.rpc("feed.subscribe", json!({ "channel": "dashboard", "since": { "nothing/7": 5 } }));
    assert_eq!(lost["result"]["recovered"], false, "{lost}");
    assert_eq!(lost["result"]["lost"], json!(["nothing/7"]));
    assert_eq!(
        rpc.rpc("feed.subscribe", json!({ "channel": "x" }))["error"]["data"]["code"],
        "CHANNEL_NOT_FOUND"
    );
    assert_eq!(rpc.rpc("feed.subscribe", json!({ "channel": "x", "sincce": 1 }))["error"]["code"], -32602);
}

#[test]
fn wishes_are_kept_and_judged() {
    let server = fast();
    let mut ws = Client::connect(server.addr());
    for (frame, code, field) in [
        (json!({ "channel": "nowhere" }), "CHANNEL_NOT_FOUND", "channel"),
        (json!({ "channel": 5 }), "INVALID_MESSAGE", "channel"),
        (json!({ "channel": "dashboard", "types": "trade_data" }), "INVALID_MESSAGE", "types"),
        (json!({ "channel": "dashboard", "filter": { "json": { "x": 1 } } }), "INVALID_MESSAGE", "filter"),
        (json!({ "channel": "dashboard", "snapshot": 1 }), "INVALID_MESSAGE", "snapshot"),
        (json!({ "channel": "dashboard", "since": { "trade-info/0": -5 } }), "INVALID_MESSAGE", "since"),
    ] {
        let mut frame = frame;
        frame["type"] = json!("subscribe");
        refused(&ws.call(frame), code, field);
    }
    ws.call(
        json!({ "type": "subscribe", "channel": "dashboard", "types": ["token_info", "aggregate_data"] }),
    );
    let heard: Vec<Value> = (0..40).map(|_| ws.hear()).collect();
    assert!(heard.iter().all(|f| f["type"] != "trade_data"));
    let symbol = |frame: &Value| {
        frame["data"]
            .as_object()
            .unwrap()
            .iter()
            .find(|(_, v)| v.is_string())
            .map(|(k, v)| (k.clone(), v.clone()))
    };
    let (name, value) = symbol(&heard[0]).expect("the market's records have a text");
    let mut other = Client::connect(server.addr());
    let filter = json!({ "json": { format!("/{name}"): [value] } });
    let ack = other.call(
        json!({ "type": "subscribe", "channel": "dashboard", "types": [heard[0]["type"]], "filter": filter }),
    );
    assert_eq!(ack["type"], "ack", "{ack}");
    let own = ws.call(json!({ "type": "unsubscribe", "channel": "dashboard" }));
    assert_eq!(own["type"], "ack");
    assert!((0..3).map(|_| other.hear()).all(|frame| frame["data"][&name] == value));
}

#[test]
fn a_since_that_cannot_be_served_is_reported_before_the_next_reply() {
    let server = fast();
    let mut ws = Client::connect(server.addr());
    ws.say(
        &json!({ "type": "subscribe", "channel": "dashboard", "since": { "nothing/0": 3 }, "request_id": 1 }),
    );
    ws.say(&json!({ "type": "ping", "request_id": 2 }));
    let ack = ws.hear();
    assert_eq!(
        (&ack["request_id"], &ack["recovered"], &ack["lost"]),
        (&json!(1), &json!(false), &json!(["nothing/0"])),
        "{ack}"
    );
    while ws.hear()["request_id"] != 2 {}
}

#[test]
fn a_snapshot_comes_first_and_joins_the_live_records_without_a_seam() {
    let server = fast();
    let mut first = Client::connect(server.addr());
    first.call(json!({ "type": "subscribe", "channel": "dashboard" }));
    let mut seen = std::collections::HashSet::new();
    while seen.len() < KINDS.len() {
        seen.insert(first.hear()["type"].as_str().unwrap().to_owned());
    }
    let latest = get(&server, "/feeds/dashboard/latest");
    assert_eq!(latest["items"].as_array().unwrap().len(), KINDS.len(), "{latest}");
    let mut ws = Client::connect(server.addr());
    ws.call(json!({ "type": "subscribe", "channel": "dashboard", "snapshot": true }));
    let mut last: std::collections::HashMap<String, i64> = std::collections::HashMap::new();
    for at in 0..300 {
        let frame = ws.hear();
        let (topic, _, offset) = place(&frame);
        let before = last.insert(topic, offset);
        assert!(at >= KINDS.len() || before.is_none(), "the snapshot has one of each type: {frame}");
        assert!(before.is_none_or(|b| b + 1 == offset), "after {before:?}: {frame}");
    }
}

#[test]
fn a_channel_is_no_topic_and_counts_as_a_subscription() {
    let server = start(&[("feeds.demo_rate", "300"), ("limits.max_subscriptions", "2")]);
    let mut ws = Client::connect(server.addr());
    ws.subscribe("dashboard");
    let ack = ws.call(json!({ "type": "subscribe", "channel": "dashboard" }));
    assert_eq!(ack["type"], "ack", "{ack}");
    refused_limit(&ws.call(json!({ "type": "subscribe", "topic": "third" })));
    let mut topic = Client::connect(server.addr());
    topic.subscribe("dashboard");
    topic.publish("dashboard", json!("only for the topic"));
    let event = topic.hear();
    assert_eq!((&event["type"], &event["topic"]), (&json!("event"), &json!("dashboard")), "{event}");
    while ws.hear()["type"] != "event" {}
    let topics = get(&server, "/topics");
    assert_eq!(topics["items"].as_array().unwrap().len(), 1, "{topics}");
}

#[track_caller]
fn refused_limit(answer: &Value) {
    assert_eq!(answer["code"], "LIMIT_EXCEEDED", "{answer}");
}

#[test]
fn a_channel_has_sixty_four_groups_at_most() {
    let server = fast();
    // One address makes no more than a quarter of them.
    let from = |at: usize| Endpoint::from(server.addr()).from_address(at as u8 / 16 + 1);
    let mut sockets: Vec<Raw> = (0..65).map(|at| Raw::open(from(at))).collect();
    let by_key =
        |key: &str| json!({ "type": "subscribe", "channel": "dashboard", "filter": { "key": [key] } });
    for (at, ws) in sockets.iter_mut().enumerate() {
        let ack = ws.call(&by_key(&at.to_string()));
        if at < 64 {
            assert_eq!(ack["type"], "ack", "{at}: {ack}");
        } else {
            refused_limit(&ack);
        }
        if at % 16 == 15 {
            let refused = Raw::open(from(at)).call(&by_key("more"));
            refused_limit(&refused);
            let of_client = refused["message"].as_str().unwrap().contains("(16)");
            assert_eq!(of_client, at < 63, "{refused}");
            let ack = Raw::open(from(at)).call(&by_key("3"));
            assert_eq!(ack["type"], "ack", "one that is there has room: {ack}");
        }
    }
    // All of the channel is not a combination of its own, in any order of subscriptions.
    for ws in sockets.iter_mut().skip(64) {
        let ack = ws.call(&json!({ "type": "subscribe", "channel": "dashboard" }));
        assert_eq!(ack["type"], "ack", "{ack}");
    }
    refused_limit(
        &Client::connect(server.addr())
            .call(json!({ "type": "subscribe", "channel": "dashboard", "types": ["trade_data"] })),
    );
}

#[test]
fn health_metrics_and_feeds_show_the_demo() {
    let server = fast();
    let mut ws = Client::connect(server.addr());
    ws.call(json!({ "type": "subscribe", "channel": "dashboard" }));
    ws.hear();
    let feeds = get(&server, "/feeds");
    assert_eq!((&feeds["demo"], feeds["feeds"].as_array().unwrap().len()), (&json!(true), 3), "{feeds}");
    let health = get(&server, "/health");
    assert_eq!(health["components"]["feeds"], json!({ "status": "ok", "kind": "demo" }), "{health}");
    let metrics = String::from_utf8(Request::get("/metrics").send(server.addr()).body).unwrap();
    for name in [
        "fanfare_feed_records_total{topic=\"trade-info\"}",
        "fanfare_feed_up 1",
        "fanfare_feed_lag_records{topic=\"trade-info\",partition=\"0\"} 0",
    ] {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
    assert_eq!(Request::get("/feeds/nowhere/latest").send(server.addr()).status, 404);
    let answer = Request::get("/feeds/%ff/latest").send(server.addr());
    let problem = ("content-type".to_owned(), "application/problem+json".to_owned());
    assert!(answer.status == 400 && answer.head.headers.contains(&problem), "{:?}", answer.head);
}

#[test]
fn without_the_demo_there_is_no_channel() {
    let server = start(&[("feeds.demo", "false")]);
    let mut ws = Client::connect(server.addr());
    refused(&ws.call(json!({ "type": "subscribe", "channel": "dashboard" })), "CHANNEL_NOT_FOUND", "channel");
    assert_eq!(get(&server, "/health")["components"]["feeds"]["status"], "off");
    assert_eq!(get(&server, "/feeds"), json!({ "demo": false, "feeds": [] }));
}
