//! HTTP connections: unread bodies, half-closed peers, peers that do not read, and places for all (ADR 0022).

use crate::ops::Again;
use crate::pair::Pair;
use crate::support::{BINARY, Pace, must_fail, start};
use fanfare_testkit::raw::{Endpoint, Raw, Stream};
use fanfare_testkit::raw_http::{Answer, Request};
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A request of which the head goes first and the body later, as from a proxy or a large client.
fn post(target: &str, body: &str) -> Request {
    Request::post(target, body).without("Connection")
}

/// Sends the head, 50 ms later the body and a next request; returns both responses, the second if there is one.
fn late_body(to: Endpoint, request: &Request) -> (Answer, Option<Answer>) {
    let bytes = request.bytes();
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let mut stream = Stream::connect(to);
    stream.write(&bytes[..head]);
    std::thread::sleep(Duration::from_millis(50)); // the gap is what is tested
    stream.write(&bytes[head..]);
    // After an answer that said so, the connection may be closed already.
    stream.try_write(&Request::get("/livez").without("Connection").bytes());
    let first = stream.read_answer(PATIENCE).expect("an answer, not a reset");
    (first, stream.read_answer(PATIENCE))
}

fn closes(answer: &Answer) -> bool {
    answer.head.get("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"))
}

fn early_responses() -> Vec<(u16, Request)> {
    let publish = || post("/publish", r#"{"topic":"t","payload":"a body that nobody reads"}"#);
    let large = "x".repeat(3000);
    vec![
        (401, publish().header("Authorization", "Bearer nonsense")),
        (401, publish().header("X-API-Key", "")),
        (403, publish().header("Origin", "https://evil.example")),
        (404, post("/nothing", "{}")),
        (405, publish().method("PUT")),
        (405, post("/rpc", "12345").header("Connection", "Upgrade").header("Upgrade", "websocket")),
        (413, post("/publish", &large)),
        (413, post("/rpc", &large)),
        (414, post(&format!("/publish?{large}{large}{large}"), "{}")),
        (415, publish().replace("Content-Type", "text/plain")),
        (415, publish().header("Content-Encoding", "gzip")),
        (429, post("/rpc", "{}")),
        (200, post("/livez", "{}").method("GET")),
        (431, publish().header("X-Long", &"v".repeat(17_000))),
    ]
}

fn check_early_responses(server: &Server, limited: &Server) {
    for (status, request) in early_responses() {
        let (first, second) = match status {
            // The bucket has a message each second.
            429 => eventually("a message too many", PATIENCE, || {
                Some(late_body(limited.endpoint(), &request)).filter(|(first, _)| first.status == 429)
            }),
            _ => late_body(server.endpoint(), &request),
        };
        assert_eq!(first.status, status, "{request:?}: {first:?}");
        assert!(!closes(&first), "{status}: a small body is read and dropped: {first:?}");
        assert_eq!(second.map(|a| a.status), Some(200), "{status}: the connection is usable: {request:?}");
    }
}

const SMALL: (&str, &str) = ("limits.max_message_bytes", "1KiB");

/// Servers of which the second accepts one message a second from an address.
fn pair_of(start: impl Fn(&[(&str, &str)]) -> Server) -> (Server, Server) {
    let none_left = [("limits.messages_per_second_per_ip", "1"), ("limits.messages_burst_per_ip", "1")];
    (start(&[SMALL]), start(&none_left))
}

#[test]
fn a_response_before_the_body_leaves_the_connection_usable() {
    let (server, limited) = pair_of(|settings| start(settings));
    check_early_responses(&server, &limited);
}

#[test]
fn over_tls_a_response_before_the_body_leaves_the_connection_usable() {
    let pair = Pair::new();
    let (server, limited) = pair_of(|settings| pair.start(settings));
    check_early_responses(&server, &limited);
}

#[test]
fn a_large_body_that_is_refused_does_not_lose_the_response() {
    let server = start(&[]);
    let body = "x".repeat(8 * 1024 * 1024);
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let chunked = post("/publish", &chunks).without("Content-Length").header("Transfer-Encoding", "chunked");
    for (what, request) in [
        ("a length", post("/publish", &body)),
        ("a wrong type", post("/publish", &body).replace("Content-Type", "text/plain")),
        ("chunks", chunked.clone()),
        ("chunks of a wrong type", chunked.replace("Content-Type", "text/plain")),
    ] {
        let (answer, next) = late_body(server.endpoint(), &request);
        assert!(matches!(answer.status, 413 | 415), "{what}: {answer:?}");
        assert!(closes(&answer), "{what}: the answer says that the connection ends: {answer:?}");
        assert!(next.is_none(), "{what}");
    }
}

#[test]
fn a_client_that_waits_for_100_continue_is_refused_at_once() {
    let server = start(&[]);
    let request =
        post("/publish", "12345").header("Authorization", "Bearer x").header("Expect", "100-continue");
    let bytes = request.bytes();
    let mut stream = Stream::connect(server.addr());
    stream.write(&bytes[..bytes.len() - 5]);
    let answer = stream.read_answer(PATIENCE).unwrap();
    assert_eq!(answer.status, 401);
    assert!(closes(&answer), "whether the body comes is not known: {answer:?}");
    stream.expect_end(PATIENCE);
}

#[test]
fn a_half_closed_client_gets_its_response() {
    let server = start(&[]);
    let register = r#"{"username":"ann","password":"correct horse battery"}"#;
    for (request, status) in [
        (Request::get("/livez").without("Connection"), 200),
        (Request::get("/openapi.json").without("Connection"), 200),
        // Takes its time: the end of the stream is there long before the answer.
        (post("/auth/register", register), 201),
    ] {
        let mut stream = Stream::connect(server.addr());
        stream.write(&request.bytes());
        stream.finish();
        let answer = stream.read_answer(PATIENCE).expect("an answer to a half-closed client");
        assert_eq!(answer.status, status, "{answer:?}");
        stream.expect_end(PATIENCE);
    }
}

/// A client that requests a lot and reads nothing.
fn deaf(to: Endpoint) -> Stream {
    let mut stream = Stream::connect(to.narrow());
    let all = Request::get("/openapi.json").without("Connection").bytes().repeat(300);
    stream.write(&all);
    stream
}

fn check_deaf(server: &Server, within: Duration) {
    let before = server.open_files();
    let deaf: Vec<_> = (0..5).map(|_| deaf(server.endpoint())).collect();
    eventually("they are served", PATIENCE, || (server.open_files() >= before + 5).then_some(()));
    eventually("who does not read is cut off", within, || (server.open_files() <= before).then_some(()));
    drop(deaf);
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    // Longer than a busy machine needs for five handshakes, so that all five are open at once.
    let settings = [("ws.write_timeout", "5s"), ("server.header_timeout", "10m")];
    check_deaf(&start(&settings), PATIENCE);
    let pair = Pair::new();
    check_deaf(&pair.start(&settings), PATIENCE);
}

#[test]
fn twin_without_a_write_deadline_a_peer_that_does_not_read_is_kept() {
    let server = start(&[("ws.write_timeout", "10m"), ("server.header_timeout", "10m")]);
    must_fail("a deaf peer", || check_deaf(&server, Duration::from_secs(3)));
}

#[test]
fn a_slow_reader_that_makes_progress_is_served() {
    let server = start(&[("ws.write_timeout", "4s")]);
    let mut stream = deaf(server.endpoint());
    // Slower than the server could write and in all longer than the deadline, without a pause as long.
    let pace = Pace::over(Duration::from_secs(6), 300);
    for n in 0..300 {
        pace.keep(n);
        assert_eq!(stream.read_answer(PATIENCE).map(|a| a.status), Some(200), "answer {n}");
    }
}

const PROBES: [&str; 4] = ["/livez", "/readyz", "/health", "/metrics"];

fn from(server: &Server, last: u8) -> Endpoint {
    server.endpoint().from_address(last)
}

/// An HTTP connection that has had an answer and waits.
fn idle(to: Endpoint) -> Stream {
    let mut stream = Stream::connect(to);
    stream.write(&Request::get("/livez").without("Connection").bytes());
    assert_eq!(stream.read_answer(PATIENCE).unwrap().status, 200);
    stream
}

/// A request under way: half its body is missing.
fn under_way(to: Endpoint) -> Stream {
    let bytes = post("/publish", r#"{"topic":"t","payload":1}"#).bytes();
    let mut stream = Stream::connect(to);
    stream.write(&bytes[..bytes.len() - 5]);
    stream
}

#[test]
fn an_address_has_its_share_of_http_connections() {
    let settings = [
        ("limits.http_connections_per_ip", "3"),
        ("server.header_timeout", "10m"),
        ("server.trusted_proxies", "127.0.0.50"),
    ];
    let server = start(&settings);
    // Sockets no longer count once they are upgraded.
    let mut sockets: Vec<_> = (0..5).map(|_| Raw::open(from(&server, 7))).collect();
    sockets.iter_mut().for_each(Raw::expect_alive);
    let mut kept: Vec<_> = (0..3).map(|_| idle(from(&server, 7))).collect();
    let refused = Request::get("/topics").without("Connection").send(from(&server, 7));
    assert_eq!((refused.status, refused.problem().as_str()), (429, "limit_exceeded"));
    assert!(closes(&refused) && refused.head.get("retry-after").is_some(), "{refused:?}");
    assert_eq!(Request::upgrade("/ws").send(from(&server, 7)).status, 429);
    for probe in PROBES {
        assert_eq!(Request::get(probe).send(from(&server, 7)).status, 200, "{probe}");
    }
    assert_eq!(Request::get("/topics").send(from(&server, 8)).status, 200, "others are not concerned");
    let proxied: Vec<_> = (0..10).map(|_| idle(from(&server, 50))).collect();
    assert_eq!(Request::get("/topics").send(from(&server, 50)).status, 200, "proxies are exempt");
    drop((kept.pop(), proxied));
    eventually("a place is given back", PATIENCE, || {
        (Request::get("/topics").send(from(&server, 7)).status == 200).then_some(())
    });
    assert!(server.metric("fanfare_rate_limited_total{scope=\"http_connections_per_ip\"}") >= 2.0);
    sockets.iter_mut().for_each(Raw::expect_alive);
}

/// The fewest places a server has: the file limit leaves no more beside this number of sockets.
const FEW_PLACES: (&str, &str) = ("limits.max_connections", "2000000000");
const PLACES: usize = 256;

#[test]
fn probes_are_served_while_strangers_hold_all_places() {
    let settings = [FEW_PLACES, ("server.body_timeout", "10m"), ("server.header_timeout", "10m")];
    let server = start(&settings);
    let mut held: Vec<_> = (0..PLACES).map(|n| under_way(from(&server, 1 + (n % 5) as u8))).collect();
    eventually("all places are taken", PATIENCE, || {
        // One whose head had not come yet may have given way to this very question.
        held.push(under_way(from(&server, 1)));
        (Request::get("/topics").send(from(&server, 9)).status == 503).then_some(())
    });
    let refused = Request::upgrade("/ws").send(from(&server, 9));
    assert_eq!((refused.status, refused.problem().as_str()), (503, "limit_exceeded"));
    // Others try to take the reserve, too, with silent connections.
    let silent: Vec<_> = (0..2 * PLACES).map(|n| Stream::connect(from(&server, 1 + (n % 5) as u8))).collect();
    for probe in PROBES {
        assert_eq!(Request::get(probe).send(from(&server, 9)).status, 200, "{probe}");
    }
    drop((held, silent));
    eventually("places are given back", PATIENCE, || {
        (Request::get("/topics").send(from(&server, 9)).status == 200).then_some(())
    });
}

#[test]
fn the_connection_that_waits_longest_gives_way() {
    let server = start(&[FEW_PLACES, ("server.header_timeout", "10m")]);
    let mut held: Vec<_> = (0..PLACES).map(|n| idle(from(&server, 1 + (n % 5) as u8))).collect();
    let _newer: Vec<_> = (0..10).map(|_| idle(from(&server, 9))).collect();
    for old in &mut held[..10] {
        old.expect_end(PATIENCE);
    }
    held[20].write(&Request::get("/topics").without("Connection").bytes());
    assert_eq!(held[20].read_answer(PATIENCE).unwrap().status, 200, "the younger ones are kept");
    assert_eq!(server.metric("fanfare_http_connections_evicted_total"), 11.0, "ten, and this request");
}

/// A server that may open 300 files, started by a shell.
fn with_few_files(data_dir: &Path) -> Command {
    let server = Server::command(BINARY, data_dir, &[]);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "ulimit -n 300; exec \"$0\" \"$@\""]).arg(server.get_program()).args(server.get_args());
    shell.env_clear().stdin(Stdio::null()).current_dir(data_dir);
    shell
}

/// One address that opens all the sockets it can leaves descriptors for probes and for the refusal of others.
#[test]
fn probes_are_served_while_sockets_take_what_open_files_allow() {
    let folder = tempfile::tempdir().unwrap();
    let server = Again::run(with_few_files(folder.path()), folder.path());
    let mut sockets = Vec::new();
    let refused = loop {
        let mut stream = Stream::connect(server.addr);
        stream.write(&Request::upgrade("/ws").bytes());
        let answer = stream.read_answer(PATIENCE).expect("an answer");
        if answer.status != 101 {
            break answer;
        }
        sockets.push(stream);
        assert!(sockets.len() < 300, "more sockets than open files");
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(sockets.len() > 100, "{} sockets of 300 files", sockets.len());
    for probe in PROBES {
        assert_eq!(Request::get(probe).send(server.addr).status, 200, "{probe}");
    }
    server.stop();
}
