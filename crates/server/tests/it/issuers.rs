//! An app's own users: tokens of `[[auth.issuers]]` on the routes of accounts (`http-api.md`).

use crate::ops::Again;
use crate::people::{PASSWORD, Person, bare, hs256, jwt, now_s, roomy, send, with_token};
use fanfare_testkit::raw::Raw;
use fanfare_testkit::raw_http::{Answer, Request};
use fanfare_testkit::server::Server;
use serde_json::{Value, json};

const SECRET: &str = "a-secret-of-the-shop-with-40-characters!";

fn shop() -> Server {
    let issuers = json!([{
        "name": "shop", "issuer": "https://shop.test/", "audience": "live", "hmac_secret": SECRET,
    }]);
    roomy(&[("auth.issuers", &issuers.to_string())])
}

fn claims(who: &str) -> Value {
    json!({ "iss": "https://shop.test/", "aud": "live", "sub": who, "iat": now_s(), "exp": now_s() + 600 })
}

fn signed(claims: &Value) -> String {
    jwt(&json!({ "alg": "HS256", "typ": "JWT" }), claims, |text| hs256(SECRET.as_bytes(), text))
}

fn me(server: &Server, token: &str) -> Answer {
    with_token(Request::get("/auth/me"), token).send(server.addr())
}

#[test]
fn an_issuers_user_is_created_at_the_first_login_and_has_no_password_here() {
    let server = shop();
    let token = signed(&claims("Zoe"));
    let shown = me(&server, &token).json();
    assert_eq!((&shown["username"], &shown["role"]), (&json!("shop:Zoe"), &json!("user")), "{shown}");
    assert_eq!(me(&server, &signed(&claims("Zoe"))).json()["id"], shown["id"], "one person, many tokens");
    let ask = |request: Request| with_token(request, &token).send(server.addr());
    let change = json!({ "current": PASSWORD, "new": "Loud-Heron-walks-7-miles" });
    let answer = ask(send("PUT", "/users/me/password", &change));
    assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"));
    assert_eq!(ask(send("PATCH", "/users/me", &json!({ "display_name": "Zoe" }))).status, 200);
    let ann = Person::new(&server, "ann");
    assert_eq!(ann.get(&server, "/users/shop:Zoe").json()["display_name"], "Zoe");
    assert_eq!(ann.get(&server, "/users/shop%3AZoe/keys").json()["username"], "shop:Zoe");
    for body in [json!({ "username": "shop:Zoe", "password": PASSWORD }), json!({ "username": "shop:Zoe" })] {
        assert_eq!(server.post("/auth/login", &body).status, 400, "it logs in elsewhere");
    }
}

#[test]
fn an_issuers_ticket_opens_a_socket() {
    let server = shop();
    let token = signed(&claims("zoe"));
    let ticket = with_token(send("POST", "/auth/ws-ticket", &json!({})), &token).send(server.addr());
    assert_eq!(ticket.status, 201, "{ticket:?}");
    let path = format!("/ws?ticket={}", ticket.json()["ticket"].as_str().unwrap());
    let mut socket = Raw::upgrade(server.addr(), &Request::upgrade(&path));
    assert_eq!(socket.hear_type("welcome")["user"]["username"], "shop:zoe");
    assert_eq!(Request::upgrade(&path).send(server.addr()).status, 401, "once");
    assert_eq!(with_token(bare("POST", "/auth/logout"), &token).send(server.addr()).status, 204);
    socket.expect_close(4401);
}

#[test]
fn altered_tokens_of_an_issuer_are_refused() {
    let server = shop();
    let with = |name: &str, value: Value| {
        let mut bent = claims("zoe");
        if value.is_null() {
            drop(bent.as_object_mut().unwrap().remove(name))
        } else {
            bent[name] = value
        }
        signed(&bent)
    };
    let by = |alg: &str, secret: &str| {
        jwt(&json!({ "alg": alg }), &claims("zoe"), |text| hs256(secret.as_bytes(), text))
    };
    let cases = [
        ("expired", with("exp", json!(now_s() - 60))),
        ("no end", with("exp", Value::Null)),
        ("no issuer", with("iss", Value::Null)),
        ("no audience", with("aud", Value::Null)),
        ("another audience", with("aud", json!("other"))),
        ("another issuer", with("iss", json!("https://shop.test"))),
        ("nobody", with("sub", Value::Null)),
        ("an empty name", with("sub", json!(""))),
        ("a long name", with("sub", json!("z".repeat(201)))),
        ("a number", with("sub", json!(7))),
        ("another secret", by("HS256", "another-secret-of-the-shop-40-characters")),
        ("no algorithm", jwt(&json!({ "alg": "none" }), &claims("zoe"), |_| Vec::new())),
        ("another algorithm", by("HS512", SECRET)),
        ("ours", by("EdDSA", SECRET)),
    ];
    for (what, token) in cases {
        let answer = me(&server, &token);
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorized"), "{what}");
    }
    assert_eq!(me(&server, &with("aud", json!(["other", "live"]))).status, 200, "the twin");
}

#[test]
fn a_token_that_logged_out_is_dead_after_a_restart_too() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    let issuers = json!([{
        "name": "shop", "issuer": "https://shop.test/", "audience": "live", "hmac_secret": SECRET,
    }]);
    let settings = [("auth.issuers", issuers.to_string())];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let (token, other) = (signed(&claims("zoe")), signed(&claims("mia")));
    let ask = |addr: std::net::SocketAddr, method: &str, target: &str, token: &str| {
        with_token(bare(method, target), token).send(addr).status
    };
    let first = Again::start(&folder, &settings);
    assert_eq!(ask(first.addr, "GET", "/auth/me", &token), 200);
    assert_eq!(ask(first.addr, "POST", "/auth/logout", &token), 204);
    assert_eq!(ask(first.addr, "GET", "/auth/me", &token), 401);
    let mut newer = claims("zoe");
    newer["exp"] = json!(now_s() + 601);
    assert_eq!(ask(first.addr, "GET", "/auth/me", &signed(&newer)), 200, "a newer one logs in again");
    first.stop();
    let second = Again::start(&folder, &settings);
    assert_eq!(ask(second.addr, "GET", "/auth/me", &token), 401);
    assert_eq!(ask(second.addr, "GET", "/auth/me", &other), 200);
}

#[test]
fn a_ticket_ends_with_the_token_it_was_fetched_with() {
    let server = shop();
    let (token, other) = (signed(&claims("zoe")), {
        let mut other = claims("zoe");
        other["exp"] = json!(now_s() + 601);
        signed(&other)
    });
    let ticket = |token: &str| {
        let made = with_token(send("POST", "/auth/ws-ticket", &json!({})), token).send(server.addr());
        format!("/ws?ticket={}", made.json()["ticket"].as_str().unwrap())
    };
    let (gone, kept) = (ticket(&token), ticket(&other));
    assert_eq!(with_token(bare("POST", "/auth/logout"), &token).send(server.addr()).status, 204);
    assert_eq!(Request::upgrade(&gone).send(server.addr()).status, 401);
    assert_eq!(Request::upgrade(&kept).send(server.addr()).status, 101, "another token of the user lives");
}

#[test]
fn a_deletion_needs_a_token_of_the_last_minute() {
    let server = shop();
    let at = |who: &str, iat: Option<u64>| {
        let mut claims = claims(who);
        claims.as_object_mut().unwrap().remove("iat");
        if let Some(iat) = iat {
            claims["iat"] = json!(iat);
        }
        signed(&claims)
    };
    let delete =
        |token: &str, body: &Value| with_token(send("DELETE", "/users/me", body), token).send(server.addr());
    for (token, body) in [
        (at("zoe", None), json!({})),
        (at("zoe", Some(now_s() - 70)), json!({})),
        (at("zoe", Some(now_s())), json!({ "current": PASSWORD })),
    ] {
        let answer = delete(&token, &body);
        assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"), "{answer:?}");
        assert_eq!(answer.json()["errors"][0]["field"], "current");
    }
    assert_eq!(delete(&at("zoe", Some(now_s())), &json!({})).status, 204);
}
