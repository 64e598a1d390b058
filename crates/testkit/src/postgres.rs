//! PostgreSQL for tests: the one `TEST_DATABASE_URL` names, or one that is found here and started for this process; and
//! a fresh database in it for each test. Without either, a test says loudly that it is left out.

use crate::left_out;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// A PostgreSQL of this process: its script stops it when our end of its standard input closes, however we end.
#[derive(Debug)]
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
    let script = "source ./services.sh; services_begin; service_postgres postgres fsync=off || exit 1; \
                  echo \"$POSTGRES_URL\"; read -r _";
    let (url, _, script) = scripted(script);
    url.map(|url| Server { url, _script: Some(script) })
}

/// A PgBouncer before a database; it ends with the value.
#[derive(Debug)]
pub struct Pooler {
    /// The database's address through it.
    pub url: String,
    script: Child,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // The end of its standard input ends the script, and that the service.
        drop(self.script.stdin.take());
        let _ended = self.script.wait();
    }
}

/// A PgBouncer in this pool mode before a database of [`database`]; `None`, said loudly, where there is none.
///
/// # Panics
/// When there is no bash.
pub fn pooler(url: &str, mode: &str) -> Option<Pooler> {
    let script = format!(
        "source ./services.sh; services_begin; service_pgbouncer pgbouncer '{url}' {mode} || exit 1; \
         echo \"$PGBOUNCER_URL\"; read -r _"
    );
    let (url, _, script) = scripted(&script);
    match url {
        Some(url) => Some(Pooler { url, script }),
        None => {
            left_out("no PgBouncer (the package pgbouncer has one)");
            None
        }
    }
}

/// A PostgreSQL of one test, which it kills and starts again; it ends with the value. Its disk syncs are off: what the kernel
/// has outlives the process.
#[derive(Debug)]
pub struct Own {
    url: String,
    output: BufReader<ChildStdout>,
    script: Child,
}

impl Own {
    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends the server with SIGKILL.
    ///
    /// # Panics
    /// When the script is gone.
    pub fn kill(&mut self) {
        self.ask("kill");
    }

    /// Starts the server again, on its data and its address.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(&mut self) {
        self.ask("start");
    }

    fn ask(&mut self, what: &str) {
        let input = self.script.stdin.as_mut().expect("a pipe");
        writeln!(input, "{what}").expect("the script");
        let mut said = String::new();
        self.output.read_line(&mut said).expect("the script's output");
        assert_eq!(said, "done\n", "{what}");
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // The end of its standard input ends the script, and that the server.
        drop(self.script.stdin.take());
        let _ended = self.script.wait();
    }
}

/// A PostgreSQL that the caller may kill; `None`, said loudly, where there is none.
///
/// # Panics
/// When there is no bash.
pub fn own() -> Option<Own> {
    let script = "source ./services.sh; services_begin; service_postgres own fsync=off || exit 1; echo \"$POSTGRES_URL\"; \
                  while read -r what; do case $what in kill) service_postgres_kill own ;; \
                  start) service_postgres_again own || exit 1 ;; esac; echo done; done";
    let (url, output, script) = scripted(script);
    match url {
        Some(url) => Some(Own { url, output, script }),
        None => {
            left_out("no PostgreSQL of our own to kill (the package postgresql has one)");
            None
        }
    }
}

/// Runs a script that starts a service, says its address and waits for the end of its input.
fn scripted(script: &str) -> (Option<String>, BufReader<ChildStdout>, Child) {
    let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let mut child = Command::new("bash")
        .args(["-c", script])
        .current_dir(scripts)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash");
    let mut url = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    output.read_line(&mut url).expect("the script's output");
    let url = Some(url.trim().to_owned()).filter(|url| !url.is_empty());
    if url.is_none() {
        child.wait().expect("a child");
    }
    (url, output, child)
}

/// A connection to a database; it lives as long as the runtime.
///
/// # Panics
/// When it is refused.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// Runs statements; the values of the rows they give, as text.
///
/// # Panics
/// When one fails.
#[track_caller]
pub fn run(url: &str, statements: &str) -> Vec<String> {
    let work = async {
        let said = connect(url).await.simple_query(statements).await.expect(statements);
        let rows = said.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        rows.collect()
    };
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work)
    };
    // On a thread of its own: the caller may be inside a runtime.
    std::thread::scope(|scope| scope.spawn(ask).join().expect(statements))
}

/// The address of a fresh database made like `template`; `None`, said loudly, where there is no PostgreSQL. Databases go
/// with the server; on a server of somebody else they are named after us.
///
/// # Panics
/// When it cannot be made.
pub fn copy_of(template: &str) -> Option<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Some(server) = server() else {
        left_out("no PostgreSQL (TEST_DATABASE_URL names one, the package postgresql has one)");
        return None;
    };
    let name = format!("fanfare_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    run(&server.url, &format!("CREATE DATABASE {name} TEMPLATE {template}"));
    let (address, query) = server.url.split_once('?').unwrap_or((&server.url, ""));
    let (server, _) = address.rsplit_once('/').expect("a URL with a database");
    Some(format!("{server}/{name}?{query}").trim_end_matches('?').to_owned())
}

/// The address of a fresh, empty database, as [`copy_of`].
pub fn database() -> Option<String> {
    copy_of("template0")
}

/// The name of a database in its address.
pub fn name_of(url: &str) -> &str {
    let address = url.split_once('?').map_or(url, |(address, _)| address);
    address.rsplit_once('/').map_or(address, |(_, name)| name)
}

/// Lets nobody into a database any more and ends who is inside, as if its server were away; or opens it again.
///
/// # Panics
/// When there is no server, or it refuses.
pub fn set_open(url: &str, open: bool) {
    let (name, all) = (name_of(url), server().expect("a server"));
    run(&all.url, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {open}"));
    if !open {
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        run(&all.url, &end);
    }
}
