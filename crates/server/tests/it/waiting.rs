//! Commands that wait, and the others of their connection (`protocol.md` 3). They wait for an issuer whose keys are
//! delayed.

use crate::people::{jwt, now_s};
use crate::support::start;
use ed25519_dalek::{Signer, SigningKey};
use fanfare_e2ee::b64;
use fanfare_testkit::client::Client;
use fanfare_testkit::server::{PATIENCE, Server, Signal, eventually};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Less than the patience of the server with an issuer, 3 s.
const HELD: Duration = Duration::from_millis(1500);

/// An issuer whose key set is shown when the gate opens.
struct Issuer {
    gate: Arc<(Mutex<bool>, Condvar)>,
    key: SigningKey,
    port: u16,
}

impl Issuer {
    fn new() -> Self {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let key = SigningKey::from_bytes(&[7; 32]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let x = b64::encode(key.verifying_key().as_bytes());
        let body = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x }] }).to_string();
        let shown = gate.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                    line.clear();
                }
                let open = shown.1.wait_while(shown.0.lock().unwrap(), |open| !*open).unwrap();
                drop(open);
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
                let length = body.len();
                let _gone = write!(stream.get_mut(), "{head}\r\ncontent-length: {length}\r\n\r\n{body}");
            }
        });
        Self { gate, key, port }
    }

    fn server(&self) -> Server {
        let url = format!("http://127.0.0.1:{}/jwks", self.port);
        let issuers =
            json!([{ "name": "shop", "issuer": "https://shop/", "audience": "live", "jwks_url": url }]);
        let rule = |pattern: &str, right: &str| json!({ "pattern": pattern, "subscribe": right, "publish": "anyone", "history": "anyone" });
        let rules = json!([rule("closed", "token"), rule("*", "anyone")]);
        start(&[("auth.issuers", &issuers.to_string()), ("topics.rules", &rules.to_string())])
    }

    fn token(&self, more: Value) -> String {
        let mut claims = json!({ "iss": "https://shop/", "aud": "live", "sub": "zoe", "exp": now_s() + 600 });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        jwt(&json!({ "alg": "EdDSA", "kid": "k" }), &claims, |text| self.key.sign(text).to_bytes().to_vec())
    }

    fn open(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }
}

fn numbered(mut frame: Value, n: usize) -> Value {
    frame["request_id"] = json!(n);
    frame
}

/// The request ids of the next replies.
fn replies(client: &mut Client, count: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let frame = client.hear();
        if let Some(id) = frame["request_id"].as_u64() {
            ids.push(id);
        }
    }
    ids
}

#[test]
fn a_command_that_waits_delays_no_effect_and_no_delivery_of_the_63_others_and_replies_keep_their_order() {
    let issuer = Issuer::new();
    let server = issuer.server();
    let mut listener = Client::connect(server.addr());
    listener.subscribe("t");
    let mut client = Client::connect(server.addr());
    client.say(&numbered(json!({ "type": "subscribe", "topic": "closed", "token": issuer.token(json!({ "topic": "closed" })) }), 0));
    client.say(&numbered(json!({ "type": "subscribe", "topic": "mine" }), 1));
    for n in 2..64 {
        let frame = if n % 2 == 0 {
            json!({ "type": "publish", "topic": "t", "payload": n })
        } else {
            json!({ "type": "ping" })
        };
        client.say(&numbered(frame, n));
    }
    client.say(&numbered(json!({ "type": "publish", "topic": "t", "payload": "the 65th" }), 64));
    for n in (2..64).step_by(2) {
        assert_eq!(listener.hear_type("event")["payload"], n);
    }
    listener.publish("mine", json!("delivered"));
    assert_eq!(client.hear()["payload"], "delivered", "an event overtakes the replies");
    issuer.open();
    assert_eq!(replies(&mut client, 65), (0..65).collect::<Vec<_>>());
    assert_eq!(listener.hear_type("event")["payload"], "the 65th", "read when there was room again");
}

#[test]
fn a_command_waits_for_an_earlier_one_on_the_same_topic_only() {
    let issuer = Issuer::new();
    let server = issuer.server();
    let mut other = Client::connect(server.addr());
    other.subscribe("open");
    let mut client = Client::connect(server.addr());
    assert_eq!(client.call(json!({ "type": "auth", "token": "no.token.here" }))["code"], "UNAUTHORIZED");
    let token = issuer.token(json!({ "topic": "open", "actions": ["subscribe", "publish"] }));
    client.say(&numbered(json!({ "type": "publish", "topic": "open", "payload": 1, "token": token }), 1));
    client.say(&numbered(json!({ "type": "publish", "topic": "open", "payload": 2 }), 2));
    client.say(&numbered(json!({ "type": "subscribe", "topic": "other" }), 3));
    let history = |server: &Server| -> Vec<Value> {
        let items = server.get("/topics/open/history").json()["items"].as_array().unwrap().clone();
        items.iter().map(|event| event["payload"].clone()).collect()
    };
    eventually("the other topic is subscribed to", PATIENCE, || {
        (other.call(json!({ "type": "publish", "topic": "other", "payload": 0 }))["delivered"] == 1)
            .then_some(())
    });
    assert!(history(&server).is_empty(), "the second publish waits for the first");
    issuer.open();
    assert_eq!(replies(&mut client, 3), [1, 2, 3]);
    assert_eq!(history(&server), [1, 2]);
}

#[test]
fn a_login_is_a_barrier_in_both_dialects() {
    let issuer = Issuer::new();
    let server = issuer.server();
    let token = issuer.token(json!({}));
    let mut typed = Client::connect(server.addr());
    typed.say(&numbered(json!({ "type": "server", "command": "whoami" }), 1));
    typed.say(&numbered(json!({ "type": "auth", "token": token }), 2));
    typed.say(&numbered(json!({ "type": "server", "command": "whoami" }), 3));
    let mut rpc = Client::open(server.addr(), "/rpc", None);
    let call = |id: u64, method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    rpc.say(&call(1, "session.authenticate", json!({ "token": token })));
    rpc.say(&call(2, "server.whoami", json!({})));
    assert_eq!(typed.hear_type("server_response")["result"]["user"], Value::Null);
    std::thread::sleep(Duration::from_millis(100)); // what must not come would come by then
    issuer.open();
    assert_eq!(typed.hear_type("ack")["user"]["username"], "shop:zoe");
    assert_eq!(typed.hear_type("server_response")["result"]["user"]["username"], "shop:zoe");
    let answers: Vec<Value> =
        std::iter::repeat_with(|| rpc.hear()).filter(|f| f.get("id").is_some()).take(2).collect();
    assert_eq!((answers[0]["id"].as_u64(), answers[1]["id"].as_u64()), (Some(1), Some(2)));
    assert_eq!(answers[1]["result"]["user"]["username"], "shop:zoe", "{answers:?}");
}

#[test]
fn a_call_that_waits_delays_no_other_reply() {
    let issuer = Issuer::new();
    let server = issuer.server();
    let mut rpc = Client::open(server.addr(), "/rpc", None);
    let begun = Instant::now();
    let token = issuer.token(json!({ "topic": "closed" }));
    rpc.say(&json!({ "jsonrpc": "2.0", "id": "slow", "method": "topic.subscribe", "params": { "topic": "closed", "token": token } }));
    for _ in 0..100 {
        rpc.rpc("test.echo", json!({ "msg": "hello" }));
    }
    rpc.say(&json!({ "jsonrpc": "2.0", "id": "held", "method": "topic.unsubscribe", "params": { "topic": "closed" } }));
    assert!(rpc.rpc("topic.subscribe", json!({ "topic": "open" }))["result"]["epoch"].is_string());
    assert!(begun.elapsed() < HELD, "answers came while the call waited");
    issuer.open();
    let ids: Vec<Value> = std::iter::repeat_with(|| rpc.hear())
        .map(|f| f["id"].clone())
        .filter(|id| id.is_string())
        .take(2)
        .collect();
    assert_eq!(ids, ["slow", "held"]);
}

#[test]
fn commands_read_before_the_end_get_replies() {
    let issuer = Issuer::new();
    let mut server = issuer.server();
    let mut client = Client::connect(server.addr());
    let token = issuer.token(json!({ "topic": "closed" }));
    client.say(&numbered(json!({ "type": "subscribe", "topic": "closed", "token": token }), 0));
    client.say(&numbered(json!({ "type": "unsubscribe", "topic": "closed" }), 1));
    client.say(&numbered(json!({ "type": "ping" }), 2));
    eventually("they are read", PATIENCE, || {
        (server.metric("fanfare_messages_received_total{dialect=\"typed\"}") >= 3.0).then_some(())
    });
    server.signal(Signal::TERM);
    assert_eq!(client.hear_type("info")["code"], "SERVER_SHUTDOWN");
    client.say(&numbered(json!({ "type": "ping" }), 3));
    issuer.open();
    let outcomes: Vec<Value> = (0..4).map(|_| client.hear()).collect();
    let kinds: Vec<_> =
        outcomes.iter().map(|f| (f["request_id"].as_u64(), f["type"].as_str(), f["code"].as_str())).collect();
    let expected = [
        (Some(0), Some("error"), Some("INVALID_TOKEN")),
        (Some(1), Some("ack"), None),
        (Some(2), Some("pong"), None),
        (Some(3), Some("error"), Some("SERVER_SHUTDOWN")),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(client.try_hear(), Err(Some(1001)));
    assert!(server.wait(PATIENCE).success());
}
