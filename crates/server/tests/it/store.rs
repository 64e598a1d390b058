//! The store's life: at the start, in `/health` and metrics, and over restarts.

use crate::ops::{Again, command, refused, succeeded};
use crate::people::roomy;
use fanfare_testkit::raw_http::Request;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

fn call(addr: SocketAddr, method: &str, target: &str, body: &Value) -> (u16, Value) {
    let request = match method {
        "GET" | "DELETE" => Request::get(target).method(method),
        _ => Request::post(target, &body.to_string()).method(method),
    };
    let answer = request.send(addr);
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

#[test]
fn explicitly_created_topics_survive_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    let first = Again::start(&folder, &[]);
    let special =
        json!({ "name": "special", "backpressure": "drop_oldest", "history_size": 7, "history_ttl": "1h" });
    assert_eq!(call(first.addr, "POST", "/topics", &special).0, 201);
    assert_eq!(call(first.addr, "POST", "/topics", &json!({ "name": "plain" })).0, 201);
    assert_eq!(call(first.addr, "POST", "/topics", &json!({ "name": "gone" })).0, 201);
    assert_eq!(call(first.addr, "POST", "/topics", &json!({ "name": "a\u{0}b" })).0, 201);
    assert_eq!(call(first.addr, "DELETE", "/topics/gone", &Value::Null).0, 204);
    first.kill();
    let second = Again::start(&folder, &[("topics.history_size", "55")]);
    let (status, topic) = call(second.addr, "GET", "/topics/special", &Value::Null);
    assert_eq!(status, 200);
    assert_eq!(
        (&topic["backpressure"], &topic["history_size"], &topic["history_ttl"], &topic["kept"]),
        (&json!("drop_oldest"), &json!(7), &json!("1h"), &json!(true))
    );
    // Options that were not given at creation follow the configuration.
    assert_eq!(call(second.addr, "GET", "/topics/plain", &Value::Null).1["history_size"], 55);
    assert_eq!(call(second.addr, "GET", "/topics/gone", &Value::Null).0, 404);
    assert_eq!(call(second.addr, "GET", "/topics/a%00b", &Value::Null).1["kept"], true);
    second.stop();
}

#[test]
fn health_and_metrics_tell_of_the_store() {
    let server = roomy(&[]);
    let health = server.get("/health").json();
    assert_eq!(health["components"]["store"], json!({ "status": "ok", "kind": "sqlite" }));
    assert!((server.metric("fanfare_store_up") - 1.0).abs() < f64::EPSILON);
    assert!(server.metric("fanfare_store_commit_seconds_count") >= 1.0);
    assert!(server.metric("fanfare_store_batch_rows_sum") >= 1.0);
    let looked = succeeded(&command(&server.data_dir(), &["doctor", "--set", "server.port=0"]));
    assert!(looked.contains("store"), "{looked}");
}

#[test]
fn a_store_that_cannot_be_had_ends_the_start_with_its_key() {
    let place = tempfile::tempdir().unwrap();
    let serve = |url: &str| {
        let begun = Instant::now();
        let args = ["serve", "--set", "server.port=0", "--set", "server.host=127.0.0.1", "--set"];
        let set = format!("store.url={url}");
        let output = command(&place.path().join("data"), &[&args[..], &[&set]].concat());
        assert!(begun.elapsed() < Duration::from_secs(60), "{url}: {:?}", begun.elapsed());
        output
    };
    std::fs::write(place.path().join("text"), "this is no database, however long it may be: ".repeat(50))
        .unwrap();
    refused(&serve(&format!("sqlite://{}", place.path().join("text").display())), &["store.url"]);
    refused(&serve(&format!("sqlite://{}", place.path().display())), &["store.url"]);
    refused(&serve("sqlite:///proc/nowhere/fanfare.db"), &["store.url"]);
}
