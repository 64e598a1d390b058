//! A killed process loses no acknowledged write: it runs as a child, prints each acknowledgement, and is ended with
//! SIGKILL in the middle. The negative test acknowledges before the commit and must be detected.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{Stage, message};
use fanfare_store::{Appended, Store, StoreError, StoreOptions};

stories!(acknowledged_writes_survive_the_process, acknowledging_before_the_commit_is_caught);

/// Minimum acknowledgements before the child is killed.
const ENOUGH: usize = 1500;
/// Exit status of a child whose store failed permanently.
const FATAL: i32 = 3;
const URL: &str = "FANFARE_CRASH_URL";
const SABOTAGE: &str = "FANFARE_CRASH_SABOTAGE";

/// The child: the test binary runs itself with the address in its environment. Without one it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let sabotage = std::env::var_os(SABOTAGE).is_some();
    let dir = tempfile::TempDir::new().unwrap();
    let mut options = StoreOptions::new(url, dir.path());
    options.on_fatal = Some(Arc::new(|error| eprintln!("fatal: {error}")));
    let store = Store::open(options).await.unwrap();
    let say = |id: &str| {
        let line = format!("acknowledged {id}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    };
    let senders: Vec<_> = (0..256)
        .map(|sender| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let id = format!("{}-{sender}-{n}", std::process::id());
                    if sabotage {
                        say(&id);
                        let store = store.clone();
                        tokio::spawn(async move { store.append_message(message(&id)).await });
                        continue;
                    }
                    match store.append_message(message(&id)).await {
                        Ok(Appended::New { .. }) => say(&id),
                        Err(StoreError::Fatal(_)) => return,
                        other => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    // All senders end only if the store failed permanently.
    assert!(!store.status().up);
    assert!(matches!(store.count_messages().await, Err(StoreError::Fatal(_))));
    store.close().await;
    std::process::exit(FATAL);
}

/// Runs the child until it has acknowledged enough, kills it, and returns everything it acknowledged.
fn killed(stage: &Stage, sabotage: bool) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(URL, &stage.options.url);
    if sabotage {
        command.env(SABOTAGE, "1");
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).split(b'\n') {
        // The last line may be cut off; an incomplete acknowledgement does not count.
        if let Some((_, id)) = String::from_utf8(line.unwrap()).unwrap().split_once("acknowledged ") {
            acknowledged.push(id.to_owned());
        }
        if acknowledged.len() == ENOUGH {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= ENOUGH, "the child ended by itself");
    acknowledged
}

async fn missing(stage: &Stage, acknowledged: &[String]) -> usize {
    let store = stage.open().await;
    let mut missing = 0;
    // The pipe may have cut the very last line.
    for id in &acknowledged[..acknowledged.len() - 1] {
        missing += usize::from(store.message(id).await.unwrap().is_none());
    }
    store.close().await;
    missing
}

async fn acknowledged_writes_survive_the_process(stage: Stage) {
    for _ in 0..3 {
        let acknowledged = tokio::task::block_in_place(|| killed(&stage, false));
        assert_eq!(missing(&stage, &acknowledged).await, 0);
    }
    if !stage.postgres {
        let db = rusqlite::Connection::open(stage.file()).unwrap();
        let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}

async fn acknowledging_before_the_commit_is_caught(stage: Stage) {
    let acknowledged = tokio::task::block_in_place(|| killed(&stage, true));
    assert!(missing(&stage, &acknowledged).await > 0, "the check above would not see lost rows");
}

/// The kernel fails the writer's syncs, from the fortieth on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_ends_all_writing() {
    common::on_sqlite(|stage| async move {
        let traced = tokio::task::block_in_place(|| {
            Command::new("strace")
                .args(["-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"])
                .args(["-e", "inject=fsync,fdatasync:error=EIO:when=40+"])
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", "child", "--nocapture"])
                .env(URL, &stage.options.url)
                .output()
        });
        let Ok(child) = traced else {
            return fanfare_testkit::left_out("no strace: failed syncs were not tried");
        };
        let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
        if err.contains("ptrace") {
            return fanfare_testkit::left_out("strace may not trace here: failed syncs were not tried");
        }
        assert_eq!(child.status.code(), Some(FATAL), "every sender gets the error: {err}");
        assert_eq!(err.matches("fatal: ").count(), 1, "reported once: {err}");
        let acknowledged: Vec<String> = out
            .lines()
            .filter_map(|line| line.split_once("acknowledged "))
            .map(|(_, id)| id.to_owned())
            .collect();
        assert!(!acknowledged.is_empty());
        assert_eq!(missing(&stage, &acknowledged).await, 0);
    })
    .await;
}
