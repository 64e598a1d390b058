//! Migrations, backups, restores, and starts that cannot work.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use common::{Stage, keys, message, new_user, on_sqlite};
use fanfare_store::{
    Durability, NewUser, ProfileChange, Role, Store, StoreError, StoreOptions, backup, migrate,
};

stories!(
    migrations_are_told_and_made,
    a_changed_or_newer_migration_is_refused,
    a_backup_beside_a_writer_is_restored_elsewhere,
    what_is_no_backup_is_refused,
    durabilities_open,
);

async fn migrations_are_told_and_made(stage: Stage) {
    let before = migrate::status(&stage.options).await.unwrap();
    assert!(before.len() >= 2 && before.iter().all(|state| state.applied_at.is_none()));
    assert!(stage.postgres || !stage.file().exists(), "a look makes no file");
    assert_eq!(migrate::up(&stage.options, true).await.unwrap(), before);
    assert_eq!(migrate::status(&stage.options).await.unwrap(), before, "dry");
    let done = migrate::up(&stage.options, false).await.unwrap();
    assert_eq!(done.len(), before.len());
    assert!(done.iter().all(|state| state.applied_at.is_some()));
    assert_eq!(migrate::up(&stage.options, false).await.unwrap(), []);
    stage.open().await.close().await;
    assert_eq!(migrate::status(&stage.options).await.unwrap(), done);
}

async fn run(stage: &Stage, sql: &str) {
    if stage.postgres {
        stage.postgres_client().await.batch_execute(sql).await.unwrap();
    } else {
        rusqlite::Connection::open(stage.file()).unwrap().execute_batch(sql).unwrap();
    }
}

async fn a_changed_or_newer_migration_is_refused(stage: Stage) {
    stage.open().await.close().await;
    let zeros = if stage.postgres { "'\\x00'" } else { "x'00'" };
    let newer = format!("INSERT INTO schema_migrations VALUES (99, 'future', {zeros}, 1)");
    run(&stage, &newer).await;
    let error = Store::open(stage.options.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 99, .. }), "{error}");
    run(&stage, "DELETE FROM schema_migrations WHERE version = 99").await;
    stage.open().await.close().await;
    run(&stage, &format!("UPDATE schema_migrations SET checksum = {zeros} WHERE version = 1")).await;
    let error = Store::open(stage.options.clone()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Misconfigured(text) if text.contains("store.url")), "{error}");
}

async fn a_backup_beside_a_writer_is_restored_elsewhere(stage: Stage) {
    let store = stage.open().await;
    let user = NewUser { keys: Some(keys(1, 1)), role: Role::Admin, ..new_user("alice") };
    let alice = store.create_user(user).await.unwrap();
    let name = ProfileChange { display_name: Some(Some("\"Å\"\n".to_owned())), ..Default::default() };
    assert!(store.change_profile(&alice.id, Default::default(), name).await.unwrap());
    store.put_metrics(1, "n", vec![("m".to_owned(), 0.1), ("i".to_owned(), f64::INFINITY)]).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0.. {
                if store.append_message(message(&format!("m{n}"))).await.is_err() {
                    return;
                }
            }
        })
    };
    while store.count_messages().await.unwrap() < 50 {
        tokio::task::yield_now().await;
    }
    let file = stage.dir.path().join("copy");
    let report = backup::backup(&stage.options, &file).await.unwrap();
    assert_eq!(report.bytes, std::fs::metadata(&file).unwrap().len());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let again = backup::backup(&stage.options, &file).await;
    assert!(matches!(again, Err(StoreError::Misconfigured(_))), "never over another file");
    let live = backup::restore(&stage.options, &file).await;
    assert!(matches!(live, Err(StoreError::Misconfigured(_))), "never over a store that is there");
    assert!(store.status().up && store.user(&alice.id).await.unwrap().is_some());

    let other = stage.other().await;
    let carried = std::fs::read(&file).unwrap();
    assert_eq!(backup::restore(&other.options, &file).await.unwrap().version, report.version);
    assert!(std::fs::read(&file).unwrap() == carried, "a backup is only read");
    let restored = other.open().await;
    assert_eq!(restored.user(&alice.id).await.unwrap(), store.user(&alice.id).await.unwrap());
    assert_eq!(restored.device_keys(&alice.id).await.unwrap(), [keys(1, 1).0]);
    assert_eq!(restored.key_log(&alice.id, None, 9).await.unwrap(), [keys(1, 1).1]);
    let metrics = || common::metrics(None, None, 9);
    assert_eq!(restored.metrics(metrics()).await.unwrap(), store.metrics(metrics()).await.unwrap());
    let kept = restored.count_messages().await.unwrap();
    assert!(kept >= 50, "{kept}");
    for n in 0..kept {
        assert!(
            restored.message(&format!("m{n}")).await.unwrap().is_some(),
            "one state: no hole before the last row"
        );
    }
    restored.append_message(message("next")).await.unwrap();
    assert_eq!(restored.count_messages().await.unwrap(), kept + 1, "numbering goes on");
    store.close().await;
    writer.await.unwrap();
    let left: Vec<_> = std::fs::read_dir(stage.dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("partial")), "{left:?}");
}

async fn what_is_no_backup_is_refused(stage: Stage) {
    let file = stage.dir.path().join("file");
    let refused = |what: &'static str| {
        let (stage, file) = (&stage, &file);
        async move {
            let error = backup::restore(&stage.options, file).await.unwrap_err();
            assert!(matches!(error, StoreError::Misconfigured(_)), "{what}: {error:?}");
            let states = migrate::status(&stage.options).await.unwrap();
            assert!(states.iter().all(|state| state.applied_at.is_none()), "{what}: nothing is left behind");
        }
    };
    refused("no file").await;
    std::fs::write(&file, "").unwrap();
    refused("empty").await;
    std::fs::write(&file, "not a store at all, only a text\n".repeat(500)).unwrap();
    refused("a text").await;
    // A dump or a file that was cut off.
    let source = stage.other().await;
    let store = source.open().await;
    for n in 0..50 {
        store.create_user(new_user(&format!("user{n}"))).await.unwrap();
    }
    let whole = source.dir.path().join("whole");
    backup::backup(&source.options, &whole).await.unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    refused("half").await;
}

async fn durabilities_open(stage: Stage) {
    for durability in [Durability::ProcessSafe, Durability::Memory, Durability::PowerSafe] {
        let store = Store::open(StoreOptions { durability, ..stage.options.clone() }).await.unwrap();
        store.append_message(message(&format!("{durability:?}"))).await.unwrap();
        store.close().await;
    }
    let store = stage.open().await;
    assert_eq!(store.count_messages().await.unwrap(), 3);
}

#[tokio::test]
async fn a_sqlite_file_is_private_and_clean_after_a_close() {
    on_sqlite(|stage| async move {
        let store = stage.open().await;
        for suffix in ["", "-wal", "-shm"] {
            let file = format!("{}{suffix}", stage.file().display());
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        store.create_user(new_user("alice")).await.unwrap();
        store.close().await;
        assert!(!stage.dir.path().join("fanfare.db-wal").exists(), "checkpointed");
    })
    .await;
}

#[tokio::test]
async fn a_sqlite_file_is_copied_before_it_is_migrated() {
    on_sqlite(|stage| async move {
        let store = stage.open().await;
        store.create_user(new_user("alice")).await.unwrap();
        store.close().await;
        // As a program that knew only the first step left it.
        run(
            &stage,
            "DROP TABLE messages; DROP INDEX users_changed; ALTER TABLE users DROP COLUMN changed_at;
             DELETE FROM schema_migrations WHERE version > 1",
        )
        .await;
        let store = stage.open().await;
        store.append_message(message("m")).await.unwrap();
        assert!(store.user_by_name("alice").await.unwrap().is_some());
        let last = migrate::status(&stage.options).await.unwrap().last().unwrap().version;
        let copy = stage.dir.path().join(format!("fanfare.db.before-v{last}.bak"));
        let copy = rusqlite::Connection::open(copy).unwrap();
        let users: i64 = copy.query_row("SELECT COUNT(*) FROM users", [], |row| row.get(0)).unwrap();
        assert_eq!(users, 1);
        assert!(copy.prepare("SELECT 1 FROM messages").is_err(), "from before");
    })
    .await;
}

#[tokio::test]
async fn files_of_others_are_left_alone() {
    on_sqlite(|stage| async move {
        run(&stage, "CREATE TABLE theirs (a)").await;
        let error = Store::open(stage.options.clone()).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Misconfigured(text) if text.contains("another program")),
            "{error}"
        );
        std::fs::remove_file(stage.file()).unwrap();
        std::fs::write(stage.file(), "a text that is no database ".repeat(100)).unwrap();
        assert!(Store::open(stage.options.clone()).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn addresses_that_cannot_work_name_their_key() {
    let dir = tempfile::TempDir::new().unwrap();
    for url in
        ["", "mysql://x", "sqlite:", "sqlite::memory:", "postgres://h:x/d", "postgres://h/d?sslmode=maybe"]
    {
        let error = Store::open(StoreOptions::new(url, dir.path())).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Misconfigured(text) if text.contains("store.url")),
            "{url}: {error}"
        );
    }
    let error = Store::open(StoreOptions::new("sqlite:/dev/null/x/y.db", dir.path())).await.unwrap_err();
    assert!(matches!(&error, StoreError::Misconfigured(text) if text.contains("store.url")), "{error}");
}

#[tokio::test]
async fn a_postgres_that_is_not_there_is_named_in_time() {
    let dir = tempfile::TempDir::new().unwrap();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let begun = Instant::now();
    let url = format!("postgres://user:secret@127.0.0.1:{port}/db");
    let error = Store::open(StoreOptions::new(url, dir.path())).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(60));
    let text = error.to_string();
    assert!(
        text.contains("store.url") && text.contains(&port.to_string()) && !text.contains("secret"),
        "{text}"
    );
}
