//! REST beside the sockets: the same topics, keys, sessions and addresses (`http-api.md`).

use crate::keys::api_key;
use crate::people::{Person, with_token};
use crate::support::start;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw::{Endpoint, Raw, Stream};
use fanfare_testkit::raw_http::{Answer, Request};
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Opens a socket behind a proxy at 127.0.0.`peer` that forwards the address; returns the status.
fn knock(server: &Server, peer: u8, forwarded: &[&str]) -> (u16, Stream) {
    let request = forwarded.iter().fold(Request::upgrade("/ws"), |r, hops| r.header("X-Forwarded-For", hops));
    let mut stream = Stream::connect(Endpoint::from(server.addr()).from_address(peer));
    stream.write(&request.bytes());
    (stream.read_head_within(PATIENCE).unwrap().status, stream)
}

#[test]
fn the_client_is_the_rightmost_hop_that_is_not_trusted() {
    let settings = [
        ("limits.max_connections_per_ip", "1"),
        ("server.trusted_proxies", "127.0.0.0/30,10.0.0.0/8,fd00::/8"),
    ];
    let server = start(&settings);
    let mut kept = Vec::new();
    let mut knock = |peer, forwarded: &[&str]| {
        let (status, stream) = knock(&server, peer, forwarded);
        kept.push(stream);
        status
    };
    assert_eq!(knock(1, &["198.51.100.1"]), 101);
    assert_eq!(knock(2, &["198.51.100.1"]), 429, "the same client by another proxy");
    assert_eq!(knock(1, &["6.6.6.6, 198.51.100.1"]), 429, "what a client claims itself is not believed");
    assert_eq!(knock(1, &["6.6.6.6, 198.51.100.1, 10.1.2.3"]), 429, "proxies before proxies");
    assert_eq!(knock(1, &["6.6.6.6", "198.51.100.1"]), 429, "several lines are one list");
    assert_eq!(knock(1, &["::ffff:198.51.100.1"]), 429, "the same address in IPv6");
    assert_eq!(knock(1, &["198.51.100.1, fd00::1"]), 429);
    assert_eq!(knock(1, &["198.51.100.2"]), 101, "another client by the same proxy");
    assert_eq!(knock(1, &["2001:db8::1"]), 101);
    // Empty elements count for nothing (RFC 9110 section 5.6.1.2).
    assert_eq!(knock(1, &["198.51.100.1, "]), 429);
    assert_eq!(knock(1, &["198.51.100.1,,10.1.2.3,"]), 429);
    assert_eq!(knock(1, &["198.51.100.1", ""]), 429);
    assert_eq!(knock(1, &["2001:db8::2"]), 429, "an IPv6 /64 counts as one");
    assert_eq!(knock(1, &["2001:db8:0:1::2"]), 101);
    // Nobody the server trusts: what it forwards counts for nothing.
    assert_eq!(knock(9, &["198.51.100.77"]), 101);
    assert_eq!(knock(9, &["198.51.100.78"]), 429);
    // A hop that is no address ends what can be believed.
    assert_eq!(knock(1, &["198.51.100.99, nonsense"]), 101, "counts as the proxy itself");
    assert_eq!(knock(1, &["198.51.100.98, nonsense"]), 429);
}

#[test]
fn operations_have_an_address_of_their_own() {
    // Free a moment ago; the server binds it again.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = start(&[("server.ops_listen", &port.to_string())]);
    let at_ops = |target: &str| Request::get(target).send(port);
    for target in ["/metrics", "/stats"] {
        assert_eq!(server.get(target).status, 404, "{target} has left the public address");
        assert_eq!(at_ops(target).status, 200, "{target}");
    }
    for target in ["/livez", "/readyz", "/health"] {
        assert_eq!((server.get(target).status, at_ops(target).status), (200, 200), "{target}");
    }
    for target in ["/topics", "/ws", "/"] {
        assert_eq!(at_ops(target).status, 404, "{target} is not for operators");
    }
    let ws = Raw::open(server.addr());
    eventually("the operator sees the connection", PATIENCE, || {
        (at_ops("/stats").json()["connections"] == 1).then_some(())
    });
    drop(ws);
}

fn publish(server: &Server, key: Option<&str>, body: &Value) -> Answer {
    let request = Request::post("/publish", &body.to_string());
    key.into_iter().fold(request, |r, key| r.header("Idempotency-Key", key)).send(server.addr())
}

#[test]
fn a_key_is_the_same_in_a_header_and_in_a_frame() {
    let server = start(&[]);
    ["t", "u"].iter().for_each(|topic| server.make_topic(topic));
    let mut ws = Client::connect(server.addr());
    ws.subscribe("t");
    let frame = |key: &str, payload: i32| json!({ "type": "publish", "topic": "t", "payload": payload, "idempotency_key": key });
    let by_rest = publish(&server, Some("a"), &json!({ "topic": "t", "payload": 1 })).json();
    let by_frame = ws.call(frame("a", 2));
    assert_eq!((&by_rest["id"], &by_rest["offset"]), (&by_frame["id"], &by_frame["offset"]));
    let by_frame = ws.call(frame("b", 3));
    let by_rest = publish(&server, Some("b"), &json!({ "topic": "t", "payload": 4 }));
    assert_eq!(by_rest.status, 200, "on /publish the first payload wins, without a conflict");
    assert_eq!(by_rest.json()["id"], by_frame["id"]);
    let elsewhere = publish(&server, Some("a"), &json!({ "topic": "u", "payload": 5 })).json();
    assert_ne!(elsewhere["id"], by_frame["id"], "keys are per topic");
    assert_eq!(publish(&server, None, &json!({ "topic": "t", "payload": "last" })).status, 200);
    let heard: Vec<_> = (0..3).map(|_| ws.hear_type("event")["payload"].take()).collect();
    assert_eq!(heard, [json!(1), json!(3), json!("last")]);
    let bad = publish(&server, Some(&"k".repeat(129)), &json!({ "topic": "t", "payload": 1 }));
    assert_eq!((bad.status, bad.problem().as_str()), (400, "invalid_field"));
}

#[test]
fn a_session_can_be_left_out() {
    let server = start(&[]);
    let (mut left_out, welcome) = Client::greeted(server.addr());
    let mut other = Client::connect(server.addr());
    left_out.subscribe("t");
    other.subscribe("t");
    let code = welcome["session_code"].as_str().unwrap();
    for n in 0..20 {
        let body = json!({ "topic": "t", "payload": n, "exclude_session": code.to_uppercase() });
        assert_eq!(publish(&server, None, &body).json()["delivered"], 1);
    }
    let body = json!({ "topic": "t", "payload": "all", "exclude_session": "nobody-here-99" });
    assert_eq!(publish(&server, None, &body).json()["delivered"], 2, "an unknown session leaves nobody out");
    let event = left_out.hear_type("event");
    assert_eq!((&event["payload"], &event["offset"]), (&json!("all"), &json!(21)));
    assert_eq!(other.hear_type("event")["payload"], 0);
    // A client that is not subscribed to the topic takes no place.
    left_out.call(json!({ "type": "unsubscribe", "topic": "t" }));
    let body = json!({ "topic": "t", "payload": 1, "exclude_session": code });
    assert_eq!(publish(&server, None, &body).json()["delivered"], 1);
}

/// Walks a history by its cursor: the pages.
fn walk(server: &Server, direction: &str, from: Option<u64>) -> Vec<Vec<u64>> {
    let mut pages = Vec::new();
    let mut cursor = from;
    loop {
        let position = cursor.map_or(String::new(), |at| format!("&{direction}={at}"));
        let page = server.get(&format!("/topics/t/history?limit=30{position}")).json();
        assert_eq!(page["offset"], 130, "{page}");
        let items = page["items"].as_array().unwrap();
        items.iter().for_each(|item| assert_eq!(item["payload"]["n"], item["offset"]));
        pages.push(items.iter().map(|item| item["offset"].as_u64().unwrap()).collect());
        cursor = page["next"].as_u64();
        if cursor.is_none() {
            return pages;
        }
        assert!(pages.len() < 20, "the cursor turns in a circle");
    }
}

#[test]
fn a_history_is_paged_forth_and_back() {
    let server = start(&[]);
    server.make_topic("t");
    let mut publisher = Client::connect(server.addr());
    (1..=130).for_each(|n| drop(publisher.publish("t", json!({ "n": n }))));
    let kept: Vec<u64> = (31..=130).collect(); // topics.history_size
    let forth = walk(&server, "after", Some(0));
    assert_eq!(forth.concat(), kept);
    assert_eq!(forth.iter().map(Vec::len).collect::<Vec<_>>(), [30, 30, 30, 10]);
    let mut back = walk(&server, "before", None);
    back.reverse();
    assert_eq!(back.concat(), kept, "pages go back, each in order");
    assert_eq!(walk(&server, "after", Some(130)), [Vec::<u64>::new()]);
    assert_eq!(walk(&server, "before", Some(31)), [Vec::<u64>::new()]);
    assert_eq!(
        server.get("/topics/t/history?after=99999999999999999999").json()["items"],
        json!([]),
        "clamped"
    );
    // A page has 50 items by default and 100 at most, over HTTP and in JSON-RPC alike.
    for (limit, items) in [(None, 50), (Some(100), 100), (Some(101), 100), (Some(1_i64 << 40), 100)] {
        let query = limit.map_or(String::new(), |n| format!("?limit={n}"));
        let rest = server.get(&format!("/topics/t/history{query}")).json();
        let params = json!({ "topic": "t", "limit": limit });
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "topic.history", "params": params });
        let rpc = server.post("/rpc", &call).json()["result"].take();
        let count = |page: &Value| page["items"].as_array().unwrap().len();
        assert_eq!((count(&rest), count(&rpc)), (items, items), "{limit:?}");
        assert_eq!(rest["next"], rpc["next"], "{limit:?}");
    }
    for bad in ["after=-1", "before=x", "limit=0"] {
        let answer = server.get(&format!("/topics/t/history?{bad}"));
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid_field"), "{bad}");
    }
    let unknown = server.get("/topics/unknown/history");
    assert_eq!((unknown.status, unknown.problem().as_str()), (404, "topic_not_found"));
}

#[test]
fn publishing_can_make_topics_and_they_go_again() {
    let server = start(&[("topics.publish_creates", "true"), ("topics.history_ttl", "5s")]);
    let first = publish(&server, None, &json!({ "topic": "new", "payload": 1 }));
    assert_eq!(
        (first.status, &first.json()["offset"], &first.json()["delivered"]),
        (200, &json!(1), &json!(0))
    );
    let epoch = server.get("/topics/new").json()["epoch"].clone();
    let mut ws = Client::connect(server.addr());
    let since = json!({ "epoch": epoch, "offset": 0 });
    let ack = ws.call(json!({ "type": "subscribe", "topic": "new", "since": since }));
    assert_eq!((&ack["recovered"], &ack["epoch"]), (&json!(true), &epoch));
    assert_eq!(ws.hear_type("event")["payload"], 1);
    ws.close();
    eventually("the topic goes with its history", PATIENCE, || {
        (server.get("/topics/new").status == 404).then_some(())
    });
}

#[test]
fn a_body_that_does_not_come_is_not_awaited_for_long() {
    let server = start(&[("server.body_timeout", "700ms")]);
    let request = Request::post("/publish", r#"{"topic":"t","payload":1}"#).bytes();
    let mut stream = Stream::connect(server.addr());
    let begun = Instant::now();
    stream.write(&request[..request.len() - 3]);
    let answer = stream.read_answer(PATIENCE).unwrap();
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(begun.elapsed() >= Duration::from_millis(600) && begun.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_body_that_is_no_text_is_a_parse_error_to_json_rpc_and_a_problem_elsewhere() {
    let server = start(&[]);
    let answer = |path: &str, body: &str| {
        let mut request = Request::post(path, body).bytes();
        let at = request.iter().rposition(|b| *b == b'?').unwrap();
        request[at] = 0xff;
        let mut stream = Stream::connect(server.addr());
        stream.write(&request);
        stream.read_answer(PATIENCE).unwrap()
    };
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"test.echo","params":{"msg":"?"}}"#;
    let rpc = answer("/rpc", body);
    assert_eq!((rpc.status, rpc.head.get("content-type")), (200, Some("application/json")));
    let error = json!({ "code": -32700, "message": "Parse error" });
    assert_eq!(rpc.json(), json!({ "jsonrpc": "2.0", "id": null, "error": error }));
    let rest = answer("/publish", r#"{"topic":"t","payload":"?"}"#);
    assert_eq!((rest.status, &rest.json()["code"]), (400, &json!("invalid_json")));
}

#[test]
fn requests_on_one_connection_are_answered_in_turn() {
    let server = start(&[]);
    server.make_topic("t");
    let post = |n: u32| Request::post("/publish", &json!({ "topic": "t", "payload": n }).to_string());
    let all: Vec<u8> = (0..10).flat_map(|n| post(n).without("Connection").bytes()).collect();
    let mut stream = Stream::connect(server.addr());
    stream.write(&all);
    let offsets: Vec<_> =
        (0..10).map(|_| stream.read_answer(PATIENCE).unwrap().json()["offset"].as_u64()).collect();
    assert_eq!(offsets, (1..=10).map(Some).collect::<Vec<_>>());
    let ids: HashSet<_> =
        (0..5).map(|_| server.get("/livez").head.get("x-request-id").map(str::to_owned)).collect();
    assert_eq!(ids.len(), 5);
}

#[test]
fn a_key_is_its_publishers_own_on_every_way_in() {
    let server = start(&[]);
    server.make_topic("t");
    let (ann, bob) = (Person::new(&server, "ann"), Person::new(&server, "bob"));
    let key = api_key(&server, "shop", &["publish"]);
    let other_key = api_key(&server, "stock", &["publish"]);
    let frame = json!({ "type": "publish", "topic": "t", "payload": 1, "idempotency_key": "order-43" });
    let params = json!({ "topic": "t", "payload": 1, "idempotency_key": "order-43" });
    let rest = Request::post("/publish", &json!({ "topic": "t", "payload": 1 }).to_string())
        .header("Idempotency-Key", "order-43");
    let rpc = json!({ "jsonrpc": "2.0", "id": 1, "method": "topic.publish", "params": params });
    let rpc = Request::post("/rpc", &rpc.to_string());
    let typed = |token: Option<&str>| {
        let upgrade = token.into_iter().fold(Request::upgrade("/ws"), with_token);
        let mut ws = Raw::upgrade(server.addr(), &upgrade);
        ws.hear_type("welcome");
        ws.call(&frame)["offset"].as_u64().unwrap()
    };
    let offset = |answer: Answer| {
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        body["offset"].as_u64().or(body["result"]["offset"].as_u64()).unwrap()
    };
    let as_key =
        |request: &Request, key: &str| offset(request.clone().header("X-API-Key", key).send(server.addr()));
    // A stranger guesses the key first.
    assert_eq!(typed(None), 1);
    assert_eq!(as_key(&rest, &key), 2, "the backend's message is not taken for the stranger's");
    assert_eq!(typed(Some(&ann.token)), 3);
    assert_eq!(offset(bob.ask(&server, rpc.clone())), 4);
    // Repeats by every other way get the first answer of the same publisher.
    assert_eq!((offset(rest.send(server.addr())), offset(rpc.send(server.addr()))), (1, 1));
    assert_eq!((as_key(&rpc, &key), as_key(&rest, &other_key)), (2, 2), "all API keys are one publisher");
    assert_eq!((offset(ann.ask(&server, rest.clone())), offset(ann.ask(&server, rpc.clone()))), (3, 3));
    assert_eq!((offset(bob.ask(&server, rest.clone())), typed(Some(&bob.token))), (4, 4));
}

#[test]
fn a_deleted_topic_has_no_history_left() {
    let server = start(&[]);
    let delete = |name: &str| {
        let target = format!("/topics/{name}");
        Request::get(&target).method("DELETE").send(server.addr()).status
    };
    assert_eq!(delete("never"), 404);
    let mut ws = Client::connect(server.addr());
    let epoch = ws.subscribe("t")["epoch"].clone();
    ws.publish("t", json!("secret"));
    ws.call(json!({ "type": "unsubscribe", "topic": "t" }));
    assert_eq!(server.get("/topics/t").status, 404, "nobody hears it: its log is parked");
    assert_eq!(delete("t"), 204, "as for a live one");
    assert_eq!(delete("t"), 404);
    let since = json!({ "epoch": epoch, "offset": 0 });
    let back = ws.call(json!({ "type": "subscribe", "topic": "t", "since": since }));
    assert_ne!(back["epoch"], epoch);
    assert_eq!((&back["offset"], &back["recovered"]), (&json!(0), &json!(false)), "{back}");
}
