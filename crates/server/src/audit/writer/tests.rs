//! The writer against a real store: what it wrote is judged by [`verify`].

use super::super::seal::{Judge, Sealer};
use super::super::verify::{Against, Intact, verify};
use super::super::{Audit, AuditEvent, AuditOptions, Outcome, QUEUE};
use super::*;
use fanfare_store::StoreOptions;
use tempfile::TempDir;

const NODE: &str = "n1";
const NEVER: Duration = Duration::from_secs(3600);

fn quiet() -> Cadence {
    Cadence { checkpoint_every: NEVER, prune_every: NEVER, ..Cadence::default() }
}

async fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/a.db", dir.path().display());
    let store = Store::open(StoreOptions::new(url, dir.path())).await.unwrap();
    (dir, store)
}

fn sealer() -> Sealer {
    Sealer::from_seed(&[7; 32])
}

fn start(store: &Store, cadence: Cadence) -> Audit {
    let options = AuditOptions { node: NODE.into(), sealer: sealer(), cadence };
    Audit::start(store.clone(), options)
}

fn event(name: &'static str) -> AuditEvent {
    AuditEvent::new(name, Outcome::Success)
}

#[track_caller]
fn intact(found: Result<Result<Intact, super::super::verify::Broken>, StoreError>) -> Intact {
    found.unwrap().unwrap()
}

async fn judge(store: &Store) -> Intact {
    let against = Against { judge: Judge::parse(&sealer().public()), anchors: Vec::new() };
    intact(verify(store, NODE, &against).await)
}

#[tokio::test]
async fn what_is_recorded_is_chained_and_sealed_at_the_end() {
    let (_dir, store) = store().await;
    let audit = start(&store, quiet());
    for n in 0..1500 {
        audit.record(event("x").detail("n", n));
    }
    audit.flush().await;
    let found = judge(&store).await;
    assert_eq!((found.rows, found.first, found.last), (1500, 1, 1500));
    assert!(found.sealed >= 1000, "a thousand rows ask for a checkpoint: {found:?}");
    audit.record(event("last"));
    audit.close().await;
    assert_eq!(judge(&store).await.sealed, 1501);
    // The next life goes on from there.
    let next = start(&store, quiet());
    next.record(event("x"));
    next.close().await;
    assert_eq!(judge(&store).await.sealed, 1502);
}

#[tokio::test]
async fn a_command_appends_beside_the_writer() {
    let (_dir, store) = store().await;
    let audit = start(&store, quiet());
    append_now(&store, NODE, event("command")).await.unwrap();
    audit.record(event("server"));
    audit.flush().await;
    append_now(&store, NODE, event("command")).await.unwrap();
    audit.record(event("server"));
    audit.close().await;
    assert_eq!(judge(&store).await.sealed, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_of_one_chain_leave_no_gap() {
    let (_dir, store) = store().await;
    let writers = [start(&store, quiet()), start(&store, quiet())];
    for n in 0..300 {
        writers[n % 2].record(event("x"));
        if n % 50 == 0 {
            append_now(&store, NODE, event("command")).await.unwrap();
        }
    }
    for writer in &writers {
        writer.close().await;
    }
    assert_eq!(judge(&store).await.last, 306);
}

#[tokio::test]
async fn what_finds_the_queue_full_becomes_a_gap_row() {
    let (_dir, store) = store().await;
    let audit = start(&store, quiet());
    // Nothing is awaited, so the writer does not run.
    for _ in 0..QUEUE + 77 {
        audit.record(event("x"));
    }
    assert_eq!(audit.lost(), 77);
    audit.close().await;
    let filter = AuditFilter { event: Some("audit_gap".into()), ..AuditFilter::default() };
    let gaps = store.audit_tail(filter, None, 10).await.unwrap();
    assert_eq!((gaps.len(), gaps[0].detail.as_str()), (1, "{\"count\":77}"));
    assert_eq!(judge(&store).await.last, QUEUE as i64 + 1);
}

#[tokio::test]
async fn old_rows_go_and_the_chain_says_so() {
    let (_dir, store) = store().await;
    let first = start(&store, quiet());
    for _ in 0..30 {
        first.record(event("x"));
    }
    first.close().await;
    let eager = Cadence { retention: Duration::ZERO, prune_every: Duration::from_millis(100), ..quiet() };
    let audit = start(&store, eager);
    let deadline = Instant::now() + Duration::from_secs(20);
    while judge(&store).await.first <= 30 {
        assert!(Instant::now() < deadline, "nothing was pruned");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    audit.close().await;
    let found = judge(&store).await;
    assert!(found.first > 30 && found.last >= found.first, "{found:?}");
}

#[tokio::test]
async fn time_asks_for_a_checkpoint_only_when_there_are_new_rows() {
    let (_dir, store) = store().await;
    let audit = start(&store, Cadence { checkpoint_every: Duration::from_millis(5), ..quiet() });
    audit.record(event("x"));
    audit.flush().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while judge(&store).await.sealed < 1 {
        assert!(Instant::now() < deadline, "nothing was sealed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Commands' rows are sealed by the server too.
    append_now(&store, NODE, event("command")).await.unwrap();
    while judge(&store).await.sealed < 2 {
        assert!(Instant::now() < deadline, "nothing was sealed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    audit.close().await;
    assert_eq!(store.checkpoints(NODE).await.unwrap().len(), 2);
}

/// The same story on PostgreSQL, where there is one.
#[tokio::test]
async fn the_chain_holds_on_postgres() {
    let Some(url) = fanfare_testkit::postgres::database() else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(url, dir.path())).await.unwrap();
    let options = AuditOptions { node: NODE.to_owned(), sealer: sealer(), cadence: quiet() };
    let audit = Audit::start(store.clone(), options);
    for _ in 0..600 {
        audit.record(event("x").agent("ü\u{1}"));
    }
    append_now(&store, NODE, event("command")).await.unwrap();
    audit.record(event("x"));
    audit.close().await;
    let against = Against { judge: Judge::parse(&sealer().public()), anchors: Vec::new() };
    let found = intact(verify(&store, NODE, &against).await);
    assert_eq!((found.rows, found.sealed), (602, 602));
}
