//! Measures how many appends the store acknowledges, and how fast: `appends sqlite|postgres [SECONDS [PACE]]`.
//!
//! Prints the cost of the disk's own sync (without it no figure means anything), then for one log, for 1000 logs and
//! for direct messages the rate of 64 senders with 16 appends in flight each, and the acknowledgement time at 5000
//! appends a second, counted from when each was due; at last the rate of reading a log back. Power-safe, with
//! checkpoints, in the folder `STORE_BENCH_DIR` (else the temporary one); PostgreSQL is the one that `DATABASE_URL`
//! names.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fanfare_store::{Appended, LogId, NewEntry, NewMessage, Space, Store, StoreOptions};

/// Appenders at full speed, and how many appends each has in flight.
const SENDERS: usize = 64;
const IN_FLIGHT: usize = 16;
/// Appends a second while the acknowledgement is timed.
const PACE: u64 = 5000;
/// Bytes of an entry's payload, and of the ciphertext in a message, as base64.
const CONTENT: usize = 256;
/// Entries read back, and entries in a page.
const READ: u64 = 100_000;
const PAGE: u32 = 1000;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let engine = arguments.next().ok_or("appends sqlite|postgres [SECONDS]")?;
    let seconds = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let pace = arguments.next().map(|text| text.parse()).transpose()?;
    let folder = std::env::var_os("STORE_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::TempDir::new_in(folder)?;
    let url = match engine.as_str() {
        "sqlite" => format!("sqlite:{}", dir.path().join("appends.db").display()),
        "postgres" => std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL names no PostgreSQL")?,
        _ => return Err("appends sqlite|postgres [SECONDS]".into()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let each = Duration::from_secs(seconds);
    runtime.block_on(async {
        match pace {
            Some(pace) => steady(&url, dir.path(), each, pace).await,
            None => measure(&engine, &url, dir.path(), each).await,
        }
    })
}

/// The kind of append.
#[derive(Clone)]
enum Load {
    /// Entries, to these logs in turn.
    Logs(Arc<[LogId]>),
    /// Direct messages, to 1000 mailboxes.
    Messages,
}

impl Load {
    async fn of_logs(store: &Store, count: usize) -> Outcome<Self> {
        let mut logs = Vec::new();
        for n in 0..count {
            logs.push(store.open_log(Space::Topic, &format!("{count} {n}")).await?.0.id);
        }
        Ok(Self::Logs(logs.into()))
    }

    async fn append(&self, store: &Store, number: u64) -> Outcome<()> {
        match self {
            Self::Logs(logs) => {
                let entry = NewEntry {
                    client_id: Some("publisher".to_owned()),
                    ..NewEntry::new(vec![b'7'; CONTENT])
                };
                let log = logs[number as usize % logs.len()];
                store.append(log, entry).await?;
            }
            Self::Messages => match store.append_message(message(number)).await? {
                Appended::New { .. } => {}
                other => return Err(format!("a new id was {other:?}").into()),
            },
        }
        Ok(())
    }

    /// The number of stored entries.
    async fn count(&self, store: &Store) -> Outcome<u64> {
        Ok(match self {
            Self::Logs(logs) => store.log_heads(logs.to_vec()).await?.iter().map(|log| log.head).sum(),
            Self::Messages => store.count_messages().await?,
        })
    }
}

/// Appends at one pace, in parallel to another measurement. The sender has low priority (nice 19), because it would run
/// on other machines; the store has not.
async fn steady(url: &str, dir: &Path, each: Duration, pace: u64) -> Outcome<()> {
    let store = Store::open(StoreOptions::new(url, dir)).await?;
    store.count_messages().await?;
    // If that is refused, the senders only take more of the measured resources.
    let yields = || {
        let _refused = rustix::process::setpriority_process(None, 19);
    };
    let senders = tokio::runtime::Builder::new_multi_thread().on_thread_start(yields).enable_all().build()?;
    let sent = store.clone();
    let waits = senders.spawn(async move { paced(&sent, &Load::Messages, each, pace).await }).await?;
    let (p50, p99) = percentiles(&mut waits?);
    senders.shutdown_background();
    store.close().await;
    say(&format!("{pace} appends/s: acknowledgement p50 {p50} µs, p99 {p99} µs"))
}

/// Figures of a phase's commits.
#[derive(Default)]
struct Commits {
    took: Vec<u64>,
    rows: u64,
}

async fn measure(engine: &str, url: &str, dir: &Path, each: Duration) -> Outcome<()> {
    let sync = syncs(dir)?;
    let commits = Arc::new(Mutex::new(Commits::default()));
    let seen = Arc::clone(&commits);
    let mut options = StoreOptions::new(url, dir);
    options.on_commit = Some(Arc::new(move |took, rows| {
        let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.took.push(micros(took));
        seen.rows += rows as u64;
    }));
    let store = Store::open(options).await?;
    say(&format!("{engine}, power-safe; fdatasync of 4 KiB p50 {} µs, p99 {} µs", sync.0, sync.1))?;
    let one = Load::of_logs(&store, 1).await?;
    for (name, load) in [
        ("one log", one.clone()),
        ("1000 logs", Load::of_logs(&store, 1000).await?),
        ("direct messages", Load::Messages),
    ] {
        drop(std::mem::take(&mut *commits.lock().unwrap_or_else(std::sync::PoisonError::into_inner)));
        measure_load(name, &load, &store, &commits, each, sync.0).await?;
    }
    read_back(&store, &one).await?;
    store.close().await;
    Ok(())
}

async fn measure_load(
    name: &str,
    load: &Load,
    store: &Store,
    commits: &Mutex<Commits>,
    each: Duration,
    sync: u64,
) -> Outcome<()> {
    let kept = load.count(store).await?;
    let (acked, took) = flood(store, load, each).await?;
    let rate = acked as f64 / took.as_secs_f64();
    say(&format!("{name}: {SENDERS} senders, {IN_FLIGHT} in flight each: {rate:.0} acknowledged appends/s"))?;
    report(commits)?;

    let mut waits = paced(store, load, each, PACE).await?;
    let (p50, p99) = percentiles(&mut waits);
    say(&format!("{name}: at {PACE}/s: acknowledgement p50 {p50} µs, p99 {p99} µs"))?;
    let limit = sync * 5 / 2 + 1000;
    say(&format!("  2.5 syncs + 1 ms = {limit} µs: {}", if p50 <= limit { "kept" } else { "NOT KEPT" }))?;
    report(commits)?;

    let there = load.count(store).await? - kept;
    let sent = acked + waits.len() as u64;
    if there != sent {
        return Err(format!("{sent} acknowledged, {there} there").into());
    }
    say(&format!("{name}: {there} acknowledged, all there"))
}

/// Measures how fast the newest entries of the one log are read, page after page.
async fn read_back(store: &Store, load: &Load) -> Outcome<()> {
    let Load::Logs(logs) = load else { return Ok(()) };
    let head = store.log_heads(logs.to_vec()).await?.pop().ok_or("no log")?;
    let (begun, mut after) = (Instant::now(), head.head.saturating_sub(READ));
    let mut count = 0;
    while let Some(page) = store.read_log(head.id, after, PAGE, usize::MAX).await? {
        let Some(last) = page.entries.last() else { break };
        (after, count) = (last.seq, count + page.entries.len());
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    say(&format!("{count} entries read back in pages of {PAGE}: {rate:.0} entries/s"))
}

fn say(line: &str) -> Outcome<()> {
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// The median and the 99th of a hundred.
fn percentiles(values: &mut [u64]) -> (u64, u64) {
    values.sort_unstable();
    let at = |part: usize| values.get(values.len().saturating_sub(1) * part / 100).copied().unwrap_or(0);
    (at(50), at(99))
}

fn report(commits: &Mutex<Commits>) -> Outcome<()> {
    let mut done = std::mem::take(&mut *commits.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let count = done.took.len().max(1) as u64;
    let (p50, p99) = percentiles(&mut done.took);
    say(&format!("  {count} commits of {} rows on average, p50 {p50} µs, p99 {p99} µs", done.rows / count))
}

/// Microseconds of the disk's own sync, on a file that grows as a log does: p50 and p99.
fn syncs(dir: &Path) -> Outcome<(u64, u64)> {
    let mut file = std::fs::File::create(dir.join("syncs"))?;
    let mut took = Vec::new();
    for _ in 0..400 {
        file.write_all(&[7; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        took.push(micros(begun.elapsed()));
    }
    Ok(percentiles(&mut took))
}

fn message(number: u64) -> NewMessage {
    let id = uuid::Uuid::now_v7().to_string();
    let content = "A".repeat(CONTENT);
    let envelope = format!("{{\"id\":\"{id}\",\"seq\":{number},\"content\":\"{content}\"}}");
    NewMessage {
        id,
        from_user: format!("user{}", number % 1000),
        to_user: format!("user{}", number * 7 % 1000),
        content,
        encrypted_key: Some("k".repeat(80)),
        encryption_nonce: Some("n".repeat(16)),
        signature: Some("s".repeat(86)),
        status: "sent".to_owned(),
        timestamp: 1_700_000_000_000,
        seq: i64::try_from(number).ok(),
        envelope,
    }
}

/// Every sender appends as fast as its appends are acknowledged; returns their number and the time.
async fn flood(store: &Store, load: &Load, each: Duration) -> Outcome<(u64, Duration)> {
    let (acked, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..SENDERS * IN_FLIGHT {
        let (store, load, next) = (store.clone(), load.clone(), Arc::clone(&next));
        let (acked, stop) = (Arc::clone(&acked), Arc::clone(&stop));
        senders.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                load.append(&store, number).await?;
                acked.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Ok(())
        });
    }
    tokio::time::sleep(each).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    Ok((acked.load(Ordering::Relaxed), begun.elapsed()))
}

/// Appends when they are due, whatever happened to earlier ones; returns microseconds from due to acknowledged. A
/// thread sends them one by one: a runtime's timer has a resolution of a millisecond and would dominate the
/// measurement.
async fn paced(store: &Store, load: &Load, each: Duration, pace: u64) -> Outcome<Vec<u64>> {
    let (results, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let (store, load, runtime) = (store.clone(), load.clone(), tokio::runtime::Handle::current());
    let send = move || {
        let begun = Instant::now();
        for number in 0..pace * each.as_secs() {
            let at = begun + Duration::from_micros(number * 1_000_000 / pace);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            let (store, load, results) = (store.clone(), load.clone(), results.clone());
            runtime.spawn(async move {
                let appended = load.append(&store, number).await;
                results.send(appended.map(|_| micros(at.elapsed())))
            });
        }
    };
    let pacer = std::thread::spawn(send);
    let mut waits = Vec::new();
    while let Some(wait) = acknowledged.recv().await {
        waits.push(wait?);
    }
    pacer.join().map_err(|_| "the thread that appends has panicked")?;
    Ok(waits)
}
