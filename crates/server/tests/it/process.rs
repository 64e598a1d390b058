//! The process: its data folder, its lock, its probe (`configuration.md`).

use crate::support::{BINARY, start};
use fanfare_testkit::server::{PATIENCE, Server, Signal, eventually};
use std::path::Path;
use std::process::{Command, Output};

fn doctor(data_dir: &Path) -> Option<i32> {
    let mut command = Command::new(BINARY);
    command.env_clear().args(["doctor", "--live", "--set", "server.port=0", "--set"]);
    command.arg(format!("data_dir={}", data_dir.display())).output().unwrap().status.code()
}

fn serve_on(data_dir: &Path) -> Output {
    Server::command(BINARY, data_dir, &[]).output().unwrap()
}

#[test]
fn a_data_folder_has_one_server() {
    let mut server = start(&[]);
    let address = std::fs::read_to_string(server.data_dir().join("address")).unwrap();
    let second = serve_on(&server.data_dir());
    assert_eq!(second.status.code(), Some(2));
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(error.contains("data_dir") && error.trim().lines().count() == 1, "{error}");
    assert_eq!(std::fs::read_to_string(server.data_dir().join("address")).unwrap(), address);
    assert_eq!(server.get("/livez").status, 200);
    // A server that was killed leaves no lock behind.
    server.signal(Signal::KILL);
    server.wait(PATIENCE);
    let mut next =
        Server::command(BINARY, &server.data_dir(), &[]).stdout(std::process::Stdio::null()).spawn().unwrap();
    eventually("the next one listens", PATIENCE, || {
        assert_eq!(next.try_wait().unwrap(), None, "it ended");
        (doctor(&server.data_dir()) == Some(0)).then_some(())
    });
    next.kill().unwrap();
    next.wait().unwrap();
}

#[test]
fn the_doctor_tells_the_living_from_the_dead() {
    let mut server = start(&[]);
    assert_eq!(doctor(&server.data_dir()), Some(0));
    server.signal(Signal::TERM);
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
    assert_eq!(doctor(&server.data_dir()), Some(1));
}

#[test]
fn the_doctor_is_not_deceived_by_another_server() {
    // A killed server leaves its address behind; a later listener on it must not count. Here there is none.
    let mut server = start(&[]);
    server.signal(Signal::KILL);
    server.wait(PATIENCE);
    assert!(server.data_dir().join("address").exists());
    assert_eq!(doctor(&server.data_dir()), Some(1));
}

#[test]
fn a_panic_ends_nothing_but_the_call() {
    let server = start(&[("rpc.test_methods", "true")]);
    let mut ws = fanfare_testkit::client::Client::open(server.addr(), "/rpc", None);
    let answer = ws.rpc("test.panic", serde_json::json!({}));
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    let shown = answer["error"].to_string();
    let id = shown.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| word.len() >= 16);
    let id = id.unwrap_or_else(|| panic!("no correlation id in {shown}")).to_owned();
    eventually("the log has the panic under its id", PATIENCE, || server.log().contains(&id).then_some(()));
    assert!(ws.rpc("server.ping", serde_json::json!({}))["error"].is_null());
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn a_hangup_ends_no_server() {
    let mut server = start(&[]);
    server.signal(Signal::HUP);
    eventually("it says so", PATIENCE, || server.log().contains("SIGHUP").then_some(()));
    assert!(server.runs());
    assert_eq!(server.get("/livez").status, 200);
}
