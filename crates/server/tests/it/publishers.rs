//! The `user` of an event: the username of a logged-in publisher, over every way to publish and to receive.

use crate::keys::api_key;
use crate::people::{Person, roomy, send, with_token};
use fanfare_testkit::client::Client;
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::Server;
use serde_json::{Value, json};

/// Publishes to `t` by each way in: the payload, and the username that the event must have.
fn publish_by_each_way(server: &Server) -> Vec<(Value, Option<&'static str>)> {
    let zoe = Person::new(server, "zoe");
    let key = api_key(server, "backend", &["publish"]);
    let welcome = |path: &str| Client::open(server.addr(), path, None);
    let by_frame = |ws: &mut Client, payload: &str| {
        let frame = json!({ "type": "publish", "topic": "t", "payload": payload, "user": "mallory" });
        assert_eq!(ws.call(frame)["for"], "publish");
    };
    let post = |request: Request| assert_eq!(request.send(server.addr()).status, 200);
    let body = |payload: &str| json!({ "topic": "t", "payload": payload, "user": "mallory" });
    let call = |payload: &str| {
        let params = json!({ "topic": "t", "payload": payload });
        json!({ "jsonrpc": "2.0", "id": 1, "method": "topic.publish", "params": params })
    };
    let mut ws = welcome(&format!("/ws?token={}", zoe.token));
    let code = ws.hear_type("welcome")["session_code"].take();
    let mut rpc = welcome(&format!("/rpc?token={}", zoe.token));
    rpc.hear();
    let mut nobody = Client::connect(server.addr());

    by_frame(&mut ws, "frame");
    assert_eq!(rpc.rpc("topic.publish", json!({ "topic": "t", "payload": "call" }))["error"], Value::Null);
    post(with_token(send("POST", "/publish", &body("post")), &zoe.token));
    post(with_token(send("POST", "/rpc", &call("post a call")), &zoe.token));
    let mut beside = body("beside");
    beside["exclude_session"] = code;
    post(with_token(send("POST", "/publish", &beside), &zoe.token));
    by_frame(&mut nobody, "anonymous frame");
    post(send("POST", "/publish", &body("anonymous post")));
    post(send("POST", "/publish", &body("key")).header("X-API-Key", &key));
    let zoe = ["frame", "call", "post", "post a call", "beside"].map(|payload| (json!(payload), Some("zoe")));
    let others = ["anonymous frame", "anonymous post", "key"].map(|payload| (json!(payload), None));
    zoe.into_iter().chain(others).collect()
}

/// The payload and the username of an event; a username that is there is no null.
fn of(event: &Value) -> (Value, Option<&str>) {
    assert_ne!(event.get("user"), Some(&Value::Null), "{event}");
    (event["payload"].clone(), event["user"].as_str())
}

#[test]
fn an_event_has_the_username_of_its_publisher_live_replayed_and_in_the_history() {
    let server = roomy(&[]);
    let mut live = Client::connect(server.addr());
    let epoch = live.subscribe("t")["epoch"].take();
    let mut live_rpc = Client::open(server.addr(), "/rpc", None);
    live_rpc.hear();
    live_rpc.rpc("topic.subscribe", json!({ "topic": "t" }));
    let want = publish_by_each_way(&server);

    let since = json!({ "epoch": epoch, "offset": 0 });
    let mut late = Client::connect(server.addr());
    assert_eq!(late.call(json!({ "type": "subscribe", "topic": "t", "since": since }))["recovered"], true);
    let mut late_rpc = Client::open(server.addr(), "/rpc", None);
    late_rpc.hear();
    late_rpc.rpc("topic.subscribe", json!({ "topic": "t", "since": since }));
    for expected in &want {
        for ws in [&mut live, &mut late] {
            assert_eq!(of(&ws.hear_type("event")), *expected);
        }
        for rpc in [&mut live_rpc, &mut late_rpc] {
            assert_eq!(of(&rpc.hear()["params"]), *expected);
        }
    }
    let rest = server.get("/topics/t/history").json();
    let rpc = late_rpc.rpc("topic.history", json!({ "topic": "t" }));
    for page in [&rest["items"], &rpc["result"]["items"]] {
        let items: Vec<_> = page.as_array().unwrap().iter().map(of).collect();
        assert_eq!(items, want);
    }
}
