//! Frames that break the rules, and what is answered (RFC 6455 sections 5, 7 and 8; `protocol.md` 5).

use crate::support::start;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw::{Frame, Raw, op};
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::Server;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn greeted(server: &Server) -> Raw {
    let mut ws = Raw::open(server.addr());
    assert_eq!(ws.hear()["type"], "welcome");
    ws
}

fn violations() -> Vec<(&'static str, Vec<u8>, u16)> {
    let text = || Frame::text("{}");
    let long_form = vec![0x81, 0x80 | 126, 0, 2, 1, 2, 3, 4, 0, 0];
    let longest_form = vec![0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 3, 4, 0, 0];
    let close = |payload: &[u8]| Frame::new(op::CLOSE, payload).encode();
    vec![
        ("unmasked text", text().encode_unmasked(), 1002),
        ("unmasked ping", Frame::new(op::PING, "").encode_unmasked(), 1002),
        ("RSV1 without compression", text().rsv(4).encode(), 1002),
        ("RSV2", text().rsv(2).encode(), 1002),
        ("RSV3", text().rsv(1).encode(), 1002),
        ("opcode 3", Frame::new(3, "").encode(), 1002),
        ("opcode 7", Frame::new(7, "").encode(), 1002),
        ("opcode 11", Frame::new(11, "").encode(), 1002),
        ("opcode 15", Frame::new(15, "").encode(), 1002),
        ("a ping in parts", Frame::new(op::PING, "").part().encode(), 1002),
        ("a close in parts", Frame::new(op::CLOSE, "").part().encode(), 1002),
        ("a ping of 126 bytes", Frame::new(op::PING, [0; 126]).encode(), 1002),
        ("a length that is not in its shortest form", long_form, 1002),
        ("the same in eight bytes", longest_form, 1002),
        ("a length of 64 bits", text().announce(1 << 63), 1002),
        ("a continuation of nothing", Frame::new(op::CONTINUATION, "x").encode(), 1002),
        ("a message within a message", [text().part().encode(), text().encode()].concat(), 1002),
        ("a close of one byte", close(&[3]), 1002),
        ("close 999", close(&999_u16.to_be_bytes()), 1002),
        ("close 1004", close(&1004_u16.to_be_bytes()), 1002),
        ("close 1005", close(&1005_u16.to_be_bytes()), 1002),
        ("close 1006", close(&1006_u16.to_be_bytes()), 1002),
        ("close 1015", close(&1015_u16.to_be_bytes()), 1002),
        ("close 2999", close(&2999_u16.to_be_bytes()), 1002),
        ("close 5000", close(&5000_u16.to_be_bytes()), 1002),
        ("a close reason that is no UTF-8", close(&[3, 232, 0xff]), 1007),
        ("text that is no UTF-8", Frame::text([0xce, 0xba, 0xff]).encode(), 1007),
        ("a surrogate in UTF-8", Frame::text([0xed, 0xa0, 0x80]).encode(), 1007),
        ("text that ends within a character", Frame::text([0xe2, 0x82]).encode(), 1007),
    ]
}

#[test]
fn each_violation_is_closed_with_its_code_and_affects_no_other() {
    let server = start(&[]);
    let mut bystander = Client::connect(server.addr());
    bystander.subscribe("calm");
    for (n, (what, bytes, code)) in violations().into_iter().enumerate() {
        let mut ws = greeted(&server);
        ws.stream.write(&bytes);
        let (frames, closed) = ws.read_to_close(Duration::from_secs(20));
        assert_eq!(closed, Some(code), "{what}: after {frames:?}");
        assert_eq!(frames, [], "{what}");
        bystander.publish("calm", json!(n));
        assert_eq!(bystander.hear_type("event")["payload"], n, "{what}");
    }
    server.await_connections(1);
}

#[test]
fn frames_before_a_violation_are_executed_and_none_after() {
    let server = start(&[]);
    server.make_topic("t");
    let mut ws = greeted(&server);
    let publish =
        |n| Frame::text(json!({ "type": "publish", "topic": "t", "payload": n }).to_string()).encode();
    ws.stream.write(&[publish(1), Frame::new(3, "").encode(), publish(2)].concat());
    let frames = ws.expect_close(1002);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].json()["for"], "publish");
    assert_eq!(server.stats()["topics"]["t"]["published"], 1);
}

#[test]
fn a_message_is_too_large_as_soon_as_it_is_announced() {
    let server = start(&[]);
    let whole = Frame::text("").announce(65_537);
    let huge = Frame::text("").announce(1 << 40);
    let parts =
        [Frame::text("x".repeat(60_000)).part().encode(), Frame::new(op::CONTINUATION, "").announce(5_537)];
    for (what, bytes) in [("one frame", whole), ("a terabyte", huge), ("two frames", parts.concat())] {
        let mut ws = greeted(&server);
        ws.stream.write(&bytes);
        let frames = ws.expect_close(1009);
        assert_eq!(frames.len(), 1, "{what}");
        let error = frames[0].json();
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("error"), &json!("MESSAGE_TOO_LARGE")),
            "{what}"
        );
    }
    let mut rpc = Raw::upgrade(server.addr(), &Request::upgrade("/rpc"));
    assert_eq!(rpc.hear()["method"], "session.welcome");
    rpc.stream.write(&Frame::text("").announce(65_537));
    let error = rpc.expect_close(1009).remove(0).json();
    assert_eq!(
        (&error["method"], &error["params"]["code"]),
        (&json!("server.error"), &json!("MESSAGE_TOO_LARGE"))
    );
    // The largest that may be sent is answered.
    let mut ws = greeted(&server);
    let command = json!({ "type": "ping", "pad": "" }).to_string();
    let padded =
        command.replace("\"pad\":\"\"", &format!("\"pad\":\"{}\"", "x".repeat(65_536 - command.len())));
    assert_eq!(padded.len(), 65_536);
    ws.send(&Frame::text(padded));
    assert_eq!(ws.hear()["type"], "pong");
}

#[test]
fn a_message_in_parts_with_pings_between_is_one_message() {
    let server = start(&[]);
    let mut ws = greeted(&server);
    let text = json!({ "type": "ping", "request_id": "zwölf Bögen €" }).to_string();
    let (first, rest) = text.as_bytes().split_at(text.find('€').unwrap() + 1); // within a character
    ws.send(&Frame::text(first).part());
    ws.send(&Frame::new(op::PING, "between"));
    assert_eq!(ws.recv(), Some(Frame::new(op::PONG, "between")), "before the message is complete");
    ws.send(&Frame::new(op::CONTINUATION, "").part());
    ws.send(&Frame::new(op::CONTINUATION, rest));
    assert_eq!(ws.hear()["request_id"], "zwölf Bögen €");
}

#[test]
fn invalid_utf8_in_parts_is_detected_before_the_message_ends() {
    let server = start(&[]);
    let mut ws = greeted(&server);
    ws.send(&Frame::text([b'"', 0xe2, 0x82]).part());
    ws.expect_alive(); // a character that may still be completed
    ws.send(&Frame::new(op::CONTINUATION, [0x41]).part());
    ws.expect_close(1007);
}

#[test]
fn endless_tiny_fragments_end_the_connection() {
    let server = start(&[]);
    for (what, piece) in [("of one byte", "x"), ("of nothing", "")] {
        let mut ws = greeted(&server);
        ws.send(&Frame::text("\"").part());
        let many = Frame::new(op::CONTINUATION, piece).part().encode().repeat(100);
        let mut sent = 0;
        while sent < 1 << 20 && ws.stream.try_write(&many) {
            sent += many.len();
        }
        let frames = ws.expect_close(1008);
        assert!(frames.is_empty(), "{what}");
    }
}

#[test]
fn a_flood_of_control_frames_ends_the_connection_and_ten_do_not() {
    let server = start(&[]);
    for opcode in [op::PING, op::PONG] {
        let mut ws = greeted(&server);
        // 21 within a moment are eleven within one second, wherever seconds are counted from.
        ws.stream.write(&Frame::new(opcode, "x").encode().repeat(21));
        let frames = ws.expect_close(1008);
        assert!(frames.len() <= 20, "{} pongs", frames.len());
    }
    let mut ws = greeted(&server);
    ws.stream.write(&Frame::new(op::PING, "x").encode().repeat(10));
    for _ in 0..10 {
        assert_eq!(ws.recv(), Some(Frame::new(op::PONG, "x")));
    }
    assert_eq!(ws.call(&json!({ "type": "ping" }))["type"], "pong");
}

#[test]
fn a_binary_frame_is_refused_and_the_connection_lives() {
    let server = start(&[]);
    let mut ws = greeted(&server);
    ws.send(&Frame::new(op::BINARY, r#"{"type":"ping"}"#));
    let error = ws.hear();
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("INVALID_JSON")));
    ws.expect_alive();
}

#[test]
fn the_closing_handshake_echoes_the_code() {
    let server = start(&[]);
    server.make_topic("t");
    let publish = Frame::text(json!({ "type": "publish", "topic": "t", "payload": 1 }).to_string()).encode();
    for code in [1000, 1001, 1003, 1011, 3000, 4999] {
        let mut ws = greeted(&server);
        ws.stream.write(&[Frame::close(code, "good bye, so long").encode(), publish.clone()].concat());
        ws.expect_close(code);
    }
    let mut ws = greeted(&server);
    ws.send(&Frame::new(op::CLOSE, ""));
    let (_, code) = ws.read_to_close(Duration::from_secs(20));
    assert!(matches!(code, None | Some(1000)), "{code:?}");
    assert_eq!(server.stats()["topics"]["t"]["published"], 0, "nothing after a close is obeyed");
    server.await_connections(0);
}

#[test]
fn requests_before_the_end_get_replies() {
    let server = start(&[]);
    server.make_topic("t");
    let publish = Frame::text(r#"{"type":"publish","topic":"t","payload":1}"#).encode().repeat(1500);
    let mut closing = greeted(&server);
    closing.stream.write(&[publish.clone(), Frame::close(1000, "").encode()].concat());
    assert_eq!(closing.expect_close(1000).len(), 1500);
    // A client that only closes its sending side gets its replies, too.
    let mut finishing = greeted(&server);
    finishing.stream.write(&publish);
    finishing.stream.finish();
    let acks = std::iter::from_fn(|| finishing.recv()).filter(|frame| frame.opcode == op::TEXT).count();
    assert_eq!(acks, 1500);
    assert_eq!(server.stats()["topics"]["t"]["published"], 3000);
}

#[test]
fn a_client_that_does_not_return_a_close_is_cut() {
    let server = start(&[]);
    let mut silent = greeted(&server);
    let mut chatty = greeted(&server);
    for ws in [&mut silent, &mut chatty] {
        ws.send(&Frame::new(3, ""));
        assert_eq!(ws.recv().and_then(|frame| frame.close_code()), Some(1002));
    }
    let begun = Instant::now();
    // Further frames are not processed and do not extend the time.
    while chatty.stream.try_write(&Frame::text(r#"{"type":"ping"}"#).encode()) {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    silent.stream.expect_end(Duration::from_secs(10));
    server.await_connections(0);
}

#[test]
fn pings_are_answered_while_others_keep_the_server_busy() {
    let server = start(&[("limits.queue_messages", "100000"), ("limits.queue_bytes", "64MiB")]);
    server.make_topic("busy");
    let busy = AtomicBool::new(true);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            let mut ws = greeted(&server);
            ws.subscribe("busy");
            scope.spawn(move || while ws.recv().is_some_and(|frame| frame.opcode != op::CLOSE) {});
        }
        let mut publisher = Client::connect(server.addr());
        let busy = &busy;
        scope.spawn(move || {
            while busy.load(Ordering::Relaxed) {
                publisher.publish("busy", json!("x".repeat(1000)));
            }
            publisher.close();
        });
        let mut ws = greeted(&server);
        for n in 0..40_u32 {
            let begun = Instant::now();
            // As commands, of which there may be any number a second.
            ws.say(&json!({ "type": "ping", "request_id": n }));
            assert_eq!(ws.hear()["request_id"], n);
            assert!(begun.elapsed() < Duration::from_secs(2), "a ping took {:?}", begun.elapsed());
        }
        ws.send(&Frame::new(op::PING, "frame"));
        assert_eq!(ws.recv(), Some(Frame::new(op::PONG, "frame")));
        busy.store(false, Ordering::Relaxed);
        assert_eq!(server.post("/publish", &json!({ "topic": "busy", "payload": null })).status, 200);
        server.signal(fanfare_testkit::server::Signal::TERM);
    });
}
