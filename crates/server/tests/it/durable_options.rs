//! The options of topics in rules and in `POST /topics`: `durable`, and how much is kept.

use crate::ops::Again;
use crate::support::start;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw_http::{Answer, Request};
use fanfare_testkit::server::Server;
use serde_json::{Value, json};
use std::net::SocketAddr;

fn make(addr: SocketAddr, body: &Value) -> Answer {
    Request::post("/topics", &body.to_string()).send(addr)
}

/// `POST /topics` for a durable topic.
#[track_caller]
fn make_durable(body: &Value, make: impl Fn(&Value) -> Answer) -> Value {
    let made = make(body);
    assert!(matches!(made.status, 200 | 201), "{made:?}");
    made.json()
}

fn bounds(topic: &Value) -> Value {
    json!([topic["durable"], topic["history_size"], topic["history_ttl"], topic["history_topic_bytes"]])
}

fn ruled() -> Server {
    let rules = json!([
        { "pattern": "small-*", "publish": "anyone", "history_topic_bytes": "2KiB" },
        { "pattern": "d-*", "durable": true, "history_size": 10, "history_ttl": "1s" },
    ]);
    start(&[("topics.rules", &rules.to_string())])
}

#[test]
fn post_says_what_a_durable_topic_keeps_and_get_shows_it() {
    let server = start(&[]);
    for (name, more, want) in [
        ("default", json!({}), json!([true, 100_000, "720h", 256 << 20])),
        (
            "without",
            json!({ "history_size": 0, "history_ttl": "0s", "history_topic_bytes": 0.0 }),
            json!([true, 0, "0s", 0]),
        ),
        (
            "large",
            json!({ "history_size": i64::MAX, "history_ttl": "999d", "history_topic_bytes": 1_u64 << 50 }),
            json!([true, i64::MAX, "23976h", 1_u64 << 50]),
        ),
    ] {
        let mut body = json!({ "name": name, "durable": true });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(bounds(&make_durable(&body, |body| make(server.addr(), body))), want, "{body}");
        assert_eq!(bounds(&server.get(&format!("/topics/{name}")).json()), want, "{body}");
    }
    let made = make(server.addr(), &json!({ "name": "plain", "durable": false }));
    assert_eq!((made.status, bounds(&made.json())), (201, json!([false, 100, "5m", 1 << 20])));
}

#[test]
fn wrong_values_are_refused_with_their_field_and_make_nothing() {
    let server = start(&[]);
    for (more, field) in [
        (json!({ "durable": "true" }), "durable"),
        (json!({ "durable": 1 }), "durable"),
        (json!({ "history_topic_bytes": "64KiB" }), "history_topic_bytes"),
        (json!({ "history_topic_bytes": -1 }), "history_topic_bytes"),
        (json!({ "history_topic_bytes": 1.5 }), "history_topic_bytes"),
        (json!({ "history_topic_bytes": 1e300 }), "history_topic_bytes"),
        (json!({ "history_ttl": "1000d", "durable": true }), "history_ttl"),
    ] {
        let mut body = json!({ "name": "t" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = make(server.addr(), &body);
        let field_of = made.json()["errors"][0]["field"].take();
        assert_eq!((made.status, field_of), (400, json!(field)), "{body} {made:?}");
        assert_eq!(server.get("/topics/t").status, 404, "{body}");
    }
}

#[test]
fn an_existing_topic_of_the_other_kind_is_a_conflict_that_changes_nothing() {
    let server = start(&[]);
    let body = json!({ "name": "durable", "durable": true, "history_size": 7 });
    make_durable(&body, |body| make(server.addr(), body));
    let mut subscribed = Client::connect(server.addr());
    subscribed.subscribe("ephemeral");
    for (name, asked) in [("durable", false), ("ephemeral", true)] {
        let path = format!("/topics/{name}");
        let before = server.get(&path).json();
        let key = format!("key-{name}");
        let body = json!({ "name": name, "durable": asked, "history_size": 3 }).to_string();
        let made = Request::post("/topics", &body).header("Idempotency-Key", &key).send(server.addr());
        assert_eq!((made.status, made.problem().as_str()), (409, "conflict"), "{made:?}");
        let text = made.json().to_string();
        assert!(text.contains("DELETE /topics/") && text.contains("leave out"), "{text}");
        let after = server.get(&path).json();
        assert_eq!((&after["kept"], bounds(&after)), (&before["kept"], bounds(&before)));
        for plain in [json!({ "name": name }), json!({ "name": name, "durable": !asked })] {
            let again = make(server.addr(), &plain);
            assert_eq!((again.status, bounds(&again.json())), (200, bounds(&before)), "{again:?}");
        }
    }
}

#[test]
fn a_topic_is_made_as_its_rule_says_unless_post_says_otherwise() {
    let server = ruled();
    let key = crate::ops::administrator(&server, "boss").token;
    let make = |body: &Value| {
        let request = Request::post("/topics", &body.to_string());
        crate::people::with_token(request, &key).send(server.addr())
    };
    let topic = make_durable(&json!({ "name": "d-1" }), make);
    assert_eq!(bounds(&topic), json!([true, 10, "1s", 256 << 20]));
    let made = make(&json!({ "name": "d-2", "durable": false }));
    assert_eq!((made.status, bounds(&made.json())), (201, json!([false, 100, "5m", 1 << 20])));
    let made = make(&json!({ "name": "small-1" }));
    assert_eq!((made.status, bounds(&made.json())), (201, json!([false, 100, "5m", 2048])));
    // The rule's bytes bound the history of a topic that is ephemeral.
    let mut publisher = Client::connect(server.addr());
    for n in 0..10 {
        publisher.publish("small-1", json!(format!("{n}{}", "x".repeat(800))));
    }
    let items = server.get("/topics/small-1/history").json()["items"].as_array().unwrap().len();
    assert_eq!(items, 2, "each is about 900 bytes of 2048");
}

#[test]
fn options_that_differ_from_the_configuration_outlive_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    let first = Again::start(&folder, &[]);
    let special = json!({ "name": "special", "history_topic_bytes": 4096, "durable": false });
    assert_eq!(make(first.addr, &special).status, 201);
    assert_eq!(make(first.addr, &json!({ "name": "plain" })).status, 201);
    first.kill();
    let second =
        Again::start(&folder, &[("topics.history_topic_bytes", "3MiB"), ("topics.history_size", "9")]);
    let shown = |name: &str| bounds(&Request::get(&format!("/topics/{name}")).send(second.addr).json());
    assert_eq!(shown("special"), json!([false, 9, "5m", 4096]));
    assert_eq!(shown("plain"), json!([false, 9, "5m", 3 << 20]));
    second.stop();
}
