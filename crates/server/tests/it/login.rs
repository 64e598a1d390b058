//! Logging in by password and by key, and everything that must not let anybody in (`security.md`, research section 3).
//!
//! Longer than most: one attack is one test, and together they are the list of the research page.

use crate::people::{
    Keys, PASSWORD, Person, SERVER_ID, challenge, jwt, likeness, now_s, register, roomy, send, verify,
    with_token,
};
use crate::support::{BINARY, must_fail, start};
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePublicKey};
use ed25519_dalek::{Signer, SigningKey};
use fanfare_auth::challenge::Challenges;
use fanfare_e2ee::b64;
use fanfare_testkit::raw::Endpoint;
use fanfare_testkit::raw_http::{Answer, Request};
use fanfare_testkit::server::{PATIENCE, Server, Signal, eventually};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{answer:?}");
    assert_eq!(answer.head.get("www-authenticate"), None, "a failed login has none");
}

/// Somebody with keys.
#[track_caller]
fn keyed(server: &Server, name: &str, seed: u8) -> Keys {
    let keys = Keys::new(seed);
    let made = register(server, &keys.body(name));
    assert_eq!((made.status, &made.json()["device_id"]), (201, &json!("main")), "{made:?}");
    keys
}

#[test]
fn a_signed_challenge_logs_in_once() {
    let server = roomy(&[]);
    let keys = keyed(&server, "alice", 1);
    let asked = server.post("/auth/login", &json!({ "username": "Alice" })).json();
    let text = asked["challenge"].as_str().unwrap();
    let fields: Vec<&str> = text.split('|').collect();
    let origin = format!("http://{}", server.addr());
    assert_eq!(
        (fields[0], fields[1], fields[2], fields.len()),
        ("fanfare-login-v1", origin.as_str(), "alice", 6)
    );
    assert_eq!((fields[3].len(), fields[5].len()), (43, 22));
    assert_eq!(asked["expires_at"].as_str().unwrap().len(), "2026-11-21T11:21:00.000Z".len());
    assert!(asked["server_time"].as_str().unwrap() < asked["expires_at"].as_str().unwrap());
    let signature = keys.sign(text.as_bytes());
    let answer = verify(&server, "ALICE", Some(text), &signature);
    assert_eq!((answer.status, answer.head.get("cache-control")), (200, Some("no-store")), "{answer:?}");
    let tokens = answer.json();
    assert!(tokens.get("refresh_token").is_none(), "keys need none");
    let me =
        with_token(Request::get("/auth/me"), tokens["access_token"].as_str().unwrap()).send(server.addr());
    assert_eq!((&me.json()["username"], &me.json()["device_id"]), (&json!("alice"), &json!("main")));
    refused(&verify(&server, "alice", Some(text), &signature), 401, "invalid_credentials");
    let by_password = server.post("/auth/login", &json!({ "username": "alice", "password": PASSWORD }));
    refused(&by_password, 401, "invalid_credentials");
}

#[test]
fn an_account_may_have_both() {
    let server = roomy(&[]);
    let keys = Keys::new(3);
    let mut body = keys.body("alice");
    body["password"] = PASSWORD.into();
    assert_eq!(register(&server, &body).status, 201);
    Person::login(&server, "alice", PASSWORD);
    let text = challenge(&server, "alice");
    assert_eq!(verify(&server, "alice", Some(&text), &keys.sign(text.as_bytes())).status, 200);
}

#[test]
fn a_challenge_has_one_attempt_and_a_malformed_one_costs_none() {
    let server = roomy(&[]);
    let keys = keyed(&server, "alice", 1);
    let text = challenge(&server, "alice");
    let good = keys.sign(text.as_bytes());
    let ask = |signature: &Value| {
        server.post(
            "/auth/login?verify=true",
            &json!({ "username": "alice", "challenge": text, "signature": signature }),
        )
    };
    for shape in [
        json!("AAAA"),
        json!("!"),
        json!(7),
        json!(b64::encode(&[1; 63])),
        json!(b64::encode(&[1; 65])),
        Value::Null,
    ] {
        let answer = ask(&shape);
        refused(&answer, 400, "invalid_field");
        assert_eq!(answer.json()["errors"][0]["field"], "signature");
    }
    assert_eq!(ask(&json!(b64::encode(&good))).status, 200, "kept through all of that");
    let text = challenge(&server, "alice");
    refused(&verify(&server, "alice", Some(&text), &[1; 64]), 401, "invalid_credentials");
    refused(&verify(&server, "alice", Some(&text), &keys.sign(text.as_bytes())), 401, "invalid_credentials");
}

/// A challenge whose end was moved by a day.
fn later(text: &str) -> String {
    let mut fields: Vec<String> = text.split('|').map(str::to_owned).collect();
    fields[4] = (fields[4].parse::<u64>().unwrap() + 86_400).to_string();
    fields.join("|")
}

#[test]
fn no_other_challenge_is_taken() {
    let server = roomy(&[]);
    let keys = keyed(&server, "alice", 1);
    let other = Keys::new(2);
    let now = now_s() * 1000;
    let seal: [u8; 32] =
        std::fs::read(server.data_dir().join("keys/challenge.key")).unwrap().try_into().unwrap();
    let origin = format!("http://{}", server.addr());
    let made = |key, origin: &str, name, at| Challenges::new(key, origin.to_owned()).make(name, at).text;
    let fresh = || challenge(&server, "alice");
    let cases = [
        ("another key's signature", fresh(), Some(&other)),
        ("expired", made(seal, &origin, "alice", now - 61_000), None),
        ("another server's key", made([9; 32], &origin, "alice", now), None),
        ("another server's origin", made(seal, "https://other.test", "alice", now), None),
        ("another name's", made(seal, &origin, "alicia", now), None),
        ("a later end", later(&fresh()), None),
    ];
    for (n, (what, text, by)) in cases.into_iter().enumerate() {
        let signature = b64::encode(&by.unwrap_or(&keys).sign(text.as_bytes()));
        let body = json!({ "username": "alice", "challenge": text, "signature": signature });
        // Each from another address: five failures from one would be slowed.
        let from = Endpoint::from(server.addr()).from_address(10 + n as u8);
        let answer = send("POST", "/auth/login?verify=true", &body).send(from);
        assert_eq!((answer.status, answer.problem().as_str()), (401, "invalid_credentials"), "{what}");
    }
    let honest = made(seal, &origin, "alice", now);
    assert_eq!(
        verify(&server, "alice", Some(&honest), &keys.sign(honest.as_bytes())).status,
        200,
        "the twin"
    );
    for malformed in ["", "x", "fanfare-login-v1|a|b|c|d|e", &"|".repeat(900), &"a".repeat(2000)] {
        let answer = verify(&server, "alice", Some(malformed), &keys.sign(malformed.as_bytes()));
        refused(&answer, 400, "invalid_field");
    }
}

#[test]
fn a_burnt_challenge_stays_burnt_across_a_restart() {
    let settings = [("server.public_origin", "http://app.test")];
    let mut server = start(&settings);
    let keys = Keys::new(1);
    let mut body = keys.body("alice");
    // The server's id is its public origin's host.
    body["key_binding"] = b64::encode(&keys.binding("app.test", "alice", "main")).into();
    assert_eq!(register(&server, &body).status, 201);
    let (used, open) = (challenge(&server, "alice"), challenge(&server, "alice"));
    assert_eq!(verify(&server, "alice", Some(&used), &keys.sign(used.as_bytes())).status, 200);
    server.signal(Signal::KILL);
    server.wait(PATIENCE);
    let address = server.data_dir().join("address");
    std::fs::remove_file(&address).unwrap();
    let mut next = Server::command(BINARY, &server.data_dir(), &settings)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let addr = eventually("the next one listens", PATIENCE, || {
        std::fs::read_to_string(&address)
            .ok()?
            .trim()
            .strip_prefix("http://")?
            .parse::<std::net::SocketAddr>()
            .ok()
    });
    let ask = |text: &str| {
        let body = json!({ "username": "alice", "challenge": text, "signature": b64::encode(&keys.sign(text.as_bytes())) });
        send("POST", "/auth/login?verify=true", &body).send(addr)
    };
    refused(&ask(&used), 401, "invalid_credentials");
    assert_eq!(ask(&open).status, 200, "one that was not used still is good");
    next.kill().unwrap();
    next.wait().unwrap();
}

#[test]
fn a_body_without_the_challenge_tries_the_open_ones_of_its_network() {
    let server = roomy(&[]);
    let keys = keyed(&server, "alice", 1);
    let texts: Vec<String> = (0..3).map(|_| challenge(&server, "alice")).collect();
    let answer = verify(&server, "alice", None, &keys.sign(texts[0].as_bytes()));
    assert_eq!(answer.status, 200, "the oldest of three: {answer:?}");
    refused(&verify(&server, "alice", None, &keys.sign(texts[1].as_bytes())), 401, "invalid_credentials");
    let first = challenge(&server, "alice");
    (0..3).for_each(|_| drop(challenge(&server, "alice")));
    refused(&verify(&server, "alice", None, &keys.sign(first.as_bytes())), 401, "invalid_credentials");
    // Somebody elsewhere neither evicts a user's own challenges nor can use them.
    let mine = challenge(&server, "alice");
    let elsewhere = || Endpoint::from(server.addr()).from_address(9);
    for _ in 0..5 {
        assert_eq!(
            send("POST", "/auth/login", &json!({ "username": "alice" })).send(elsewhere()).status,
            200
        );
    }
    let body = json!({ "username": "alice", "signature": b64::encode(&keys.sign(mine.as_bytes())) });
    refused(&send("POST", "/auth/login?verify=true", &body).send(elsewhere()), 401, "invalid_credentials");
    assert_eq!(verify(&server, "alice", None, &keys.sign(mine.as_bytes())).status, 200);
}

#[test]
fn verify_is_exactly_true_and_posted() {
    let server = roomy(&[]);
    let keys = keyed(&server, "alice", 1);
    let text = challenge(&server, "alice");
    let body = json!({ "username": "alice", "challenge": text, "signature": b64::encode(&keys.sign(text.as_bytes())) });
    for query in [
        "verify=True",
        "verify=1",
        "verify=",
        "verify",
        "verify=true&verify=true",
        "verify=true&verify=false",
        "verify=false",
    ] {
        let answer = server.post(&format!("/auth/login?{query}"), &body);
        refused(&answer, 400, "invalid_field");
    }
    let without = server.post("/auth/login", &body);
    refused(&without, 400, "invalid_field");
    let got = Request::get("/auth/login?verify=true").send(server.addr());
    assert_eq!((got.status, got.problem().as_str()), (405, "method_not_allowed"));
    let both = json!({ "username": "alice", "challenge": text, "signature": "x", "password": PASSWORD });
    refused(&server.post("/auth/login?verify=true", &both), 400, "invalid_field");
    assert_eq!(server.post("/auth/login?verify=true&other=1", &body).status, 200, "and it was kept");
}

#[test]
fn unknown_wrong_and_disabled_get_the_same_error() {
    let server = roomy(&[]);
    Person::new(&server, "alice");
    keyed(&server, "keyed", 1);
    let gone = Person::new(&server, "gone");
    gone.ask(&server, crate::people::bare("DELETE", "/users/me"));
    let password = |name: &str| {
        likeness(&server.post("/auth/login", &json!({ "username": name, "password": "wrong-one-7" })))
    };
    let wrong = password("alice");
    for name in ["nobody", "keyed", "gone", "admin", "server"] {
        assert_eq!(password(name), wrong, "{name}");
    }
    let length = |name: &str| challenge(&server, name).len() - name.len();
    assert_eq!(length("alice"), length("nobody"));
    let signed = |name: &str| {
        let text = challenge(&server, name);
        likeness(&verify(&server, name, Some(&text), &Keys::new(9).sign(text.as_bytes())))
    };
    let wrong = signed("keyed");
    for name in ["nobody", "alice", "gone", "root"] {
        assert_eq!(signed(name), wrong, "{name}");
    }
    assert_eq!(
        likeness(&verify(&server, "nobody", None, &[7; 64])),
        likeness(&verify(&server, "keyed", None, &[7; 64]))
    );
    for name in ["", "ab", "a b", "shop:zoe", "é-é-é", &"x".repeat(33)] {
        refused(&server.post("/auth/login", &json!({ "username": name })), 400, "invalid_field");
    }
}

/// CPU time that a number of logins of either kind, in turn, cost the threads that hash. However busy the machine is, the time
/// in which they wait for a core is not in it.
fn hashing(server: &Server, tries: usize, kinds: [&dyn Fn(usize); 2]) -> [Duration; 2] {
    let mut spent = [Duration::ZERO; 2];
    for n in 0..tries {
        for (attempt, spent) in kinds.iter().zip(&mut spent) {
            let before = server.cpu_time_of("password-");
            attempt(n);
            *spent += server.cpu_time_of("password-") - before;
        }
    }
    spent
}

#[track_caller]
fn alike([one, other]: [Duration; 2]) {
    assert!(one.min(other) * 4 > one.max(other) * 3, "{one:?} and {other:?} were spent on hashes");
}

/// Fails to log in by password.
fn guess(server: &Server, name: &str) {
    let answer = server.post("/auth/login", &json!({ "username": name, "password": "wrong-one-7" }));
    assert_eq!(answer.status, 401, "{answer:?}");
}

/// A server and three names with passwords. Four tries a name: the fifth failure would be answered without looking.
fn with_accounts() -> (Server, [&'static str; 3]) {
    let server = roomy(&[]);
    let names = ["ann", "bob", "cat"];
    for name in names {
        assert_eq!(register(&server, &json!({ "username": name, "password": PASSWORD })).status, 201);
    }
    (server, names)
}

#[test]
fn an_unknown_user_takes_as_long_as_a_known_one() {
    let (server, names) = with_accounts();
    let known = |n: usize| guess(&server, names[n % 3]);
    let unknown = |n: usize| guess(&server, &format!("other{}", n % 3));
    alike(hashing(&server, 12, [&known, &unknown]));
}

#[test]
fn twin_a_login_without_a_hash_is_seen_by_the_time_it_takes() {
    let (server, names) = with_accounts();
    let known = |n: usize| guess(&server, names[n % 3]);
    let unhashed = |n: usize| assert_eq!(challenge(&server, &format!("other{n}")).matches('|').count(), 5);
    let spent = hashing(&server, 3, [&known, &unhashed]);
    must_fail("no hash", || alike(spent));
}

#[test]
fn guesses_are_slowed_for_any_account() {
    let server = roomy(&[]);
    let alice = Person::new(&server, "alice");
    let attempt = |name: &str, password: &str| {
        server.post("/auth/login", &json!({ "username": name, "password": password }))
    };
    for name in ["alice", "nobody"] {
        for _ in 0..5 {
            refused(&attempt(name, "wrong-one-7"), 401, "invalid_credentials");
        }
        // One second is to be waited. Each guess after the wait doubles it, until it is longer than a busy machine takes for
        // the two requests that follow.
        let mut longest = 1;
        let waits = |answer: &Answer, longest: u64| {
            refused(answer, 429, "rate_limited");
            let wait: u64 = answer.head.get("retry-after").unwrap().parse().unwrap();
            assert!((1..=longest).contains(&wait), "{name}: {wait} of {longest}");
            wait
        };
        eventually("four seconds are to be waited", PATIENCE, || {
            let answer = attempt(name, "wrong-one-7");
            if answer.status == 401 {
                longest *= 2;
                return None;
            }
            (waits(&answer, longest) >= 4).then_some(())
        });
        // Neither is looked at.
        for password in [PASSWORD, "wrong-one-7"] {
            waits(&attempt(name, password), longest);
        }
    }
    let body = json!({ "username": "alice", "password": PASSWORD });
    let elsewhere = send("POST", "/auth/login", &body).send(Endpoint::from(server.addr()).from_address(9));
    assert_eq!(elsewhere.status, 200, "no lockout of the account: {elsewhere:?}");
    assert_eq!(alice.me(&server).status, 200);
    eventually("the wait is over", PATIENCE, || (attempt("alice", PASSWORD).status == 200).then_some(()));
}

/// A token of the server's own, bent.
fn forged(server: &Server, token: &str, header: &Value, change: impl FnOnce(&mut Value)) -> String {
    let pem = std::fs::read_to_string(server.data_dir().join("keys/jwt.pem")).unwrap();
    let key = SigningKey::from_pkcs8_pem(&pem).unwrap();
    let claims = token.split('.').nth(1).unwrap();
    let mut claims: Value = serde_json::from_slice(&b64::decode(claims).unwrap()).unwrap();
    change(&mut claims);
    jwt(header, &claims, |text| key.sign(text).to_bytes().to_vec())
}

/// A token with another one's signature.
fn swapped(token: &str, other: &str) -> String {
    let (text, _) = token.rsplit_once('.').unwrap();
    format!("{text}.{}", other.rsplit('.').next().unwrap())
}

#[test]
fn no_bent_token_is_taken() {
    let server = roomy(&[]);
    let alice = Person::new(&server, "alice");
    let header = alice.token.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&b64::decode(header).unwrap()).unwrap();
    assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
    let claims: Value =
        serde_json::from_slice(&b64::decode(alice.token.split('.').nth(1).unwrap()).unwrap()).unwrap();
    let origin = format!("http://{}", server.addr());
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(origin), &json!("fanfare-api")));
    let me = |token: &str| with_token(Request::get("/auth/me"), token).send(server.addr());
    let bend = |change: fn(&mut Value)| forged(&server, &alice.token, &header, change);
    assert_eq!(me(&bend(|_| {})).status, 200, "the twin: an honest copy");
    let with = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        forged(&server, &alice.token, &header, |_| {})
    };
    let path = server.data_dir().join("keys/jwt.pem");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let public =
        SigningKey::from_pkcs8_pem(&std::fs::read_to_string(&path).unwrap()).unwrap().verifying_key();
    let public_pem = public.to_public_key_pem(Default::default()).unwrap();
    let confused = |alg: &str, secret: &[u8]| {
        let mut header = header.clone();
        header["alg"] = alg.into();
        jwt(&header, &claims, |text| crate::people::hs256(secret, text))
    };
    let unsigned = {
        let mut header = header.clone();
        header["alg"] = "none".into();
        jwt(&header, &claims, |_| Vec::new())
    };
    let cases = [
        ("no algorithm", unsigned),
        ("the public key as a secret", confused("HS256", public_pem.as_bytes())),
        ("the public bytes as a secret", confused("HS256", public.as_bytes())),
        ("HMAC called EdDSA", confused("EdDSA", public.as_bytes())),
        ("another type", with("typ", json!("JWT"))),
        ("another key id", with("kid", json!("other"))),
        ("a key of its own", with("jwk", json!({ "kty": "OKP" }))),
        ("a key elsewhere", with("jku", json!("http://127.0.0.1:1/"))),
        ("a certificate", with("x5c", json!([]))),
        ("a critical extension", with("crit", json!(["exp"]))),
        ("another audience", bend(|c| c["aud"] = "other".into())),
        ("another issuer", bend(|c| c["iss"] = "https://other.test".into())),
        ("another user", bend(|c| c["sub"] = "other".into())),
        ("another session", bend(|c| c["sid"] = "other".into())),
        ("expired", bend(|c| c["exp"] = (now_s() - 10).into())),
        ("not yet", bend(|c| c["nbf"] = (now_s() + 60).into())),
        ("issued tomorrow", bend(|c| c["iat"] = (now_s() + 86_400).into())),
        ("no end", bend(|c| drop(c.as_object_mut().unwrap().remove("exp")))),
        ("no session", bend(|c| drop(c.as_object_mut().unwrap().remove("sid")))),
        ("no issuer", bend(|c| drop(c.as_object_mut().unwrap().remove("iss")))),
        ("another's signature", swapped(&alice.token, &Person::new(&server, "bob").token)),
        ("longer", format!("{}A", alice.token)),
        ("cut", alice.token[..alice.token.len() - 4].to_owned()),
    ];
    for (what, token) in cases {
        let answer = me(&token);
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorized"), "{what}");
    }
    assert_eq!(
        me(&bend(|c| c["role"] = "admin".into())).json()["role"],
        "user",
        "the store says who is an admin"
    );
}

#[test]
fn a_hundred_logins_at_once_are_bounded() {
    let server = roomy(&[]);
    (0..10).for_each(|n| drop(Person::new(&server, &format!("user{n}"))));
    let idle = server.rss_kib();
    let addr = server.addr();
    let logins: Vec<_> = (0..100)
        .map(|n| {
            std::thread::spawn(move || {
                let body = json!({ "username": format!("user{}", n % 10), "password": PASSWORD });
                send("POST", "/auth/login", &body).send(addr)
            })
        })
        .collect();
    let mut most = 0;
    while logins.iter().any(|login| !login.is_finished()) {
        most = most.max(server.rss_kib());
        std::thread::yield_now();
    }
    let answers: Vec<Answer> = logins.into_iter().map(|login| login.join().unwrap()).collect();
    let count = |status| answers.iter().filter(|a| a.status == status).count();
    assert_eq!(count(200) + count(503), 100, "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
    // The queue has 32 places; on a busy machine no hasher has taken one out before the hundredth came.
    assert!(count(200) >= 32, "those in the queue are served: {}", count(200));
    for answer in answers.iter().filter(|a| a.status == 503) {
        assert_eq!(answer.problem(), "unavailable");
        assert_eq!(answer.head.get("retry-after"), Some("1"));
    }
    // Four hashers of 19 MiB, and what a hundred connections take.
    assert!(most < idle + 150 * 1024, "from {idle} KiB to {most} KiB");
    assert_eq!(server.get("/livez").status, 200);
}

/// Each hashing thread has one block of memory and uses it for every login. (With an allocation for each hash, 100 logins at
/// once left 310 MiB behind.)
#[test]
fn logins_leave_one_block_of_memory_for_each_hashing_thread() {
    let server = roomy(&[]);
    (0..10).for_each(|n| drop(Person::new(&server, &format!("user{n}"))));
    let wanted = fanfare_testkit::soak::pick(200, 1000);
    let burst = || {
        let addr = server.addr();
        let login = move |n: usize| {
            let body = json!({ "username": format!("user{}", n % 10), "password": PASSWORD });
            send("POST", "/auth/login", &body).send(addr).status
        };
        let logins: Vec<_> = (0..100).map(|n| std::thread::spawn(move || login(n))).collect();
        logins.into_iter().map(|login| login.join().unwrap()).filter(|s| *s == 200).count()
    };
    let mut done = burst();
    // Every thread has its block now, and the allocator what a hundred connections take.
    let warm = server.rss_kib();
    while done < wanted {
        done += burst();
    }
    let now = server.rss_kib();
    assert!(now < warm + 16 * 1024, "{done} logins: from {warm} KiB to {now} KiB");
}

#[test]
fn keys_are_shown_changed_and_logged() {
    let server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    keyed(&server, "bob", 7);
    let put = |body: &Value| ann.ask(&server, send("PUT", "/users/me/keys", body));
    let strip = |keys: &Keys, name: &str| {
        let mut body = keys.body(name);
        body.as_object_mut().unwrap().remove("username");
        body
    };
    let empty = ann.get(&server, "/users/ann/keys").json();
    assert_eq!(empty, json!({ "username": "ann", "devices": [], "log": [] }));
    let first = Keys::new(1);
    let answer = put(&strip(&first, "ann"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let shown = ann.get(&server, "/users/ann/keys").json();
    assert_eq!(shown, answer.json());
    let device = &shown["devices"][0];
    assert_eq!((&device["device_id"], &device["binding"]), (&json!("main"), &json!("signed")));
    assert_eq!(device["kid"], fanfare_e2ee::kid(fanfare_e2ee::KeyKind::X25519, &first.ek));
    let entry = &shown["log"][0];
    assert_eq!(
        (&entry["n"], &entry["action"], &entry["prev_hash"]),
        (&json!(1), &json!("add"), &json!(b64::encode(&[0; 32])))
    );

    let text = challenge(&server, "ann");
    assert_eq!(
        verify(&server, "ann", Some(&text), &first.sign(text.as_bytes())).status,
        200,
        "keys log in at once"
    );

    // The same identity key: a new binding only.
    let mut rebound = Keys::new(1);
    rebound.ek = Keys::new(2).ek;
    let mut unbound = strip(&rebound, "ann");
    unbound.as_object_mut().unwrap().remove("key_binding");
    assert_eq!(put(&unbound).json()["errors"][0]["field"], "key_binding");
    let answer = put(&strip(&rebound, "ann")).json();
    assert_eq!(
        (&answer["log"][1]["action"], answer["devices"].as_array().unwrap().len()),
        (&json!("rebind"), 1)
    );

    // A new one, signed by the one before.
    let hash = |n: u64, action: &str, keys: &Keys, prev: &[u8; 32], rotation: Option<&[u8; 64]>| {
        let binding = keys.binding(SERVER_ID, "ann", "main");
        let text = fanfare_e2ee::key_log_text(
            SERVER_ID,
            "ann",
            n,
            action,
            &keys.ik(),
            &keys.ek,
            Some(&binding),
            prev,
        );
        (fanfare_e2ee::key_log_hash(&text, rotation), text)
    };
    let (one, _) = hash(1, "add", &first, &[0; 32], None);
    let (two, _) = hash(2, "rebind", &rebound, &one, None);
    assert_eq!(answer["log"][1]["prev_hash"], b64::encode(&one), "the log is a chain");
    let third = Keys::new(3);
    let mut body = strip(&third, "ann");
    let (_, text) = hash(3, "rotate", &third, &two, None);
    body["rotation"] = b64::encode(&third.sign(&text)).into();
    let bad = put(&body);
    assert_eq!(
        (bad.status, bad.problem().as_str(), &bad.json()["errors"][0]["field"]),
        (400, "bad_signature", &json!("rotation"))
    );
    let rotation = rebound.sign(&text);
    body["rotation"] = b64::encode(&rotation).into();
    let answer = put(&body);
    assert_eq!((answer.status, &answer.json()["log"][2]["action"]), (200, &json!("rotate")), "{answer:?}");
    let again = put(&body);
    assert_eq!(
        (again.status, again.text()),
        (200, answer.text()),
        "a repeat changes nothing, not even the log"
    );
    let mut rebind = strip(&third, "ann");
    rebind["x25519_public_key"] = b64::encode(&Keys::new(6).ek).into();
    rebind["rotation"] = b64::encode(&rotation).into();
    assert_eq!(put(&rebind).status, 400, "neither bound nor a rotation");

    // An unsigned one is reported to contacts, and accepted.
    let answer = put(&strip(&Keys::new(4), "ann")).json();
    assert_eq!((&answer["log"][3]["action"], &answer["log"][3]["n"]), (&json!("replace"), &json!(4)));
    let text = challenge(&server, "ann");
    assert_eq!(
        verify(&server, "ann", Some(&text), &third.sign(text.as_bytes())).status,
        401,
        "the old key is out"
    );

    let taken = put(&strip(&Keys::new(7), "ann"));
    assert_eq!((taken.status, taken.problem().as_str()), (409, "conflict"), "bob's");
    let mut phone = strip(&Keys::new(5), "ann");
    phone["device_id"] = "phone".into();
    assert_eq!(put(&phone).json()["errors"][0]["field"], "device_id");
    let again = register(&server, &Keys::new(7).body("carol"));
    assert_eq!((again.status, again.problem().as_str()), (409, "conflict"), "{again:?}");
}

#[test]
fn bindings_can_be_required() {
    let server = roomy(&[("auth.require_key_binding", "true")]);
    let mut body = Keys::new(1).body("ann");
    body.as_object_mut().unwrap().remove("key_binding");
    let answer = register(&server, &body);
    assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (400, &json!("key_binding")));
    keyed(&server, "bob", 1);
}
