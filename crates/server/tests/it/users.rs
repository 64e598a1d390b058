//! Users on sockets: every way to present a credential, what a login changes, and how soon its end is felt.

use crate::keys::admin;
use crate::limits::Bucket;
use crate::people::{Person, now_s, roomy, send, with_token};
use fanfare_e2ee::b64;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw::Raw;
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn upgrade(server: &Server, request: &Request) -> Raw {
    Raw::upgrade(server.addr(), request)
}

fn ticket(server: &Server, person: &Person) -> String {
    let answer = person.ask(server, send("POST", "/auth/ws-ticket", &json!({})));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["ticket"].as_str().unwrap().to_owned()
}

fn whoami(ws: &mut Raw) -> Value {
    ws.call(&json!({ "type": "server", "command": "whoami" }))["result"]["user"]["username"].clone()
}

#[test]
fn all_four_ways_log_a_socket_in() {
    let server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    let by_header = with_token(Request::upgrade("/ws"), &ann.token);
    let by_token = Request::upgrade(&format!("/ws?token={}", ann.token));
    let by_ticket = Request::upgrade(&format!("/ws?ticket={}", ticket(&server, &ann)));
    for request in [&by_header, &by_token, &by_ticket] {
        let mut ws = upgrade(&server, request);
        assert_eq!(ws.hear_type("welcome")["user"]["username"], "ann", "{request:?}");
        assert_eq!(whoami(&mut ws), "ann");
    }
    assert_eq!(by_ticket.send(server.addr()).status, 401, "a ticket is good once");
    let mut ws = upgrade(&server, &Request::upgrade("/ws"));
    let before = ws.hear_type("welcome");
    assert_eq!((&before["user"], whoami(&mut ws)), (&Value::Null, Value::Null));
    let ack = ws.call(&json!({ "type": "auth", "token": ann.token }));
    assert_eq!((&ack["for"], &ack["user"]["username"]), (&json!("auth"), &json!("ann")), "{ack}");
    assert_ne!(ack["session_code"], before["session_code"], "a login gets a new code");
    assert_eq!(whoami(&mut ws), "ann");
    let mut rpc = Client::open(server.addr(), "/rpc", None);
    let granted = rpc.rpc("session.authenticate", json!({ "token": ann.token }));
    assert_eq!(granted["result"]["user"]["username"], "ann", "{granted}");
    eventually("one user online", PATIENCE, || (server.stats()["users_online"] == 1).then_some(()));
}

#[test]
fn two_different_credentials_are_400_and_an_invalid_one_401_before_the_upgrade() {
    let server = roomy(&[]);
    let (ann, bob) = (Person::new(&server, "ann"), Person::new(&server, "bob"));
    let status = |request: Request| request.send(server.addr()).status;
    let at = |query: &str| Request::upgrade(&format!("/ws?{query}"));
    assert_eq!(status(with_token(at(&format!("token={}", bob.token)), &ann.token)), 400);
    assert_eq!(status(at(&format!("token={}&token={}", ann.token, bob.token))), 400);
    assert_eq!(status(with_token(at("ticket=x"), &ann.token)), 400);
    assert_eq!(with_token(at(&format!("token={}", ann.token)), &ann.token).send(server.addr()).status, 101);
    for bad in ["token=", "ticket=", "token=a.b.c", "ticket=a.b.c"] {
        assert_eq!(status(at(bad)), 401, "{bad}");
    }
    for header in ["Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c"] {
        assert_eq!(status(Request::upgrade("/ws").header("Authorization", header)), 401, "{header:?}");
    }
    let closed = roomy(&[("auth.allow_query_token", "false")]);
    let cid = Person::new(&closed, "cid");
    assert_eq!(at(&format!("token={}", cid.token)).send(closed.addr()).status, 401);
}

#[test]
fn a_login_keeps_the_sessions_data_and_its_old_name_opens_nothing() {
    let server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    let mut rpc = Client::open(server.addr(), "/rpc", None);
    let welcome = rpc.hear()["params"].clone();
    rpc.rpc("session.set", json!({ "key": "cart", "value": [1, 2] }));
    let granted = rpc.rpc("session.authenticate", json!({ "token": ann.token }))["result"].clone();
    assert_ne!(granted["session_code"], welcome["session_code"]);
    assert_eq!(rpc.rpc("session.get", json!({ "key": "cart" }))["result"]["value"], json!([1, 2]));
    rpc.close();
    let resume = |code: &Value, token: &Value| {
        let query = format!("/rpc?session={}&resume={}", code.as_str().unwrap(), token.as_str().unwrap());
        Request::upgrade(&query)
    };
    let old = resume(&welcome["session_code"], &welcome["resume_token"]).send(server.addr());
    assert_eq!(old.status, 401, "{old:?}");
    let mut back = upgrade(&server, &resume(&granted["session_code"], &granted["resume_token"]));
    let welcome = back.hear()["params"].clone();
    assert_eq!(
        (&welcome["resumed"], &welcome["user"]["username"]),
        (&json!(true), &json!("ann")),
        "{welcome}"
    );
}

#[test]
fn an_invalid_token_in_a_frame_is_refused_in_order_and_the_socket_stays() {
    let server = roomy(&[]);
    let (ann, bob) = (Person::new(&server, "ann"), Person::new(&server, "bob"));
    let mut ws = upgrade(&server, &Request::upgrade("/ws"));
    ws.hear_type("welcome");
    for n in 0..20 {
        let frame = if n % 2 == 0 {
            json!({ "type": "auth", "token": "a.b.c", "request_id": n })
        } else {
            json!({ "type": "ping", "request_id": n })
        };
        ws.say(&frame);
    }
    for n in 0..20 {
        let reply = ws.hear();
        assert_eq!(reply["request_id"], n, "every frame is answered in its turn: {reply}");
        assert_eq!(reply["code"] == "UNAUTHORIZED", n % 2 == 0, "{reply}");
    }
    assert_eq!(ws.call(&json!({ "type": "auth", "token": ann.token }))["type"], "ack");
    let other = ws.call(&json!({ "type": "auth", "token": bob.token }));
    assert_eq!(other["code"], "UNAUTHORIZED", "{other}");
    let again = Person::login(&server, "ann", crate::people::PASSWORD);
    let second = ws.call(&json!({ "type": "auth", "token": again.token }));
    assert_eq!(second["code"], "UNAUTHORIZED", "another login of the same user: {second}");
    let renewed = server.post("/auth/refresh", &json!({ "refresh_token": ann.refresh })).json();
    let same = ws.call(&json!({ "type": "auth", "token": renewed["access_token"] }));
    assert_eq!((&same["type"], &same["user"]["username"]), (&json!("ack"), &json!("ann")), "{same}");
    assert_eq!(whoami(&mut ws), "ann");
}

#[test]
fn the_end_of_a_login_is_felt_on_its_sockets_within_a_second() {
    let server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    let other = Person::login(&server, "ann", crate::people::PASSWORD);
    let mut mine = upgrade(&server, &with_token(Request::upgrade("/ws"), &ann.token));
    let mut kept = upgrade(&server, &with_token(Request::upgrade("/ws"), &other.token));
    let welcome = mine.hear_type("welcome");
    kept.hear_type("welcome");
    assert_eq!(ann.ask(&server, Request::post("/auth/logout", "")).status, 204);
    let begun = Instant::now();
    mine.expect_close(4401);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(ann.me(&server).status, 401);
    assert_eq!(other.me(&server).status, 200);
    kept.expect_alive();
    let (code, token) =
        (welcome["session_code"].as_str().unwrap(), welcome["resume_token"].as_str().unwrap());
    let resume = Request::upgrade(&format!("/ws?session={code}&resume={token}")).send(server.addr());
    assert_eq!(resume.status, 401, "the session ended with the login");
}

#[test]
fn an_expiring_token_is_notified_and_then_closes_unless_renewed() {
    let server = roomy(&[("auth.access_ttl", "10s")]);
    let ann = Person::new(&server, "ann");
    let mut left = upgrade(&server, &with_token(Request::upgrade("/ws"), &ann.token));
    let mut renewed = upgrade(&server, &with_token(Request::upgrade("/ws"), &ann.token));
    for ws in [&mut left, &mut renewed] {
        let told = ws.hear_type("info");
        assert_eq!(told["code"], "TOKEN_EXPIRING", "{told}");
        assert!(told["expires_at"].is_string());
    }
    // A token's expiry is a whole second: the newer one must expire seconds after the older to be distinguished.
    let end = |token: &str| {
        let claims = b64::decode(token.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&claims).unwrap()["exp"].as_u64().unwrap()
    };
    eventually("seconds later", PATIENCE, || (now_s() + 10 > end(&ann.token) + 3).then_some(()));
    let next = server.post("/auth/refresh", &json!({ "refresh_token": ann.refresh })).json();
    let token = next["access_token"].as_str().unwrap();
    assert!(end(token) > end(&ann.token) + 3, "{next}");
    assert_eq!(renewed.call(&json!({ "type": "auth", "token": token }))["type"], "ack");
    left.expect_close(4401);
    renewed.expect_alive();
}

#[test]
fn where_a_login_is_demanded_the_welcome_follows_it() {
    let server = roomy(&[("auth.require", "true"), ("limits.max_unauthenticated", "1")]);
    let ann = Person::new(&server, "ann");
    let mut ws = upgrade(&server, &Request::upgrade("/ws"));
    let refused = ws.call(&json!({ "type": "ping" }));
    assert_eq!(refused["code"], "UNAUTHORIZED", "{refused}");
    assert_eq!(Request::upgrade("/ws").send(server.addr()).status, 503, "one may wait");
    ws.say(&json!({ "type": "auth", "token": ann.token, "request_id": 1 }));
    assert_eq!(ws.hear()["for"], "auth");
    assert_eq!(ws.hear()["type"], "welcome");
    let mut next = upgrade(&server, &Request::upgrade("/ws"));
    assert_eq!(next.call(&json!({ "type": "ping" }))["code"], "UNAUTHORIZED", "the place was given back");
    let anonymous = server.get("/topics");
    assert_eq!((anonymous.status, anonymous.problem().as_str()), (401, "unauthorized"));
    assert_eq!(ann.get(&server, "/topics").status, 200);
}

#[test]
fn buckets_and_caps_are_the_users_over_all_sockets() {
    let server = roomy(&[
        ("limits.messages_per_second_per_user", "1"),
        ("limits.messages_burst_per_user", "6"),
        ("limits.max_connections_per_user", "2"),
    ]);
    let ann = Person::new(&server, "ann");
    let open = || upgrade(&server, &with_token(Request::upgrade("/ws"), &ann.token));
    let (mut a, mut b) = (open(), open());
    for ws in [&mut a, &mut b] {
        ws.hear_type("welcome");
    }
    let third = with_token(Request::upgrade("/ws"), &ann.token).send(server.addr());
    assert_eq!((third.status, third.problem().as_str()), (429, "limit_exceeded"));
    let (bucket, mut passed) = (Bucket::full(6, 1.0), 0);
    for n in 0..10 {
        let ws = if n % 2 == 0 { &mut a } else { &mut b };
        passed += usize::from(ws.call(&json!({ "type": "ping" }))["code"] != "RATE_LIMITED");
    }
    bucket.check(passed);
    let mut nobody = upgrade(&server, &Request::upgrade("/ws"));
    nobody.hear_type("welcome");
    assert_eq!(nobody.call(&json!({ "type": "ping" }))["type"], "pong", "others have their own");
}

#[test]
fn a_user_is_online_until_the_grace_after_the_last_socket() {
    let server = roomy(&[("presence.grace", "5s")]);
    let ann = Person::new(&server, "ann");
    let online = || server.stats()["users_online"].as_u64().unwrap();
    assert_eq!(online(), 0);
    let first = upgrade(&server, &with_token(Request::upgrade("/ws"), &ann.token));
    let second = upgrade(&server, &with_token(Request::upgrade("/ws"), &ann.token));
    eventually("online", PATIENCE, || (online() == 1).then_some(()));
    drop(first);
    server.await_connections(1);
    assert_eq!(online(), 1);
    drop(second);
    server.await_connections(0);
    assert_eq!(online(), 1, "a reload is not seen");
    eventually("offline", PATIENCE, || (online() == 0).then_some(()));
}

#[test]
fn the_system_socket_is_for_users_and_accepts_ping_only() {
    let server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    assert_eq!(Request::upgrade("/ws/system").send(server.addr()).status, 401);
    let mut ws = upgrade(&server, &with_token(Request::upgrade("/ws/system"), &ann.token));
    assert_eq!(ws.hear_type("welcome")["user"]["username"], "ann");
    assert_eq!(ws.call(&json!({ "type": "ping" }))["type"], "pong");
    for frame in [json!({ "type": "subscribe", "topic": "t" }), json!({ "type": "auth", "token": ann.token })]
    {
        assert_eq!(ws.call(&frame)["code"], "INVALID_MESSAGE_TYPE", "{frame}");
    }
}

#[test]
fn a_new_role_is_felt_on_open_sockets_within_a_second() {
    let rules = r#"[{"pattern":"open","subscribe":"anyone","publish":"anyone"},
        {"pattern":"*","subscribe":"server","publish":"server","history":"server"}]"#;
    let server = roomy(&[("topics.rules", rules)]);
    let ann = Person::new(&server, "ann");
    // A second administrator: the last one cannot be demoted.
    assert_eq!(admin(&server, &["create-user", "chief", "--role", "admin"]).status.code(), Some(0));
    let socket = |path: &str| upgrade(&server, &with_token(Request::upgrade(path), &ann.token));
    let (mut ws, mut rpc) =
        (socket("/ws"), Client::open(server.addr(), &format!("/rpc?token={}", ann.token), None));
    ws.hear_type("welcome");
    rpc.hear();
    let set_role = |role: &str| {
        let done = admin(&server, &["set-role", "ann", role]);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        Instant::now()
    };
    let publish = |ws: &mut Raw| {
        // The topic does not exist at first; the permission is checked before.
        ws.call(&json!({ "type": "publish", "topic": "vault", "payload": 1 }))["code"] != "FORBIDDEN"
    };
    let within = |since: Instant| {
        let took = since.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}: a second, and what a busy machine adds");
    };
    assert!(!publish(&mut ws), "not yet");
    let at = set_role("admin");
    eventually("she publishes", PATIENCE, || publish(&mut ws).then_some(()));
    within(at);
    for topic in ["vault", "open"] {
        assert_eq!(ws.call(&json!({ "type": "subscribe", "topic": topic }))["type"], "ack");
    }
    let subscribed = rpc.rpc("topic.subscribe", json!({ "topic": "vault" }));
    assert!(subscribed["result"].is_object(), "{subscribed}");
    let at = set_role("user");
    let ended = ws.hear_type("info");
    assert_eq!(
        (&ended["code"], &ended["topic"]),
        (&json!("SUBSCRIPTION_EXPIRED"), &json!("vault")),
        "{ended}"
    );
    within(at);
    assert!(!publish(&mut ws), "nor does she publish there");
    let refused = rpc.rpc("topic.publish", json!({ "topic": "vault", "payload": 1 }));
    assert_eq!(refused["error"]["data"]["code"], "FORBIDDEN", "{refused}");
    ws.say(&json!({ "type": "publish", "topic": "open", "payload": 2 }));
    assert_eq!(ws.hear_type("event")["payload"], 2, "what anyone may subscribe to goes on");
}
