//! `history` of a subscription: the topic's newest events first, then the live ones.

use crate::people::{Person, roomy};
use crate::support::start;
use fanfare_testkit::client::Client;
use fanfare_testkit::server::Server;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};

fn subscribe(ws: &mut Client, topic: &str, more: Value) -> Value {
    let mut frame = json!({ "type": "subscribe", "topic": topic });
    frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ws.call(frame)
}

/// Publishes 1 to `count` to a topic that stays.
fn fill(server: &Server, topic: &str, count: u64) -> Client {
    server.make_topic(topic);
    let mut ws = Client::connect(server.addr());
    (1..=count).for_each(|n| drop(ws.publish(topic, json!(n))));
    ws
}

fn offsets(ws: &mut Client, count: usize) -> Vec<u64> {
    (0..count).map(|_| ws.hear_type("event")["offset"].as_u64().unwrap()).collect()
}

#[test]
fn the_newest_events_come_first_and_then_the_live_ones() {
    let server = start(&[("topics.history_size", "10")]);
    let mut publisher = fill(&server, "t", 15);
    for (asked, sent) in [(json!(1), 1), (json!(3.0), 3), (json!(10), 10), (json!(100), 10)] {
        let mut ws = Client::connect(server.addr());
        let ack = subscribe(&mut ws, "t", json!({ "history": asked }));
        assert_eq!((&ack["history"], ack.get("recovered")), (&json!(sent), None), "{ack}");
        let head = ack["offset"].as_u64().unwrap();
        publisher.publish("t", json!("live"));
        let want: Vec<_> = (head + 1 - sent..=head + 1).collect();
        assert_eq!(offsets(&mut ws, want.len()), want);
    }
    let mut rpc = Client::open(server.addr(), "/rpc", None);
    rpc.hear();
    let result = rpc.rpc("topic.subscribe", json!({ "topic": "t", "history": 2 }))["result"].take();
    assert_eq!((&result["history"], &result["offset"]), (&json!(2), &json!(19)), "{result}");
    let heard: Vec<_> = (0..2).map(|_| rpc.hear()["params"]["offset"].take()).collect();
    assert_eq!(heard, [json!(18), json!(19)]);
}

#[test]
fn an_empty_topic_has_none_and_with_since_or_a_subscription_it_is_ignored() {
    let server = start(&[]);
    let mut ws = Client::connect(server.addr());
    assert_eq!(subscribe(&mut ws, "empty", json!({ "history": 5 }))["history"], 0);
    let _publisher = fill(&server, "t", 5);
    let ack = subscribe(&mut ws, "t", json!({ "history": null }));
    assert_eq!(ack.get("history"), None, "null is absent: {ack}");
    let already = subscribe(&mut ws, "t", json!({ "history": 5 }));
    assert_eq!((&already["already"], already.get("history")), (&json!(true), None), "{already}");
    let mut late = Client::connect(server.addr());
    let since = json!({ "epoch": ack["epoch"], "offset": 3 });
    let ack = subscribe(&mut late, "t", json!({ "history": 5, "since": since }));
    assert_eq!((&ack["recovered"], ack.get("history")), (&json!(true), None), "{ack}");
    assert_eq!(offsets(&mut late, 2), [4, 5]);
}

#[test]
fn a_malformed_number_is_refused_and_nothing_is_subscribed() {
    let server = start(&[]);
    let _publisher = fill(&server, "t", 3);
    let mut ws = Client::connect(server.addr());
    let mut rpc = Client::open(server.addr(), "/rpc", None);
    rpc.hear();
    for bad in [json!(0), json!(101), json!(-1), json!(1.5), json!("3"), json!(true), json!([]), json!({})] {
        let refused = subscribe(&mut ws, "t", json!({ "history": bad }));
        assert_eq!((&refused["code"], &refused["field"]), (&json!("INVALID_MESSAGE"), &json!("history")));
        let refused = rpc.rpc("topic.subscribe", json!({ "topic": "t", "history": bad }));
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        assert_eq!(refused["error"]["data"]["field"], "history", "{refused}");
    }
    assert_eq!(ws.subscribe("t").get("already"), None);
    assert_eq!(rpc.rpc("topic.subscribe", json!({ "topic": "t" }))["result"].get("already"), None);
}

#[test]
fn without_the_right_to_the_history_nothing_is_subscribed() {
    let rules = r#"[{"pattern":"shut","subscribe":"anyone","publish":"anyone","history":"server"},
        {"pattern":"users","subscribe":"anyone","publish":"anyone","history":"user"}]"#;
    let server = roomy(&[("topics.rules", rules)]);
    let ann = Person::new(&server, "ann");
    let mut nobody = Client::connect(server.addr());
    let mut user = Client::open(server.addr(), &format!("/ws?token={}", ann.token), None);
    user.hear_type("welcome");
    let mut publisher = Client::connect(server.addr());
    for topic in ["shut", "users"] {
        publisher.subscribe(topic); // so that it is there
        publisher.publish(topic, json!("before"));
        let refused = subscribe(&mut nobody, topic, json!({ "history": 1 }));
        assert_eq!(refused["code"], "UNAUTHORIZED", "{refused}");
    }
    assert_eq!(subscribe(&mut user, "shut", json!({ "history": 1 }))["code"], "FORBIDDEN");
    assert_eq!(subscribe(&mut user, "users", json!({ "history": 1 }))["history"], 1);
    assert_eq!(user.hear_type("event")["payload"], "before");
    publisher.publish("shut", json!("unheard"));
    for ws in [&mut nobody, &mut user] {
        let ack = ws.subscribe("shut");
        assert_eq!(ack.get("already"), None, "{ack}");
    }
    publisher.publish("shut", json!("heard"));
    for ws in [&mut nobody, &mut user] {
        assert_eq!(ws.hear_type("event")["payload"], "heard");
    }
}

#[test]
fn under_load_there_is_no_seam() {
    let server = start(&[("limits.messages_per_second", "0")]);
    let mut publisher = fill(&server, "t", 60);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let goes_on = |_: &u32| !done.load(Ordering::Relaxed);
            (0..100_000).take_while(goes_on).for_each(|_| drop(publisher.publish("t", json!("load"))));
        });
        for _ in 0..20 {
            let mut ws = Client::connect(server.addr());
            let ack = subscribe(&mut ws, "t", json!({ "history": 50 }));
            let first = ack["offset"].as_u64().unwrap() - 49;
            let got = offsets(&mut ws, 100);
            assert_eq!(got, (first..first + 100).collect::<Vec<_>>(), "{ack}");
        }
        done.store(true, Ordering::Relaxed);
    });
}
