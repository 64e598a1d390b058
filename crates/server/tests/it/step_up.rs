//! What an access token alone must not do: set keys, delete the account, change its address
//! (`accounts-and-messages.md` "Keys").

use crate::people::{Keys, PASSWORD, Person, SERVER_ID, bare, register, roomy, send, with_token};
use fanfare_e2ee::b64;
use fanfare_testkit::raw::Raw;
use fanfare_testkit::raw_http::{Answer, Request};
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use serde_json::{Value, json};

/// The members of `PUT /users/me/keys`.
fn body(keys: &Keys, name: &str) -> Value {
    let mut body = keys.body(name);
    body.as_object_mut().unwrap().remove("username");
    body
}

/// Makes all logins there are this much older.
fn age_logins(server: &Server, seconds: i64) {
    let db = rusqlite::Connection::open(server.data_dir().join("fanfare.db")).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    db.execute("UPDATE auth_sessions SET created_at = created_at - ?1", [seconds * 1000]).unwrap();
}

/// Somebody with a password and keys.
fn keyed(server: &Server, name: &str, seed: u8) -> Person {
    let mut body = Keys::new(seed).body(name);
    body["password"] = PASSWORD.into();
    assert_eq!(register(server, &body).status, 201);
    Person::login(server, name, PASSWORD)
}

fn put(server: &Server, who: &Person, body: &Value) -> Answer {
    who.ask(server, send("PUT", "/users/me/keys", body))
}

/// `body` with the signature of `old`, the one key there was so far, over the second entry of the log.
fn rotated(name: &str, old: &Keys, new: &Keys) -> Value {
    let text = |n, action, keys: &Keys, prev: &[u8; 32]| {
        let binding = keys.binding(SERVER_ID, name, "main");
        fanfare_e2ee::key_log_text(SERVER_ID, name, n, action, &keys.ik(), &keys.ek, Some(&binding), prev)
    };
    let first = fanfare_e2ee::key_log_hash(&text(1, "add", old, &[0; 32]), None);
    let mut body = body(new, name);
    body["rotation"] = b64::encode(&old.sign(&text(2, "rotate", new, &first))).into();
    body
}

#[track_caller]
fn unproven(answer: &Answer) {
    assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"), "{answer:?}");
    assert_eq!(answer.json()["errors"][0]["field"], "current", "{answer:?}");
}

fn with(mut body: Value, name: &str, value: &str) -> Value {
    body[name] = value.into();
    body
}

#[test]
fn an_old_login_is_no_proof_and_a_refreshed_one_is_not_new() {
    let server = roomy(&[]);
    let (ann, bob) = (keyed(&server, "ann", 1), Person::new(&server, "bob"));
    age_logins(&server, 61);
    let renewed = server.post("/auth/refresh", &json!({ "refresh_token": ann.refresh })).json();
    let ann = Person { token: renewed["access_token"].as_str().unwrap().into(), ..ann };
    let before = ann.get(&server, "/users/ann/keys").text();
    let email = json!({ "email": "ann@example.org" });
    unproven(&put(&server, &ann, &body(&Keys::new(2), "ann")));
    unproven(&put(&server, &bob, &body(&Keys::new(3), "bob")));
    for who in [&ann, &bob] {
        unproven(&who.ask(&server, bare("DELETE", "/users/me")));
        unproven(&who.ask(&server, send("DELETE", "/users/me", &json!({}))));
        unproven(&who.ask(&server, send("PATCH", "/users/me", &email)));
        assert_eq!(who.me(&server).status, 200);
    }
    assert_eq!(ann.get(&server, "/users/ann/keys").text(), before, "nothing was changed");
    let patch = |body: &Value| ann.ask(&server, send("PATCH", "/users/me", body));
    for free in [json!({ "display_name": "Ann" }), json!({ "email": null })] {
        assert_eq!(patch(&free).status, 200, "what changes no address needs no proof: {free}");
    }
    assert_eq!(patch(&with(email.clone(), "current", PASSWORD)).status, 200);
    assert_eq!(patch(&email).status, 200, "it is the address already");
    unproven(&patch(&json!({ "email": null })));
    let new = Person::login(&server, "ann", PASSWORD);
    assert_eq!(put(&server, &new, &body(&Keys::new(2), "ann")).status, 200, "a new login");
    assert_eq!(put(&server, &bob, &with(body(&Keys::new(3), "bob"), "current", PASSWORD)).status, 200);
    assert_eq!(bob.ask(&server, send("DELETE", "/users/me", &json!({ "current": PASSWORD }))).status, 204);
}

#[test]
fn a_key_signs_for_the_next_and_for_itself_whatever_the_login() {
    let server = roomy(&[]);
    let (ann, bob) = (keyed(&server, "ann", 1), keyed(&server, "bob", 11));
    age_logins(&server, 61);
    let (old, new) = (Keys::new(1), Keys::new(2));
    let mut wrong = rotated("ann", &old, &new);
    wrong["rotation"] = b64::encode(&new.sign(b"x")).into();
    let answer = put(&server, &ann, &wrong);
    assert_eq!((answer.status, answer.problem().as_str()), (400, "bad_signature"));
    assert_eq!(put(&server, &ann, &rotated("ann", &old, &new)).status, 200);
    let mut rebound = Keys::new(11);
    rebound.ek = Keys::new(12).ek;
    assert_eq!(put(&server, &bob, &body(&rebound, "bob")).status, 200);
}

#[test]
fn a_wrong_password_is_refused_however_new_the_login() {
    let server = roomy(&[]);
    let ann = keyed(&server, "ann", 1);
    let (old, new) = (Keys::new(1), Keys::new(2));
    let wrong = |body: Value| with(body, "current", "not-my-password-77");
    unproven(&put(&server, &ann, &wrong(body(&new, "ann"))));
    unproven(&put(&server, &ann, &wrong(rotated("ann", &old, &new))));
    unproven(&ann.ask(&server, send("PATCH", "/users/me", &wrong(json!({ "display_name": "Ann" })))));
    unproven(&ann.ask(&server, send("DELETE", "/users/me", &wrong(json!({})))));
    assert_eq!(put(&server, &ann, &body(&new, "ann")).status, 200, "the twin");
}

#[test]
fn another_identity_key_ends_the_other_logins() {
    let server = roomy(&[]);
    let (ann, old) = (keyed(&server, "ann", 1), Keys::new(1));
    let login = || Person::login(&server, "ann", PASSWORD);
    let socket = |who: &Person| {
        let mut socket = Raw::upgrade(server.addr(), &with_token(Request::upgrade("/ws"), &who.token));
        socket.hear_type("welcome");
        socket
    };
    let (other, mut own) = (login(), socket(&ann));
    let mut theirs = socket(&other);
    let mut rebound = Keys::new(1);
    rebound.ek = Keys::new(5).ek;
    assert_eq!(put(&server, &ann, &body(&rebound, "ann")).status, 200);
    theirs.expect_alive();
    assert_eq!(put(&server, &ann, &body(&Keys::new(2), "ann")).status, 200);
    theirs.expect_close(4401);
    assert_eq!((other.me(&server).status, ann.me(&server).status), (401, 200));
    let refresh = server.post("/auth/refresh", &json!({ "refresh_token": other.refresh }));
    assert_eq!((refresh.status, refresh.problem().as_str()), (401, "invalid_credentials"));
    own.expect_alive();
    let bob = keyed(&server, "bob", 11);
    let other = Person::login(&server, "bob", PASSWORD);
    assert_eq!(put(&server, &bob, &rotated("bob", &Keys::new(11), &Keys::new(12))).status, 200);
    assert_eq!((other.me(&server).status, bob.me(&server).status), (401, 200), "a signed one does too");
    drop(old);
}

#[test]
fn keys_change_ten_times_an_hour_and_the_log_is_paged() {
    let server = roomy(&[]);
    let ann = keyed(&server, "ann", 1);
    let next = |n: u8| {
        let mut keys = Keys::new(1);
        keys.ek = Keys::new(100 + n).ek;
        body(&keys, "ann")
    };
    for n in 1..=10 {
        if n <= 3 {
            unproven(&put(&server, &ann, &with(next(n), "current", "not-my-password-77")));
        }
        let answer = put(&server, &ann, &next(n));
        assert_eq!(answer.status, 200, "{n}: a refused one does not count: {answer:?}");
    }
    assert_eq!(put(&server, &ann, &next(10)).status, 200, "a repeat is no change");
    let answer = put(&server, &ann, &next(11));
    assert_eq!((answer.status, answer.problem().as_str()), (429, "rate_limited"), "{answer:?}");
    let wait: u64 = answer.head.get("retry-after").unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&wait), "{wait}");
    let page = |query: &str| {
        let shown = ann.get(&server, &format!("/users/ann/keys{query}")).json();
        let log = shown["log"].as_array().unwrap();
        log.iter().map(|entry| entry["n"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(page(""), (1..=11).collect::<Vec<_>>());
    assert_eq!((page("?before=4"), page("?before=1"), page("?before=0")), (vec![1, 2, 3], vec![], vec![]));
    assert_eq!(page("?before=99999999999999999999999").len(), 11);
    for bad in ["x", "-1", "", "1.5"] {
        let answer = ann.get(&server, &format!("/users/ann/keys?before={bad}"));
        assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (400, &json!("before")), "{bad:?}");
    }
    let bob = keyed(&server, "bob", 11);
    assert_eq!(put(&server, &bob, &body(&Keys::new(12), "bob")).status, 200, "another user is not concerned");
}

#[test]
fn refreshes_and_changes_of_the_account_are_bounded_by_user() {
    let server = roomy(&[]);
    let (mut ann, bob) = (Person::new(&server, "ann"), Person::new(&server, "bob"));
    let refresh = |token: &str| server.post("/auth/refresh", &json!({ "refresh_token": token }));
    let limited = |answer: &Answer| {
        assert_eq!((answer.status, answer.problem().as_str()), (429, "rate_limited"), "{answer:?}");
        assert!(answer.head.get("retry-after").is_some());
    };
    let mut refused = None;
    for _ in 0..200 {
        let answer = refresh(&ann.refresh);
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
        ann.refresh = answer.json()["refresh_token"].as_str().unwrap().to_owned();
    }
    limited(&refused.expect("an end to it"));
    assert_eq!(refresh(&bob.refresh).status, 200);
    eventually("the token was not used up", PATIENCE, || (refresh(&ann.refresh).status == 200).then_some(()));
    let patch = |who: &Person| who.ask(&server, send("PATCH", "/users/me", &json!({ "display_name": "A" })));
    let answers: Vec<Answer> = (0..60).map(|_| patch(&ann)).collect();
    assert!(answers[..30].iter().all(|answer| answer.status == 200));
    limited(answers.iter().find(|answer| answer.status != 200).expect("an end to it"));
    assert_eq!(patch(&bob).status, 200);
}

#[test]
fn no_login_by_the_old_password_survives_its_change() {
    let server = roomy(&[]);
    let mut password = PASSWORD.to_owned();
    let ann = Person::new(&server, "ann");
    for round in 0..4 {
        let new = format!("Loud-Heron-walks-{round}-miles");
        let (addr, old) = (server.addr(), password.clone());
        let logins: Vec<_> = (0..6)
            .map(|_| {
                let body = json!({ "username": "ann", "password": old });
                std::thread::spawn(move || send("POST", "/auth/login", &body).send(addr))
            })
            .collect();
        let change = json!({ "current": password, "new": new });
        assert_eq!(ann.ask(&server, send("PUT", "/users/me/password", &change)).status, 204);
        for login in logins {
            let answer = login.join().unwrap();
            if answer.status == 200 {
                let token = answer.json()["access_token"].as_str().unwrap().to_owned();
                let me = with_token(Request::get("/auth/me"), &token).send(addr);
                assert_eq!(me.status, 401, "round {round}: a login by the old password lives");
            }
        }
        password = new;
        Person::login(&server, "ann", &password);
    }
}

#[test]
fn a_password_is_the_same_on_every_keyboard() {
    let server = roomy(&[]);
    let typed = "Zo\u{eb} a\u{a0}bu le th\u{e9}";
    let made = register(&server, &json!({ "username": "zoe", "password": typed }));
    assert_eq!(made.status, 201, "{made:?}");
    for other in [typed, "Zoe\u{308} a bu le the\u{301}", "Zo\u{eb} a\u{2003}bu le th\u{e9}"] {
        let zoe = Person::login(&server, "zoe", other);
        let delete = json!({ "current": "Zoe a bu le the" });
        unproven(&zoe.ask(&server, send("DELETE", "/users/me", &delete)));
    }
}

#[test]
fn logins_that_replace_an_old_hash_do_not_shut_each_other_out() {
    let server = roomy(&[]);
    Person::new(&server, "ann");
    let db = rusqlite::Connection::open(server.data_dir().join("fanfare.db")).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    let stored = || db.query_row("SELECT password FROM users", [], |row| row.get::<_, String>(0)).unwrap();
    // Of parameters that are no longer used; made by argon2-cffi 25.
    let old =
        "$argon2id$v=19$m=8192,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$E00YDK579zCFKHdylDWWbt4Db/32fqyFEYPCGpqFXXw";
    db.execute("UPDATE users SET password = ?1", [old]).unwrap();
    let body = json!({ "username": "ann", "password": "correct horse battery staple" });
    let addr = server.addr();
    let login = move || send("POST", "/auth/login", &body).send(addr).status;
    let logins: Vec<_> = (0..6).map(|_| std::thread::spawn(login.clone())).collect();
    for login in logins {
        assert_eq!(login.join().unwrap(), 200);
    }
    let new = stored();
    assert!(new.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "it was replaced: {new}");
}
