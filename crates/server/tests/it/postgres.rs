//! The whole server on PostgreSQL: what it keeps there, and what happens while the database is away.
//!
//! The store itself is tested on both engines in its own crate; crashes and tampering are in `crash` and `audit`.

use crate::ops::{Again, command, intact_in, succeeded};
use crate::people::{PASSWORD, Person, bare, register, roomy, send, with_token};
use crate::support::must_fail;
use fanfare_testkit::client::Client;
use fanfare_testkit::postgres;
use fanfare_testkit::raw::Raw;
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

/// A server on a fresh database.
fn started() -> Option<(Server, String)> {
    let url = postgres::database()?;
    Some((roomy(&[("store.url", &url)]), format!("store.url={url}")))
}

#[test]
fn accounts_sockets_topics_and_commands() {
    let Some((server, set)) = started() else { return };
    let store = server.get("/health").json()["components"]["store"].take();
    assert_eq!(store, json!({ "status": "ok", "kind": "postgres" }));

    let ann = Person::new(&server, "ann");
    assert_eq!(register(&server, &json!({ "username": "ANN", "password": PASSWORD })).status, 409);
    assert_eq!(ann.me(&server).json()["username"], "ann");
    let other = Person::login(&server, "ann", PASSWORD);
    let sessions = ann.get(&server, "/auth/sessions").json();
    assert_eq!(sessions["items"].as_array().unwrap().len(), 2, "{sessions}");

    let mut ws = Raw::upgrade(server.addr(), &with_token(Request::upgrade("/ws"), &other.token));
    ws.hear_type("welcome");
    assert_eq!(other.ask(&server, send("POST", "/auth/logout", &json!({}))).status, 204);
    let begun = Instant::now();
    ws.expect_close(4401);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(other.me(&server).status, 401);

    let renewed = server.post("/auth/refresh", &json!({ "refresh_token": ann.refresh }));
    assert_eq!(renewed.status, 200);
    let again = server.post("/auth/refresh", &json!({ "refresh_token": ann.refresh }));
    assert_eq!(again.status, 401, "a refresh token is for once");

    server.make_topic("kept");
    let backup = server.data_dir().with_file_name("backup");
    succeeded(&command(&server.data_dir(), &["backup", backup.to_str().unwrap(), "--set", &set]));
    let made = command(
        &server.data_dir(),
        &["admin", "create-api-key", "app", "--scope", "sessions", "--set", &set],
    );
    let key = succeeded(&made);
    let asked = send("POST", "/sessions/broadcast", &json!({ "payload": 1 }));
    assert_eq!(asked.header("X-API-Key", key.trim()).send(server.addr()).status, 200);
    intact_in(&server.data_dir(), &["--set", &set]);

    // The backup is restored into another database.
    let fresh = format!("store.url={}", postgres::database().unwrap());
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    succeeded(&command(&folder, &["restore", backup.to_str().unwrap(), "--set", &fresh]));
    intact_in(&folder, &["--set", &fresh]);
    let second = Again::start(&folder, &[("store.url", fresh.strip_prefix("store.url=").unwrap())]);
    let login = send("POST", "/auth/login", &json!({ "username": "ann", "password": PASSWORD }));
    assert_eq!(login.send(second.addr).status, 200);
    assert_eq!(bare("GET", "/topics/kept").send(second.addr).json()["kept"], true);
    second.stop();
}

#[test]
fn while_the_database_is_away_only_what_needs_it_is_refused() {
    let Some((server, set)) = started() else { return };
    let url = set.strip_prefix("store.url=").unwrap();
    let ann = Person::new(&server, "ann");
    let (mut ear, _) = Client::greeted(server.addr());
    ear.subscribe("t");
    let (mut mouth, _) = Client::greeted(server.addr());
    let asked = |name: &str| register(&server, &json!({ "username": name, "password": PASSWORD }));

    postgres::set_open(url, false);
    let begun = Instant::now();
    let refused = asked("bob");
    assert_eq!((refused.status, refused.problem().as_str()), (503, "unavailable"), "{refused:?}");
    assert!(refused.head.get("retry-after").is_some(), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let health = eventually("it is known", PATIENCE, || {
        let health = server.get("/health");
        (health.json()["components"]["store"]["status"] != "ok").then_some(health)
    });
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("degraded")), "{health:?}");
    assert!(server.metric("fanfare_store_up").abs() < f64::EPSILON);
    mouth.publish("t", json!(1));
    assert_eq!(ear.hear_type("event")["payload"], 1, "fan-out needs no store");

    postgres::set_open(url, true);
    let there = eventually("it is back", PATIENCE, || (asked("carol").status == 201).then_some("carol"));
    assert_eq!(ann.me(&server).status, 200);
    eventually("health", PATIENCE, || (server.get("/health").json()["status"] == "ok").then_some(()));
    let login = |name: &str| Person::login(&server, name, PASSWORD);
    login(there);
    // The negative test: this one was never registered.
    must_fail("an account that was refused", || login("bob"));
    intact_in(&server.data_dir(), &["--set", &set]);
}
