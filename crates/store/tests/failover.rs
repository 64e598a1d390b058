//! Operations that affect PostgreSQL connections: failovers, restarts, changed tables, poolers, servers without TLS.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Stage, message, on_postgres};
use fanfare_store::{Appended, Store, StoreError, StoreOptions};
use fanfare_testkit::postgres;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// The stage's database, with another query in its address.
fn options(stage: &Stage, url: &str, query: &str) -> StoreOptions {
    let mark = if url.contains('?') { '&' } else { '?' };
    StoreOptions { url: format!("{url}{mark}{query}"), ..stage.options.clone() }
}

/// Sets whether new sessions of a database accept writes; existing ones are ended or left.
async fn read_only(stage: &Stage, on: bool, end: bool) {
    let name = postgres::name_of(&stage.options.url);
    let client = stage.postgres_client().await;
    client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    client
        .batch_execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}"))
        .await
        .unwrap();
    if end {
        let others = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        );
        client.batch_execute(&others).await.unwrap();
    }
}

/// Reads concurrently on as many connections as a pool has.
async fn read_on_all(store: &Store) -> usize {
    let reads = (0..16).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { store.setting(&format!("s{n}")).await })
    });
    let mut read = 0;
    for one in reads.collect::<Vec<_>>() {
        read += usize::from(one.await.unwrap().is_ok());
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_a_failover_left_read_only_are_given_up() {
    on_postgres(|stage| async move {
        // Configured to accept any server, so that sessions of a read-only one get into the pool.
        let store =
            Store::open(options(&stage, &stage.options.url, "target_session_attrs=any")).await.unwrap();
        store.append_message(message("before")).await.unwrap();
        read_only(&stage, true, true).await;
        while read_on_all(&store).await < 16 {}
        assert!(matches!(store.append_message(message("refused")).await, Err(StoreError::Unavailable(_))));
        // The failover is over; the pooled sessions stay read-only.
        read_only(&stage, false, false).await;
        for n in 0..20 {
            assert_eq!(store.set_setting_once(&format!("k{n}"), "v").await.unwrap(), "v");
            let appended = store.append_message(message(&format!("after{n}"))).await.unwrap();
            assert!(matches!(appended, Appended::New { .. }), "{appended:?}");
        }
        assert!(store.status().up);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_accepts_no_writes_is_not_connected_to() {
    on_postgres(|stage| async move {
        let store = stage.open().await;
        read_only(&stage, true, true).await;
        let refused = store.set_setting_once("k", "v").await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        read_only(&stage, false, false).await;
        assert_eq!(store.set_setting_once("k", "v").await.unwrap(), "v");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_were_ended_and_plans_that_are_stale_fail_no_caller() {
    on_postgres(|stage| async move {
        let store = stage.open().await;
        for round in 0..3 {
            assert_eq!(read_on_all(&store).await, 16);
            store.append_message(message(&format!("m{round}"))).await.unwrap();
            read_only(&stage, false, true).await;
            assert_eq!(store.set_setting_once(&format!("k{round}"), "v").await.unwrap(), "v");
            store.append_message(message(&format!("n{round}"))).await.unwrap();
        }
        assert_eq!(read_on_all(&store).await, 16);
        let client = stage.postgres_client().await;
        client
            .batch_execute("ALTER TABLE settings ALTER COLUMN value TYPE VARCHAR COLLATE \"C\"")
            .await
            .unwrap();
        for round in 0..3 {
            assert_eq!(store.setting(&format!("k{round}")).await.unwrap().as_deref(), Some("v"));
        }
        assert_eq!(read_on_all(&store).await, 16);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_shares_connections_is_refused_and_keeps_none_of_the_settings() {
    on_postgres(|stage| async move {
        for mode in ["transaction", "statement"] {
            let Some(pooler) = postgres::pooler(&stage.options.url, mode) else { return };
            let begun = Instant::now();
            let refused =
                Store::open(StoreOptions { url: pooler.url.clone(), ..stage.options.clone() }).await;
            let Err(StoreError::Misconfigured(error)) = refused else { panic!("{mode}: {refused:?}") };
            assert!(error.starts_with("store.url: ") && error.contains("pool_mode=session"), "{error}");
            assert!(begun.elapsed() < Duration::from_secs(10) && error.lines().count() == 1, "{error}");
            let settings = postgres::run(&pooler.url, "SHOW statement_timeout");
            assert_eq!(settings, ["0"], "another client of the pooler gets a setting of ours");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_gives_sessions_works() {
    on_postgres(|stage| async move {
        let Some(pooler) = postgres::pooler(&stage.options.url, "session") else { return };
        let store =
            Store::open(StoreOptions { url: pooler.url.clone(), ..stage.options.clone() }).await.unwrap();
        assert_eq!(store.set_setting_once("k", "v").await.unwrap(), "v");
        store.append_message(message("m")).await.unwrap();
        assert_eq!(read_on_all(&store).await, 16);
        store.close().await;
        let settings = postgres::run(&pooler.url, "SHOW statement_timeout");
        assert_eq!(settings, ["0"], "the next client of the session gets a setting of ours");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_the_required_tls_is_refused_at_once() {
    let stage = common::sqlite_stage();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Responds to every SSLRequest with N, as a PostgreSQL without TLS.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 8];
            if stream.read_exact(&mut request).is_ok() {
                let _gone = stream.write_all(b"N");
            }
        }
    });
    let root = stage.dir.path().join("root.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(&root, certificate.pem()).unwrap();
    let url =
        format!("postgres://u:SECRET@127.0.0.1:{port}/d?sslrootcert={}&sslmode=require", root.display());
    let begun = Instant::now();
    let refused = Store::open(StoreOptions { url, ..stage.options.clone() }).await;
    let Err(StoreError::Misconfigured(error)) = refused else { panic!("{refused:?}") };
    for part in ["store.url: sslmode=require", "127.0.0.1", "does not support TLS"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5) && !error.contains("SECRET"), "{error}");
}
