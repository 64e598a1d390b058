//! JSON that attacks a parser, wherever untrusted text is read (issue 10, entry 1).
//!
//! With `serde_json`'s feature `raw_value` an object whose only member is `$serde_json::private::RawValue` was parsed again as the text
//! of that member, with a fresh depth limit each time: one frame of 12.6 KB ended a release build. Seen failing on the build before: a
//! release build ends by SIGABRT at T24, a debug build at T60.

use crate::people::{Person, send, with_token};
use crate::support::start;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw::{Frame, Raw};
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::Server;
use serde_json::json;

/// Levels of the construct: T24 of the issue, and what ends a debug build too.
const LEVELS: [usize; 2] = [24, 60];
const MAGIC: &str = "$serde_json::private::RawValue";

/// 124 arrays around a 1, and around each further level as text of the magic member.
fn nested(levels: usize) -> String {
    let wrap = |inner: &str| format!("{}{inner}{}", "[".repeat(124), "]".repeat(124));
    (0..levels).fold(wrap("1"), |inner, _| {
        let text = inner.replace('\\', "\\u005c").replace('"', "\\u0022");
        wrap(&format!(r#"{{"{MAGIC}":"{text}"}}"#))
    })
}

fn is_alive(server: &mut Server) {
    assert!(server.runs(), "{}", server.log());
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn the_frame_of_the_issue_is_a_ping() {
    let mut server = start(&[]);
    let frame = |levels: usize| format!(r#"{{"type":"ping","x":{}}}"#, nested(levels));
    assert_eq!(frame(24).len(), 12_629);
    server.make_topic("deep");
    for levels in LEVELS {
        frame_is_a_ping(&mut server, &frame(levels));
        let payload = format!(r#"{{"topic":"deep","payload":{}}}"#, nested(levels));
        assert_eq!(Request::post("/publish", &payload).send(server.addr()).status, 200);
        assert!(server.get("/topics/deep/history").text().contains(&nested(levels)), "byte for byte");
        is_alive(&mut server);
    }
}

fn frame_is_a_ping(server: &mut Server, frame: &str) {
    let mut socket = Raw::open(server.addr());
    assert_eq!(socket.hear()["type"], "welcome");
    // `token` in it made the server read the frame before it was decoded; so did an escape.
    for text in [frame.to_owned(), frame.replace("\"x\"", "\"token\""), frame.replace("\"x\"", "\"\\u0078\"")]
    {
        socket.send(&Frame::text(text.as_bytes()));
        let answer = socket.hear();
        assert!(answer["type"] == "pong" || answer["code"] == "INVALID_JSON", "{answer}");
        is_alive(server);
    }
    for post in ["/rpc", "/topics", "/publish", "/auth/login", "/auth/register", "/sessions/broadcast"] {
        let answer = Request::post(post, frame).send(server.addr());
        assert!((200..500).contains(&answer.status), "{post}: {answer:?}");
        is_alive(server);
    }
}

#[test]
fn the_frame_of_the_issue_does_no_harm_before_login() {
    let mut server = start(&[("auth.require", "true")]);
    let frame = format!(r#"{{"type":"ping","x":{}}}"#, nested(60));
    let mut socket = Raw::open(server.addr());
    socket.send(&Frame::text(frame.as_bytes()));
    assert_eq!(socket.hear()["code"], "UNAUTHORIZED");
    let auth = format!(r#"{{"type":"auth","token":{}}}"#, nested(60));
    socket.send(&Frame::text(auth.as_bytes()));
    assert_eq!(socket.hear()["type"], "error");
    let rpc = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"session.authenticate","params":{{"token":{}}}}}"#,
        nested(60)
    );
    let mut socket = Raw::upgrade(server.addr(), &Request::upgrade("/rpc"));
    socket.send(&Frame::text(rpc.as_bytes()));
    assert_eq!(socket.hear()["error"]["code"], -32700, "it nests too deep");
    for text in [&frame, &rpc] {
        let answer = Request::post("/rpc", text).send(server.addr());
        assert!((200..500).contains(&answer.status), "{answer:?}");
    }
    is_alive(&mut server);
}

#[test]
fn accounts_and_admins_bodies_are_read_as_they_stand() {
    let mut server = crate::people::roomy(&[]);
    let ann = Person::new(&server, "ann");
    let body = |member: &str| format!(r#"{{"{member}":{}}}"#, nested(60));
    for (method, path, member) in [
        ("PATCH", "/users/me", "display_name"),
        ("PUT", "/users/me/password", "new"),
        ("PUT", "/users/me/keys", "identity_key"),
        ("POST", "/auth/refresh", "refresh_token"),
        ("POST", "/auth/ws-ticket", "origin"),
        ("POST", "/admin/notices", "message"),
        ("PATCH", "/admin/users/ann", "role"),
    ] {
        let request = Request::post(path, &body(member)).method(method);
        let answer = with_token(request, &ann.token).send(server.addr());
        assert!((400..500).contains(&answer.status), "{method} {path}: {answer:?}");
        is_alive(&mut server);
    }
}

#[test]
fn no_value_is_smuggled_past_a_check() {
    let server = start(&[]);
    let magic = json!({ MAGIC: "\"inj\"" });
    let made = server.post("/topics", &json!({ "name": magic }));
    assert_eq!((made.status, made.problem().as_str()), (400, "invalid_topic"), "{made:?}");
    assert_eq!(server.get("/topics/inj").status, 404);
    for (body, field) in [
        (json!({ "name": "a", "backpressure": { MAGIC: "\"drop_oldest\"" } }), "backpressure"),
        (json!({ "name": "a", "history_size": { MAGIC: "5" } }), "history_size"),
        (json!({ "name": "a", "history_ttl": { MAGIC: "\"5m\"" } }), "history_ttl"),
        (json!({ "name": "a", "history_topic_bytes": { MAGIC: "5" } }), "history_topic_bytes"),
        (json!({ "name": "a", "durable": { MAGIC: "true" } }), "durable"),
    ] {
        let made = server.post("/topics", &body);
        assert_eq!((made.status, made.json()["errors"][0]["field"].as_str()), (400, Some(field)), "{made:?}");
    }
    let mut client = Client::connect(server.addr());
    assert_eq!(client.call(json!({ "type": "subscribe", "topic": magic }))["code"], "INVALID_TOPIC");
    client.subscribe("t");
    client.publish("t", magic.clone());
    assert_eq!(client.hear_type("event")["payload"], magic, "a payload of this form stays as it is");
    let register =
        send("POST", "/auth/register", &json!({ "username": magic, "password": "x" })).send(server.addr());
    assert_eq!(register.status, 400, "{register:?}");
}
