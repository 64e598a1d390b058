//! Two engines for one story: a fresh SQLite file, and a fresh database in the PostgreSQL that `TEST_DATABASE_URL` names
//! or that is found here and started for this test binary. Without either, the PostgreSQL half says loudly that it is left
//! out.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fanfare_store::{DeviceKeys, KeyLogEntry, NewMessage, NewUser, Role, Store, StoreOptions};
use tempfile::TempDir;
use tokio_postgres::NoTls;

/// Nothing in a story may take longer.
const STORY: Duration = Duration::from_secs(120);

/// Where a story runs.
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
        if self.postgres { postgres_stage(&database().await) } else { sqlite_stage() }
    }

    pub async fn postgres_client(&self) -> tokio_postgres::Client {
        client(&self.options.url).await
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
    tokio::time::timeout(STORY, story(sqlite_stage())).await.unwrap();
}

pub async fn on_postgres<F: Future<Output = ()>>(story: impl FnOnce(Stage) -> F) {
    if server().is_none() {
        // Straight to the terminal: the test harness keeps what passing tests print to itself.
        let left_out = b"LEFT OUT: no PostgreSQL (TEST_DATABASE_URL, or the package postgresql)\n";
        std::fs::OpenOptions::new().write(true).open("/dev/stderr").unwrap().write_all(left_out).unwrap();
        return;
    }
    tokio::time::timeout(STORY, story(postgres_stage(&database().await))).await.unwrap();
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

/// A PostgreSQL of this process: its script stops it when our end of its standard input closes, however we end.
struct Server {
    url: String,
    _script: Option<Child>,
}

fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER
        .get_or_init(|| match std::env::var("TEST_DATABASE_URL") {
            Ok(url) if !url.is_empty() => Some(Server { url, _script: None }),
            _ => start(),
        })
        .as_ref()
}

fn start() -> Option<Server> {
    let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let script = "source ./services.sh; services_begin; service_postgres postgres fsync=off || exit 1; \
                  echo \"$POSTGRES_URL\"; read -r _";
    let mut child = Command::new("bash")
        .args(["-c", script])
        .current_dir(scripts)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    if url.trim().is_empty() {
        child.wait().unwrap();
        return None;
    }
    Some(Server { url: url.trim().to_owned(), _script: Some(child) })
}

async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The address of a fresh database. They go with the server; on a server of somebody else they are named after us.
pub async fn database() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let url = &server().unwrap().url;
    let name = format!("fanfare_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    client(url).await.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let (server, _) = address.rsplit_once('/').unwrap();
    format!("{server}/{name}?{query}").trim_end_matches('?').to_owned()
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
