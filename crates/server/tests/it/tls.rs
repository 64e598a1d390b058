//! TLS on the shards: handshakes, records in every shape, backpressure and goodbyes.

use crate::pair::{Pair, greeted, number, open, ping, publish};
use crate::support::must_fail;
use fanfare_testkit::raw::{Endpoint, Frame, Raw, Stream, op};
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Signal, eventually};
use fanfare_testkit::tls;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use std::io::Write;

#[test]
fn https_and_wss_are_served_and_announced() {
    let pair = Pair::new();
    let server = pair.start(&[]);
    let address = std::fs::read_to_string(server.data_dir().join("address")).unwrap();
    assert_eq!(address, format!("https://{}\n", server.addr()));
    assert!(server.log().starts_with(&format!("listening on https://{}", server.addr())));
    assert_eq!(server.get("/livez").status, 200);
    for versions in [&[&TLS13], &[&TLS12]] {
        let config = Box::leak(Box::new(tls::client(versions)));
        let to = Endpoint::from(server.addr()).tls_as(config);
        let (mut one, mut two) = (greeted(to), greeted(to));
        one.subscribe("t");
        ping(&mut one);
        for n in 0..50 {
            let ack = two.call(&publish(n, 100));
            assert_eq!((&ack["type"], &ack["delivered"]), (&json!("ack"), &json!(1)));
            assert_eq!(number(&one.hear_type("event")), n);
        }
        let mut rpc = Raw::upgrade(to, &Request::upgrade("/rpc"));
        assert_eq!(rpc.hear()["method"], "session.welcome");
    }
    server.await_connections(0);
}

#[test]
fn a_page_is_judged_by_its_https_origin() {
    let pair = Pair::new();
    let server = pair.start(&[("server.cors_origins", "https://app.example.com")]);
    let own = server.addr();
    for (origin, status) in [
        (format!("https://{own}"), 101),
        (format!("https://localhost:{}", own.port()), 403),
        (format!("http://{own}"), 403),
        ("https://app.example.com".into(), 101),
        ("http://app.example.com".into(), 403),
    ] {
        let answer = Request::upgrade("/ws").header("Origin", &origin).send(server.endpoint());
        assert_eq!(answer.status, status, "{origin}");
        let read = Request::get("/health").header("Origin", &origin).send(server.endpoint());
        assert_eq!(read.head.get("access-control-allow-origin").is_some(), status == 101, "{origin}");
    }
}

#[test]
fn ten_mebibytes_wait_for_a_slow_reader_and_arrive_whole() {
    const EVENTS: usize = 640;
    let pair = Pair::new();
    let server = pair.start(&[
        ("limits.queue_messages", "100000"),
        ("limits.queue_bytes", "64MiB"),
        ("ws.write_timeout", "60s"),
    ]);
    let mut slow = greeted(server.endpoint().narrow());
    slow.subscribe("t");
    let mut publisher = open(&server);
    for n in 0..EVENTS {
        assert_eq!(publisher.call(&publish(n, 16 * 1024))["delivered"], 1);
    }
    assert!(server.metric("fanfare_outbox_bytes") > 4e6, "most of it waits in the server");
    for n in 0..EVENTS {
        assert_eq!(number(&slow.hear_type("event")), n);
    }
    ping(&mut slow);
    eventually("nothing waits", PATIENCE, || (server.metric("fanfare_outbox_bytes") == 0.0).then_some(()));
    assert_eq!(server.metric("fanfare_slow_consumers_total"), 0.0);
}

/// An unbroken beginning, then why it ends.
fn check_cut_off(frames: &[Frame]) -> usize {
    let texts: Vec<Value> = frames.iter().filter(|f| f.opcode == op::TEXT).map(Frame::json).collect();
    let (error, events) = texts.split_last().unwrap();
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("SLOW_CONSUMER")));
    assert!(events.iter().map(number).eq(0..events.len()), "an unbroken beginning");
    events.len()
}

#[test]
fn a_slow_consumer_gets_the_reason_within_tls() {
    let pair = Pair::new();
    let server = pair.start(&[("limits.queue_messages", "16"), ("ws.write_timeout", "60s")]);
    let mut slow = greeted(server.endpoint().narrow());
    slow.subscribe("t");
    let mut publisher = open(&server);
    let mut count = 0;
    // Sizes of every kind, so that records end everywhere in a frame.
    while publisher.call(&publish(count, 1 + count * 37 % 20_000))["delivered"] == 1 {
        count += 1;
        assert!(count < 10_000, "100 MB and nobody is slow");
    }
    let (frames, code) = slow.read_to_close(PATIENCE);
    assert_eq!(code, Some(1013));
    assert!(check_cut_off(&frames) <= count);
    must_fail("a lost frame", || check_cut_off(&frames[1..]));
    assert!(slow.stream.heard_goodbye());
    assert_eq!(server.metric("fanfare_slow_consumers_total"), 1.0);
}

#[test]
fn dropping_for_a_slow_reader_never_breaks_a_frame() {
    let pair = Pair::new();
    let server = pair.start(&[
        ("limits.queue_messages", "8"),
        ("topics.backpressure", "drop_oldest"),
        ("ws.write_timeout", "60s"),
    ]);
    let mut slow = greeted(server.endpoint().narrow());
    slow.subscribe("t");
    let mut publisher = open(&server);
    let mut total = 0;
    for _ in 0..3 {
        let before = server.stats()["messages"]["dropped"].as_u64();
        eventually("something is dropped", PATIENCE * 3, || {
            (0..50).for_each(|n| drop(publisher.call(&publish(total + n, (total + n) * 37 % 20_000))));
            total += 50;
            (server.stats()["messages"]["dropped"].as_u64() > before).then_some(())
        });
        let mut last = None;
        let mut told = 0;
        let mut got = 0;
        while last != Some(total - 1) {
            let frame = slow.hear();
            if frame["code"] == "MESSAGES_DROPPED" {
                told += frame["count"].as_u64().unwrap();
                continue;
            }
            assert!(last.is_none_or(|last| last < number(&frame)), "in order, each once");
            last = Some(number(&frame));
            got += 1;
        }
        let dropped = server.stats()["messages"]["dropped"].as_u64().unwrap() - before.unwrap();
        assert_eq!(told, dropped, "told and counted, with {got} received");
    }
}

#[test]
fn many_records_in_one_segment_are_all_obeyed() {
    let pair = Pair::new();
    let server = pair.start(&[]);
    for versions in [&[&TLS13], &[&TLS12]] {
        let config = Box::leak(Box::new(tls::client(versions)));
        let mut ws = greeted(Endpoint::from(server.addr()).tls_as(config));
        let frame = |n: usize| {
            Frame::text(json!({ "type": "ping", "request_id": n.to_string() }).to_string()).encode()
        };
        let bytes: Vec<u8> = (0..500).flat_map(|n| ws.stream.seal(&frame(n))).collect();
        ws.stream.writer().write_all(&bytes).unwrap();
        for n in 0..500 {
            assert_eq!(ws.hear()["request_id"], n.to_string());
        }
        // A frame in many records, and a record of many frames.
        let bytes: Vec<u8> = frame(1).chunks(1).flat_map(|byte| ws.stream.seal(byte)).collect();
        ws.stream.writer().write_all(&bytes).unwrap();
        assert_eq!(ws.hear()["request_id"], "1");
        let many: Vec<u8> = (0..200).flat_map(frame).collect();
        ws.stream.write(&many);
        (0..200).for_each(|n| assert_eq!(ws.hear()["request_id"], n.to_string()));
    }
}

#[test]
fn bytes_may_come_one_at_a_time() {
    let pair = Pair::new();
    let server = pair.start(&[]);
    let mut ws = open(&server);
    let bytes = ws.stream.seal(&Frame::text(r#"{"type":"ping","request_id":"slow"}"#).encode());
    for byte in bytes {
        ws.stream.writer().write_all(&[byte]).unwrap();
    }
    assert_eq!(ws.hear()["request_id"], "slow");
}

#[test]
fn bytes_after_the_upgrade_request_are_not_lost() {
    let pair = Pair::new();
    let server = pair.start(&[]);
    let mut bytes = Request::upgrade("/ws").bytes();
    (0..300).for_each(|n| {
        bytes
            .extend(Frame::text(json!({ "type": "ping", "request_id": n.to_string() }).to_string()).encode());
    });
    let mut ws = Raw::with_bytes(server.endpoint(), &bytes);
    assert_eq!(ws.hear()["type"], "welcome");
    (0..300).for_each(|n| assert_eq!(ws.hear()["request_id"], n.to_string()));
}

#[test]
fn keys_are_renewed_under_way() {
    let pair = Pair::new();
    let server = pair.start(&[]);
    let config = Box::leak(Box::new(tls::client(&[&TLS13])));
    let mut ws = greeted(Endpoint::from(server.addr()).tls_as(config));
    for _ in 0..5 {
        ws.stream.session().refresh_traffic_keys().unwrap();
        ping(&mut ws);
    }
}

#[test]
fn both_sides_say_goodbye() {
    let pair = Pair::new();
    let server = pair.start(&[]);
    // The WebSocket's close handshake, then TLS's.
    let mut ws = open(&server);
    ws.send(&Frame::close(1000, ""));
    ws.expect_close(1000);
    assert!(ws.stream.heard_goodbye());
    // TLS's alone, the TCP connection staying open: it is the end.
    let mut ws = open(&server);
    ws.stream.session().send_close_notify();
    ws.stream.flush();
    ws.stream.expect_end(PATIENCE);
    assert!(ws.stream.heard_goodbye());
    // Behind a last command, which is obeyed.
    let mut hearer = open(&server);
    hearer.subscribe("t");
    let mut ws = open(&server);
    let mut bytes = ws.stream.seal(&Frame::text(publish(7, 10).to_string()).encode());
    ws.stream.session().send_close_notify();
    bytes.extend(ws.stream.seal(b""));
    ws.stream.session().write_tls(&mut bytes).unwrap();
    ws.stream.writer().write_all(&bytes).unwrap();
    assert_eq!(number(&hearer.hear_type("event")), 7);
    ws.stream.expect_end(PATIENCE);
    // Cut off without a word.
    let ws = open(&server);
    ws.stream.finish();
    drop(ws);
    server.await_connections(1);
    assert_eq!(server.metric("fanfare_connections_closed_total{code=\"1000\"}"), 1.0);
    assert_eq!(server.metric("fanfare_connections_closed_total{code=\"1006\"}"), 3.0);
}

#[test]
fn a_forged_record_ends_its_connection_and_no_other() {
    let pair = Pair::new();
    let server = pair.start(&[]);
    let mut other = open(&server);
    for tamper in [0, 3, 20] {
        let mut ws = open(&server);
        let mut bytes = ws.stream.seal(&Frame::text(r#"{"type":"ping"}"#).encode());
        bytes[tamper] ^= 0x55;
        // One that claims to be longer than it is needs the rest.
        bytes.resize(40_000, 0);
        let _cut_off = ws.stream.writer().write_all(&bytes);
        ws.stream.expect_end(PATIENCE);
        ping(&mut other);
    }
    server.await_connections(1);
}

#[test]
fn an_invalid_handshake_affects_no_other() {
    let pair = Pair::new();
    let server = pair.start(&[]);
    let mut ws = open(&server);
    let plain = Endpoint::from(server.addr());
    let mut silent = Stream::connect(plain);
    let started = std::time::Instant::now();
    for words in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0x16; 4096], &[0; 100], &[0xff; 20_000]] {
        let mut stream = Stream::connect(plain);
        stream.try_write(words);
        stream.expect_end(PATIENCE);
        ping(&mut ws);
    }
    // Nobody waits longer than 10 s for a handshake.
    silent.expect_end(PATIENCE);
    assert!((8..15).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    ping(&mut ws);
}

#[test]
fn a_stopping_server_closes_within_tls() {
    let pair = Pair::new();
    let mut server = pair.start(&[]);
    let mut sockets: Vec<_> = (0..20).map(|_| open(&server)).collect();
    server.signal(Signal::TERM);
    for ws in &mut sockets {
        let frames = ws.expect_close(1001);
        assert!(frames.iter().any(|f| f.json()["code"] == "SERVER_SHUTDOWN"), "{frames:?}");
        assert!(ws.stream.heard_goodbye());
    }
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}
