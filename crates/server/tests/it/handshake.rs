//! The opening handshake: what is refused, how, and before what (RFC 6455 section 4.2, `protocol.md` 5).

use crate::support::{must_fail, start};
use fanfare_testkit::client::Client;
use fanfare_testkit::raw::{Frame, Raw, Stream};
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server};
use serde_json::json;
use std::time::{Duration, Instant};

const KEY: &str = "Sec-WebSocket-Key";
const VERSION: &str = "Sec-WebSocket-Version";
const PROTOCOL: &str = "Sec-WebSocket-Protocol";

fn upgrade() -> Request {
    Request::upgrade("/ws")
}

#[test]
fn each_broken_handshake_is_refused() {
    let server = start(&[]);
    let cases = [
        ("no key", upgrade().without(KEY), 400),
        ("a key that is no base64", upgrade().replace(KEY, "not base64 at all!"), 400),
        ("a key of 15 bytes", upgrade().replace(KEY, "AAAAAAAAAAAAAAAAAAAA"), 400),
        ("two keys", upgrade().header(KEY, "dGhlIHNhbXBsZSBub25jZQ=="), 400),
        ("no Connection: Upgrade", upgrade().replace("Connection", "keep-alive"), 400),
        ("version 12", upgrade().replace(VERSION, "12"), 426),
        ("version 8", upgrade().replace(VERSION, "8"), 426),
        ("no version", upgrade().without(VERSION), 426),
        ("two versions", upgrade().header(VERSION, "13"), 426),
        ("no Upgrade", upgrade().without("Upgrade"), 426),
        ("Upgrade to something else", upgrade().replace("Upgrade", "h2c"), 426),
    ];
    for (what, request, status) in cases {
        let answer = request.replace("Host", "127.0.0.1").send(server.addr());
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        let code = answer.problem();
        if status == 426 {
            assert_eq!(code, "upgrade_required", "{what}");
            assert_eq!(answer.head.get("sec-websocket-version"), Some("13"), "{what}");
            assert_eq!(answer.head.get("upgrade"), Some("websocket"), "{what}: RFC 9110 section 15.5.22");
        }
    }
    let answer = upgrade().method("POST").send(server.addr());
    assert_eq!((answer.status, answer.problem().as_str()), (405, "method_not_allowed"));
    assert!(answer.head.get("allow").is_some_and(|allow| allow.contains("GET")), "{answer:?}");
    server.await_connections(0);
}

#[test]
fn an_upgrade_needs_http_1_1() {
    let server = start(&[]);
    let answer = upgrade().version("HTTP/1.0").send(server.addr());
    assert!((400..=505).contains(&answer.status), "{answer:?}");
}

#[test]
fn a_request_names_its_host_once() {
    // RFC 9112 section 3.2: a server MUST answer 400 to an HTTP/1.1 request without Host, or with two.
    let server = start(&[]);
    let none = upgrade().without("Host").send(server.addr());
    let two = upgrade().header("Host", "other").send(server.addr());
    let plain = Request::new("GET", "/livez").header("Connection", "close").send(server.addr());
    assert_eq!((none.status, two.status, plain.status), (400, 400, 400));
}

#[test]
fn header_names_and_tokens_are_case_insensitive() {
    let server = start(&[]);
    let request = upgrade()
        .replace("Connection", "keep-alive, UPGRADE")
        .replace("Upgrade", "WebSocket")
        .without(KEY)
        .header("SEC-WEBSOCKET-KEY", "dGhlIHNhbXBsZSBub25jZQ==");
    let ws = Raw::upgrade(server.addr(), &request);
    assert_eq!(
        ws.head.get("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "RFC 6455 section 1.3"
    );
}

fn origin_answer(server: &Server, origin: &str, host: &str) -> u16 {
    let mut stream = Stream::connect(server.addr());
    stream.write(&upgrade().replace("Host", host).header("Origin", origin).bytes());
    let deadline = PATIENCE;
    // The head alone: after 101 no body follows.
    match stream.read_head_within(deadline) {
        Some(head) => head.status,
        None => panic!("no answer to {origin}"),
    }
}

#[test]
fn origins_are_judged_before_the_upgrade() {
    let server = start(&[
        ("server.cors_origins", "https://app.example"),
        ("server.public_origin", "https://rt.example"),
    ]);
    let own = server.addr().to_string();
    let cases = [
        ("https://app.example", "localhost", 101),
        ("https://rt.example", "localhost", 101),
        (&format!("http://{own}"), &own, 101),
        ("http://localhost:8080", "localhost:8080", 101),
        ("https://app.example.evil.example", "localhost", 403),
        ("http://app.example", "localhost", 403),
        ("https://app.example:444", "localhost", 403),
        ("https://APP.example", "localhost", 101),
        ("https://app.example:443", "localhost", 101),
        ("http://localhost:80", "localhost", 101),
        ("http://localhost", "LOCALHOST:80", 101),
        ("https://app.example:80", "localhost", 403),
        ("null", "localhost", 403),
        ("http://localhost:3000", "localhost", 403),
        ("http://evil.example", "evil.example", 403),
        ("http://localhost:1", "localhost:2", 403),
        ("", "localhost", 403),
    ];
    for (origin, host, status) in cases {
        assert_eq!(origin_answer(&server, origin, host), status, "{origin} on {host}");
    }
    let twice = upgrade().header("Origin", "https://app.example").header("Origin", "https://evil.example");
    let answer = twice.send(server.addr());
    assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"));
}

#[test]
fn the_default_origin_counts_in_development_only() {
    let development = start(&[]);
    assert_eq!(origin_answer(&development, "http://localhost:3000", "localhost"), 101);
    let production = start(&[("environment", "production")]);
    assert_eq!(origin_answer(&production, "http://localhost:3000", "localhost"), 403);
}

#[test]
fn development_admits_the_pages_of_this_machine_while_no_origins_are_set() {
    let machine = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    let own = format!("http://{machine}:5173");
    let local =
        ["http://localhost:5173", "https://localhost", "http://127.0.0.1:1", "https://[::1]:8443", &own];
    let foreign = [
        "http://evil.example",
        "http://localhost.evil.example",
        "http://127.0.0.2:1",
        "ftp://localhost",
        "null",
    ];
    let development = start(&[]);
    let set = start(&[("server.cors_origins", "http://localhost:3000")]);
    let production = start(&[("environment", "production")]);
    for origin in local {
        // By the name under which the page reached the server.
        assert_eq!(origin_answer(&development, origin, "rebound.example"), 101, "{origin}");
        assert_eq!(origin_answer(&set, origin, "rebound.example"), 403, "{origin} where others are listed");
        assert_eq!(origin_answer(&production, origin, "rebound.example"), 403, "{origin} in production");
    }
    for origin in foreign {
        assert_eq!(origin_answer(&development, origin, "rebound.example"), 403, "{origin}");
    }
}

#[test]
fn heads_are_bounded() {
    let server = start(&[]);
    let mut many = upgrade();
    for n in 0..80 {
        many = many.header(&format!("X-{n}"), "v");
    }
    let long = upgrade().header("X-Long", &"v".repeat(20_000));
    for (what, request) in [("80 headers", many), ("a header of 20 kB", long)] {
        let answer = request.send(server.addr());
        assert_eq!(answer.status, 431, "{what}: {answer:?}");
    }
    let answer = Request::upgrade(&format!("/ws?x={}", "y".repeat(8200))).send(server.addr());
    assert_eq!(answer.status, 414, "{answer:?}");
    assert_eq!(answer.problem(), "invalid_field");
}

#[test]
fn bytes_behind_the_request_are_obeyed() {
    let server = start(&[]);
    let command = json!({ "type": "subscribe", "topic": "early", "request_id": 1 });
    let frames = [Frame::text(command.to_string()).encode(), Frame::new(9, "hello").encode()].concat();
    let mut ws = Raw::with_bytes(server.addr(), &[upgrade().bytes(), frames].concat());
    assert_eq!(ws.hear()["type"], "welcome");
    let ack = ws.hear();
    assert_eq!((&ack["type"], &ack["request_id"]), (&json!("ack"), &json!(1)), "{ack}");
    assert_eq!(ws.recv(), Some(Frame::new(10, "hello")));

    // A frame that is cut between the two reads.
    let frame = Frame::text(command.to_string()).encode();
    let mut ws = Raw::with_bytes(server.addr(), &[upgrade().bytes(), frame[..20].to_vec()].concat());
    assert_eq!(ws.hear()["type"], "welcome");
    ws.stream.write(&frame[20..]);
    assert_eq!(ws.hear()["for"], "subscribe");
}

#[test]
fn the_first_subprotocol_that_is_spoken_is_chosen() {
    let server = start(&[]);
    let cases = [
        ("fanfare.v1", Some("fanfare.v1"), "welcome"),
        ("chat, fanfare.v1", Some("fanfare.v1"), "welcome"),
        ("jsonrpc, fanfare.v1", Some("jsonrpc"), "session.welcome"),
        ("fanfare.v1, jsonrpc", Some("fanfare.v1"), "welcome"),
        ("chat, superchat", None, "welcome"),
        ("FANFARE.V1", None, "welcome"),
    ];
    for (offered, chosen, first) in cases {
        let mut ws = Raw::upgrade(server.addr(), &upgrade().header(PROTOCOL, offered));
        assert_eq!(ws.head.get("sec-websocket-protocol"), chosen, "{offered}");
        let welcome = ws.hear();
        let kind = if first == "welcome" { &welcome["type"] } else { &welcome["method"] };
        assert_eq!(kind, first, "{offered}: {welcome}");
        assert_eq!(ws.head.get("sec-websocket-extensions"), None, "compression is off by default");
    }
    let mut rpc = Raw::upgrade(server.addr(), &Request::upgrade("/rpc"));
    assert_eq!(rpc.hear()["method"], "session.welcome");
}

#[test]
fn invalid_credentials_are_refused_before_the_upgrade() {
    let server = start(&[]);
    let refused = [
        upgrade().header("Authorization", "Bearer nonsense"),
        Request::upgrade("/ws?token=nonsense"),
        Request::upgrade("/ws?ticket=nonsense"),
        Request::upgrade("/ws?session=happy-panda-42"),
        Request::upgrade("/ws?resume=nonsense"),
        Request::upgrade("/ws?session=happy-panda-42&resume=nonsense"),
    ];
    let mut bodies = Vec::new();
    for request in refused {
        let answer = request.send(server.addr());
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorized"), "{request:?}");
        assert!(answer.head.get("www-authenticate").is_some(), "RFC 9110 section 15.5.2");
        let mut body = answer.json();
        body["request_id"].take();
        bodies.push(body);
    }
    assert!(bodies[3] == bodies[4] && bodies[4] == bodies[5], "what was wrong with a resume is not told");
    server.await_connections(0);
}

#[test]
fn a_valid_token_resumes_after_any_guesses_of_its_address() {
    let server = start(&[]);
    let (_socket, welcome) = Client::greeted(server.addr());
    let text = |name: &str| welcome[name].as_str().unwrap().to_owned();
    let (code, token) = (text("session_code"), text("resume_token"));
    let resume = |code: &str, token: &str| {
        Request::upgrade(&format!("/ws?session={code}&resume={token}")).send(server.addr()).status
    };
    assert_eq!([(); 5].map(|()| resume("happy-panda-42", "nonsense")), [401; 5]);
    assert_eq!(resume("happy-panda-42", "nonsense"), 429);
    assert_eq!(resume("happy-panda-42", &token), 401, "a token that unseals is tried, and refused as ever");
    assert_eq!(resume(&code, &token), 101);
    assert_eq!(resume(&code, "nonsense"), 429);
}

/// Writes `bytes`, then nothing; returns how long the server keeps the connection.
fn borne(server: &Server, bytes: &[u8], within: Duration) -> Duration {
    let begun = Instant::now();
    let mut stream = Stream::connect(server.addr());
    stream.write(bytes);
    stream.expect_end(within);
    begun.elapsed()
}

#[test]
fn silence_is_not_borne_for_long() {
    let server = start(&[("server.header_timeout", "700ms")]);
    let request = upgrade().bytes();
    let cases: [(&str, &[u8]); 4] = [
        ("not a word", b""),
        ("half a line", &request[..5]),
        ("half a request", &request[..60]),
        ("all but the last byte", &request[..request.len() - 1]),
    ];
    for (what, bytes) in cases {
        let took = borne(&server, bytes, PATIENCE);
        assert!(took >= Duration::from_millis(500), "{what}: closed after {took:?}, before the timeout");
        assert!(took < Duration::from_secs(8), "{what}: borne for {took:?}");
    }
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn twin_before_the_timeout_silence_is_borne() {
    let server = start(&[("server.header_timeout", "10m")]);
    must_fail("silence", || borne(&server, b"GET", Duration::from_secs(2)));
}

#[test]
fn a_connection_that_falls_silent_after_a_request_is_not_kept_for_long() {
    let server = start(&[("server.header_timeout", "700ms")]);
    let mut stream = Stream::connect(server.addr());
    stream.write(&Request::get("/livez").without("Connection").bytes());
    assert_eq!(stream.read_answer(PATIENCE).unwrap().status, 200);
    let begun = Instant::now();
    stream.expect_end(PATIENCE);
    assert!(begun.elapsed() < Duration::from_secs(8), "kept for {:?}", begun.elapsed());
}

#[test]
fn a_request_that_drips_is_not_borne_for_longer() {
    let server = start(&[("server.header_timeout", "700ms")]);
    let mut stream = Stream::connect(server.addr());
    let begun = Instant::now();
    for byte in upgrade().header("X-Long", &"v".repeat(600)).bytes() {
        std::thread::sleep(Duration::from_millis(20)); // the pace is what is tested, not what is waited for
        if !stream.try_write(&[byte]) {
            break;
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "each byte bought more time");
}

#[test]
fn input_that_is_not_http_affects_no_other() {
    let server = start(&[]);
    let mut other = Raw::open(server.addr());
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0",
        b"GET\r\n\r\n",
        b"\r\n\r\n\r\nx y z\r\n\r\n",
    ] {
        let mut stream = Stream::connect(server.addr());
        stream.write(bytes);
        stream.finish();
        stream.expect_end(PATIENCE);
    }
    other.expect_alive();
}
