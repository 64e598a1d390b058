//! Accounts: created, shown, changed, deleted (`accounts-and-messages.md`, `http-api.md` "Accounts").
//!
//! Longer than most: the fields of one resource, tried one by one.

use crate::people::{Keys, PASSWORD, Person, bare, challenge, register, roomy, send, verify, with_token};
use crate::support::start;
use fanfare_e2ee::b64;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw::Raw;
use fanfare_testkit::raw_http::{Answer, Request};
use fanfare_testkit::server::{PATIENCE, eventually};
use serde_json::{Value, json};

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, field: Option<&str>) {
    assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{answer:?}");
    let named = answer.json()["errors"][0]["field"].as_str().map(str::to_owned);
    assert_eq!(named.as_deref(), field, "{answer:?}");
    assert_eq!(answer.head.get("cache-control"), Some("no-store"));
}

/// A body with one member changed; `Null` removes it.
fn but(body: &Value, name: &str, value: Value) -> Value {
    let mut body = body.clone();
    if value.is_null() {
        body.as_object_mut().unwrap().remove(name);
    } else {
        body[name] = value;
    }
    body
}

#[test]
fn a_password_account_from_its_first_to_its_last_day() {
    let server = roomy(&[]);
    let made = register(&server, &json!({ "username": "Alice", "password": PASSWORD }));
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.json()["username"], "alice");
    assert!(made.json().get("access_token").is_none() && made.json().get("device_id").is_none());
    refused(&register(&server, &json!({ "username": "ALICE", "password": PASSWORD })), 409, "conflict", None);

    let answer = server.post("/auth/login", &json!({ "username": "aLiCe", "password": PASSWORD }));
    assert_eq!(answer.head.get("cache-control"), Some("no-store"));
    let tokens = answer.json();
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(tokens["user"], json!({ "id": made.json()["id"], "username": "alice" }));
    let alice = Person::login(&server, "alice", PASSWORD);
    let me = alice.me(&server).json();
    assert_eq!(
        (&me["id"], &me["username"], &me["role"]),
        (&made.json()["id"], &json!("alice"), &json!("user"))
    );
    assert!(me.get("device_id").is_none() && me["session_id"].is_string());

    let sessions = alice.get(&server, "/auth/sessions").json();
    let items = sessions["items"].as_array().unwrap();
    assert_eq!((items.len(), &sessions["next"]), (2, &Value::Null));
    assert_eq!((&items[0]["current"], &items[1]["current"]), (&json!(true), &json!(false)), "newest first");
    assert_eq!((&items[0]["id"], &items[0]["ip"]), (&me["session_id"], &json!("127.0.0.1")));

    assert_eq!(alice.ask(&server, bare("POST", "/auth/logout")).status, 204);
    let gone = alice.me(&server);
    assert_eq!((gone.status, gone.head.get("www-authenticate")), (401, Some("Bearer")));
    let refresh = server.post("/auth/refresh", &json!({ "refresh_token": alice.refresh }));
    refused(&refresh, 401, "invalid_credentials", None);
}

#[test]
fn every_wrong_field_of_a_registration_is_named() {
    let server = roomy(&[]);
    let plain = json!({ "username": "someone", "password": PASSWORD });
    let key = Keys::new(1);
    let keyed = key.body("someone");
    let weak = json!(b64::encode(&[0; 32]));
    let no_point = json!(b64::encode(&[2; 32]));
    let cases: Vec<(Value, &str, Option<&str>)> = vec![
        (but(&plain, "username", Value::Null), "invalid_field", Some("username")),
        (but(&plain, "username", json!(7)), "invalid_field", Some("username")),
        (but(&plain, "username", json!("")), "invalid_field", Some("username")),
        (but(&plain, "username", json!("ab")), "invalid_field", Some("username")),
        (but(&plain, "username", json!("a".repeat(33))), "invalid_field", Some("username")),
        (but(&plain, "username", json!("-abc")), "invalid_field", Some("username")),
        (but(&plain, "username", json!("shop:zoe")), "invalid_field", Some("username")),
        (but(&plain, "username", json!("ад\u{0}мин")), "invalid_field", Some("username")),
        (but(&plain, "username", json!("Administrator")), "invalid_field", Some("username")),
        (but(&plain, "password", Value::Null), "invalid_field", Some("password")),
        (but(&plain, "password", json!(["x"])), "invalid_field", Some("password")),
        (but(&plain, "password", json!("short-1")), "invalid_field", Some("password")),
        (but(&plain, "password", json!("a1!".repeat(43))), "invalid_field", Some("password")),
        (but(&plain, "password", json!("password123")), "invalid_field", Some("password")),
        (but(&plain, "password", json!("someone")), "invalid_field", Some("password")),
        (but(&plain, "device_id", json!("main")), "invalid_field", Some("device_id")),
        (but(&keyed, "public_key", Value::Null), "invalid_field", Some("public_key")),
        (but(&keyed, "x25519_public_key", Value::Null), "invalid_field", Some("x25519_public_key")),
        (but(&keyed, "public_key", json!("AAAA")), "invalid_field", Some("public_key")),
        (but(&keyed, "public_key", json!("not base64!")), "invalid_field", Some("public_key")),
        (but(&keyed, "public_key", no_point), "invalid_field", Some("public_key")),
        (but(&keyed, "public_key", weak.clone()), "weak_key", Some("public_key")),
        (but(&keyed, "x25519_public_key", weak), "weak_key", Some("x25519_public_key")),
        (
            but(&keyed, "x25519_public_key", keyed["public_key"].clone()),
            "weak_key",
            Some("x25519_public_key"),
        ),
        (but(&keyed, "key_binding", json!("AAAA")), "invalid_field", Some("key_binding")),
        (but(&keyed, "key_binding", json!(b64::encode(&[1; 64]))), "bad_signature", Some("key_binding")),
        (but(&keyed, "username", json!("another")), "bad_signature", Some("key_binding")),
        (but(&keyed, "device_id", json!("phone")), "bad_signature", Some("key_binding")),
        (but(&keyed, "device_id", json!("Phone!")), "invalid_field", Some("device_id")),
        (json!([1]), "invalid_field", Some("body")),
    ];
    for (body, code, field) in cases {
        let answer = register(&server, &body);
        assert_eq!(answer.status, 400, "{body} {answer:?}");
        refused(&answer, 400, code, field);
    }
    assert_eq!(register(&server, &plain).status, 201, "nothing of all that was kept");
    assert_eq!(register(&server, &key.body("keyed")).status, 201);
}

#[test]
fn hostile_bodies_are_refused_on_every_route() {
    let server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    let deep = format!("{{\"username\":{}{}}}", "[".repeat(40), "]".repeat(40));
    let routes = [
        ("POST", "/auth/register"),
        ("POST", "/auth/login"),
        ("POST", "/auth/login?verify=true"),
        ("POST", "/auth/refresh"),
        ("POST", "/auth/ws-ticket"),
        ("PUT", "/users/me/password"),
        ("PATCH", "/users/me"),
        ("PUT", "/users/me/keys"),
    ];
    for (method, target) in routes {
        let ask = |request: Request| ann.ask(&server, request.method(method));
        let refused = |body: &str, status, code| {
            let answer = ask(Request::post(target, body));
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (status, code),
                "{method} {target} {body:.60}"
            );
        };
        refused(r#"{"username":"a","username":"b"}"#, 400, "invalid_json");
        refused(r#"{"x":{"y":1,"y":2}}"#, 400, "invalid_json");
        refused(r#"{"username":"\ud800"}"#, 400, "invalid_json");
        refused(r#"{"username":"#, 400, "invalid_json");
        refused("nonsense", 400, "invalid_json");
        refused(&deep, 400, "invalid_json");
        refused(&"[".repeat(10_000), 400, "invalid_json");
        refused("[]", 400, "invalid_field");
        refused(&format!("{{\"username\":\"{}\"}}", "a".repeat(17_000)), 413, "message_too_large");
        let text = ask(Request::post(target, "{}").replace("Content-Type", "text/plain"));
        assert_eq!((text.status, text.problem().as_str()), (415, "unsupported_media_type"), "{target}");
        let packed = ask(Request::post(target, "{}").header("Content-Encoding", "gzip"));
        assert_eq!((packed.status, packed.problem().as_str()), (415, "unsupported_media_type"), "{target}");
        let other = with_token(bare("TRACE", target), &ann.token).send(server.addr());
        assert_eq!(other.status, 405, "{target}");
    }
    assert_eq!(ann.me(&server).status, 200);
}

#[test]
fn anonymous_callers_and_api_keys_are_refused() {
    let server = roomy(&[]);
    let key = crate::keys::api_key(&server, "k", &["admin"]);
    let routes = [
        ("GET", "/auth/me"),
        ("GET", "/auth/sessions"),
        ("DELETE", "/auth/sessions/x"),
        ("POST", "/auth/logout"),
        ("POST", "/auth/ws-ticket"),
        ("PUT", "/users/me/password"),
        ("PATCH", "/users/me"),
        ("DELETE", "/users/me"),
        ("PUT", "/users/me/keys"),
        ("GET", "/users/ann"),
        ("GET", "/users/ann/keys"),
    ];
    for (method, target) in routes {
        let request = || match method {
            "GET" | "DELETE" => bare(method, target),
            _ => send(method, target, &json!({})),
        };
        let answer = request().send(server.addr());
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorized"), "{method} {target}");
        assert_eq!(answer.head.get("www-authenticate"), Some("Bearer"));
        for token in ["", "x", "a.b.c", &"x".repeat(9000)] {
            let answer = with_token(request(), token).send(server.addr());
            assert_eq!(answer.status, 401, "{method} {target} with {token:.10}");
        }
        let answer = request().header("Authorization", "Basic YTpi").send(server.addr());
        assert_eq!(answer.status, 401, "{method} {target}");
        let answer = request().header("X-API-Key", &key).send(server.addr());
        assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"), "{method} {target}");
    }
}

#[test]
fn a_registration_repeated_with_its_key_gets_the_first_response() {
    let server = roomy(&[]);
    let body = json!({ "username": "ann", "password": PASSWORD });
    let ask = |key: &str, body: &Value| {
        send("POST", "/auth/register", body).header("Idempotency-Key", key).send(server.addr())
    };
    let first = ask("k", &body);
    assert_eq!(first.status, 201);
    let again = ask("k", &body);
    assert_eq!((again.status, again.text()), (201, first.text()));
    assert_eq!(ask("k", &but(&body, "username", json!("bob"))).status, 409, "another body");
    assert_eq!(ask("other", &body).status, 409, "another key");
    assert_eq!(ask(&"k".repeat(129), &body).status, 400);
}

#[test]
fn rates_are_by_address() {
    let server = start(&[
        ("limits.login_per_minute", "3"),
        ("limits.register_per_minute", "2"),
        ("limits.tickets_per_minute", "1"),
        ("store.durability", "process-safe"),
    ]);
    let ann = Person::new(&server, "ann");
    assert_eq!(register(&server, &json!({})).status, 400, "a refused one counts");
    let limited = |answer: &Answer| {
        assert_eq!((answer.status, answer.problem().as_str()), (429, "rate_limited"), "{answer:?}");
        let wait: u64 = answer.head.get("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    };
    limited(&register(&server, &json!({ "username": "bob", "password": PASSWORD })));
    challenge(&server, "ann");
    verify(&server, "ann", None, &[0; 64]);
    limited(&server.post("/auth/login", &json!({ "username": "ann", "password": PASSWORD })));
    let ticket = || ann.ask(&server, send("POST", "/auth/ws-ticket", &json!({})));
    assert_eq!(ticket().status, 201);
    limited(&ticket());
    let elsewhere = fanfare_testkit::raw::Endpoint::from(server.addr()).from_address(9);
    let other =
        send("POST", "/auth/login", &json!({ "username": "ann", "password": PASSWORD })).send(elsewhere);
    assert_eq!(other.status, 200, "another address has its own");
}

#[test]
fn sessions_are_listed_paged_and_ended_by_their_owner() {
    let server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    let others: Vec<Person> = (0..4).map(|_| Person::login(&server, "ann", PASSWORD)).collect();
    let bob = Person::new(&server, "bob");
    let page = |query: &str| ann.get(&server, &format!("/auth/sessions{query}")).json();
    let first = page("?limit=2");
    let second = page(&format!("?limit=2&before={}", first["next"].as_str().unwrap()));
    let third = page(&format!("?limit=2&before={}", second["next"].as_str().unwrap()));
    let count = |page: &Value| page["items"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second), count(&third), &third["next"]), (2, 2, 1, &Value::Null));
    assert_eq!(third["items"][0]["current"], true, "the oldest is the own");
    for query in ["?limit=0", "?limit=x", "?before=nobody"] {
        assert_eq!(ann.get(&server, &format!("/auth/sessions{query}")).status, 400, "{query}");
    }
    let id = others[0].me(&server).json()["session_id"].as_str().unwrap().to_owned();
    let end = |who: &Person, id: &str| who.ask(&server, bare("DELETE", &format!("/auth/sessions/{id}")));
    for id in [id.as_str(), "unknown", "%00", "%ff", &"x".repeat(1000)] {
        let answer = end(&bob, id);
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not_found"), "{id:.20}");
    }
    let socket = with_token(Request::upgrade("/ws"), &others[0].token);
    let mut socket = Raw::upgrade(server.addr(), &socket);
    assert_eq!(end(&ann, &id).status, 204);
    socket.expect_close(4401);
    assert_eq!(others[0].me(&server).status, 401);
    assert_eq!(end(&ann, &id).status, 404, "ended is gone");
    assert_eq!((others[1].me(&server).status, ann.me(&server).status), (200, 200));
}

#[test]
fn a_new_password_ends_the_other_sessions() {
    let server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    let other = Person::login(&server, "ann", PASSWORD);
    let new = "Loud-Heron-walks-7-miles";
    let change = |current: &str, new: &str| {
        ann.ask(&server, send("PUT", "/users/me/password", &json!({ "current": current, "new": new })))
    };
    refused(&change("wrong", new), 403, "forbidden", Some("current"));
    refused(&change(PASSWORD, "short"), 400, "invalid_field", Some("new"));
    refused(&change(PASSWORD, "ann"), 400, "invalid_field", Some("new"));
    let missing = ann.ask(&server, send("PUT", "/users/me/password", &json!({ "new": new })));
    refused(&missing, 400, "invalid_field", Some("current"));
    assert_eq!(other.me(&server).status, 200, "a refused change ends nothing");
    let mut theirs = Raw::upgrade(server.addr(), &with_token(Request::upgrade("/ws"), &other.token));
    assert_eq!(change(PASSWORD, new).status, 204);
    theirs.expect_close(4401);
    assert_eq!((ann.me(&server).status, other.me(&server).status), (200, 401));
    let refresh =
        |person: &Person| server.post("/auth/refresh", &json!({ "refresh_token": person.refresh })).status;
    assert_eq!((refresh(&ann), refresh(&other)), (200, 401));
    let old = server.post("/auth/login", &json!({ "username": "ann", "password": PASSWORD }));
    refused(&old, 401, "invalid_credentials", None);
    Person::login(&server, "ann", new);
}

#[test]
fn a_profile_is_patched_and_shown() {
    let server = roomy(&[]);
    let (ann, bob) = (Person::new(&server, "ann"), Person::new(&server, "bob"));
    let patch = |body: &Value| ann.ask(&server, send("PATCH", "/users/me", body));
    let changed = patch(&json!({ "display_name": "Ann É.", "email": "ann@example.org" }));
    assert_eq!((changed.status, &changed.json()["display_name"]), (200, &json!("Ann É.")), "{changed:?}");
    assert_eq!(patch(&json!({})).json()["email"], "ann@example.org", "what is left out stays");
    let shown = bob.get(&server, "/users/ANN").json();
    assert_eq!((&shown["username"], &shown["display_name"]), (&json!("ann"), &json!("Ann É.")));
    assert!(shown.get("email").is_none(), "not for others");
    let merge = send("PATCH", "/users/me", &json!({ "email": null }));
    let merged = ann.ask(&server, merge.replace("Content-Type", "application/merge-patch+json"));
    assert_eq!((merged.status, &merged.json()["email"]), (200, &Value::Null), "{merged:?}");
    for (body, field) in [
        (json!({ "display_name": "" }), "display_name"),
        (json!({ "display_name": "a\u{202e}b" }), "display_name"),
        (json!({ "display_name": "a".repeat(65) }), "display_name"),
        (json!({ "display_name": 7 }), "display_name"),
        (json!({ "email": "nobody" }), "email"),
        (json!({ "email": "a@b\r\nBcc: c" }), "email"),
    ] {
        refused(&patch(&body), 400, "invalid_field", Some(field));
    }
    for name in ["nobody-here", "%00", "%ff", "a%2fb", "shop:zoe", &"x".repeat(500)] {
        for target in [format!("/users/{name}"), format!("/users/{name}/keys")] {
            refused(&bob.get(&server, &target), 404, "not_found", None);
        }
    }
}

#[test]
fn a_deleted_name_is_never_given_again() {
    let server = roomy(&[]);
    let (ann, bob) = (Person::new(&server, "ann"), Person::new(&server, "bob"));
    let mut socket = Raw::upgrade(server.addr(), &with_token(Request::upgrade("/ws"), &ann.token));
    assert_eq!(ann.ask(&server, bare("DELETE", "/users/me")).status, 204);
    socket.expect_close(4401);
    assert_eq!((ann.me(&server).status, bob.get(&server, "/users/ann").status), (401, 404));
    let login = server.post("/auth/login", &json!({ "username": "ann", "password": PASSWORD }));
    refused(&login, 401, "invalid_credentials", None);
    refused(&register(&server, &json!({ "username": "ann", "password": PASSWORD })), 409, "conflict", None);
    let refresh = server.post("/auth/refresh", &json!({ "refresh_token": ann.refresh }));
    refused(&refresh, 401, "invalid_credentials", None);
}

#[test]
fn a_refresh_token_used_twice_ends_its_family() {
    let server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    let other = Person::login(&server, "ann", PASSWORD);
    let refresh = |token: &str| server.post("/auth/refresh", &json!({ "refresh_token": token }));
    let second = refresh(&ann.refresh).json();
    let third = refresh(second["refresh_token"].as_str().unwrap()).json();
    let newest = Person { token: third["access_token"].as_str().unwrap().into(), ..ann.clone() };
    assert_eq!((newest.me(&server).status, &third["user"]["username"]), (200, &json!("ann")));
    let mut socket = Raw::upgrade(server.addr(), &with_token(Request::upgrade("/ws"), &newest.token));
    refused(&refresh(&ann.refresh), 401, "invalid_credentials", None);
    socket.expect_close(4401);
    refused(&refresh(third["refresh_token"].as_str().unwrap()), 401, "invalid_credentials", None);
    assert_eq!((newest.me(&server).status, ann.me(&server).status), (401, 401));
    assert_eq!(other.me(&server).status, 200, "another login is another family");
    for token in ["", "x", "not base64 !", &"A".repeat(43), &"A".repeat(10_000), &ann.token] {
        refused(&refresh(token), 401, "invalid_credentials", None);
    }
    refused(
        &server.post("/auth/refresh", &json!({ "refresh_token": 7 })),
        400,
        "invalid_field",
        Some("refresh_token"),
    );
}

#[test]
fn a_ticket_opens_one_socket_of_one_origin() {
    let server = roomy(&[("server.cors_origins", "https://good.test,https://other.test")]);
    let ann = Person::new(&server, "ann");
    let ticket = |body: &Value, page: Option<&str>| {
        let request = send("POST", "/auth/ws-ticket", body);
        let answer = ann.ask(&server, page.into_iter().fold(request, |r, page| r.header("Origin", page)));
        assert_eq!(answer.status, 201, "{answer:?}");
        assert!(answer.json()["expires_at"].as_str().unwrap().ends_with('Z'));
        answer.json()["ticket"].as_str().unwrap().to_owned()
    };
    let open = |ticket: &str, page: Option<&str>| {
        let request = Request::upgrade(&format!("/ws?ticket={ticket}"));
        page.into_iter().fold(request, |r, page| r.header("Origin", page)).send(server.addr()).status
    };
    let (good, other) = (Some("https://good.test"), Some("https://other.test"));
    let asked = ticket(&json!({ "origin": "https://good.test" }), None);
    assert_eq!((open(&asked, good), open(&asked, good)), (101, 401), "once");
    assert_eq!(open(&ticket(&json!({}), good), good), 101, "the page that asked");
    let burnt = ticket(&json!({}), good);
    assert_eq!((open(&burnt, other), open(&burnt, good)), (401, 401), "tried is used");
    assert_eq!(open(&ticket(&json!({}), good), None), 401);
    assert_eq!(open(&ticket(&json!({}), None), good), 401);
    assert_eq!(open(&ticket(&json!({}), None), None), 101);
    let empty = ann.ask(&server, bare("POST", "/auth/ws-ticket"));
    assert_eq!(empty.status, 201, "no body is an empty one");
    for origin in ["https://evil.test", "good.test", "null", "https://good.test/", ""] {
        let answer = ann.ask(&server, send("POST", "/auth/ws-ticket", &json!({ "origin": origin })));
        refused(&answer, 400, "invalid_field", Some("origin"));
    }
    for bent in ["", "x", &asked[1..], &"A".repeat(3000)] {
        assert_eq!(open(bent, None), 401, "{bent:.10}");
    }
    let last = ticket(&json!({}), None);
    assert_eq!(ann.ask(&server, bare("POST", "/auth/logout")).status, 204);
    assert_eq!(open(&last, None), 401, "its login has ended");
}

#[test]
fn members_that_only_the_server_sets_are_ignored() {
    let server = roomy(&[]);
    let body =
        json!({ "username": "eve", "password": PASSWORD, "role": "admin", "id": "1", "disabled": false });
    assert_eq!(register(&server, &body).status, 201, "what is not the body's own is ignored");
    let eve = Person::login(&server, "eve", PASSWORD);
    assert_eq!(eve.me(&server).json()["role"], "user");
    let patched =
        eve.ask(&server, send("PATCH", "/users/me", &json!({ "display_name": "Eve", "role": "admin" })));
    assert_eq!(patched.status, 200, "{patched:?}");
    assert_eq!(eve.me(&server).json()["role"], "user");
}

#[test]
fn messages_to_sessions_by_code_arrive() {
    let server = roomy(&[]);
    let key = crate::keys::api_key(&server, "k", &["sessions"]);
    let (mut one, welcome) = Client::greeted(server.addr());
    let mut two = Client::connect(server.addr());
    let code = welcome["session_code"].as_str().unwrap().to_owned();
    let post =
        |target: &str, body: &str| Request::post(target, body).header("X-API-Key", &key).send(server.addr());
    let sent = post(&format!("/sessions/{}/send", code.to_uppercase()), r#"{"payload":{"n": 1.0}}"#);
    assert_eq!((sent.status, &sent.json()["delivered"]), (200, &json!(1)), "{sent:?}");
    assert_eq!(one.hear_type("session_message")["payload"], json!({ "n": 1.0 }));
    assert_eq!(post("/sessions/broadcast", r#"{"payload":null}"#).status, 200);
    for ws in [&mut one, &mut two] {
        assert_eq!(ws.hear_type("session_message")["payload"], Value::Null);
    }
    for target in ["/sessions/happy-panda-42/send", "/sessions/x/send", "/sessions/%ff/send"] {
        refused_plain(&post(target, r#"{"payload":1}"#), 404, "not_found");
    }
    let deep = format!("{{\"payload\":{}{}}}", "[".repeat(129), "]".repeat(129));
    for (body, code) in
        [("{}", "invalid_field"), ("[]", "invalid_field"), ("{", "invalid_json"), (&deep, "invalid_json")]
    {
        refused_plain(&post("/sessions/broadcast", body), 400, code);
    }
    let anonymous = server.post("/sessions/broadcast", &json!({ "payload": 1 }));
    refused_plain(&anonymous, 401, "unauthorized");
    let ann = Person::new(&server, "ann");
    refused_plain(
        &ann.ask(&server, send("POST", "/sessions/broadcast", &json!({ "payload": 1 }))),
        403,
        "forbidden",
    );
    let narrow = crate::keys::api_key(&server, "n", &["publish"]);
    let request = Request::post("/sessions/broadcast", r#"{"payload":1}"#).header("X-API-Key", &narrow);
    refused_plain(&request.send(server.addr()), 403, "forbidden");
    one.close();
    eventually("its session has no connection", PATIENCE, || {
        let sent = post(&format!("/sessions/{code}/send"), r#"{"payload":1}"#);
        (sent.json()["delivered"] == 0 || sent.status == 404).then_some(())
    });
}

#[track_caller]
fn refused_plain(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{answer:?}");
}

#[test]
fn a_deletion_may_be_confirmed_by_password() {
    let server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    let delete = |body: &Value| ann.ask(&server, send("DELETE", "/users/me", body));
    let wrong = delete(&json!({ "current": "wrong-one-7" }));
    assert_eq!((wrong.status, wrong.problem().as_str()), (403, "forbidden"));
    assert_eq!(delete(&json!({ "current": 5 })).status, 400);
    assert_eq!(ann.me(&server).status, 200, "nothing was deleted");
    assert_eq!(delete(&json!({ "current": PASSWORD })).status, 204);
    assert_eq!(ann.me(&server).status, 401);
}

#[test]
fn a_ticket_asked_for_again_is_the_same() {
    let server = roomy(&[]);
    let (ann, bob) = (Person::new(&server, "ann"), Person::new(&server, "bob"));
    let ask = |who: &Person| {
        let request = send("POST", "/auth/ws-ticket", &json!({})).header("Idempotency-Key", "k");
        let answer = who.ask(&server, request);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["ticket"].clone()
    };
    let first = ask(&ann);
    assert_eq!(ask(&ann), first);
    assert_ne!(ask(&bob), first, "a key is its user's");
}

#[test]
fn a_users_bucket_holds_without_a_socket_too() {
    let server = roomy(&[
        ("limits.messages_per_second_per_user", "1"),
        ("limits.messages_burst_per_user", "4"),
        ("limits.command_per_second", "1"),
        ("limits.command_burst", "2"),
    ]);
    let (ann, bob) = (Person::new(&server, "ann"), Person::new(&server, "bob"));
    server.make_topic("t");
    let publish = |who: &Person| {
        who.ask(&server, send("POST", "/publish", &json!({ "topic": "t", "payload": 1 }))).status
    };
    let call = |who: &Person, method: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": {} });
        who.ask(&server, send("POST", "/rpc", &body))
    };
    let taken: Vec<u16> = (0..3).map(|_| publish(&ann)).chain((0..4).map(|_| publish(&ann))).collect();
    assert_eq!(taken[..4], [200; 4]);
    assert!(taken[4..].contains(&429), "{taken:?}");
    assert_eq!(call(&ann, "topic.list").status, 429, "one bucket for all");
    assert_eq!(server.stats()["users_online"], 0, "a bucket is no presence");
    let refused =
        (0..4).filter(|_| call(&bob, "server.ping").json()["error"]["data"]["code"] == "RATE_LIMITED");
    assert!((1..=2).contains(&refused.count()), "commands have a bucket of their own");
}
