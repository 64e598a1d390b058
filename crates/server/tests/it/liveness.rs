//! Liveness of clients: pings, the read deadline, the write deadline (`protocol.md` 5).

use crate::support::{must_fail, start};
use fanfare_testkit::raw::{Frame, Raw, op};
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

const PING: Duration = Duration::from_millis(300);
/// Ten pings: much longer than a busy machine keeps a client from its turn.
const READ: Duration = Duration::from_secs(3);
/// Deadlines are looked at in rounds, and the machine may be busy.
const SLACK: Duration = Duration::from_secs(4);

fn impatient() -> Server {
    start(&[("ws.ping_interval", "300ms"), ("ws.read_timeout", "3s")])
}

#[test]
fn a_silent_client_is_pinged_then_closed() {
    let server = impatient();
    let begun = Instant::now();
    let mut ws = Raw::open(server.addr());
    let frames = ws.expect_close(1001);
    let took = begun.elapsed();
    assert!(took >= READ - PING && took < READ + SLACK, "closed after {took:?}");
    let pings = frames.iter().filter(|f| f.opcode == op::PING).count();
    assert!(pings >= 2, "{frames:?}");
    server.await_connections(0);
}

/// Answers pings with `answer` for two read timeouts; the server sends one each 300 ms.
fn live_through_pings(ws: &mut Raw, answer: impl Fn(&Frame) -> Frame) {
    let mut answered = 0;
    let begun = Instant::now();
    while begun.elapsed() < 2 * READ {
        let frame = ws.recv().expect("an open connection");
        assert_ne!(frame.opcode, op::CLOSE, "closed after {answered} pings");
        if frame.opcode == op::PING {
            ws.send(&answer(&frame));
            answered += 1;
        }
    }
}

#[test]
fn a_client_that_pongs_lives() {
    let server = impatient();
    let mut ws = Raw::open(server.addr());
    live_through_pings(&mut ws, |ping| Frame::new(op::PONG, &ping.payload));
    ws.expect_alive();
}

#[test]
fn any_whole_frame_is_a_sign_of_life() {
    let server = impatient();
    let mut ws = Raw::open(server.addr());
    std::thread::scope(|scope| {
        scope.spawn(|| live_through_pings(&mut ws, |_| Frame::text(r#"{"type":"ping"}"#)));
        let mut parts = Raw::open(server.addr());
        parts.send(&Frame::text("\"").part());
        live_through_pings(&mut parts, |_| Frame::new(op::CONTINUATION, "x").part());
    });
}

/// Sends `pieces` one at a time, two a ping interval, for two read timeouts; the close code that came, if any.
fn drip(server: &Server, pieces: impl Iterator<Item = Vec<u8>>) -> Option<u16> {
    let mut ws = Raw::open(server.addr());
    let begun = Instant::now();
    for piece in pieces {
        if begun.elapsed() > 2 * READ || !ws.stream.try_write(&piece) {
            break;
        }
        // What comes until it is time for the next piece.
        let next = Instant::now() + PING / 2;
        while let Some(frame) = ws.recv_until(next) {
            if frame.opcode == op::CLOSE {
                return frame.close_code();
            }
        }
    }
    None
}

#[test]
fn parts_of_a_frame_are_no_sign_of_life() {
    let server = impatient();
    let frame = Frame::text(json!({ "type": "ping", "pad": "x".repeat(100) }).to_string()).encode();
    let dripping = || frame.iter().map(|byte| vec![*byte]);
    assert_eq!(drip(&server, dripping()), Some(1001));
    // The negative test: the same pace in whole frames is a live client, so the check can distinguish them.
    let whole = Frame::text(r#"{"type":"ping"}"#).encode();
    assert_eq!(drip(&server, std::iter::repeat(whole)), None);
}

/// The client holds the connection and sends nothing more, like a machine that lost its network: no FIN, no response.
fn vanishes_and_is_detected(server: &Server) {
    let ws = Raw::open(server.addr());
    server.await_connections(1);
    eventually("the server gives it up", READ + SLACK, || (server.stats()["connections"] == 0).then_some(()));
    drop(ws);
}

#[test]
fn a_half_open_connection_is_given_up() {
    vanishes_and_is_detected(&impatient());
}

#[test]
fn twin_without_a_deadline_a_half_open_connection_stays() {
    let server = start(&[("ws.read_timeout", "10m")]);
    must_fail("a half-open connection", || vanishes_and_is_detected(&server));
}

/// A subscriber reads nothing while a reader and a publisher continue: returns how long it stays connected, and the
/// reader.
fn borne_taking_nothing(server: &Server, within: Duration) -> (Duration, Raw) {
    let mut stuck = Raw::open(fanfare_testkit::raw::Endpoint::from(server.addr()).narrow());
    stuck.subscribe("t");
    let mut reader = Raw::open(server.addr());
    reader.subscribe("t");
    let payload = "x".repeat(32_000);
    let begun = Instant::now();
    eventually("the one that takes nothing is cut", within, || {
        let answer = server.post("/publish", &json!({ "topic": "t", "payload": payload }));
        assert_eq!(answer.status, 200);
        assert_eq!(reader.hear_type("event")["offset"], answer.json()["offset"], "the reader misses nothing");
        (answer.json()["delivered"] == 1).then_some(())
    });
    (begun.elapsed(), reader)
}

fn dropping(write_timeout: &str) -> Server {
    let settings = [("topics.backpressure", "drop_oldest"), ("limits.queue_messages", "64")];
    start(&[settings[0], settings[1], ("ws.write_timeout", write_timeout)])
}

#[test]
fn a_client_that_reads_nothing_is_cut_at_the_write_deadline() {
    let server = dropping("1s");
    let (took, _reader) = borne_taking_nothing(&server, PATIENCE);
    assert!(took >= Duration::from_millis(800), "cut after {took:?}, before the deadline");
    server.await_connections(1);
    assert_eq!(server.metric("fanfare_connections_closed_total{code=\"1006\"}"), 1.0);
}

#[test]
fn twin_before_the_deadline_a_client_that_reads_nothing_stays() {
    let server = dropping("10m");
    must_fail("a client that takes nothing", || borne_taking_nothing(&server, Duration::from_secs(3)));
}

#[test]
fn a_session_leaves_a_connection_that_is_stuck() {
    let server = start(&[
        // Longer than the publishing takes on a busy machine: until then it is stuck and not yet cut.
        ("ws.write_timeout", "8s"),
        ("limits.queue_messages", "100000"),
        ("limits.queue_bytes", "1GiB"),
    ]);
    let mut old = Raw::open(fanfare_testkit::raw::Endpoint::from(server.addr()).narrow());
    let welcome = old.hear();
    old.subscribe("t");
    for _ in 0..100 {
        let publish = json!({ "topic": "t", "payload": "x".repeat(60_000) });
        assert_eq!(server.post("/publish", &publish).status, 200);
    }
    let text = |field: &str| welcome[field].as_str().unwrap().to_owned();
    let path = format!("/ws?session={}&resume={}", text("session_code"), text("resume_token"));
    let mut new = Raw::upgrade(server.addr(), &Request::upgrade(&path));
    let resumed = new.hear();
    assert_eq!((&resumed["resumed"], &resumed["session_code"]), (&json!(true), &welcome["session_code"]));
    server.await_connections(1);
    assert_eq!(server.metric("fanfare_connections_closed_total{code=\"4409\"}"), 1.0);
    assert_eq!(new.call(&json!({ "type": "subscribe", "topic": "t" }))["type"], "ack");
}
