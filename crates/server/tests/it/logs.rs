//! A standard output that cannot be written costs log lines and nothing else.

use crate::support::BINARY;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server, Signal, eventually};
use rustix::process::{Pid, kill_process};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use tempfile::TempDir;

/// Requests of a test: several pipes full of lines at level trace.
const REQUESTS: usize = 600;
/// Connections, so that each shard gets some.
const SOCKETS: usize = 12;

struct Running {
    child: Child,
    addr: SocketAddr,
    _folder: TempDir,
}

/// Starts a server that logs all it can, with this standard output and error.
fn start(stdout: Stdio, stderr: Stdio) -> Running {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut command = Server::command(BINARY, &data, &[("log.level", "trace")]);
    let mut child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
    let addr = eventually("the server listens", PATIENCE, || {
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        let text = std::fs::read_to_string(data.join("address")).ok()?;
        text.trim().strip_prefix("http://")?.parse().ok()
    });
    Running { child, addr, _folder: folder }
}

impl Running {
    /// Everything works: requests, probes, and new sockets on every shard.
    fn works(&self) {
        for at in 0..REQUESTS {
            let answer = Request::get("/health").header("x-request-id", &format!("r{at}")).send(self.addr);
            assert_eq!(answer.status, 200, "request {at}");
        }
        assert_eq!(Request::get("/livez").send(self.addr).status, 200);
        for at in 0..SOCKETS {
            let (_socket, welcome) = Client::greeted(self.addr);
            assert!(welcome["session_code"].is_string(), "socket {at}: {welcome}");
        }
    }

    fn lost(&self) -> u64 {
        let text = Request::get("/metrics").send(self.addr).text();
        let line = text.lines().find(|l| l.starts_with("fanfare_log_lines_lost_total ")).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// SIGTERM ends it in order.
    fn stops(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = eventually("the server ends", PATIENCE, || self.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

#[test]
fn a_reader_of_the_log_that_is_gone_stops_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    let errors = writer.try_clone().unwrap();
    let server = start(writer.into(), errors.into());
    drop(reader);
    server.works();
    assert!(server.lost() > 0, "nothing was lost: the test sees nothing");
    server.stops();
}

#[test]
fn a_full_disk_stops_nothing() {
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let server = start(full().into(), full().into());
    server.works();
    assert!(server.lost() > 0, "nothing was lost: the test sees nothing");
    server.stops();
}

#[test]
fn a_reader_of_the_log_that_stalls_freezes_nothing_and_gets_lines_when_it_reads_again() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let errors = writer.try_clone().unwrap();
    let server = start(writer.into(), errors.into());
    server.works();
    let (told, lines) = std::sync::mpsc::channel();
    let addr = server.addr;
    std::thread::spawn(move || {
        let mut text = String::new();
        let _whole = reader.read_to_string(&mut text);
        let _gone = told.send(text);
    });
    let answer = Request::get("/health").header("x-request-id", "after-the-stall").send(addr);
    assert_eq!(answer.status, 200);
    server.stops();
    let text = lines.recv_timeout(PATIENCE).unwrap();
    assert!(text.contains("listening on http://"), "the address is not printed");
    assert!(text.contains("stopped"), "the last lines are missing");
}

/// The twin: a reader that stalls and never reads again costs no more than the bound of the last flush.
#[test]
fn a_stalled_reader_does_not_delay_the_end() {
    let (reader, writer) = std::io::pipe().unwrap();
    let server = start(writer.into(), Stdio::from(File::options().write(true).open("/dev/null").unwrap()));
    server.works();
    server.stops();
    drop(reader);
}
