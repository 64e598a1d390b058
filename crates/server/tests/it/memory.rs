//! What clients leave behind: nothing (`security.md`, issue: "memory returns to its baseline").

use crate::support::start;
use fanfare_testkit::raw::{Frame, Raw};
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use serde_json::json;

/// Connections that are open at a time.
const CROWD: usize = 200;
/// Growth of resident memory that an allocator may keep for itself after a warm-up, in KiB.
const ALLOWED_KIB: u64 = 12 * 1024;

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
    let grown = server.rss_kib().saturating_sub(memory);
    assert!(grown < ALLOWED_KIB, "2000 visitors left {grown} KiB");
    eventually("descriptors are given back", PATIENCE, || (server.open_files() <= files + 2).then_some(()));
    let opened = server.metric("fanfare_connections_opened_total");
    let text = server.get("/metrics").text();
    let closed = text.lines().filter(|line| line.starts_with("fanfare_connections_closed_total{"));
    let closed: f64 = closed.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    assert_eq!(opened, closed, "opened and closed in pairs");
}

#[test]
fn a_session_is_kept_for_as_long_as_it_says() {
    let server = start(&[("session.detached_ttl", "1s")]);
    let mut ws = Raw::open(server.addr());
    let welcome = ws.hear();
    let path = format!(
        "/ws?session={}&resume={}",
        welcome["session_code"].as_str().unwrap(),
        welcome["resume_token"].as_str().unwrap()
    );
    let resume = fanfare_testkit::raw_http::Request::upgrade(&path);
    ws.send(&Frame::close(1000, ""));
    ws.expect_close(1000);
    // At once it is there.
    let mut again = Raw::upgrade(server.addr(), &resume);
    let second = again.hear();
    assert_eq!((&second["resumed"], &second["session_code"]), (&json!(true), &welcome["session_code"]));
    // While somebody is connected it stays, however long.
    eventually("swept around it", PATIENCE, || (server.metric("fanfare_sessions") == 1.0).then_some(()));
    drop(again);
    eventually("the session is swept", PATIENCE, || (server.metric("fanfare_sessions") == 0.0).then_some(()));
    assert_eq!(resume.send(server.addr()).status, 401);
}
