//! The real binary, started on a free port in a folder of its own.
//!
//! The server says where it listens by writing `address` into its data folder, which is what [`Server::start`] waits
//! for. Whatever a test does, dropping the [`Server`] ends the process.

use crate::raw_http::{Answer, Request};
use crate::raw_stream::Endpoint;
use rustix::process::{Pid, Resource, Rlimit, kill_process, prlimit};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub use rustix::process::Signal;

/// How long anything that should happen at once may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until `check` gives something, which is returned.
///
/// # Panics
/// When it does not within `within`; `what` is said then.
#[track_caller]
pub fn eventually<T>(what: &str, within: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        std::thread::sleep(LOOK);
    }
}

/// One running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: TempDir,
    addr: SocketAddr,
    tls: bool,
}

impl Server {
    /// Starts `binary serve` on a free loopback port with these settings (`--set key=value`); logs warnings only and
    /// limits no rate unless told otherwise.
    ///
    /// # Panics
    /// When it does not listen in time; its output is said then.
    #[track_caller]
    pub fn start(binary: &str, settings: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut child = Self::command(binary, &folder.path().join("data"), settings)
            .stdout(File::create(folder.path().join("log")).expect("a log"))
            .stderr(File::create(folder.path().join("err")).expect("a log"))
            .spawn()
            .expect("the binary starts");
        let address = folder.path().join("data/address");
        let (addr, tls) = eventually("the server listens", PATIENCE, || {
            if let Some(status) = child.try_wait().expect("a child") {
                panic!("the server ended at once, {status}: {}", read(&folder.path().join("err")));
            }
            let text = std::fs::read_to_string(&address).ok()?;
            let (scheme, addr) = text.trim().split_once("://")?;
            Some((addr.parse().ok()?, scheme == "https"))
        });
        Self { child, folder, addr, tls }
    }

    /// The command that starts a server on `data_dir`; nothing of this process's environment configures it.
    pub fn command(binary: &str, data_dir: &Path, settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(binary);
        command.env_clear().stdin(Stdio::null()).current_dir(data_dir.parent().unwrap_or(data_dir));
        command.arg("serve").arg("--set").arg(format!("data_dir={}", data_dir.display()));
        let basic = [
            ("server.host", "127.0.0.1"),
            ("server.port", "0"),
            ("log.level", "warn"),
            ("limits.messages_per_second", "0"),
        ];
        for (key, value) in basic.iter().chain(settings) {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens, with TLS if it serves that.
    pub fn endpoint(&self) -> Endpoint {
        let endpoint = Endpoint::from(self.addr);
        if self.tls { endpoint.tls() } else { endpoint }
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What it logged and what it said on standard error.
    pub fn log(&self) -> String {
        read(&self.folder.path().join("log")) + &read(&self.folder.path().join("err"))
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the server runs");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs after `within`.
    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        eventually("the server ends", within, || self.child.try_wait().expect("a child"))
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// When the kernel does not know.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// A GET.
    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        Request::get(target).send(self.endpoint())
    }

    /// A POST of JSON.
    #[track_caller]
    pub fn post(&self, target: &str, body: &Value) -> Answer {
        Request::post(target, &body.to_string()).send(self.endpoint())
    }

    /// Makes a topic by hand.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn make_topic(&self, name: &str) {
        let answer = self.post("/topics", &serde_json::json!({ "name": name }));
        assert!(answer.status < 300, "{answer:?}");
    }

    /// What `/stats` says.
    #[track_caller]
    pub fn stats(&self) -> Value {
        self.get("/stats").json()
    }

    /// A sample of `/metrics` by its name with labels, as it is written there; 0 when it is not there.
    ///
    /// # Panics
    /// When its value is no number.
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Resident memory in KiB.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn rss_kib(&self) -> u64 {
        let status = read(Path::new(&format!("/proc/{}/status", self.child.id())));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a running process");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// CPU time that its threads with names that begin with `name` have used (`/proc/PID/task/TID/schedstat`).
    ///
    /// # Panics
    /// When there is no such thread, or the kernel does not say.
    pub fn cpu_time_of(&self, name: &str) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a running process");
        let times = tasks.map(|task| task.expect("a thread").path()).filter_map(|task| {
            read(&task.join("comm")).starts_with(name).then(|| {
                let stat = read(&task.join("schedstat"));
                stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds on a CPU")
            })
        });
        let times: Vec<u64> = times.collect();
        assert!(!times.is_empty(), "no thread is called {name}");
        Duration::from_nanos(times.iter().sum())
    }

    /// Open descriptors.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("a running process").count()
    }

    /// Lets it open no more than `more` descriptors beyond those it has.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn limit_files(&self, more: usize) {
        let limit = Some((self.open_files() + more) as u64);
        let new = Rlimit { current: limit, maximum: limit };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, new).expect("a running process");
    }

    /// Waits until the server counts so many connections.
    #[track_caller]
    pub fn await_connections(&self, count: u64) {
        eventually(&format!("{count} connections"), PATIENCE, || {
            (self.stats()["connections"] == count).then_some(())
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server said:\n{}", self.log());
        }
    }
}

fn read(path: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let _partial = file.read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}
