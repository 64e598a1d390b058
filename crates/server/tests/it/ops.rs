//! Shared by the tests of operation: commands beside a server, administrators, servers on a given folder.

use crate::people::Person;
use crate::support::BINARY;
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// Runs a command of the binary on a data folder.
#[track_caller]
pub(crate) fn command(data_dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.env_clear().args(args).arg("--set").arg(format!("data_dir={}", data_dir.display()));
    command.stdin(Stdio::null()).output().unwrap()
}

/// The standard output of a command.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Checks that a command succeeded; what it said.
#[track_caller]
pub(crate) fn succeeded(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    said(output)
}

/// Checks that a command was refused with status 2 and one line that holds these words.
#[track_caller]
pub(crate) fn refused(output: &Output, words: &[&str]) {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(error.trim().lines().count(), 1, "{error}");
    for word in words {
        assert!(error.contains(word), "{word} in {error}");
    }
}

/// An administrator, created by command and logged in.
#[track_caller]
pub(crate) fn administrator(server: &Server, name: &str) -> Person {
    let made = command(&server.data_dir(), &["admin", "create-user", name, "--role", "admin"]);
    let password = succeeded(&made);
    Person::login(server, name, password.trim())
}

/// Checks the chain of a folder; what was said about it.
#[track_caller]
pub(crate) fn intact(data_dir: &Path) -> String {
    intact_in(data_dir, &[])
}

/// The same with further arguments.
#[track_caller]
pub(crate) fn intact_in(data_dir: &Path, more: &[&str]) -> String {
    succeeded(&command(data_dir, &[&["audit", "verify"], more].concat()))
}

/// The rows of a folder's audit log, oldest first.
#[track_caller]
pub(crate) fn rows(data_dir: &Path, more: &[&str]) -> Vec<serde_json::Value> {
    let args = [&["audit", "tail", "--json", "-n", "100000"], more].concat();
    let text = succeeded(&command(data_dir, &args));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A server on a folder that outlives it.
pub(crate) struct Again {
    child: Child,
    pub(crate) addr: std::net::SocketAddr,
}

impl Again {
    /// Starts `serve` on a folder.
    #[track_caller]
    pub(crate) fn start(data_dir: &Path, settings: &[(&str, &str)]) -> Self {
        Self::run(Server::command(BINARY, data_dir, settings), data_dir)
    }

    /// Runs a command that starts one there; its output is dropped.
    #[track_caller]
    pub(crate) fn run(mut command: Command, data_dir: &Path) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self::run_as_is(command, data_dir)
    }

    /// Runs a command that starts one there.
    #[track_caller]
    pub(crate) fn run_as_is(mut command: Command, data_dir: &Path) -> Self {
        let address = data_dir.join("address");
        let _old = std::fs::remove_file(&address);
        let mut child = command.spawn().unwrap();
        let addr = eventually("the server listens", PATIENCE, || {
            assert_eq!(child.try_wait().unwrap(), None, "it ended");
            std::fs::read_to_string(&address).ok()?.trim().strip_prefix("http://")?.parse().ok()
        });
        Self { child, addr }
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in order.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let ended = eventually("the server ends", PATIENCE, || self.child.try_wait().unwrap());
        assert_eq!(ended.code(), Some(0));
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
