//! permessage-deflate between this server and a client that inflates by the letter of RFC 7692.

use crate::support::start;
use fanfare_testkit::raw::{Frame, Raw, deflate, inflate, op};
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::Server;
use serde_json::json;

const RSV1: u8 = 4;

fn compressing() -> Server {
    start(&[("ws.compression", "true")])
}

fn offering(server: &Server, offer: &str) -> Raw {
    let request = Request::upgrade("/ws").header("Sec-WebSocket-Extensions", offer);
    Raw::upgrade(server.addr(), &request)
}

/// The text of a frame, inflated if it is compressed, and whether it was.
fn text(frame: &Frame) -> (serde_json::Value, bool) {
    assert_eq!((frame.opcode, frame.fin), (op::TEXT, true));
    let compressed = frame.rsv == RSV1;
    assert!(compressed || frame.rsv == 0);
    let payload = if compressed { inflate(&frame.payload) } else { frame.payload.clone() };
    (serde_json::from_slice(&payload).unwrap(), compressed)
}

#[test]
fn events_are_compressed_only_where_negotiated() {
    let server = compressing();
    let mut asked = offering(&server, "permessage-deflate; client_max_window_bits");
    let agreed = asked.head.get("sec-websocket-extensions").expect("agreed").to_owned();
    for word in ["permessage-deflate", "server_no_context_takeover", "client_no_context_takeover"] {
        assert!(agreed.contains(word), "{agreed}: no window is kept between messages");
    }
    let mut plain = Raw::open(server.addr());
    assert_eq!(plain.head.get("sec-websocket-extensions"), None);
    for ws in [&mut asked, &mut plain] {
        ws.send(&Frame::text(r#"{"type":"subscribe","topic":"t"}"#));
        while text(&ws.recv().unwrap()).0["type"] != "ack" {}
    }
    let mut saved = 0;
    for n in 0..20 {
        let payload = json!({ "n": n, "text": "the same words again and again ".repeat(n * 5), "ä": "€🎺" });
        let answer = server.post("/publish", &json!({ "topic": "t", "payload": payload }));
        assert_eq!(answer.status, 200);
        let small = asked.recv().unwrap();
        let large = plain.recv().unwrap();
        let (event, compressed) = text(&small);
        assert_eq!(event, text(&large).0, "the same event");
        assert_eq!(event["payload"], payload);
        assert_eq!(large.rsv, 0);
        assert!(compressed || n == 0, "an event of {} bytes is plain", large.payload.len());
        saved += large.payload.len() - small.payload.len();
    }
    assert!(saved > 20_000, "{saved} bytes were saved");
    asked.expect_alive();
}

#[test]
fn json_rpc_is_compressed_alike() {
    let server = compressing();
    let request = Request::upgrade("/rpc").header("Sec-WebSocket-Extensions", "permessage-deflate");
    let mut ws = Raw::upgrade(server.addr(), &request);
    assert_eq!(text(&ws.recv().unwrap()).0["method"], "session.welcome");
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "topic.subscribe", "params": { "topic": "t" } });
    ws.send(&Frame::text(deflate(call.to_string().as_bytes())).rsv(RSV1));
    assert_eq!(text(&ws.recv().unwrap()).0["id"], 1);
    let payload = "over and over ".repeat(50);
    server.post("/publish", &json!({ "topic": "t", "payload": payload }));
    let (event, compressed) = text(&ws.recv().unwrap());
    assert_eq!((&event["method"], &event["params"]["payload"]), (&json!("topic.event"), &json!(payload)));
    assert!(compressed);
}

#[test]
fn compressed_commands_are_understood_in_one_frame_or_many() {
    let server = compressing();
    let mut ws = offering(&server, "permessage-deflate");
    let command = json!({ "type": "ping", "request_id": "compressed", "pad": "z".repeat(5000) }).to_string();
    let small = deflate(command.as_bytes());
    assert!(small.len() < 200);
    let answered = |ws: &mut Raw| loop {
        let (value, _) = text(&ws.recv().unwrap());
        if value["type"] != "welcome" {
            return value;
        }
    };
    ws.send(&Frame::text(&small).rsv(RSV1));
    assert_eq!(answered(&mut ws)["request_id"], "compressed");
    let (first, rest) = small.split_at(10);
    ws.send(&Frame::text(first).rsv(RSV1).part());
    ws.send(&Frame::new(op::CONTINUATION, rest));
    assert_eq!(answered(&mut ws)["request_id"], "compressed");
    ws.send(&Frame::text(&command));
    assert_eq!(answered(&mut ws)["request_id"], "compressed", "plain frames stay allowed");
}

#[test]
fn a_message_that_inflates_beyond_the_limit_is_too_large() {
    let server = compressing();
    let mut other = Raw::open(server.addr());
    let before = server.rss_kib();
    let bomb = deflate(&vec![b' '; 32 << 20]);
    assert!(bomb.len() < 65_536, "{} bytes on the wire", bomb.len());
    for _ in 0..20 {
        let mut ws = offering(&server, "permessage-deflate");
        ws.send(&Frame::text(&bomb).rsv(RSV1));
        let frames = ws.expect_close(1009);
        assert_eq!(text(frames.last().unwrap()).0["code"], "MESSAGE_TOO_LARGE");
    }
    let grown = server.rss_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "20 bombs of 32 MiB cost {grown} KiB");
    other.expect_alive();
    // The largest that may be said is understood, one byte more is not.
    for (size, fits) in [(65_536, true), (65_537, false)] {
        let command = json!({ "type": "ping", "pad": "" }).to_string();
        let pad = "z".repeat(size - command.len());
        let command = command.replace("\"pad\":\"\"", &format!("\"pad\":\"{pad}\""));
        let mut ws = offering(&server, "permessage-deflate");
        ws.send(&Frame::text(deflate(command.as_bytes())).rsv(RSV1));
        if fits {
            ws.expect_alive();
        } else {
            ws.expect_close(1009);
        }
    }
}

#[test]
fn a_message_that_does_not_inflate_is_invalid_data() {
    let server = compressing();
    for (what, payload) in
        [("noise", &b"\xff\xff\xff\xff\xff\xff"[..]), ("half a stream", &deflate(&[b'a'; 3000])[..5])]
    {
        let mut ws = offering(&server, "permessage-deflate");
        ws.send(&Frame::text(payload).rsv(RSV1));
        let (frames, code) = ws.read_to_close(fanfare_testkit::server::PATIENCE);
        assert_eq!(code, Some(1007), "{what}: {frames:?}");
    }
    // Never agreed on: a reserved bit.
    let mut ws = Raw::open(server.addr());
    ws.send(&Frame::text(deflate(b"{}")).rsv(RSV1));
    ws.expect_close(1002);
    // Control frames are never compressed.
    let mut ws = offering(&server, "permessage-deflate");
    ws.send(&Frame::new(op::PING, "x").rsv(RSV1));
    ws.expect_close(1002);
}

#[test]
fn offers_that_cannot_be_met_are_left_and_broken_ones_refused() {
    let server = compressing();
    for (offer, agreed) in [
        ("x-unknown", false),
        ("permessage-deflate; server_max_window_bits=8", false),
        ("x-unknown, permessage-deflate", true),
        ("permessage-deflate; server_max_window_bits=10", true),
        ("permessage-deflate; nonsense=1, permessage-deflate", true),
    ] {
        let mut ws = offering(&server, offer);
        assert_eq!(ws.head.get("sec-websocket-extensions").is_some(), agreed, "{offer}");
        ws.expect_alive();
    }
    let broken = Request::upgrade("/ws").header("Sec-WebSocket-Extensions", "permessage-deflate; =");
    assert_eq!(broken.send(server.addr()).status, 400);
}
