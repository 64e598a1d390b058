//! Conditions specific to SQLite: a full disk and a growing log.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::model::{Appended, NewMessage};
use crate::{Durability, Store, StoreError, StoreOptions};

async fn open(dir: &TempDir) -> Store {
    let url = format!("sqlite:{}", dir.path().join("store.db").display());
    let options = StoreOptions { durability: Durability::ProcessSafe, ..StoreOptions::new(url, dir.path()) };
    Store::open(options).await.unwrap()
}

fn message(number: usize, bytes: usize) -> NewMessage {
    NewMessage {
        id: format!("m{number}"),
        from_user: "alice".to_owned(),
        to_user: "bob".to_owned(),
        content: "x".repeat(bytes),
        encrypted_key: None,
        encryption_nonce: None,
        signature: None,
        status: "sent".to_owned(),
        timestamp: 1,
        seq: None,
        envelope: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_allows_reads() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    store.write(|sql| sql.query("PRAGMA max_page_count = 100", &[]).map(drop)).await.unwrap();
    let mut kept = 0;
    let error = loop {
        match store.append_message(message(kept, 10_000)).await {
            Ok(Appended::New { .. }) => kept += 1,
            other => break other.unwrap_err(),
        }
    };
    assert_eq!(error, StoreError::Unavailable("the disk is full".to_owned()));
    assert!(kept > 1 && !store.status().up);
    assert_eq!(store.status().detail.as_deref(), Some("the store is unavailable: the disk is full"));
    let many: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.append_message(message(1000 + n, 10_000)).await })
        })
        .collect();
    for one in many {
        assert_eq!(one.await.unwrap(), Err(error.clone()), "whole batches too");
    }
    assert_eq!(store.count_messages().await.unwrap(), kept as u64);
    assert!(store.message("m0").await.unwrap().is_some());
    store.write(|sql| sql.query("PRAGMA max_page_count = 100000", &[]).map(drop)).await.unwrap();
    store.append_message(message(kept, 10_000)).await.unwrap();
    assert!(store.status().up, "room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_checkpointed_when_the_writer_is_idle() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    for number in 0..100 {
        store.append_message(message(number, 100_000)).await.unwrap();
    }
    // 10 MB went through the log. All but the part that may stay in it is moved to the file without further writes.
    let deadline = Instant::now() + Duration::from_secs(20);
    let bytes = || std::fs::metadata(dir.path().join("store.db")).unwrap().len();
    while bytes() < 5_000_000 {
        assert!(Instant::now() < deadline, "the file has {} bytes", bytes());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_panics_does_not_end_the_readers() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    for _ in 0..10 {
        let answer = store.read::<(), _>(|_| panic!("a fault of a model")).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))));
    }
    assert_eq!(store.count_users().await.unwrap(), 0);
}
