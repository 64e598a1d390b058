//! The server under test: started for one run, or already running.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::args::ServerArgs;

/// The longest a server may take to accept connections.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Wait after it accepts connections: the rest of its startup is not measured.
const SETTLE: Duration = Duration::from_secs(1);
/// From SIGTERM to SIGKILL; a server configured to drain its connections needs some of it.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// A server's process; one that was started here is stopped when this value is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Option<Child>,
    pub(super) pid: u32,
    /// Whether it was started on one CPU.
    pub(super) pinned: bool,
}

impl Server {
    /// Starts the command, or uses the running process.
    pub(super) fn obtain(args: &ServerArgs, stop: &AtomicBool) -> Result<Self, String> {
        match (args.pid, args.command.as_slice()) {
            (Some(pid), []) => Ok(Self { child: None, pid, pinned: false }),
            (None, [program, rest @ ..]) => Self::start(args, program, rest, stop),
            (Some(_), _) => Err("--pid and a command exclude each other".into()),
            (None, []) => Err("which server? give --pid PID, or its command after --".into()),
        }
    }

    fn start(args: &ServerArgs, program: &str, rest: &[String], stop: &AtomicBool) -> Result<Self, String> {
        if TcpStream::connect(args.address).is_ok() {
            return Err(format!("the address {} is already in use", args.address));
        }
        let pinned = args.server_cpu.map(|cpu| {
            let mut command = Command::new("taskset");
            command.args(["-c", &cpu.to_string(), program]);
            command
        });
        let (child, pinned) = match pinned.map(|command| spawn(command, rest, args)) {
            Some(Ok(child)) => (child, true),
            Some(Err(e)) if e.kind() != ErrorKind::NotFound => return Err(format!("taskset: {e}")),
            unpinned => {
                if unpinned.is_some() {
                    // A failed warning is ignored: the report has "pinned": false.
                    let _ = writeln!(
                        std::io::stderr().lock(),
                        "fanfare: no taskset here, the server is not pinned"
                    );
                }
                (spawn(Command::new(program), rest, args).map_err(|e| format!("{program}: {e}"))?, false)
            }
        };
        let mut server = Self { pid: child.id(), child: Some(child), pinned };
        server.await_listening(args.address, stop)?;
        Ok(server)
    }

    fn await_listening(&mut self, address: SocketAddrV4, stop: &AtomicBool) -> Result<(), String> {
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return Err(format!("the server ended before it accepted connections: {status}"));
            }
            if start.elapsed() > START_LIMIT {
                return Err(format!("the server does not accept connections on {address}"));
            }
            if stop.load(Ordering::Relaxed) {
                return Err("interrupted".into());
            }
            std::thread::sleep(POLL);
        }
        std::thread::sleep(SETTLE);
        Ok(())
    }
}

/// Starts `command` in a process group of its own, so that a terminal's Ctrl-C reaches it only through this program.
fn spawn(mut command: Command, rest: &[String], args: &ServerArgs) -> std::io::Result<Child> {
    command.args(rest).stdin(Stdio::null()).process_group(0);
    match &args.server_log {
        Some(path) => {
            let log = File::create(path)?;
            command.stderr(log.try_clone()?).stdout(log);
        }
        None => {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
    }
    command.spawn()
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        let pid = Pid::from_child(child);
        // Signals fail only when the process has ended, which is their purpose.
        let _ = kill_process(pid, Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < STOP_LIMIT {
            if let Ok(Some(_)) = child.try_wait() {
                return;
            }
            std::thread::sleep(POLL);
        }
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = child.wait();
    }
}
