//! Caps and token buckets: refusals, their scope, and when a retry succeeds (`protocol.md` 5, `http-api.md`).

use crate::keys::api_key;
use crate::ops::administrator;
use crate::people::{Person, bare, roomy, with_token};
use crate::support::start;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw::{Endpoint, Frame, Raw, Stream};
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn from(server: &Server, last: u8) -> Endpoint {
    Endpoint::from(server.addr()).from_address(last)
}

fn refused(server: &Server, last: u8, status: u16) {
    let answer = Request::upgrade("/ws").send(from(server, last));
    assert_eq!((answer.status, answer.problem().as_str()), (status, "limit_exceeded"));
    let wait: u64 = answer.head.get("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
}

#[test]
fn a_full_server_refuses_with_503_until_a_client_leaves() {
    let server = start(&[("limits.max_connections", "3")]);
    let mut inside: Vec<_> = (1..=3).map(|n| Raw::open(from(&server, n))).collect();
    refused(&server, 4, 503);
    refused(&server, 1, 503);
    assert_eq!(server.get("/livez").status, 200, "HTTP is not what is full");
    inside.iter_mut().for_each(Raw::expect_alive);
    drop(inside.pop());
    server.await_connections(2);
    inside.push(Raw::open(from(&server, 4)));
    refused(&server, 5, 503);
    // Refused handshakes take no place.
    drop(inside);
    server.await_connections(0);
    for _ in 0..5 {
        assert_eq!(Request::upgrade("/ws?token=bad").send(server.addr()).status, 401);
    }
    let _again: Vec<_> = (1..=3).map(|n| Raw::open(from(&server, n))).collect();
    assert_eq!(server.metric("fanfare_rate_limited_total{scope=\"connections\"}"), 3.0);
}

#[test]
fn one_address_takes_no_more_than_its_share() {
    let server = start(&[("limits.max_connections_per_ip", "2")]);
    let mut inside: Vec<_> = (0..2).map(|_| Raw::open(from(&server, 7))).collect();
    refused(&server, 7, 429);
    let _other = Raw::open(from(&server, 8));
    drop(inside.pop());
    server.await_connections(2);
    let _back = Raw::open(from(&server, 7));
    refused(&server, 7, 429);
}

/// The requests that a bucket admits from now on.
pub(crate) struct Bucket {
    begun: Instant,
    burst: usize,
    per_second: f64,
}

impl Bucket {
    pub(crate) fn full(burst: usize, per_second: f64) -> Self {
        Self { begun: Instant::now(), burst, per_second }
    }

    /// Checks the number that passed: the burst and no more than the refill since, with the one begun.
    #[track_caller]
    pub(crate) fn check(&self, passed: usize) {
        let since = self.begun.elapsed();
        let most = self.burst + (since.as_secs_f64() * self.per_second) as usize + 1;
        assert!(
            (self.burst..=most).contains(&passed),
            "{passed} passed of a burst of {} in {since:?}",
            self.burst
        );
    }
}

/// Sends pings until one is refused; how many were answered, and the refusal.
fn until_refused(call: &mut dyn FnMut() -> Value) -> (usize, Value) {
    for n in 0..1000 {
        let reply = call();
        if reply["type"] == "error" {
            return (n, reply);
        }
    }
    panic!("a thousand were let through");
}

fn check_refusal(refusal: &Value, most_ms: u64) -> Duration {
    assert_eq!(refusal["code"], "RATE_LIMITED", "{refusal}");
    let wait = refusal["retry_after_ms"].as_u64().unwrap();
    assert!((1..=most_ms).contains(&wait), "{refusal}");
    Duration::from_millis(wait)
}

#[test]
fn a_connection_that_waits_as_required_is_admitted() {
    let server = start(&[("limits.messages_per_second", "2"), ("limits.messages_burst", "4")]);
    let mut ws = Client::connect(server.addr());
    let mut other = Client::connect(server.addr());
    let ping = |ws: &mut Client| ws.call(json!({ "type": "ping" }));
    let bucket = Bucket::full(4, 2.0);
    let (passed, refusal) = until_refused(&mut || ping(&mut ws));
    bucket.check(passed);
    let wait = check_refusal(&refusal, 500);
    assert_eq!(ping(&mut other)["type"], "pong", "another connection has a bucket of its own");
    std::thread::sleep(wait); // what the refusal asks for
    assert_eq!(ping(&mut ws)["type"], "pong", "{wait:?} were enough by the server's own word");
}

#[test]
fn a_refused_command_has_changed_nothing() {
    let server = start(&[("limits.messages_per_second", "1"), ("limits.messages_burst", "3")]);
    server.make_topic("t");
    let mut ws = Client::connect(server.addr());
    let publish = json!({ "type": "publish", "topic": "t", "payload": 1 });
    let (passed, refusal) = until_refused(&mut || ws.call(publish.clone()));
    check_refusal(&refusal, 1000);
    assert_eq!(server.stats()["topics"]["t"]["published"], passed);
}

#[test]
fn all_connections_of_an_address_share_its_bucket() {
    let settings = [("limits.messages_per_second_per_ip", "2"), ("limits.messages_burst_per_ip", "6")];
    let server = start(&settings);
    server.make_topic("t");
    let mut pair: Vec<_> = (0..2).map(|_| Raw::open(from(&server, 7))).collect();
    let mut other = Raw::open(from(&server, 8));
    let mut turn = 0;
    let bucket = Bucket::full(6, 2.0);
    let (passed, refusal) = until_refused(&mut || {
        turn += 1;
        pair[turn % 2].call(&json!({ "type": "ping" }))
    });
    bucket.check(passed);
    check_refusal(&refusal, 500);
    // REST is the same door.
    let publish = Request::post("/publish", r#"{"topic":"t","payload":1}"#);
    eventually("REST is refused, too", PATIENCE, || {
        let answer = publish.send(from(&server, 7));
        (answer.status == 429).then(|| {
            assert_eq!(answer.problem(), "rate_limited");
            assert!(answer.head.get("retry-after").is_some());
        })
    });
    assert_eq!(other.call(&json!({ "type": "ping" }))["type"], "pong", "another address is not slowed");
    assert_eq!(publish.send(from(&server, 8)).status, 200);
    assert!(server.metric("fanfare_rate_limited_total{scope=\"address\"}") >= 2.0);
}

#[test]
fn bytes_have_a_bucket_of_their_own() {
    let server = start(&[("limits.bytes_per_second", "20000")]);
    let mut ws = Client::connect(server.addr());
    let mut large = || ws.call(json!({ "type": "ping", "pad": "x".repeat(5000) }));
    // Three whole messages of more than 5 kB fit into 20 kB.
    let bucket = Bucket::full(3, 4.0);
    let (passed, refusal) = until_refused(&mut large);
    bucket.check(passed);
    let wait = check_refusal(&refusal, 1000);
    std::thread::sleep(wait); // what the refusal asks for
    assert_eq!(large()["type"], "pong");
    // Larger than the bucket: borrows, rather than never to pass.
    let mut ws = Client::connect(server.addr());
    let mut huge = || ws.call(json!({ "type": "ping", "pad": "x".repeat(50_000) }));
    assert_eq!(huge()["type"], "pong");
    check_refusal(&huge(), 5000);
}

#[test]
fn flooding_over_json_rpc_ends_like_any_other() {
    let server = start(&[("limits.messages_per_second", "1"), ("limits.messages_burst", "1")]);
    let mut ws = Raw::upgrade(server.addr(), &Request::upgrade("/rpc"));
    for id in 0..60 {
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "server.ping", "params": {} });
        if !ws.stream.try_write(&Frame::text(call.to_string()).encode()) {
            break;
        }
    }
    let frames = ws.expect_close(4429);
    let refusals = frames.iter().map(Frame::json);
    let refusals = refusals.filter(|f| f["error"]["data"]["code"] == "RATE_LIMITED").collect::<Vec<_>>();
    assert_eq!(refusals.len(), 20, "the 21st refusal is the close");
    assert!(refusals.iter().all(|r| r["error"]["data"]["retry_after_ms"].as_u64() > Some(0)), "{refusals:?}");
}

#[test]
fn idempotency_keys_are_bounded_and_the_oldest_go() {
    let server = start(&[("limits.idempotency_keys", "3")]);
    server.make_topic("t");
    let mut ws = Client::connect(server.addr());
    let mut publish = |key: &str| {
        let ack = ws.call(json!({ "type": "publish", "topic": "t", "payload": 1, "idempotency_key": key }));
        ack["offset"].as_u64().unwrap()
    };
    assert_eq!([publish("a"), publish("a"), publish("b"), publish("c")], [1, 1, 2, 3]);
    assert_eq!(publish("d"), 4, "a new key is never refused");
    assert_eq!([publish("d"), publish("c")], [4, 3], "young keys are known");
    assert_eq!(publish("a"), 5, "the oldest was forgotten");
}

fn publish_to(topic: &str) -> Request {
    Request::post("/publish", &json!({ "topic": topic, "payload": 1 }).to_string())
}

#[track_caller]
fn check_share(refusal: &Value, setting: &str) {
    assert_eq!(
        (&refusal["code"], &refusal["field"]),
        (&json!("LIMIT_EXCEEDED"), &json!("topic")),
        "{refusal}"
    );
    assert!(refusal["message"].as_str().unwrap().contains(setting), "{refusal}");
}

#[test]
fn an_address_makes_as_many_topics_as_its_share_and_others_make_theirs() {
    let server = roomy(&[("limits.topics_per_client", "3"), ("topics.publish_creates", "true")]);
    let mut ws = Raw::open(from(&server, 7));
    let subscribe = |topic: &str| json!({ "type": "subscribe", "topic": topic });
    ws.subscribe("one");
    ws.subscribe("two");
    assert_eq!(publish_to("three").send(from(&server, 7)).status, 200);
    check_share(&ws.call(&subscribe("four")), "limits.topics_per_client");
    check_share(&Raw::open(from(&server, 7)).call(&subscribe("four")), "limits.topics_per_client");
    let answer = publish_to("four").send(from(&server, 7));
    assert_eq!((answer.status, answer.problem().as_str()), (429, "limit_exceeded"));
    assert_eq!(publish_to("one").send(from(&server, 7)).status, 200, "what is there can be used");
    let mut other = Raw::open(from(&server, 8));
    (0..3).for_each(|n| drop(other.subscribe(&format!("other{n}"))));
    check_share(&other.call(&subscribe("four")), "limits.topics_per_client");
    // A user has a share of its own, API keys and admins have no bound of their own.
    let (ann, admin) = (Person::new(&server, "ann"), administrator(&server, "vera"));
    let key = api_key(&server, "backend", &["publish", "topics"]);
    let made = |topic: String, add: &dyn Fn(Request) -> Request| {
        add(publish_to(&topic)).send(from(&server, 7)).status
    };
    let by_ann: Vec<u16> = (0..4).map(|n| made(format!("ann{n}"), &|r| with_token(r, &ann.token))).collect();
    assert_eq!(by_ann, [200, 200, 200, 429]);
    for n in 0..5 {
        assert_eq!(made(format!("key{n}"), &|r| r.header("X-API-Key", &key)), 200);
        assert_eq!(made(format!("admin{n}"), &|r| with_token(r, &admin.token)), 200);
    }
}

#[test]
fn a_place_is_freed_when_its_topic_ends_or_is_kept() {
    let server = start(&[("limits.topics_per_client", "3")]);
    let mut ws = Raw::open(from(&server, 7));
    let subscribe = |topic: &str| json!({ "type": "subscribe", "topic": topic });
    (0..3).for_each(|n| drop(ws.subscribe(&format!("t{n}"))));
    check_share(&ws.call(&subscribe("more")), "limits.topics_per_client");
    for n in 0..10 {
        // Its own parked histories give way.
        assert_eq!(ws.call(&json!({ "type": "unsubscribe", "topic": format!("t{n}") }))["type"], "ack");
        ws.subscribe(&format!("t{}", n + 3));
    }
    check_share(&ws.call(&subscribe("more")), "limits.topics_per_client");
    drop(ws);
    let mut ws = Raw::open(from(&server, 7));
    for topic in ["a", "b", "c"] {
        eventually("the places of a closed connection come back", PATIENCE, || {
            (ws.call(&subscribe(topic))["type"] == "ack").then_some(())
        });
    }
    check_share(&ws.call(&subscribe("more")), "limits.topics_per_client");
    assert_eq!(bare("DELETE", "/topics/a").send(server.addr()).status, 204);
    ws.subscribe("d");
    check_share(&ws.call(&subscribe("more")), "limits.topics_per_client");
    assert_eq!(server.post("/topics", &json!({ "name": "b" })).status, 200);
    ws.subscribe("e");
    check_share(&ws.call(&subscribe("more")), "limits.topics_per_client");
}

#[test]
fn a_hundredth_of_the_topics_is_kept_for_api_keys_and_admins() {
    let server = roomy(&[("limits.max_topics", "200"), ("limits.topics_per_client", "0")]);
    let mut ws = Raw::open(server.addr());
    (0..198).for_each(|n| drop(ws.subscribe(&format!("t{n}"))));
    check_share(&ws.call(&json!({ "type": "subscribe", "topic": "one-more" })), "limits.max_topics");
    let make = |name: &str| Request::post("/topics", &json!({ "name": name }).to_string());
    assert_eq!(make("one-more").send(server.addr()).status, 429);
    let admin = administrator(&server, "vera");
    assert_eq!(admin.ask(&server, make("by-admin")).status, 201);
    let key = api_key(&server, "backend", &["topics"]);
    let by_key = |name: &str| make(name).header("X-API-Key", &key).send(server.addr()).status;
    assert_eq!((by_key("by-key"), by_key("one-more")), (201, 429));
}

/// A batch of publishes to `topic`, the last one a notification.
fn batch(topic: &str, calls: usize) -> Value {
    let call = |id: usize| {
        let params = json!({ "topic": topic, "payload": id });
        match id {
            id if id == calls => json!({ "jsonrpc": "2.0", "method": "topic.publish", "params": params }),
            id => json!({ "jsonrpc": "2.0", "id": id, "method": "topic.publish", "params": params }),
        }
    };
    (1..=calls).map(call).collect()
}

fn call_batch(ws: &mut Raw, calls: usize) -> Value {
    ws.send(&Frame::text(batch("t", calls).to_string()));
    ws.hear()
}

/// Checks a batch's answer: the first calls passed, all others were refused for the rate. How many passed.
fn passed_in_order(answer: &Value) -> usize {
    let answers = answer.as_array().unwrap();
    let passed = answers.iter().take_while(|a| a["result"].is_object()).count();
    for refused in &answers[passed..] {
        let data = &refused["error"]["data"];
        assert_eq!(data["code"], "RATE_LIMITED", "{refused}");
        assert!(data["retry_after_ms"].as_u64() >= Some(1), "{refused}");
    }
    passed
}

#[test]
fn each_call_of_a_batch_counts_as_a_message_of_its_connection() {
    let server = start(&[("limits.messages_per_second", "1"), ("limits.messages_burst", "10")]);
    server.make_topic("t");
    let mut ws = Raw::upgrade(server.addr(), &Request::upgrade("/rpc"));
    ws.hear(); // the welcome
    let answer = call_batch(&mut ws, 40);
    assert_eq!(answer.as_array().unwrap().len(), 39, "the notification has no answer");
    let passed = passed_in_order(&answer);
    assert!((10..=14).contains(&passed), "{passed} of 40 calls passed a burst of 10");
    let heard = server.stats()["topics"]["t"]["published"].as_u64().unwrap();
    assert_eq!(heard as usize, passed, "what was refused was not carried out, the notification neither");
    // The refused calls of a batch are one refused message: flooding is the 21st of those.
    ws.expect_alive();
    let mut other = Client::connect(server.addr());
    assert_eq!(other.call(json!({ "type": "ping" }))["type"], "pong", "another connection is not slowed");
}

#[test]
fn each_call_of_a_batch_counts_for_its_address_and_its_user() {
    let settings = [("limits.messages_per_second_per_ip", "1"), ("limits.messages_burst_per_ip", "10")];
    let server = start(&settings);
    server.make_topic("t");
    let answer = Request::post("/rpc", &batch("t", 40).to_string()).send(from(&server, 7));
    let passed = passed_in_order(&answer.json());
    assert!((9..=14).contains(&passed), "{passed} of 40 calls passed a burst of 10");
    let mut ws = Raw::upgrade(from(&server, 8), &Request::upgrade("/rpc"));
    ws.hear();
    let passed = passed_in_order(&call_batch(&mut ws, 40));
    assert!((10..=14).contains(&passed), "{passed} of 40 calls passed a burst of 10");
    let settings = [("limits.messages_per_second_per_user", "1"), ("limits.messages_burst_per_user", "10")];
    let server = start(&settings);
    server.make_topic("t");
    let ann = Person::new(&server, "ann");
    let answer = ann.ask(&server, Request::post("/rpc", &batch("t", 40).to_string()));
    let passed = passed_in_order(&answer.json());
    assert!((10..=14).contains(&passed), "{passed} of 40 calls passed a burst of 10");
}

#[test]
fn a_close_code_of_a_clients_choice_makes_no_series_of_its_own() {
    let server = start(&[]);
    for code in [3000, 3001, 4000, 4999, 1000] {
        let mut ws = Raw::open(server.addr());
        ws.send(&Frame::close(code, ""));
        ws.expect_close(code);
    }
    server.await_connections(0);
    eventually("all ends are counted", PATIENCE, || {
        (server.metric("fanfare_connections_closed_total{code=\"other\"}") == 4.0).then_some(())
    });
    assert_eq!(server.metric("fanfare_connections_closed_total{code=\"1000\"}"), 1.0);
    let text = server.get("/metrics").text();
    assert!(!text.contains("code=\"3000\"") && !text.contains("code=\"4999\""), "{text}");
}

#[test]
fn the_response_to_a_small_batch_is_bounded() {
    let server = start(&[]);
    let mut ws = Raw::upgrade(server.addr(), &Request::upgrade("/rpc"));
    ws.hear(); // the welcome
    let call = |id: usize| json!({ "jsonrpc": "2.0", "id": id, "method": "rpc.discover" });
    let text = (0..100).map(call).collect::<Value>().to_string();
    let publish =
        json!({ "jsonrpc": "2.0", "method": "topic.publish", "params": { "topic": "t", "payload": 1 } });
    let changing = (0..99).map(call).chain([publish]).collect::<Value>().to_string();
    server.make_topic("t");
    let check = |answer: &str| {
        assert!(answer.len() <= 1 << 20, "{} bytes", answer.len());
        let answers: Vec<Value> = serde_json::from_str(answer).unwrap();
        let fit = answers.iter().take_while(|a| a["result"].is_object()).count();
        assert!((2..100).contains(&fit) && answers.len() >= 99, "{fit} of {}", answers.len());
        for refused in &answers[fit..] {
            let error = &refused["error"];
            assert_eq!((&error["code"], &error["data"]["code"]), (&json!(-32000), &json!("LIMIT_EXCEEDED")));
        }
    };
    ws.send(&Frame::text(text.clone()));
    check(std::str::from_utf8(&ws.recv().unwrap().payload).unwrap());
    check(&Request::post("/rpc", &text).send(server.addr()).text());
    // Later calls are refused before they change something.
    check(&Request::post("/rpc", &changing).send(server.addr()).text());
    assert_eq!(server.stats()["topics"]["t"]["published"], 0);
}

#[test]
fn a_page_of_history_ends_at_256_kib_but_holds_one_event() {
    let server = start(&[("topics.history_topic_bytes", "4MiB"), ("limits.max_message_bytes", "512KiB")]);
    server.make_topic("t");
    let mut ws = Client::open(server.addr(), "/rpc", None);
    let sizes: Vec<usize> = std::iter::repeat_n(60_000, 10).chain([300_000, 10]).collect();
    for size in &sizes {
        let published = ws.rpc("topic.publish", json!({ "topic": "t", "payload": "x".repeat(*size) }));
        assert!(published["result"].is_object(), "{published}");
    }
    let offsets = |page: &Value| {
        let items = page["items"].as_array().unwrap().clone();
        items.iter().map(|i| i["offset"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let (mut by_rpc, mut by_rest, mut next) = (Vec::new(), Vec::new(), json!(0));
    while !next.is_null() {
        let page =
            ws.rpc("topic.history", json!({ "topic": "t", "after": next, "limit": 100 }))["result"].take();
        let rest = server.get(&format!("/topics/t/history?after={next}&limit=100"));
        let lone = page["items"].as_array().unwrap().len() == 1;
        assert!(lone || (page.to_string().len() <= 256 << 10 && rest.text().len() <= 256 << 10));
        assert_eq!(rest.json()["next"], page["next"]);
        by_rest.extend(offsets(&rest.json()));
        by_rpc.extend(offsets(&page));
        next = page["next"].clone();
    }
    assert_eq!((&by_rpc, &by_rest), (&(1..=12).collect(), &(1..=12).collect()), "forth, without a gap");
    let (mut back, mut query) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/topics/t/history?limit=100{query}")).json();
        back.splice(0..0, offsets(&page));
        let Some(before) = page["next"].as_u64() else { break };
        query = format!("&before={before}");
    }
    assert_eq!(back, by_rpc, "back, without a gap");
    // A hundred pages requested in ten kilobytes are one bounded response.
    let call = |id: usize| json!({ "jsonrpc": "2.0", "id": id, "method": "topic.history", "params": { "topic": "t" } });
    let answer = server.post("/rpc", &(0..100).map(call).collect::<Value>());
    assert!(answer.text().len() <= 1 << 20, "{}", answer.text().len());
    assert_eq!(answer.json().as_array().unwrap().len(), 100);
}

/// Each response is larger than the kernel's buffers, and none is read.
#[test]
fn responses_that_an_address_does_not_read_are_bounded() {
    let settings = [
        ("limits.rpc_answer_bytes", "16MiB"),
        ("topics.history_topic_bytes", "4MiB"),
        ("ws.write_timeout", "60s"),
    ];
    let server = start(&settings);
    server.make_topic("t");
    let mut ws = Client::connect(server.addr());
    (0..5).for_each(|_| drop(ws.publish("t", json!("x".repeat(60_000)))));
    let call = |id: usize| json!({ "jsonrpc": "2.0", "id": id, "method": "topic.history", "params": { "topic": "t" } });
    let large = Request::post("/rpc", &(0..60).map(call).collect::<Value>().to_string());
    let small = Request::post("/rpc", &call(1).to_string());
    let page = Request::get("/topics/t/history");
    // 64 MiB hold the responses to four.
    let unread: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = Stream::connect(from(&server, 7).narrow());
            stream.write(&large.bytes());
            stream
        })
        .collect();
    let refused = eventually("the address has used up its share", PATIENCE, || {
        Some(small.send(from(&server, 7))).filter(|answer| answer.status != 200)
    });
    assert_eq!((refused.status, refused.problem().as_str()), (429, "limit_exceeded"));
    assert_eq!(refused.head.get("retry-after"), Some("1"));
    assert_eq!(small.send(from(&server, 8)).status, 200, "other addresses are answered");
    assert_eq!(page.send(from(&server, 8)).status, 200);
    assert!(server.metric("fanfare_rate_limited_total{scope=\"unread_answers\"}") >= 1.0);
    drop(unread);
    eventually("the share is free again", PATIENCE, || {
        (small.send(from(&server, 7)).status == 200 && page.send(from(&server, 7)).status == 200)
            .then_some(())
    });
}
