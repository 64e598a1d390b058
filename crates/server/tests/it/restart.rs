//! Sessions across a restart: a graceful stop keeps them.

use crate::ops::Again;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw_http::Request;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;

const ROOMY: &[(&str, &str)] = &[("limits.register_per_minute", "0"), ("limits.login_per_minute", "0")];
const PASSWORD: &str = "Quiet-Otter-swims-9-miles";

/// A connection's welcome: its session's code and token.
fn welcome(client: &mut Client) -> (String, String, Value) {
    let params = client.hear()["params"].take();
    let text = |name: &str| params[name].as_str().unwrap().to_owned();
    (text("session_code"), text("resume_token"), params.clone())
}

fn resume(addr: SocketAddr, code: &str, token: &str) -> Client {
    Client::open(addr, &format!("/rpc?session={code}&resume={token}"), None)
}

/// The status of an upgrade that resumes.
fn resumed(addr: SocketAddr, code: &str, token: &str) -> u16 {
    Request::upgrade(&format!("/rpc?session={code}&resume={token}")).send(addr).status
}

/// An access token of a new user.
fn login(addr: SocketAddr, name: &str) -> String {
    let body = json!({ "username": name, "password": PASSWORD }).to_string();
    assert_eq!(Request::post("/auth/register", &body).send(addr).status, 201);
    let answer = Request::post("/auth/login", &body).send(addr);
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

fn file(folder: &Path) -> std::path::PathBuf {
    folder.join("sessions.snapshot")
}

#[test]
fn sessions_continue_across_a_graceful_restart() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    let first = Again::start(&folder, ROOMY);
    let mut nobody = Client::open(first.addr, "/rpc", None);
    let (code, token, _) = welcome(&mut nobody);
    nobody.rpc("session.set", json!({ "key": "colour", "value": { "a": [1.0, "ü"] } }));
    let ann = login(first.addr, "ann");
    let mut hers = Client::open(first.addr, &format!("/rpc?token={ann}"), None);
    let (her_code, her_token, _) = welcome(&mut hers);
    let mut gone = Client::open(first.addr, &format!("/rpc?token={}", login(first.addr, "bob")), None);
    let (gone_code, gone_token, _) = welcome(&mut gone);
    first.stop();
    assert!(file(&folder).exists());

    let second = Again::start(&folder, ROOMY);
    assert!(!file(&folder).exists(), "what was read is gone");
    let mut again = resume(second.addr, &code, &token);
    let (same, next, whole) = welcome(&mut again);
    assert_eq!((&same, &whole["resumed"], &whole["user"]), (&code, &json!(true), &Value::Null));
    let kept = again.rpc("session.get", json!({ "key": "colour" }));
    assert_eq!(kept["result"]["value"], json!({ "a": [1.0, "ü"] }), "{kept}");
    // A user's session is resumed without a credential, as long as the login lives.
    let (same, _, whole) = welcome(&mut resume(second.addr, &her_code, &her_token));
    assert_eq!((&same, &whole["user"]["username"]), (&her_code, &json!("ann")), "{whole}");
    let body = json!({ "username": "bob", "password": PASSWORD }).to_string();
    let answer: Value =
        serde_json::from_slice(&Request::post("/auth/login", &body).send(second.addr).body).unwrap();
    let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
    let change = json!({ "current": PASSWORD, "new": "Loud-Badger-walks-8-miles" }).to_string();
    let changed = Request::post("/users/me/password", &change)
        .method("PUT")
        .header("Authorization", &bearer)
        .send(second.addr);
    assert_eq!(changed.status, 204, "the password ends bob's other login");
    assert_eq!(resumed(second.addr, &gone_code, &gone_token), 401);
    second.stop();

    let third = Again::start(&folder, ROOMY);
    let (same, _, _) = welcome(&mut resume(third.addr, &code, &next));
    assert_eq!(same, code, "and over one more");
    third.stop();
}

#[test]
fn a_crash_keeps_no_session_and_brings_none_back() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    let first = Again::start(&folder, ROOMY);
    let (code, token, _) = welcome(&mut Client::open(first.addr, "/rpc", None));
    first.stop();
    let second = Again::start(&folder, ROOMY);
    let (_, next, _) = welcome(&mut resume(second.addr, &code, &token));
    second.kill();
    assert!(!file(&folder).exists());
    let third = Again::start(&folder, ROOMY);
    for token in [token, next] {
        assert_eq!(resumed(third.addr, &code, &token), 401);
    }
    third.stop();
}

#[test]
fn a_damaged_file_costs_the_sessions_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    let first = Again::start(&folder, ROOMY);
    let (code, token, _) = welcome(&mut Client::open(first.addr, "/rpc", None));
    first.stop();
    let mut bytes = std::fs::read(file(&folder)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file(&folder), bytes).unwrap();
    let second = Again::start(&folder, ROOMY);
    assert_eq!(resumed(second.addr, &code, &token), 401);
    assert!(!file(&folder).exists());
    welcome(&mut Client::open(second.addr, "/rpc", None));
    second.stop();
}
