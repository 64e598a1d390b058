//! Two engines for one story: a new SQLite file, and a new database of PostgreSQL (see `fanfare_testkit::postgres`).

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use fanfare_store::{DeviceKeys, KeyLogEntry, MetricQuery, NewMessage, NewUser, Role, Store, StoreOptions};
use fanfare_testkit::{postgres, soak};
use tempfile::TempDir;

/// Time limit of a story.
fn limit() -> Duration {
    soak::pick(Duration::from_secs(120), Duration::from_secs(1800))
}

/// The store that a story runs on.
pub struct Stage {
    pub options: StoreOptions,
    pub dir: TempDir,
    pub postgres: bool,
}

impl Stage {
    pub async fn open(&self) -> Store {
        Store::open(self.options.clone()).await.unwrap()
    }

    /// The SQLite file.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("fanfare.db")
    }

    /// Another stage of the same engine, empty.
    pub async fn other(&self) -> Self {
        if self.postgres { postgres_stage(&postgres::database().unwrap()) } else { sqlite_stage() }
    }

    pub async fn postgres_client(&self) -> tokio_postgres::Client {
        postgres::connect(&self.options.url).await
    }
}

pub fn sqlite_stage() -> Stage {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite:{}", dir.path().join("fanfare.db").display());
    Stage { options: StoreOptions::new(url, dir.path()), dir, postgres: false }
}

fn postgres_stage(url: &str) -> Stage {
    let dir = TempDir::new().unwrap();
    Stage { options: StoreOptions::new(url, dir.path()), dir, postgres: true }
}

pub async fn on_sqlite<F: Future<Output = ()>>(story: impl FnOnce(Stage) -> F) {
    tokio::time::timeout(limit(), story(sqlite_stage())).await.unwrap();
}

pub async fn on_postgres<F: Future<Output = ()>>(story: impl FnOnce(Stage) -> F) {
    let Some(url) = postgres::database() else { return };
    tokio::time::timeout(limit(), story(postgres_stage(&url))).await.unwrap();
}

/// Declares a story as two tests.
#[macro_export]
macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        mod sqlite { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { $crate::common::on_sqlite(super::$name).await; }
        )* }
        mod postgres { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { $crate::common::on_postgres(super::$name).await; }
        )* }
    };
}

pub fn new_user(name: &str) -> NewUser {
    NewUser {
        username: name.to_owned(),
        password: Some("$argon2id$x".to_owned()),
        role: Role::User,
        keys: None,
        created_at: 1_000,
    }
}

pub fn metrics(name: Option<&str>, since: Option<i64>, limit: u32) -> MetricQuery {
    MetricQuery { name: name.map(str::to_owned), since, before: None, limit }
}

/// Keys made of one byte, with their log entry.
pub fn keys(byte: u8, n: i64) -> (DeviceKeys, KeyLogEntry) {
    let (ik, ek, binding) = ([byte; 32], [byte ^ 0x80; 32], Some([byte; 64]));
    let device_id = "main".to_owned();
    let keys = DeviceKeys { device_id: device_id.clone(), ik, ek, key_binding: binding, created_at: 5 };
    let action = if n == 1 { "add" } else { "rotate" }.to_owned();
    let rotation = (n > 1).then_some([7; 64]);
    let prev_hash = [(n - 1) as u8; 32];
    (keys, KeyLogEntry { n, action, device_id, ik, ek, binding, prev_hash, rotation, at: 6 })
}

pub fn message(id: &str) -> NewMessage {
    NewMessage {
        id: id.to_owned(),
        from_user: "alice".to_owned(),
        to_user: "bob".to_owned(),
        content: "c2VjcmV0".to_owned(),
        encrypted_key: Some("key".to_owned()),
        encryption_nonce: None,
        signature: Some("sig".to_owned()),
        status: "sent".to_owned(),
        timestamp: 1_700_000_000_000,
        seq: Some(1),
        envelope: format!("{{\"id\":\"{id}\"}}"),
    }
}
