//! A killed process loses no acknowledged entry, numbers none twice and leaves no gap: it appends as a child, prints
//! each acknowledgement, and gets SIGKILL after a number of them drawn from the seed. The negative tests acknowledge
//! too early, forget a key and lose an entry; each has to be detected. The same for a PostgreSQL that is killed under a
//! running store.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{Stage, sqlite_stage};
use fanfare_store::{NewEntry, Space, Store, StoreError, StoreOptions};
use fanfare_testkit::soak;

stories!(acknowledged_entries_survive_the_process, lost_and_repeated_entries_are_detected);

const URL: &str = "FANFARE_LOGS_CRASH_URL";
const SABOTAGE: &str = "FANFARE_LOGS_CRASH_SABOTAGE";
/// Logs that the child appends to, in several lanes.
const LOGS: usize = 4;
const SENDERS: usize = 64;
/// Appends each sender has in flight.
const IN_FLIGHT: usize = 16;

/// The names of the logs.
fn names() -> impl Iterator<Item = String> {
    (0..LOGS).map(|n| format!("log{n}"))
}

/// The child: the test binary runs itself with the address in its environment. Without one it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let early = std::env::var(SABOTAGE).is_ok_and(|sabotage| sabotage == "early");
    let keyless = std::env::var(SABOTAGE).is_ok_and(|sabotage| sabotage == "keyless");
    let dir = tempfile::TempDir::new().unwrap();
    let store = Store::open(StoreOptions::new(url, dir.path())).await.unwrap();
    let mut logs = Vec::new();
    for name in names() {
        logs.push(store.open_log(Space::Topic, &name).await.unwrap().0);
    }
    let say = |line: String| std::io::stdout().lock().write_all(format!("acknowledged {line}\n").as_bytes());
    let senders: Vec<_> = (0..SENDERS * IN_FLIGHT)
        .map(|sender| {
            let (store, log) = (store.clone(), logs[sender % LOGS].clone());
            tokio::spawn(async move {
                for n in 0.. {
                    let payload = format!("{}-{sender}-{n}", std::process::id());
                    let key = (!keyless).then(|| ("sender".to_owned(), payload.clone()));
                    let entry = NewEntry { idempotency: key, ..NewEntry::new(payload.clone()) };
                    if early {
                        say(format!("{} 0 {payload} {}", log.name, log.epoch)).unwrap();
                    }
                    let receipt = store.append(log.id, entry.clone()).await.unwrap();
                    // One in eight is sent twice, as after a lost acknowledgement.
                    let again = if n % 8 == 0 { store.append(log.id, entry).await.unwrap() } else { receipt };
                    assert!(keyless || again.seq == receipt.seq);
                    if !early {
                        say(format!("{} {} {payload} {}", log.name, receipt.seq, receipt.epoch)).unwrap();
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
}

/// An acknowledgement of a child: log, payload, number (0: unknown), epoch.
type Acknowledged = Vec<(String, String, u64, String)>;

/// Runs the child until it has acknowledged `enough`, kills it, and returns everything it acknowledged.
fn killed(url: &str, enough: usize, sabotage: &str) -> Acknowledged {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(URL, url).env(SABOTAGE, sabotage);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).split(b'\n') {
        let line = String::from_utf8(line.unwrap()).unwrap();
        let Some((_, line)) = line.split_once("acknowledged ") else { continue };
        let parts: Vec<_> = line.split(' ').collect();
        // The last line may be cut off; an incomplete acknowledgement does not count.
        if let [log, seq, payload, epoch] = parts[..]
            && epoch.len() == 16
        {
            acknowledged.push((log.to_owned(), payload.to_owned(), seq.parse().unwrap(), epoch.to_owned()));
        }
        if acknowledged.len() == enough {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= enough, "the child ended by itself");
    acknowledged
}

/// All faults of the logs, given every acknowledgement so far.
async fn faults(store: &Store, acknowledged: &Acknowledged) -> Vec<String> {
    let mut faults = Vec::new();
    let mut stored: HashMap<String, Vec<(String, u64, String)>> = HashMap::new();
    for name in names() {
        let log = store.log(Space::Topic, &name).await.unwrap().unwrap();
        let mut after = 0;
        loop {
            let page = store.read_log(log.id, after, 1000, 1 << 20).await.unwrap().unwrap();
            if !page.follows(after) {
                faults.push(format!("{name}: a hole above {after}"));
            }
            for pair in page.entries.windows(2) {
                if pair[1].seq != pair[0].seq + 1 {
                    faults.push(format!("{name}: a hole above {}", pair[0].seq));
                }
            }
            let Some(last) = page.entries.last() else { break };
            after = last.seq;
            for entry in page.entries {
                let payload = String::from_utf8(entry.payload).unwrap();
                stored.entry(payload).or_default().push((name.clone(), entry.seq, log.epoch.to_string()));
            }
        }
        if after != log.head {
            faults.push(format!("{name}: the head is {}, the last entry {after}", log.head));
        }
    }
    for (payload, places) in &stored {
        if places.len() > 1 {
            faults.push(format!("{payload} is there {} times", places.len()));
        }
    }
    for (log, payload, seq, epoch) in acknowledged {
        let is = |place: &(String, u64, String)| {
            place.0 == *log && (*seq == 0 || place.1 == *seq) && place.2 == *epoch
        };
        if !stored.get(payload).is_some_and(|places| places.iter().any(is)) {
            faults.push(format!("{payload} is not number {seq} of {log} in {epoch}"));
        }
    }
    faults
}

async fn acknowledged_entries_survive_the_process(stage: Stage) {
    let mut seed = soak::pick(7_u64, 77);
    let mut acknowledged = Vec::new();
    for round in 0..soak::pick(10, 100) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let enough = 200 + (seed >> 33) as usize % 4000;
        acknowledged.extend(tokio::task::block_in_place(|| killed(&stage.options.url, enough, "")));
        let store = stage.open().await;
        assert_eq!(faults(&store, &acknowledged).await, [""; 0], "round {round}");
        store.close().await;
    }
    if !stage.postgres {
        let db = rusqlite::Connection::open(stage.file()).unwrap();
        let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}

async fn lost_and_repeated_entries_are_detected(stage: Stage) {
    let early = tokio::task::block_in_place(|| killed(&stage.options.url, 1500, "early"));
    let store = stage.open().await;
    let found = faults(&store, &early).await;
    assert!(found.iter().any(|fault| fault.contains("is not number")), "acknowledged before the commit");
    store.close().await;
    let stage = stage.other().await;
    let keyless = tokio::task::block_in_place(|| killed(&stage.options.url, 1500, "keyless"));
    let store = stage.open().await;
    let found = faults(&store, &keyless).await;
    assert!(found.iter().any(|fault| fault.contains("times")), "sent again without a key");
    let hole = "DELETE FROM log_entries WHERE seq = 2";
    match stage.postgres {
        true => stage.postgres_client().await.batch_execute(hole).await.unwrap(),
        false => rusqlite::Connection::open(stage.file()).unwrap().execute_batch(hole).unwrap(),
    }
    assert!(
        faults(&store, &keyless).await.iter().any(|fault| fault.contains("a hole above 1")),
        "a lost entry"
    );
}

/// Many senders append until `stop`; each append is sent again, with its key, until it is acknowledged.
async fn append_through(store: &Store, stop: &Arc<AtomicBool>, refused: &Arc<AtomicU64>) -> Acknowledged {
    let mut logs = BTreeMap::new();
    for name in names() {
        logs.insert(name.clone(), store.open_log(Space::Topic, &name).await.unwrap().0);
    }
    let senders = (0..64_usize).map(|sender| {
        let (store, stop, refused) = (store.clone(), Arc::clone(stop), Arc::clone(refused));
        let log = logs.values().nth(sender % LOGS).unwrap().clone();
        tokio::spawn(async move {
            let mut acknowledged = Acknowledged::new();
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return acknowledged;
                }
                let payload = format!("{sender}-{n}");
                let idempotency = Some((String::new(), payload.clone()));
                let entry = NewEntry { idempotency, ..NewEntry::new(payload.clone()) };
                let receipt = loop {
                    match store.append(log.id, entry.clone()).await {
                        Ok(receipt) => break receipt,
                        Err(StoreError::Unavailable(_) | StoreError::Unknown(_)) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        Err(error) => panic!("{error}"),
                    }
                };
                acknowledged.push((log.name.clone(), payload, receipt.seq, receipt.epoch.to_string()));
            }
            acknowledged
        })
    });
    let mut acknowledged = Vec::new();
    for sender in senders.collect::<Vec<_>>() {
        acknowledged.extend(sender.await.unwrap());
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgres_loses_no_acknowledged_entry() {
    let Some(mut server) = fanfare_testkit::postgres::own() else { return };
    let stage = sqlite_stage();
    let store =
        Store::open(StoreOptions { url: server.url().to_owned(), ..stage.options.clone() }).await.unwrap();
    let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (lively, stops, count) = (store.clone(), Arc::clone(&stop), Arc::clone(&refused));
    let appending = tokio::spawn(async move { append_through(&lively, &stops, &count).await });
    for _ in 0..soak::pick(2, 20) {
        tokio::time::sleep(Duration::from_millis(700)).await;
        tokio::task::block_in_place(|| server.kill());
        // Refused at once, not held until the server is available again.
        let before = refused.load(Ordering::Relaxed);
        while refused.load(Ordering::Relaxed) < before + 64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!store.status().up);
        tokio::task::block_in_place(|| server.start());
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    stop.store(true, Ordering::Relaxed);
    let acknowledged = appending.await.unwrap();
    assert!(acknowledged.len() > 1000 && store.status().up, "{}", acknowledged.len());
    assert_eq!(faults(&store, &acknowledged).await, [""; 0]);
    store.close().await;
}
