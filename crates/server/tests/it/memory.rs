//! What clients leave behind: nothing (`security.md`, issue: "memory returns to its baseline").

use crate::support::start;
use fanfare_testkit::raw::{Frame, Raw, Stream};
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use serde_json::json;

/// Connections that are open at a time.
const CROWD: usize = 200;
/// Growth of resident memory that an allocator may keep for itself after a warm-up, in KiB.
const ALLOWED_KIB: u64 = 8 * 1024;
/// Descriptors of requests that were answered a moment ago.
const FEW: usize = 3;

/// A crowd comes, subscribes to topics of its own and a common one, publishes and leaves: half of it without a word.
fn visit(server: &Server, round: usize) {
    let mut crowd: Vec<_> = (0..CROWD).map(|_| Raw::open(server.addr())).collect();
    for (n, ws) in crowd.iter_mut().enumerate() {
        let own = format!("own {round} {n}");
        for topic in [own.as_str(), "common"] {
            ws.say(&json!({ "type": "subscribe", "topic": topic }));
        }
        ws.say(
            &json!({ "type": "publish", "topic": own, "payload": "x".repeat(2000), "idempotency_key": own }),
        );
        if n % 10 == 0 {
            ws.say(&json!({ "type": "publish", "topic": "common", "payload": "y".repeat(500) }));
        }
        ws.send(&Frame::text("\"unfinished").part());
        while ws.hear_type("event")["topic"] != own.as_str() {}
    }
    for (n, mut ws) in crowd.into_iter().enumerate() {
        if n % 2 == 0 {
            ws.send(&Frame::close(1000, ""));
            ws.expect_close(1000);
        }
    }
    server.await_connections(0);
}

#[test]
fn two_thousand_visitors_leave_nothing_behind() {
    let settings =
        [("session.detached_ttl", "1s"), ("topics.history_ttl", "1s"), ("limits.idempotency_keys", "100")];
    let server = start(&settings);
    let swept = || {
        eventually("sessions, topics and histories are swept", PATIENCE, || {
            let names =
                ["fanfare_sessions", "fanfare_topics", "fanfare_history_bytes", "fanfare_outbox_bytes"];
            names.iter().all(|name| server.metric(name) == 0.0).then_some(())
        });
    };
    (0..4).for_each(|round| visit(&server, round));
    swept();
    let (memory, files) = (server.rss_kib(), server.open_files());
    (4..14).for_each(|round| visit(&server, round));
    swept();
    let grown = |server: &Server| server.rss_kib().saturating_sub(memory);
    println!("2000 visitors left {} KiB", grown(&server));
    assert!(grown(&server) < ALLOWED_KIB, "2000 visitors left {} KiB", grown(&server));
    eventually("descriptors are given back", PATIENCE, || (server.open_files() <= files + FEW).then_some(()));
    let opened = server.metric("fanfare_connections_opened_total");
    let text = server.get("/metrics").text();
    let closed = text.lines().filter(|line| line.starts_with("fanfare_connections_closed_total{"));
    let closed: f64 = closed.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    assert_eq!(opened, closed, "opened and closed in pairs");
    // The measures do work: visitors who stay, with unfinished messages, show in both.
    let unfinished = Frame::text("x".repeat(60_000)).part();
    let _staying: Vec<_> = (0..CROWD)
        .map(|_| {
            let mut ws = Raw::open(server.addr());
            ws.send(&unfinished);
            ws.expect_alive();
            ws
        })
        .collect();
    assert!(server.open_files() + FEW >= files + CROWD);
    assert!(grown(&server) >= ALLOWED_KIB, "12 MB are held and {} KiB seen", grown(&server));
}

#[test]
fn a_session_is_kept_for_as_long_as_it_says() {
    let server = start(&[("session.detached_ttl", "4s")]);
    let mut ws = Raw::open(server.addr());
    let welcome = ws.hear();
    let path = format!(
        "/ws?session={}&resume={}",
        welcome["session_code"].as_str().unwrap(),
        welcome["resume_token"].as_str().unwrap()
    );
    let resume = Request::upgrade(&path);
    ws.send(&Frame::close(1000, ""));
    ws.expect_close(1000);
    // At once it is there.
    let mut again = Raw::upgrade(server.addr(), &resume);
    let second = again.hear();
    assert_eq!((&second["resumed"], &second["session_code"]), (&json!(true), &welcome["session_code"]));
    // While a client is connected it stays: another one, left later, is removed before it.
    drop(Raw::open(server.addr()));
    eventually("the other is swept", PATIENCE, || (server.metric("fanfare_sessions") == 1.0).then_some(()));
    again.expect_alive();
    drop(again);
    eventually("the session is swept", PATIENCE, || (server.metric("fanfare_sessions") == 0.0).then_some(()));
    assert_eq!(resume.send(server.addr()).status, 401);
}

#[test]
fn who_leaves_in_the_middle_of_the_handshake_leaves_nothing_behind() {
    let server = start(&[("session.detached_ttl", "1s"), ("limits.max_connections", "500")]);
    let request = Request::upgrade("/ws").bytes();
    for n in 0..400 {
        let mut stream = Stream::connect(server.addr());
        stream.write(&request[..request.len() - n % 3]);
    }
    server.await_connections(0);
    eventually("their sessions are swept", PATIENCE, || {
        (server.metric("fanfare_sessions") == 0.0).then_some(())
    });
    let _all: Vec<_> = (0..500).map(|_| Raw::open(server.addr())).collect();
}

#[test]
fn a_server_without_descriptors_recovers() {
    let server = start(&[]);
    let mut inside = Raw::open(server.addr());
    server.limit_files(10);
    let crowd: Vec<_> = (0..40).map(|_| Stream::connect(server.addr())).collect();
    eventually("no descriptor is left", PATIENCE, || {
        server.log().contains("cannot be accepted").then_some(())
    });
    inside.expect_alive();
    drop(crowd);
    assert_eq!(server.get("/livez").status, 200);
    Raw::open(server.addr()).expect_alive();
}
