//! The stop of a server: its guarantees to connected clients (`protocol.md` 5 and 6).

use crate::support::{Pace, half_a_request, must_fail, start};
use fanfare_testkit::client::Client;
use fanfare_testkit::raw::{Endpoint, Frame, Raw, Stream, op};
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server, Signal, eventually};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const TOPIC: &str = "load";
/// Publishes a publisher has outstanding.
const WINDOW: usize = 32;
/// Room for every reader, so that only the end can lose something.
const WIDE: [(&str, &str); 4] = [
    ("limits.queue_messages", "10000000"),
    ("limits.queue_bytes", "1GiB"),
    ("ws.write_timeout", "20s"),
    ("topics.history_size", "0"),
];

/// Publishes at full speed until the connection ends; the offsets that were acknowledged.
fn publish_until_the_end(mut client: Client) -> HashSet<u64> {
    let frame = json!({ "type": "publish", "topic": TOPIC, "payload": "x".repeat(200) });
    let mut acked = HashSet::new();
    let mut told = false;
    loop {
        let sent = (0..WINDOW).take_while(|_| client.try_say(&frame)).count();
        for _ in 0..WINDOW {
            let Ok(reply) = client.try_hear() else { return acked };
            match reply["type"].as_str() {
                Some("ack") => {
                    assert!(!told, "carried out after SERVER_SHUTDOWN");
                    acked.insert(reply["offset"].as_u64().unwrap());
                }
                Some("info") => told = true,
                _ => {
                    assert_eq!(reply["code"], "SERVER_SHUTDOWN", "{reply}");
                    assert!(told, "refused before it was said why");
                }
            }
        }
        if sent < WINDOW {
            while client.try_hear().is_ok() {}
            return acked;
        }
    }
}

/// The same over REST, a request at a time, until no subscriber is left or a refusal.
fn post_until_the_end(server: SocketAddr) -> HashSet<u64> {
    let body = json!({ "topic": TOPIC, "payload": "by REST" }).to_string();
    let mut acked = HashSet::new();
    while let Some(answer) = Request::post("/publish", &body).try_send(server) {
        match answer.status {
            200 => acked.insert(answer.json()["offset"].as_u64().unwrap()),
            _ => {
                assert_eq!((answer.status, answer.problem().as_str()), (503, "server_shutdown"));
                return acked;
            }
        };
    }
    acked
}

/// The events of a reader up to its end.
struct Seen {
    offsets: Vec<u64>,
    told: usize,
    code: Option<u16>,
}

fn read_until_the_end(mut client: Client, heard: &AtomicUsize) -> Seen {
    let mut seen = Seen { offsets: Vec::new(), told: 0, code: None };
    loop {
        let frame = match client.try_hear() {
            Ok(frame) => frame,
            Err(code) => return Seen { code, ..seen },
        };
        // Typed or JSON-RPC.
        let (kind, body) = match frame["method"].as_str() {
            Some(method) => (method.to_owned(), &frame["params"]),
            None => (frame["type"].to_string(), &frame),
        };
        if kind.contains("event") {
            seen.offsets.push(body["offset"].as_u64().unwrap());
            heard.fetch_add(1, Ordering::Relaxed);
        } else {
            assert_eq!(body["code"], "SERVER_SHUTDOWN", "{frame}");
            seen.told += 1;
        }
    }
}

/// Ends a server by `signal` while publishers and readers are at full speed, and checks every promise.
fn ends_in_order_under_load(signal: Signal) {
    let mut server = start(&WIDE);
    server.make_topic(TOPIC);
    let heard = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let mut readers = Vec::new();
        for n in 0..4 {
            let mut client = match n {
                0 => Client::open(server.addr(), "/rpc", None),
                _ => Client::connect(server.addr()),
            };
            match n {
                0 => assert!(client.rpc("topic.subscribe", json!({ "topic": TOPIC }))["result"].is_object()),
                _ => drop(client.subscribe(TOPIC)),
            }
            if n == 0 {
                assert_eq!(client.hear()["method"], "session.welcome");
            }
            let heard = &heard;
            readers.push(scope.spawn(move || read_until_the_end(client, heard)));
        }
        let clients: Vec<_> = (0..3).map(|_| Client::connect(server.addr())).collect();
        let publishers: Vec<_> =
            clients.into_iter().map(|client| scope.spawn(|| publish_until_the_end(client))).collect();
        let posting = scope.spawn(|| post_until_the_end(server.addr()));
        eventually("the load is on", PATIENCE, || (heard.load(Ordering::Relaxed) > 4000).then_some(()));
        server.signal(signal);
        let acked: HashSet<u64> =
            publishers.into_iter().flat_map(|p| p.join().unwrap()).chain(posting.join().unwrap()).collect();
        assert!(acked.len() > 500, "{} publishes were acknowledged", acked.len());
        for reader in readers {
            let seen = reader.join().unwrap();
            let all: HashSet<u64> = seen.offsets.iter().copied().collect();
            let lost = acked.difference(&all).count();
            assert_eq!(lost, 0, "acknowledged and not delivered, of {}", acked.len());
            let last = seen.offsets.last().copied().unwrap();
            assert_eq!(seen.offsets, (1..=last).collect::<Vec<_>>(), "in order, each once");
            assert_eq!((seen.told, seen.code), (1, Some(1001)));
        }
    });
    assert_eq!(server.wait(Duration::from_secs(30)).code(), Some(0));
    assert!(!server.data_dir().join("address").exists(), "whoever looks for the server must not find it");
}

#[test]
fn acknowledged_messages_are_delivered_before_the_end() {
    ends_in_order_under_load(Signal::TERM);
}

#[test]
fn an_interrupt_is_the_same() {
    ends_in_order_under_load(Signal::INT);
}

#[test]
fn twin_a_killed_server_keeps_no_promise() {
    must_fail("SIGKILL", || ends_in_order_under_load(Signal::KILL));
}

/// A server that was stopped and cannot exit yet, because a request is in progress.
fn stopping(settings: &[(&str, &str)]) -> (Server, Stream, Vec<u8>) {
    let server = start(settings);
    server.make_topic("t");
    let publish = Request::post("/publish", r#"{"topic":"t","payload":"in flight"}"#);
    let (stream, rest) = half_a_request(&server, &publish);
    server.signal(Signal::TERM);
    eventually("it is not ready any more", PATIENCE, || (server.get("/readyz").status == 503).then_some(()));
    (server, stream, rest)
}

#[test]
fn a_stopping_server_serves_probes_only() {
    let (mut server, mut stream, rest) = stopping(&[]);
    assert_eq!(server.get("/livez").status, 200);
    assert_eq!(server.get("/readyz").problem(), "server_shutdown");
    let refused = [
        Request::upgrade("/ws"),
        Request::upgrade("/rpc"),
        Request::get("/topics"),
        Request::get("/"),
        Request::post("/publish", r#"{"topic":"t","payload":1}"#),
    ];
    for request in refused {
        let answer = request.send(server.addr());
        assert_eq!((answer.status, answer.problem().as_str()), (503, "server_shutdown"), "{request:?}");
        assert!(answer.head.get("retry-after").is_some(), "{answer:?}");
    }
    assert!(server.runs(), "the request is not finished");
    stream.write(&rest);
    let answer = stream.read_answer(PATIENCE).expect("what was begun is finished");
    assert_eq!((answer.status, &answer.json()["offset"]), (200, &json!(1)));
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mut server, _stream, _rest) = stopping(&[]);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(Duration::from_secs(5)).code(), Some(130));
}

#[test]
fn a_request_that_never_ends_does_not_hold_the_server() {
    let begun = Instant::now();
    let (mut server, _stream, _rest) = stopping(&[("server.shutdown_timeout", "2s")]);
    assert_eq!(server.wait(Duration::from_secs(8)).code(), Some(0));
    assert!(begun.elapsed() > Duration::from_millis(900), "it was given no time");
}

/// How long a client may read nothing: much longer than a busy machine delays a client.
const STALL: Duration = Duration::from_secs(4);

/// A server with that write deadline and room for everything.
fn bearing() -> Server {
    start(&[WIDE[0], WIDE[1], ("ws.write_timeout", "4s"), ("topics.history_size", "0")])
}

/// An event of which 60 are more than the kernel takes for a connection.
fn large() -> Value {
    json!("x".repeat(60_000))
}

#[test]
fn a_client_that_never_reads_costs_the_write_deadline_and_the_others_nothing() {
    let mut server = bearing();
    let mut stuck = Raw::open(Endpoint::from(server.addr()).narrow());
    stuck.subscribe("t");
    let mut reader = Client::connect(server.addr());
    let mut publisher = Client::connect(server.addr());
    (0..150).for_each(|_| drop(publisher.publish("t", large())));
    publisher.close();
    reader.subscribe("t");
    let begun = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(reader.hear_type("info")["code"], "SERVER_SHUTDOWN");
    assert_eq!(reader.try_hear(), Err(Some(1001)));
    // It ends with the one that is stuck.
    assert!(server.runs(), "the others waited for it: {:?}", begun.elapsed());
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
    let took = begun.elapsed();
    assert!(took >= STALL - Duration::from_millis(200), "it was given {took:?}");
    assert!(took < STALL + Duration::from_secs(8), "took {took:?}");
}

#[test]
fn a_client_that_reads_slowly_gets_everything() {
    const EVENTS: u64 = 300;
    let mut server = bearing();
    let mut ws = Raw::open(Endpoint::from(server.addr()).narrow());
    ws.subscribe("t");
    let mut publisher = Client::connect(server.addr());
    let mut offsets = Vec::new();
    let offset = |event: &Value| event["offset"].as_u64().unwrap();
    for n in 1..=EVENTS {
        publisher.publish("t", large());
        // However long the publishing takes, the client takes something meanwhile.
        if n % 4 == 0 {
            offsets.push(offset(&ws.hear_type("event")));
        }
    }
    publisher.close();
    let left = (EVENTS as usize - offsets.len()) as u32;
    let begun = Instant::now();
    server.signal(Signal::TERM);
    // The pace is what is tested: in all longer than the write deadline, without a pause as long.
    let pace = Pace::over(STALL * 3 / 2, left);
    let code = loop {
        pace.keep(offsets.len() as u32 - (EVENTS as u32 - left));
        match ws.recv() {
            None => break None,
            Some(frame) if frame.opcode == op::CLOSE => break frame.close_code(),
            Some(frame) if frame.opcode == op::TEXT && frame.json()["type"] == "event" => {
                offsets.push(offset(&frame.json()));
            }
            Some(_) => {}
        }
    };
    assert!(begun.elapsed() > STALL, "it read in {:?}", begun.elapsed());
    assert_eq!((offsets, code), ((1..=EVENTS).collect(), Some(1001)));
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}

#[test]
fn a_session_with_unread_commands_gets_a_reply_or_the_end() {
    // Commands behind SERVER_SHUTDOWN are refused or cut off by the close, never carried out.
    for round in 0..5 {
        let mut server = start(&[]);
        server.make_topic("t");
        let mut ws = Raw::open(server.addr());
        ws.subscribe("t");
        let mut writer = ws.stream.writer();
        let publish = json!({ "type": "publish", "topic": "t", "payload": round, "exclude_self": true });
        let frame = Frame::text(publish.to_string()).encode();
        let writing =
            std::thread::spawn(move || while std::io::Write::write_all(&mut writer, &frame).is_ok() {});
        for _ in 0..200 {
            ws.hear();
        }
        server.signal(Signal::TERM);
        let (frames, code) = ws.read_to_close(PATIENCE);
        assert_eq!(code, Some(1001));
        let texts: Vec<Value> = frames.iter().filter(|f| f.opcode == op::TEXT).map(Frame::json).collect();
        let told = texts.iter().position(|t| t["type"] == "info").expect("SERVER_SHUTDOWN is said");
        assert!(texts[..told].iter().all(|t| t["type"] == "ack"));
        assert!(texts[told + 1..].iter().all(|t| t["code"] == "SERVER_SHUTDOWN"), "{:?}", &texts[told..]);
        assert_eq!(server.wait(PATIENCE).code(), Some(0));
        writing.join().unwrap();
    }
}
