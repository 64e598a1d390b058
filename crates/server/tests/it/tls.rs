//! HTTPS on the shards: handshakes, records in every shape, backpressure, goodbyes and the certificate's life.

use crate::support::{BINARY, must_fail, start};
use fanfare_testkit::raw::{Endpoint, Frame, Raw, Stream, op};
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server, Signal, eventually};
use fanfare_testkit::tls;
use rcgen::{CertificateParams, KeyPair};
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A pair of files for a server to serve.
pub(crate) struct Pair {
    folder: TempDir,
}

impl Pair {
    /// Valid for a month.
    pub(crate) fn new() -> Self {
        let pair = Self { folder: TempDir::new().unwrap() };
        pair.renew(30 * DAY);
        pair
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Puts a new pair in its place: valid since a month ago, until so long from now.
    fn renew(&self, left: Duration) -> Vec<u8> {
        self.put(SystemTime::now() - 30 * DAY, SystemTime::now() + left)
    }

    fn put(&self, from: SystemTime, until: SystemTime) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost", "127.0.0.1"].map(str::to_owned)).unwrap();
        (params.not_before, params.not_after) = (from.into(), until.into());
        let cert = params.self_signed(&key).unwrap();
        std::fs::write(self.cert(), cert.pem()).unwrap();
        std::fs::write(self.key(), key.serialize_pem()).unwrap();
        chmod(&self.key(), 0o600);
        cert.der().to_vec()
    }

    /// The settings that serve it, and these.
    fn settings(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = [
            ("tls.cert", self.cert().display().to_string()),
            ("tls.key", self.key().display().to_string()),
            ("tls.port", "0".into()),
            ("tls.redirect_port", "0".into()),
        ];
        let own = own.into_iter().map(|(k, v)| (k.to_owned(), v));
        own.chain(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))).collect()
    }

    #[track_caller]
    pub(crate) fn start(&self, more: &[(&str, &str)]) -> Server {
        let settings = self.settings(more);
        let settings: Vec<_> = settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        start(&settings)
    }

    /// What a server says that does not start.
    #[track_caller]
    fn refused(&self, more: &[(&str, &str)]) -> String {
        let settings = self.settings(more);
        let settings: Vec<_> = settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let folder = TempDir::new().unwrap();
        let out = Server::command(BINARY, &folder.path().join("data"), &settings).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn open(server: &Server) -> Raw {
    greeted(server.endpoint())
}

#[track_caller]
fn greeted(to: Endpoint) -> Raw {
    let mut ws = Raw::open(to);
    assert_eq!(ws.hear()["type"], "welcome");
    ws
}

#[track_caller]
fn ping(ws: &mut Raw) {
    assert_eq!(ws.call(&json!({ "type": "ping" }))["type"], "pong");
}

fn publish(n: usize, size: usize) -> Value {
    json!({ "type": "publish", "topic": "t", "payload": format!("{n:06}{}", "x".repeat(size)) })
}

fn number(event: &Value) -> usize {
    event["payload"].as_str().unwrap()[..6].parse().unwrap()
}

/// Where the plain port is, as the server said on standard output.
#[track_caller]
fn redirecting(server: &Server) -> SocketAddr {
    eventually("the plain port is told", PATIENCE, || {
        let log = server.log();
        log.lines().find_map(|l| l.strip_prefix("redirecting http://"))?.parse().ok()
    })
}

/// The certificate that a new connection gets.
#[track_caller]
fn served(server: &Server) -> Vec<u8> {
    let mut stream = Stream::connect(server.endpoint());
    stream.session().peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn https_and_wss_are_served_and_told() {
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
fn a_slow_consumer_is_told_why_within_tls() {
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
fn what_is_dropped_for_a_slow_reader_never_breaks_a_frame() {
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
fn what_comes_with_the_upgrade_is_not_lost() {
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
fn what_is_no_handshake_costs_nobody_anything() {
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
fn a_new_certificate_is_served_and_open_sockets_stay() {
    let pair = Pair::new();
    let server = pair.start(&[]);
    let first = served(&server);
    let mut hearer = open(&server);
    hearer.subscribe("t");
    let mut publisher = open(&server);
    let mut count = 0;
    let mut seen = vec![first];
    for _ in 0..3 {
        let new = pair.renew(40 * DAY);
        server.signal(Signal::HUP);
        eventually("the new certificate is served", PATIENCE, || {
            // Load all the while.
            for _ in 0..20 {
                assert_eq!(publisher.call(&publish(count, 1000))["delivered"], 1);
                assert_eq!(number(&hearer.hear_type("event")), count);
                count += 1;
            }
            (served(&server) == new).then_some(())
        });
        assert!(!seen.contains(&new));
        seen.push(new);
    }
    ping(&mut hearer);
}

#[test]
fn a_bad_new_certificate_keeps_the_old_and_is_told_once() {
    let pair = Pair::new();
    let server = pair.start(&[]);
    let good = served(&server);
    let key = std::fs::read(pair.key()).unwrap();
    let cert = std::fs::read(pair.cert()).unwrap();
    let told = |times: usize, what: &str| {
        eventually(what, PATIENCE, || {
            let log = server.log();
            let lines = log.lines().filter(|line| line.contains("the old one stays"));
            assert!(lines.clone().count() <= times, "{log}");
            lines
                .filter(|line| line.contains(what))
                .last()
                .filter(|_| log.matches("the old one").count() == times)?;
            Some(())
        });
        assert_eq!(served(&server), good, "{what}");
    };
    std::fs::write(pair.cert(), "nonsense").unwrap();
    server.signal(Signal::HUP);
    told(1, "tls.cert");
    pair.put(SystemTime::now() - 30 * DAY, SystemTime::now() - DAY);
    server.signal(Signal::HUP);
    told(2, "has expired");
    pair.put(SystemTime::now() + DAY, SystemTime::now() + 30 * DAY);
    server.signal(Signal::HUP);
    told(3, "is not valid yet");
    std::fs::write(pair.cert(), &cert).unwrap();
    server.signal(Signal::HUP);
    told(4, "is not the key of tls.cert");
    std::fs::remove_file(pair.key()).unwrap();
    server.signal(Signal::HUP);
    told(5, "cannot be read");
    std::fs::write(pair.key(), key).unwrap();
    chmod(&pair.key(), 0o600);
    let newest = pair.renew(90 * DAY);
    server.signal(Signal::HUP);
    eventually("a good one is taken again", PATIENCE, || (served(&server) == newest).then_some(()));
}

#[test]
fn a_pair_that_cannot_be_served_is_named_at_the_start() {
    let pair = Pair::new();
    let other = Pair::new();
    let elsewhere = other.key().display().to_string();
    assert!(pair.refused(&[("tls.key", &elsewhere)]).contains("tls.key"));
    assert!(pair.refused(&[("tls.key", "/no/such/file")]).contains("tls.key: /no/such/file cannot be read"));
    assert!(pair.refused(&[("tls.cert", &elsewhere)]).contains("tls.cert"));
    let ports = [("tls.port", "18443"), ("tls.redirect_port", "18443")];
    assert!(pair.refused(&ports).contains("tls.redirect_port"));
    pair.put(SystemTime::now() - 30 * DAY, SystemTime::now() - DAY);
    let said = pair.refused(&[]);
    assert!(said.contains("tls.cert") && said.contains("has expired"), "{said}");
}

#[test]
fn a_key_that_everybody_can_read_is_refused_in_production() {
    let pair = Pair::new();
    chmod(&pair.key(), 0o644);
    let said = pair.refused(&[("environment", "production")]);
    assert!(said.contains("tls.key") && said.contains("chmod 600"), "{said}");
    let server = pair.start(&[]);
    assert!(server.log().contains("tls.key can be read by every user"), "{}", server.log());
    chmod(&pair.key(), 0o640);
    drop(pair.start(&[("environment", "production"), ("log.level", "warn")]));
}

#[test]
fn an_end_within_two_weeks_is_warned_of() {
    let pair = Pair::new();
    assert!(!pair.start(&[]).log().contains("expires soon"));
    pair.renew(13 * DAY);
    assert!(pair.start(&[]).log().contains("expires soon"));
}

#[test]
fn the_plain_port_redirects_who_can_be_redirected() {
    let pair = Pair::new();
    let server = pair.start(&[("server.public_origin", "https://chat.example.com")]);
    let plain = redirecting(&server);
    let upgrade = || Request::upgrade("/ws?token=secret");
    for (request, location) in [
        (Request::get("/"), Some("/")),
        (Request::get("/a?x=1&token=secret&y=2"), Some("/a?x=1&y=2")),
        (Request::get("/ws?ticket=secret"), Some("/ws")),
        (Request::new("HEAD", "/docs"), Some("/docs")),
        (Request::get("/a").header("Authorization", "Bearer secret"), Some("/a")),
        (Request::post("/publish", "{}"), None),
        (Request::new("OPTIONS", "/publish"), None),
        (Request::new("DELETE", "/topics/t"), None),
        (Request::new("TRACE", "/"), None),
        (upgrade(), None),
    ] {
        let answer = request.send(plain);
        match location {
            Some(path) => {
                assert_eq!(answer.status, 308, "{request:?}");
                let to = format!("https://chat.example.com{path}");
                assert_eq!(answer.head.get("location"), Some(to.as_str()));
            }
            None => {
                assert_eq!(
                    (answer.status, answer.problem().as_str()),
                    (403, "https_required"),
                    "{request:?}"
                );
                assert_eq!(answer.head.get("location"), None);
                assert_eq!(answer.head.get("connection"), Some("close"));
            }
        }
        assert_eq!(answer.head.get("strict-transport-security"), None);
        assert_eq!(answer.head.get("x-content-type-options"), Some("nosniff"));
        assert!(!answer.text().contains("secret"));
    }
    // The answer comes without the body having been asked for.
    let mut stream = Stream::connect(plain);
    stream
        .write(b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(stream.read_answer(PATIENCE).unwrap().status, 403);
    stream.expect_end(PATIENCE);

    let server = pair.start(&[("tls.redirect_all", "true")]);
    let plain = redirecting(&server);
    for request in [Request::get("/x?token=t"), Request::post("/x", "{}"), upgrade()] {
        let answer = request.send(plain);
        assert_eq!(answer.status, 308);
        let own = format!("https://{}/", server.addr());
        assert!(answer.head.get("location").unwrap().starts_with(&own), "{answer:?}");
        assert!(!answer.head.get("location").unwrap().contains("token"));
    }
}

#[test]
fn strict_transport_is_asked_for_over_tls_and_a_name_of_the_dns_only() {
    let pair = Pair::new();
    for (origin, asked) in [
        ("https://chat.example.com", true),
        ("https://localhost", false),
        ("https://127.0.0.1:8443", false),
        ("https://[::1]:8443", false),
    ] {
        let server = pair.start(&[("server.public_origin", origin)]);
        for target in ["/livez", "/", "/no/such/page"] {
            let answer = server.get(target);
            let header = asked.then_some("max-age=31536000; includeSubDomains");
            assert_eq!(answer.head.get("strict-transport-security"), header, "{origin}{target}");
        }
    }
    let plain = start(&[("server.public_origin", "https://chat.example.com")]);
    assert_eq!(plain.get("/livez").head.get("strict-transport-security"), None);
}

#[test]
fn a_stopping_server_says_goodbye_within_tls() {
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

fn fanfare(args: &[&str]) -> Output {
    Command::new(BINARY).env_clear().args(args).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_commands_speak_tls() {
    let folder = TempDir::new().unwrap();
    let data = format!("data_dir={}", folder.path().join("d").display());
    let made = fanfare(&["dev-cert", "--set", &data]);
    assert!(made.status.success(), "{made:?}");
    let said = String::from_utf8(made.stdout).unwrap();
    let pin = said.split("--pin ").nth(1).unwrap().trim();
    assert_eq!(pin.len(), 64);
    let (cert, key) = (folder.path().join("d/tls/cert.pem"), folder.path().join("d/tls/key.pem"));
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    assert!(said.contains(&format!("--set tls.cert={cert} --set tls.key={key}")), "{said}");

    let server =
        start(&[("tls.cert", cert), ("tls.key", key), ("tls.port", "0"), ("tls.redirect_port", "0")]);
    let url = format!("wss://{}/ws", server.addr());
    let publish =
        |trust: &[&str]| fanfare(&[&["pub", "--url", &url, "--create"], trust, &["t", "1"]].concat());
    for trust in [["--pin", pin], ["--ca", cert]] {
        let out = publish(&trust);
        assert!(out.status.success(), "{trust:?}: {out:?}");
    }
    let other = format!("{:064x}", 7);
    for trust in [&["--pin", other.as_str()][..], &[], &["--ca", "/no/such/file"]] {
        let out = publish(trust);
        assert_eq!(out.status.code(), Some(1), "{trust:?}: {out:?}");
    }
    let settings = [data.clone(), format!("tls.cert={cert}"), format!("tls.key={key}"), "tls.port=0".into()];
    let mut args = vec!["doctor", "--live"];
    settings.iter().for_each(|setting| args.extend(["--set", setting]));
    let address = format!("data_dir={}", server.data_dir().display());
    args.extend(["--set", "server.host=127.0.0.1", "--set", &address]);
    assert_eq!(fanfare(&args).status.code(), Some(0));
    drop(server);
    assert_eq!(fanfare(&args).status.code(), Some(1));
}

#[test]
fn openssl_agrees_on_the_versions() {
    if Command::new("openssl").arg("version").output().is_err() {
        return; // a second judge, where there is one
    }
    let pair = Pair::new();
    let server = pair.start(&[]);
    for (version, good) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false), ("-tls1", false)] {
        let out = Command::new("openssl")
            .args(["s_client", "-connect", &server.addr().to_string(), version, "-alpn", "http/1.1"])
            .args(["-CAfile", pair.cert().to_str().unwrap(), "-verify_return_error"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert_eq!(said.contains("ALPN protocol: http/1.1"), good, "{version}: {said}");
        assert_eq!(said.contains("Verify return code: 0 (ok)"), good || said.contains("(NONE)"), "{version}");
    }
}
