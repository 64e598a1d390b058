//! A process that is killed loses nothing it acknowledged: it runs as a child, prints each acknowledgement, and is ended
//! with SIGKILL in the middle. The twin acknowledges before the commit and must be caught.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use common::{Stage, message};
use fanfare_store::{Appended, Store, StoreOptions};

stories!(what_was_acknowledged_survives_the_process, acknowledging_before_the_commit_is_caught);

/// Acknowledgements after which the child is killed, at least.
const ENOUGH: usize = 1500;
const URL: &str = "FANFARE_CRASH_URL";
const SABOTAGE: &str = "FANFARE_CRASH_SABOTAGE";

/// The child; the test binary calls itself with the address in its environment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as the child of the stories here"]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let sabotage = std::env::var_os(SABOTAGE).is_some();
    let dir = tempfile::TempDir::new().unwrap();
    let store = Store::open(StoreOptions::new(url, dir.path())).await.unwrap();
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
                    }
                    assert!(matches!(
                        store.append_message(message(&id)).await.unwrap(),
                        Appended::New { .. }
                    ));
                    if !sabotage {
                        say(&id);
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
}

/// Runs the child until it has acknowledged enough, kills it, and answers all it acknowledged.
fn killed(stage: &Stage, sabotage: bool) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--ignored", "--nocapture"]).env(URL, &stage.options.url);
    if sabotage {
        command.env(SABOTAGE, "1");
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).split(b'\n') {
        // The last line may be cut off; an acknowledgement nobody could read was none.
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

async fn what_was_acknowledged_survives_the_process(stage: Stage) {
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
