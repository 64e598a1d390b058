//! Every error code can be produced by this release, or the feature that adds it is named; `docs/errors.md` agrees.

use crate::support::{half_a_request, start};
use fanfare_core::model::ErrorCode;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw::{Endpoint, Raw, op};
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server, Signal, eventually};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// How a code is reached.
enum Way {
    /// By a typed frame.
    Frame(Value),
    /// By a request.
    Http(Request),
    /// By a JSON-RPC call over POST.
    Rpc(Value),
    /// By something longer.
    Story(fn()),
    /// Not before this feature is there.
    Later(&'static str),
}

/// An Ed25519 public key: RFC 8032 section 7.1, test 1.
const GOOD_KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// A registration with these keys.
fn with_keys(public_key: &str, binding: Option<&str>) -> Request {
    let mut body = json!({ "username": "keyed", "public_key": public_key,
        "x25519_public_key": "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo" });
    if let Some(binding) = binding {
        body["key_binding"] = binding.into();
    }
    Request::post("/auth/register", &body.to_string())
}

/// Nothing is left out: a new code does not compile before it is listed here.
fn way(code: ErrorCode) -> Way {
    use ErrorCode as E;
    let topics = |key, body: &str| Request::post("/topics", body).header("Idempotency-Key", key);
    match code {
        E::InvalidJson => Way::Frame(Value::Null),
        E::InvalidMessageType => Way::Frame(json!({ "type": "no such type" })),
        E::InvalidMessage => Way::Frame(json!({ "type": "publish", "topic": "t" })),
        E::InvalidTopic => Way::Frame(json!({ "type": "subscribe", "topic": "" })),
        E::InvalidClientId => Way::Frame(json!({ "type": "subscribe", "topic": "t", "client_id": "" })),
        E::InvalidField => Way::Http(Request::get("/topics?limit=many")),
        E::TopicNotFound => Way::Frame(json!({ "type": "publish", "topic": "never made", "payload": 1 })),
        E::ChannelNotFound => Way::Frame(json!({ "type": "subscribe", "channel": "never made" })),
        E::UnknownCommand => Way::Frame(json!({ "type": "server", "command": "no_such" })),
        E::NotFound => Way::Http(Request::get("/no/such/page")),
        E::MessageTooLarge => Way::Http(Request::post("/publish", &" ".repeat(70_000))),
        E::RateLimited => Way::Story(rate_limited),
        E::LimitExceeded => Way::Story(limit_exceeded),
        E::SlowConsumer => Way::Story(slow_consumer),
        E::InvalidCredentials => {
            Way::Http(Request::post("/auth/login", r#"{"username":"nobody","password":"Quiet-Otter-9"}"#))
        }
        E::WeakKey => Way::Http(with_keys(&"A".repeat(43), None)),
        E::BadSignature => Way::Http(with_keys(GOOD_KEY, Some(&"A".repeat(86)))),
        E::HttpsRequired => Way::Later("a redirecting port beside HTTPS, which `tls.rs` tests"),
        E::Unauthorized => Way::Frame(json!({ "type": "auth", "token": "nonsense" })),
        E::Forbidden => Way::Rpc(json!({ "method": "topic.subscribe", "params": { "topic": "t" } })),
        E::InvalidToken => Way::Story(invalid_token),
        E::Conflict => Way::Http(topics("used", r#"{"name":"another"}"#)),
        E::Unavailable => Way::Later("components that can be down: the store, Redis, Kafka"),
        E::NeedsSharedStore => Way::Later("clusters"),
        E::ServerShutdown => Way::Story(server_shutdown),
        E::Internal => Way::Rpc(json!({ "method": "test.panic" })),
    }
}

#[test]
fn every_code_is_reached_or_its_feature_is_named() {
    let server = start(&[("rpc.test_methods", "true")]);
    let first = Request::post("/topics", r#"{"name":"one"}"#).header("Idempotency-Key", "used");
    assert_eq!(first.send(server.addr()).status, 201);
    let mut ws = Client::connect(server.addr());
    let mut later = Vec::new();
    for &code in ErrorCode::ALL {
        match way(code) {
            Way::Frame(Value::Null) => {
                let mut raw = Raw::open(server.addr());
                raw.send(&fanfare_testkit::raw::Frame::text("{"));
                let error = raw.hear_type("error");
                assert_eq!(error["code"], code.name());
            }
            Way::Frame(frame) => {
                let error = ws.call(frame);
                assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code.name())));
                let said = error["message"].as_str().unwrap();
                assert!(said.len() > 10, "{error}");
            }
            Way::Http(request) => {
                let answer = request.send(server.addr());
                assert_eq!(answer.status, code.http_status(), "{}: {answer:?}", code.name());
                assert_eq!(answer.problem(), code.name().to_ascii_lowercase());
            }
            Way::Rpc(mut call) => {
                call["jsonrpc"] = json!("2.0");
                call["id"] = json!(1);
                let answer = server.post("/rpc", &call).json();
                assert_eq!(answer["error"]["code"], code.rpc_number(), "{}: {answer}", code.name());
                if code != ErrorCode::Internal {
                    assert_eq!(answer["error"]["data"]["code"], code.name());
                }
            }
            Way::Story(story) => story(),
            Way::Later(feature) => later.push((code.name(), feature)),
        }
    }
    println!("not in this release: {later:?}");
    assert!(later.len() <= 4, "{later:?}");
}

fn rate_limited() {
    let server = start(&[("limits.messages_per_second", "1"), ("limits.messages_burst", "1")]);
    let mut ws = Client::connect(server.addr());
    let refused = (0..5).map(|_| ws.call(json!({ "type": "ping" }))).find(|reply| reply["type"] == "error");
    assert_eq!(refused.unwrap()["code"], "RATE_LIMITED");
}

fn invalid_token() {
    let server = start(&[("topics.rules", r#"[{"pattern":"*","subscribe":"token"}]"#)]);
    let mut ws = Client::connect(server.addr());
    let refused = ws.call(json!({ "type": "subscribe", "topic": "t", "token": "a.b.c" }));
    assert_eq!(refused["code"], "INVALID_TOKEN", "{refused}");
}

fn limit_exceeded() {
    let server = start(&[("limits.max_subscriptions", "1"), ("limits.max_topics", "1")]);
    let mut ws = Client::connect(server.addr());
    ws.subscribe("one");
    assert_eq!(ws.call(json!({ "type": "subscribe", "topic": "two" }))["code"], "LIMIT_EXCEEDED");
    let answer = server.post("/topics", &json!({ "name": "two" }));
    assert_eq!((answer.status, answer.problem().as_str()), (429, "limit_exceeded"));
    let mut rpc = Client::open(server.addr(), "/rpc", None);
    let answer = rpc.rpc("topic.subscribe", json!({ "topic": "two" }));
    assert_eq!(answer["error"]["code"], ErrorCode::LimitExceeded.rpc_number());
}

fn slow_consumer() {
    let server = start(&[("limits.queue_messages", "4"), ("ws.write_timeout", "60s")]);
    let mut ws = Raw::open(Endpoint::from(server.addr()).narrow());
    ws.subscribe("t");
    let mut publisher = Client::connect(server.addr());
    let large = json!({ "type": "publish", "topic": "t", "payload": "x".repeat(60_000) });
    eventually("nobody is subscribed any more", PATIENCE, || {
        (publisher.call(large.clone())["type"] == "error").then_some(())
    });
    let frames = ws.expect_close(1013);
    let last = frames.iter().rfind(|frame| frame.opcode == op::TEXT).unwrap().json();
    assert_eq!(last["code"], "SLOW_CONSUMER");
}

fn server_shutdown() {
    let server: Server = start(&[]);
    // A request under way holds the server; the others are refused meanwhile.
    let (_held, _rest) = half_a_request(&server, &Request::post("/publish", "{}"));
    server.signal(Signal::TERM);
    eventually("requests are refused", PATIENCE, || {
        let answer = server.get("/topics");
        (answer.status == 503).then(|| assert_eq!(answer.problem(), "server_shutdown"))
    });
}

const BEGIN: &str = "<!-- codes:begin (generated) -->\n";
const END: &str = "<!-- codes:end -->";

/// The table of `docs/errors.md`. The meaning of a code is documented above it in the source, the rest is queried from
/// the code.
fn table() -> String {
    let source = include_str!("../../../core/src/model/error.rs");
    let mut text = String::from("| Code | HTTP | JSON-RPC | Meaning | What to do |\n|---|---|---|---|---|\n");
    for code in ErrorCode::ALL {
        let (name, status, number) = (code.name(), code.http_status(), code.rpc_number());
        let before = source.split(&format!(" = \"{name}\"")).next().unwrap();
        let meaning = before.lines().rev().find_map(|line| line.trim().strip_prefix("/// ")).unwrap();
        writeln!(text, "| `{name}` | {status} | {number} | {meaning} | {} |", code.remedy()).unwrap();
    }
    text
}

#[test]
fn the_page_of_codes_is_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    let have = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = have.split_once(BEGIN).expect("a mark where the table begins");
    let (_, after) = rest.split_once(END).expect("a mark where it ends");
    let want = format!("{before}{BEGIN}{}{END}{after}", table());
    if std::env::var_os("FANFARE_WRITE_DOCS").is_some() {
        std::fs::write(&page, &want).unwrap();
    }
    let have = std::fs::read_to_string(&page).unwrap();
    assert!(
        have == want,
        "docs/errors.md is not what the table says: run the test with FANFARE_WRITE_DOCS=1"
    );
}
