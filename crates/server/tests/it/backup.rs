//! `fanfare backup` and `fanfare restore`, beside a server that writes and after it.

use crate::ops::{Again, command, intact, refused, rows, succeeded};
use crate::people::{Keys, Person, register, roomy};
use fanfare_testkit::server::{PATIENCE, Signal};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn every_file(folder: &Path, see: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        see(&path);
        if path.is_dir() {
            every_file(&path, see);
        }
    }
}

#[test]
fn a_backup_beside_a_server_that_writes_is_one_consistent_state() {
    let mut server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    let made = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    let before = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let n = made.load(Ordering::SeqCst);
                let answer = register(&server, &Keys::new((n % 250) as u8 + 2).body(&format!("user{n:05}")));
                // Two seeds of the same byte are the same keys: a refusal is a write of the audit log as well.
                assert!(matches!(answer.status, 201 | 409), "{answer:?}");
                made.fetch_add(1, Ordering::SeqCst);
            }
        });
        fanfare_testkit::server::eventually("some are registered", PATIENCE, || {
            (made.load(Ordering::SeqCst) > 20).then_some(())
        });
        let before = made.load(Ordering::SeqCst);
        let taken = command(&server.data_dir(), &["backup", backup.to_str().unwrap()]);
        over.store(true, Ordering::SeqCst);
        succeeded(&taken);
        before
    });
    assert_eq!(std::fs::metadata(&backup).unwrap().permissions().mode() & 0o077, 0);
    every_file(&backup, &mut |path| {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o077, 0, "{path:?}");
    });
    refused(
        &command(&server.data_dir(), &["backup", backup.to_str().unwrap()]),
        &["backup", "exists already"],
    );
    // Not while a server has the folder.
    let restore = ["restore", backup.to_str().unwrap(), "--force"];
    refused(&command(&server.data_dir(), &restore), &["data_dir", "another server"]);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(PATIENCE).code(), Some(0));

    let other = place.path().join("other");
    succeeded(&command(&other, &["restore", backup.to_str().unwrap()]));
    intact(&other);
    let again =
        Again::start(&other, &[("limits.register_per_minute", "0"), ("limits.login_per_minute", "0")]);
    // Whoever was there before the backup began is there; tokens and passwords work.
    let name = |n: usize| json!({ "username": format!("user{n:05}"), "password": crate::people::PASSWORD });
    let post = |body: &serde_json::Value| {
        fanfare_testkit::raw_http::Request::post("/auth/register", &body.to_string()).send(again.addr).status
    };
    assert_eq!(post(&name(0)), 409);
    assert_eq!(post(&name(before.min(250) - 1)), 409);
    let me = fanfare_testkit::raw_http::Request::get("/auth/me")
        .header("Authorization", &format!("Bearer {}", ann.token))
        .send(again.addr);
    // Its issuer is the first server's origin, under which the store served.
    assert_eq!(me.status, 200, "{me:?}");
    again.stop();
    intact(&other);
    let actions = rows(&other, &["--event", "admin_action"]);
    assert_eq!(actions.last().unwrap()["detail"]["action"], "restore");
}

#[test]
fn a_restore_overwrites_nothing_unasked_and_rejects_a_damaged_backup() {
    let place = tempfile::tempdir().unwrap();
    let (folder, backup) = (place.path().join("data"), place.path().join("backup"));
    Again::start(&folder, &[]).stop();
    succeeded(&command(&folder, &["backup", backup.to_str().unwrap()]));
    let restore = |more: &[&str]| command(&folder, &[&["restore", backup.to_str().unwrap()], more].concat());
    refused(&restore(&[]), &["data_dir", "--force"]);
    // It can be repeated.
    for _ in 0..2 {
        succeeded(&restore(&["--force"]));
        intact(&folder);
    }
    let kept = std::fs::read_dir(&folder).unwrap();
    let kept =
        kept.filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().contains(".before-restore-"));
    assert!(kept.count() >= 2, "the store and the keys that were there are kept");
    // A byte changed, a file more, a file less, no manifest.
    let store = std::fs::read(backup.join("store")).unwrap();
    let mut bad = store.clone();
    bad[5000] ^= 1;
    std::fs::write(backup.join("store"), &bad).unwrap();
    refused(&restore(&["--force"]), &["backup", "store"]);
    std::fs::write(backup.join("store"), &store).unwrap();
    std::fs::write(backup.join("keys/more"), b"x").unwrap();
    refused(&restore(&["--force"]), &["backup", "manifest"]);
    std::fs::remove_file(backup.join("keys/more")).unwrap();
    std::fs::remove_file(backup.join("manifest.json")).unwrap();
    refused(&restore(&["--force"]), &["backup", "manifest"]);
    intact(&folder);
    // A restore that was cut short: no server starts on it.
    std::fs::write(folder.join("restore.incomplete"), b"").unwrap();
    refused(
        &command(&folder, &["serve", "--set", "server.port=0", "--set", "server.host=127.0.0.1"]),
        &["data_dir", "restore"],
    );
}

#[test]
fn migrations_are_shown_and_applied() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    let status = |folder: &Path| succeeded(&command(folder, &["migrate", "status"]));
    assert!(status(&folder).lines().all(|line| line.ends_with("pending")));
    assert!(succeeded(&command(&folder, &["migrate", "up", "--dry-run"])).contains("would apply 1 "));
    assert!(!folder.exists(), "a dry run makes nothing");
    assert!(succeeded(&command(&folder, &["migrate", "up"])).contains("applied 1 "));
    assert!(!status(&folder).contains("pending"));
    assert!(succeeded(&command(&folder, &["migrate", "up"])).contains("up to date"));
    refused(&command(&folder, &["migrate", "status", "--set", "store.url=oracle://x"]), &["store.url"]);
    assert_eq!(command(&folder, &["migrate"]).status.code(), Some(2));
}
