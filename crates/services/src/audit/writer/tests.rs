//! The writer against a real store: [`verify`] checks what it wrote.

use super::super::seal::{Judge, Sealer};
use super::super::verify::{Against, Intact, verify};
use super::super::{Audit, AuditEvent, AuditOptions, Mark, Outcome, QUEUE, append_now as append_with};
use super::super::{bounds, row::sample_in};
use super::*;
use fanfare_store::{Store, StoreOptions};
use std::net::IpAddr;
use std::path::Path;
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
    begin(store, cadence, Mark::none())
}

fn begin(store: &Store, cadence: Cadence, mark: Mark) -> Audit {
    let options = AuditOptions { node: NODE.into(), sealer: sealer(), mark, cadence };
    Audit::start(store.clone(), options)
}

async fn append_now(store: &Store, node: &str, event: AuditEvent) -> Result<(), StoreError> {
    append_with(store, node.to_owned(), sealer(), Mark::none(), event).await
}

fn event(name: &'static str) -> AuditEvent {
    AuditEvent::new(name, Outcome::Success)
}

#[track_caller]
fn intact(found: Result<Result<Intact, super::super::verify::Broken>, StoreError>) -> Intact {
    found.unwrap().unwrap()
}

fn against() -> Against {
    Against { judge: Judge::parse(&sealer().public()), ..Against::default() }
}

async fn judge(store: &Store) -> Intact {
    intact(verify(store, NODE, &against()).await)
}

/// The first invalid row.
async fn first_invalid(store: &Store) -> i64 {
    verify(store, NODE, &against()).await.unwrap().expect_err("it is intact").seq
}

async fn named(store: &Store, event: &str) -> Vec<fanfare_store::AuditRow> {
    let filter = AuditFilter { event: Some(event.to_owned()), ..AuditFilter::default() };
    store.audit_tail(filter, None, 1000).await.unwrap()
}

#[tokio::test]
async fn recorded_events_are_chained_and_sealed_at_the_end() {
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
    // The next run continues from there.
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
async fn events_beyond_a_full_queue_become_a_gap_row() {
    let (_dir, store) = store().await;
    let audit = start(&store, quiet());
    // There is no await here, so the writer does not run.
    for _ in 0..QUEUE + 77 {
        audit.record(event("x"));
    }
    assert_eq!(audit.lost(), 77);
    audit.close().await;
    let filter = AuditFilter { event: Some("audit_gap".into()), ..AuditFilter::default() };
    let gaps = store.audit_tail(filter, None, 10).await.unwrap();
    assert_eq!((gaps.len(), gaps[0].detail.as_str()), (1, "{\"count\":77}"));
    assert_eq!(gaps[0].reason.as_deref(), Some("overflow"));
    assert_eq!(judge(&store).await.last, QUEUE as i64 + 1);
}

#[tokio::test]
async fn old_rows_are_removed_and_the_chain_records_it() {
    let (_dir, store) = store().await;
    let first = start(&store, quiet());
    for _ in 0..30 {
        first.record(event("x"));
    }
    first.close().await;
    let eager = Cadence { retention: Duration::ZERO, prune_every: Duration::from_millis(100), ..quiet() };
    let lenient = Against { retention: Duration::ZERO, ..against() };
    let audit = start(&store, eager);
    let deadline = Instant::now() + Duration::from_secs(20);
    while intact(verify(&store, NODE, &lenient).await).first <= 30 {
        assert!(Instant::now() < deadline, "nothing was pruned");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    audit.close().await;
    let found = intact(verify(&store, NODE, &lenient).await);
    assert!(found.first > 30 && found.last >= found.first, "{found:?}");
    assert_eq!(found.unsigned_prune, 0);
    // The negative test: with the promised retention no row may be pruned here.
    assert!(first_invalid(&store).await > 0);
}

/// Rows whose time was set back, as an attacker does who wants the server to prune them.
#[tokio::test]
async fn rows_that_were_changed_are_not_pruned() {
    let (dir, store) = store().await;
    let audit = start(&store, quiet());
    for _ in 0..30 {
        audit.record(event("x"));
    }
    audit.close().await;
    let file = rusqlite::Connection::open(dir.path().join("a.db")).unwrap();
    file.execute_batch("UPDATE audit SET ts = '2020-01-01T00:00:00.000Z' WHERE seq < 20").unwrap();
    let audit = start(&store, Cadence { prune_every: Duration::from_millis(5), ..quiet() });
    audit.record(event("y"));
    audit.flush().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    audit.close().await;
    assert_eq!(named(&store, PRUNED).await, []);
    assert_eq!((first_invalid(&store).await, store.audit_end(NODE).await.unwrap().last), (1, 31));
}

/// Appends correctly linked rows to the chain without the key; the last of them states that the rest was pruned.
async fn forge(store: &Store) -> (i64, i64) {
    let end = store.audit_end(NODE).await.unwrap();
    let sealed = end.sealed.clone().unwrap();
    let (mut hash, mut rows) = (sealed.hash, Vec::new());
    for seq in end.last + 1..=end.last + 3 {
        let mut row = sample_in(NODE, seq);
        if seq == end.last + 3 {
            row.event = PRUNED.into();
            row.detail = format!("{{\"up_to\":{},\"hash\":\"{}\"}}", end.last, hex(&sealed.hash));
        }
        row.hash = super::super::row::link(&hash, &row);
        hash = row.hash;
        rows.push(row);
    }
    // The head is unchanged: it is written at its old position.
    assert!(store.append_audit(end.place(), rows, sealed, None).await.unwrap());
    (end.last + 1, end.last + 3)
}

/// How a server handles rows that it did not write: before its start and while it runs.
async fn foreign_rows_are_never_sealed(store: &Store, folder: &Path) {
    let (from, to) = forge(store).await;
    assert_eq!(first_invalid(store).await, from);
    let audit = begin(store, quiet(), Mark::of_folder(folder));
    audit.record(event("sys_startup"));
    audit.flush().await;
    let found = named(store, "audit_tampered").await;
    let said: serde_json::Value = serde_json::from_str(&found[0].detail).unwrap();
    assert_eq!((found.len(), &said), (1, &serde_json::json!({ "from": from, "to": to })));
    assert_eq!(first_invalid(store).await, from, "it is still found, and no head covers it");
    let (second, _) = forge(store).await;
    audit.record(event("x"));
    audit.close().await;
    assert_eq!(named(store, "audit_tampered").await.len(), 2);
    assert_eq!(first_invalid(store).await, from);
    let sealed: Vec<_> = store.checkpoints(NODE).await.unwrap().iter().map(|c| c.seq).collect();
    assert!(!sealed.iter().any(|seq| (from..=to).contains(seq) || *seq == second), "{sealed:?}");
    // Deleted as the forged row states: the rest is still not a valid chain.
    store.prune_audit(NODE, to - 1).await.unwrap();
    assert_eq!(first_invalid(store).await, 1);
}

#[tokio::test]
async fn foreign_rows_are_never_sealed_on_sqlite() {
    let (dir, store) = store().await;
    let audit = start(&store, quiet());
    for _ in 0..5 {
        audit.record(event("x"));
    }
    audit.close().await;
    foreign_rows_are_never_sealed(&store, dir.path()).await;
}

#[tokio::test]
async fn a_store_taken_back_to_an_older_head_is_not_continued_there() {
    let (dir, store) = store().await;
    let mark = Mark::of_folder(dir.path());
    let audit = begin(&store, quiet(), mark.clone());
    audit.record(event("x"));
    audit.close().await;
    // A head of a command stays in the store.
    append_now(&store, NODE, event("command")).await.unwrap();
    assert_eq!(mark.read(NODE).unwrap().0, 1);
    let audit = begin(&store, quiet(), mark.clone());
    for _ in 0..8 {
        audit.record(event("x"));
    }
    audit.close().await;
    assert_eq!(judge(&store).await.sealed, 10);
    let file = rusqlite::Connection::open(dir.path().join("a.db")).unwrap();
    let cut = "DELETE FROM audit WHERE seq > 2; DELETE FROM audit_checkpoint WHERE seq > 2";
    file.execute_batch(cut).unwrap();
    assert_eq!(judge(&store).await.last, 2, "the store alone cannot show it");
    let audit = begin(&store, quiet(), mark.clone());
    audit.record(event("sys_startup"));
    audit.close().await;
    let found = named(&store, "audit_tampered").await;
    assert_eq!((found.len(), found[0].seq), (1, 11), "{found:?}");
    assert_eq!(first_invalid(&store).await, 3);
    // A running server detects it without the file.
    let audit = start(&store, quiet());
    audit.record(event("x"));
    audit.flush().await;
    file.execute_batch("DELETE FROM audit WHERE seq > 11; DELETE FROM audit_checkpoint WHERE seq > 11")
        .unwrap();
    audit.record(event("x"));
    audit.close().await;
    assert_eq!(named(&store, "audit_tampered").await.len(), 2);
}

/// A chain as the version before left it: a checkpoint under the old label, rows after it.
#[tokio::test]
async fn a_chain_of_the_version_before_is_taken_over_once() {
    let (dir, store) = store().await;
    let mark = Mark::of_folder(dir.path());
    let first = start(&store, quiet());
    for _ in 0..6 {
        first.record(event("x"));
    }
    first.close().await;
    let row = store.audit_rows(Some(NODE), 3, 1, AuditFilter::default()).await.unwrap().remove(0);
    let old = sealer().seal_as_before(NODE, row.seq, row.hash, "t".into());
    let file = rusqlite::Connection::open(dir.path().join("a.db")).unwrap();
    file.execute("DELETE FROM audit_checkpoint", []).unwrap();
    let insert = "INSERT INTO audit_checkpoint (node, seq, hash, time, sig) VALUES (?1, ?2, ?3, ?4, ?5)";
    file.execute(insert, (NODE, old.seq, old.hash, &old.time, old.sig)).unwrap();
    let found = judge(&store).await;
    assert_eq!((found.last, found.sealed), (6, 4));
    let audit = begin(&store, quiet(), mark.clone());
    audit.record(event("sys_startup"));
    audit.close().await;
    assert_eq!(judge(&store).await.sealed, 7);
    assert_eq!(named(&store, "audit_tampered").await, []);
    // The same state once more is not accepted as a chain of before: the folder has a newer head.
    file.execute_batch("DELETE FROM audit_checkpoint WHERE seq > 4; DELETE FROM audit WHERE seq > 6")
        .unwrap();
    let audit = begin(&store, quiet(), mark);
    audit.record(event("sys_startup"));
    audit.close().await;
    assert_eq!(named(&store, "audit_tampered").await.len(), 1, "its head is gone");
    assert_eq!(first_invalid(&store).await, 7);
}

/// A first run that is cut short is recorded too: without its checkpoints the chain is not accepted as a chain of
/// before.
#[tokio::test]
async fn a_folder_stores_the_first_head_at_once() {
    let (dir, store) = store().await;
    let mark = Mark::of_folder(dir.path());
    append_with(&store, NODE.to_owned(), sealer(), mark.clone(), event("command")).await.unwrap();
    assert_eq!(mark.read(NODE).unwrap().0, 1);
    append_with(&store, NODE.to_owned(), sealer(), mark.clone(), event("command")).await.unwrap();
    let file = rusqlite::Connection::open(dir.path().join("a.db")).unwrap();
    file.execute_batch("DELETE FROM audit_checkpoint").unwrap();
    let audit = begin(&store, quiet(), mark);
    audit.record(event("sys_startup"));
    audit.close().await;
    assert_eq!(
        named(&store, "audit_tampered").await.len(),
        2,
        "the head is gone, and row 2 is foreign without it"
    );
    // The row that the server wrote next is not linked to row 2.
    assert_eq!(first_invalid(&store).await, 3);
}

#[tokio::test]
async fn a_flood_of_refusals_displaces_no_administration_event() {
    let (_dir, store) = store().await;
    let audit = start(&store, Cadence { gap_every: Duration::from_millis(50), ..quiet() });
    let refusal = || event("excess_rate_limit_exceeded").agent(&"x".repeat(300));
    // There is no await here, so the writer does not run: the queues are as full as possible.
    let one: IpAddr = [192, 0, 2, 1].into();
    (0..100_000).for_each(|_| audit.refused(one, refusal));
    (0..50_000_u32).for_each(|n| audit.refused(IpAddr::from(n.to_be_bytes()), refusal));
    (0..50_000).for_each(|_| audit.activity("u", || event("server_command")));
    audit.record(event("admin_action"));
    audit.flush().await;
    assert_eq!(named(&store, "admin_action").await.len(), 1);
    let refused = named(&store, "excess_rate_limit_exceeded").await;
    let of_one = refused.len();
    assert!(of_one <= bounds::REFUSALS_BURST as usize, "{of_one} rows");
    assert_eq!(named(&store, "server_command").await.len(), bounds::ACTIVITY_PER_MINUTE as usize);
    audit.close().await;
    let counted = |reason: &str, gaps: &[fanfare_store::AuditRow]| -> u64 {
        let of = gaps.iter().filter(|row| row.reason.as_deref() == Some(reason));
        of.map(|row| {
            serde_json::from_str::<serde_json::Value>(&row.detail).unwrap()["count"].as_u64().unwrap()
        })
        .sum()
    };
    let gaps = named(&store, "audit_gap").await;
    assert_eq!(counted("refusals", &gaps) + of_one as u64, 150_000);
    assert_eq!(counted("activity", &gaps), 50_000 - u64::from(bounds::ACTIVITY_PER_MINUTE));
    assert_eq!(counted("overflow", &gaps), 0);
    assert!(gaps.len() <= 10, "{} rows that count", gaps.len());
    let bytes: usize = store
        .audit_rows(Some(NODE), 0, 10_000, AuditFilter::default())
        .await
        .unwrap()
        .iter()
        .map(|row| super::super::row::bytes(row).len() + 32)
        .sum();
    assert!(bytes < 1_000_000, "{bytes} bytes for 200 000 refusals");
    judge(&store).await;
}

#[tokio::test]
async fn a_checkpoint_is_due_only_when_there_are_new_rows() {
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
    // A head that was not published is replaced by the next.
    let audit = start(&store, quiet());
    for _ in 0..3 {
        audit.record(event("x"));
        audit.flush().await;
    }
    audit.close().await;
    assert_eq!(store.checkpoints(NODE).await.unwrap().len(), 3);
}

/// The same story on PostgreSQL, where there is one.
#[tokio::test]
async fn the_chain_holds_on_postgres() {
    let Some(url) = fanfare_testkit::postgres::database() else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(url, dir.path())).await.unwrap();
    let audit = start(&store, quiet());
    for _ in 0..600 {
        audit.record(event("x").agent("ü\u{1}"));
    }
    append_now(&store, NODE, event("command")).await.unwrap();
    audit.record(event("x"));
    audit.close().await;
    let found = judge(&store).await;
    assert_eq!((found.rows, found.sealed), (602, 602));
    foreign_rows_are_never_sealed(&store, dir.path()).await;
}
