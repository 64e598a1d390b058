//! Members of frames, params and bodies (`protocol.md` 3): `null` for an optional one means absent, a number without a
//! fraction is an integer in any notation; and tokens in commands, with any payload.
//!
//! Commands and methods have tables beside their decoders (`dialects/src/typed/decode.rs`, `rpc/tests/validation.rs`).

use crate::people::{PASSWORD, Person, hs256, jwt, now_s, roomy, with_token};
use fanfare_testkit::raw::{Frame, Raw};
use fanfare_testkit::raw_http::{Answer, Request};
use fanfare_testkit::server::Server;
use serde_json::{Value, json};

/// The status of an answer and its code, or its body without what differs from call to call.
fn outcome(answer: &Answer) -> (u16, String) {
    let code = if answer.status < 400 { String::new() } else { answer.problem() };
    (answer.status, code)
}

/// Every route with a body, what is needed in it, and the members that are optional there.
fn bodies(n: usize) -> Vec<(&'static str, &'static str, Value, &'static [&'static str])> {
    let name = format!("person-{n}");
    vec![
        (
            "POST",
            "/topics",
            json!({ "name": format!("t-{n}") }),
            &["backpressure", "durable", "history_size", "history_ttl", "history_topic_bytes"],
        ),
        (
            "POST",
            "/publish",
            json!({ "topic": "t", "payload": 1 }),
            &["client_id", "exclude_session", "idempotency_key", "exclude_self", "token"],
        ),
        (
            "POST",
            "/auth/register",
            json!({ "username": name, "password": PASSWORD }),
            &["public_key", "x25519_public_key", "device_id", "key_binding"],
        ),
        (
            "POST",
            "/auth/login",
            json!({ "username": "ann", "password": PASSWORD }),
            &["signature", "challenge"],
        ),
        ("POST", "/auth/refresh", json!({ "refresh_token": "x" }), &["device"]),
        ("POST", "/auth/ws-ticket", json!({}), &["origin"]),
        (
            "PUT",
            "/users/me/password",
            json!({ "current": "wrong", "new": "Loud-Heron-walks-7-miles" }),
            &["other"],
        ),
        ("PATCH", "/users/me", json!({ "display_name": "Ann" }), &["email"]),
        ("POST", "/admin/notices", json!({ "message": "noon" }), &["severity"]),
        ("POST", "/sessions/broadcast", json!({ "payload": 1 }), &["other"]),
    ]
}

#[test]
fn null_for_an_optional_member_is_absent_in_every_body() {
    let server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    server.make_topic("t");
    for ((method, path, plain, optional), (_, _, mut nulls, _)) in bodies(1).into_iter().zip(bodies(2)) {
        for name in optional {
            nulls[*name] = Value::Null;
        }
        let ask = |body: &Value| {
            let request = Request::post(path, &body.to_string()).method(method);
            let anonymous =
                path.starts_with("/topics") || path == "/publish" || path.starts_with("/auth/log");
            let anonymous = anonymous || path.starts_with("/auth/re");
            if anonymous {
                request.send(server.addr())
            } else {
                with_token(request, &ann.token).send(server.addr())
            }
        };
        let (without, with) = (ask(&plain), ask(&nulls));
        assert_eq!(outcome(&with), outcome(&without), "{method} {path} {nulls}: {with:?}");
        let may_fail = ["/auth/refresh", "/users/me/password", "/admin/notices", "/sessions/broadcast"];
        assert!(without.status < 300 || may_fail.contains(&path), "{method} {path}: {without:?}");
    }
}

#[test]
fn a_payload_of_null_is_one() {
    let server = roomy(&[]);
    server.make_topic("t");
    let answer = Request::post("/publish", r#"{"topic":"t","payload":null,"message":1}"#).send(server.addr());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(server.get("/topics/t/history").json()["items"][0]["payload"], Value::Null);
}

#[test]
fn integers_are_taken_however_written_in_bodies() {
    let server = roomy(&[]);
    for (n, written) in ["10", "10.0", "1e1", "100e-1", "1.0E+1"].into_iter().enumerate() {
        let body = format!(r#"{{"name":"n-{n}","history_size":{written},"history_topic_bytes":{written}}}"#);
        let made = Request::post("/topics", &body).send(server.addr());
        let topic = made.json();
        assert_eq!((made.status, &topic["history_size"]), (201, &json!(10)), "{body}");
        assert_eq!(topic["history_topic_bytes"], 10, "{body}");
    }
    let made = Request::post("/topics", r#"{"name":"n","history_size":10.5}"#).send(server.addr());
    assert_eq!(made.status, 400, "{made:?}");
}

const SECRET: &str = "a-secret-of-the-shop-with-40-characters!";

/// A token of the shop's issuer with these claims more.
fn shop_token(more: &Value) -> String {
    let mut claims = json!({
        "iss": "https://shop.test/", "aud": "live", "sub": "zoe", "iat": now_s(), "exp": now_s() + 600,
    });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    jwt(&json!({ "alg": "HS256", "typ": "JWT" }), &claims, |text| hs256(SECRET.as_bytes(), text))
}

fn shop() -> Server {
    let issuers = json!([{
        "name": "shop", "issuer": "https://shop.test/", "audience": "live", "hmac_secret": SECRET,
    }]);
    let rules = r#"[{"pattern":"gate","subscribe":"anyone","publish":"token","history":"anyone"},
        {"pattern":"*","subscribe":"anyone","publish":"anyone","history":"anyone"}]"#;
    roomy(&[("auth.issuers", &issuers.to_string()), ("topics.rules", rules)])
}

/// The answer to a text.
fn ask(socket: &mut Raw, text: &str) -> Value {
    socket.send(&Frame::text(text.as_bytes()));
    socket.hear()
}

/// Issue 10, entry 1: with a token, `1e400` or half a surrogate pair in the payload was `INVALID_TOKEN`, because the frame was read as a
/// `Value` before it was decoded.
#[test]
fn a_publish_with_a_token_accepts_every_payload_that_one_without_accepts() {
    let server = shop();
    let login = shop_token(&json!({}));
    let token = shop_token(&json!({ "topic": "gate", "actions": ["publish", "subscribe", "history"] }));
    let upgrade = |path: &str| Raw::upgrade(server.addr(), &with_token(Request::upgrade(path), &login));
    let (mut typed, mut rpc) = (upgrade("/ws"), upgrade("/rpc"));
    assert_eq!(
        (&typed.hear()["type"], &rpc.hear()["method"]),
        (&json!("welcome"), &json!("session.welcome"))
    );
    let mut listener = Raw::open(server.addr());
    listener.subscribe("gate");
    listener.subscribe("open");
    let denied = ask(&mut typed, r#"{"type":"publish","topic":"gate","payload":1}"#);
    assert_eq!(denied["type"], "error", "{denied}");
    let deep = "[".repeat(128) + &"]".repeat(128);
    for payload in ["1", "1e400", r#""\ud83d""#, r#"{"token":"x"}"#, r#"{"tok\u0065n":[]}"#, "null", &deep] {
        for (topic, member) in [("gate", format!(r#","token":"{token}""#)), ("open", String::new())] {
            let body = format!(r#""topic":"{topic}","payload":{payload}{member}"#);
            let ack = ask(&mut typed, &format!(r#"{{"type":"publish",{body}}}"#));
            assert_eq!(ack["for"], "publish", "{topic} {payload}: {ack}");
            let listed = if topic == "gate" {
                format!(r#"["gate",{payload},null,null,null,null,"{token}"]"#)
            } else {
                format!(r#"["open",{payload}]"#)
            };
            for params in [format!("{{{body}}}"), listed] {
                let call =
                    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"topic.publish","params":{params}}}"#);
                let answer = ask(&mut rpc, &call);
                assert!(answer["result"]["offset"].is_u64(), "{call}: {answer}");
                let batch = ask(&mut rpc, &format!("[{call},{call}]"));
                assert!(batch[1]["result"]["offset"].is_u64(), "{call}: {batch}");
                let posted = with_token(Request::post("/rpc", &call), &login).send(server.addr());
                assert!(posted.text().contains("\"offset\""), "{call}: {posted:?}");
            }
        }
    }
    for bad in ["[1", "1e", "\"\t\"", &format!("[{deep}]")] {
        for member in [format!(r#","token":"{token}""#), String::new()] {
            let answer =
                ask(&mut typed, &format!(r#"{{"type":"publish","topic":"open","payload":{bad}{member}}}"#));
            assert_eq!(answer["code"], "INVALID_JSON", "{bad}: {answer}");
        }
    }
}

/// A frame with a token is verified off the shard; what was sent behind it waits, and everything is answered in its turn.
#[test]
fn frames_with_tokens_keep_their_place() {
    let server = shop();
    let login = shop_token(&json!({}));
    let token = shop_token(&json!({ "topic": "gate", "actions": ["publish"] }));
    let mut socket = Raw::upgrade(server.addr(), &with_token(Request::upgrade("/ws"), &login));
    assert_eq!(socket.hear()["type"], "welcome");
    let mut listener = Raw::open(server.addr());
    listener.subscribe("gate");
    for n in 0..30 {
        let frame = match n % 3 {
            0 => json!({ "type": "publish", "topic": "gate", "payload": n, "token": token, "request_id": n }),
            1 => {
                json!({ "type": "publish", "topic": "gate", "payload": n, "token": "a.b.c", "request_id": n })
            }
            _ => json!({ "type": "ping", "token": "a.b.c", "request_id": n }),
        };
        socket.say(&frame);
    }
    for n in 0..30 {
        let reply = socket.hear();
        assert_eq!(reply["request_id"], n, "{reply}");
        let want = [json!("ack"), json!("error"), json!("pong")];
        assert_eq!(reply["type"], want[n % 3], "{reply}");
        assert!(n % 3 != 1 || reply["code"] == "INVALID_TOKEN", "{reply}");
    }
}
