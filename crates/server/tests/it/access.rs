//! Permissions: rules by topic, production, `auth.require` (`configuration.md`).

use crate::support::start;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw::Raw;
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::Server;
use serde_json::{Value, json};

fn rest_refuses(server: &Server, request: &Request) {
    let answer = request.send(server.addr());
    assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorized"), "{request:?}");
    assert!(answer.head.get("www-authenticate").is_some());
}

fn publish(topic: &str) -> Request {
    Request::post("/publish", &json!({ "topic": topic, "payload": 1 }).to_string())
}

fn refused(reply: &Value) {
    let code = if reply["error"].is_null() { &reply["code"] } else { &reply["error"]["data"]["code"] };
    assert_eq!(code, "UNAUTHORIZED", "{reply}");
}

#[test]
fn in_production_topics_are_the_backends() {
    let server = start(&[("environment", "production")]);
    let mut ws = Client::connect(server.addr());
    ws.subscribe("secret-name");
    refused(&ws.call(json!({ "type": "publish", "topic": "secret-name", "payload": 1 })));
    rest_refuses(&server, &publish("secret-name"));
    rest_refuses(&server, &Request::get("/topics"));
    rest_refuses(&server, &Request::get("/topics/secret-name"));
    rest_refuses(&server, &Request::post("/topics", r#"{"name":"mine"}"#));
    rest_refuses(
        &server,
        &Request::new("DELETE", "/topics/secret-name")
            .header("Host", "localhost")
            .header("Connection", "close"),
    );
    let stats = server.stats();
    assert_eq!((&stats["topics"], &stats["topics_total"]), (&Value::Null, &json!(1)), "counted, not named");
    for target in ["/metrics", "/stats", "/health", "/"] {
        assert!(!server.get(target).text().contains("secret-name"), "{target} names a topic");
    }
    assert_eq!(ws.call(json!({ "type": "ping" }))["type"], "pong", "refused, not closed");
    assert_eq!(stats["messages"]["published"], 0);
}

#[test]
fn a_rule_holds_on_every_way_in() {
    let rules = r#"[
        {"pattern":"open","subscribe":"anyone","publish":"anyone","history":"anyone"},
        {"pattern":"read-*","subscribe":"anyone","publish":"server","history":"user"},
        {"pattern":"*","subscribe":"user","publish":"user","history":"user"}]"#;
    let server = start(&[("topics.rules", rules)]);
    let mut ws = Client::connect(server.addr());
    let mut rpc = Client::open(server.addr(), "/rpc", None);
    ws.subscribe("open");
    assert!(rpc.rpc("topic.subscribe", json!({ "topic": "open" }))["error"].is_null());
    ws.publish("open", json!(1));
    assert_eq!(publish("open").send(server.addr()).status, 200);
    assert_eq!(server.get("/topics/open/history").status, 200);

    let ack =
        ws.call(json!({ "type": "subscribe", "topic": "read-1", "since": { "epoch": "x", "offset": 0 } }));
    assert_eq!(
        (&ack["type"], &ack["recovered"]),
        (&json!("ack"), &json!(false)),
        "subscribes without the past"
    );
    for topic in ["read-1", "private"] {
        refused(&ws.call(json!({ "type": "publish", "topic": topic, "payload": 1 })));
        refused(&rpc.rpc("topic.publish", json!({ "topic": topic, "payload": 1 })));
        rest_refuses(&server, &publish(topic));
        refused(&rpc.rpc("topic.history", json!({ "topic": topic })));
        rest_refuses(&server, &Request::get(&format!("/topics/{topic}/history")));
        let posted = json!({ "jsonrpc": "2.0", "id": 1, "method": "topic.publish", "params": { "topic": topic, "payload": 1 } });
        refused(&server.post("/rpc", &posted).json());
    }
    refused(&ws.call(json!({ "type": "subscribe", "topic": "private" })));
    refused(&rpc.rpc("topic.subscribe", json!({ "topic": "private" })));
    // A topic may be looked at by callers that may use it; no caller here may list it.
    assert_eq!(server.get("/topics/open").status, 200);
    rest_refuses(&server, &Request::get("/topics/private"));
    rest_refuses(&server, &Request::get("/topics"));
    assert_eq!(server.stats()["topics"], Value::Null, "statistics name none either");
    // Callers that may not use a topic do not learn whether it exists.
    refused(&ws.call(json!({ "type": "publish", "topic": "never made", "payload": 1 })));
    refused(&rpc.rpc("topic.list", json!({})));
}

#[test]
fn a_client_that_must_log_in_gets_only_that_error() {
    let server = start(&[("auth.require", "true"), ("limits.max_unauthenticated", "2")]);
    let mut ws = Raw::open(server.addr());
    refused(&ws.call(&json!({ "type": "subscribe", "topic": "t" })));
    refused(&ws.call(&json!({ "type": "auth", "token": "nonsense" })));
    refused(&ws.call(&json!({ "type": "ping" })));
    let _second = Raw::open(server.addr());
    let third = Request::upgrade("/ws").send(server.addr());
    assert_eq!((third.status, third.problem().as_str()), (503, "limit_exceeded"));
    rest_refuses(&server, &Request::post("/rpc", r#"{"jsonrpc":"2.0","id":1,"method":"server.ping"}"#));
    rest_refuses(&server, &publish("t"));
    rest_refuses(&server, &Request::get("/topics"));
    for target in ["/livez", "/readyz", "/health", "/metrics", "/docs", "/"] {
        let status = server.get(target).status;
        assert!(status < 400, "{target} is for everybody: {status}");
    }
    // A client that does not log in is closed (`protocol.md` 5): 10 s.
    let frames = ws.expect_close(4408);
    assert!(frames.is_empty(), "{frames:?}");
}
