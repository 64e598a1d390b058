//! SIGKILL while it writes: every acknowledged row is there, the audit chain is intact.

use crate::ops::{Again, intact_in, rows};
use crate::people::Keys;
use crate::support::must_fail;
use fanfare_e2ee::b64;
use fanfare_testkit::postgres::database;
use fanfare_testkit::raw_http::Request;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const ROOMY: &[(&str, &str)] = &[("limits.register_per_minute", "0"), ("limits.login_per_minute", "0")];

/// Registers an account with keys of its own; whether it was acknowledged.
fn register(addr: SocketAddr, name: &str, seed: u64) -> Option<u16> {
    let mut bytes = [1; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let keys = Keys { signing: ed25519_dalek::SigningKey::from_bytes(&bytes), ek: bytes_of_ek(seed) };
    let body = json!({
        "username": name, "public_key": b64::encode(&keys.ik()), "x25519_public_key": b64::encode(&keys.ek),
    });
    // A killed server sends no response, which is no acknowledgement.
    let send = || Request::post("/auth/register", &body.to_string()).send(addr).status;
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(send)).ok()
}

fn bytes_of_ek(seed: u64) -> [u8; 32] {
    let mut ek = [9; 32];
    ek[..8].copy_from_slice(&seed.to_le_bytes());
    ek[31] &= 0x7f;
    ek
}

/// Registers from several threads until the server is killed; the names that were acknowledged.
fn until_killed(server: Again, round: u64) -> Vec<String> {
    let (acknowledged, killed) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let addr = server.addr;
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (acknowledged, killed) = (&acknowledged, &killed);
            scope.spawn(move || {
                for n in 0.. {
                    let name = format!("u{round}-{thread}-{n}");
                    match register(addr, &name, round << 40 | thread << 32 | n) {
                        Some(201) => acknowledged.lock().unwrap().push(name),
                        _ if killed.load(Ordering::SeqCst) => return,
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
        fanfare_testkit::server::eventually("many are registered", fanfare_testkit::server::PATIENCE, || {
            (acknowledged.lock().unwrap().len() > 60).then_some(())
        });
        killed.store(true, Ordering::SeqCst);
        server.kill();
    });
    acknowledged.into_inner().unwrap()
}

/// Checks that every name is taken on a server that was started again.
fn all_there(addr: SocketAddr, names: &[String]) {
    for (n, name) in names.iter().enumerate() {
        let status = register(addr, name, u64::MAX - n as u64);
        assert_eq!(status, Some(409), "{name} was acknowledged and is not there");
    }
}

/// Kills a server three times while it writes to its own file or to this database.
fn story(database: Option<&str>) {
    let place = tempfile::tempdir().unwrap();
    let folder: &Path = &place.path().join("data");
    let (mut settings, mut names) = (ROOMY.to_vec(), Vec::new());
    settings.extend(database.map(|url| ("store.url", url)));
    let set = database.map(|url| format!("store.url={url}"));
    let more: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
    for round in 0..3 {
        let server = Again::start(folder, &settings);
        all_there(server.addr, &names);
        names.extend(until_killed(server, round));
        intact_in(folder, &more);
    }
    let server = Again::start(folder, &settings);
    all_there(server.addr, &names);
    // The negative test: a name that was never registered does not exist.
    let lost = [format!("{}x", names[0])];
    must_fail("a lost account", || all_there(server.addr, &lost));
    server.stop();
    intact_in(folder, &more);
    let events = |name: &str| rows(folder, &[&["--event", name], &more[..]].concat()).len();
    assert_eq!(events("sys_crash"), 3);
    let created = events("user_created");
    assert!(created <= names.len() + 13, "{created} of {}", names.len());
}

#[test]
fn every_acknowledged_account_is_there_and_the_chain_is_intact() {
    story(None);
}

#[test]
fn every_acknowledged_account_is_there_and_the_chain_is_intact_on_postgres() {
    if let Some(url) = database() {
        story(Some(&url));
    }
}
