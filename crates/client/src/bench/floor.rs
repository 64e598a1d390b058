//! The kernel's share of the cost: sending to many loopback sockets without any other work. A separate process reads
//! and discards (sockets of one process would need twice its open files), this one sends to each socket in turn.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::args::{FloorArgs, SinkArgs};
use super::clock::{Clock, nanos};
use super::process::thread_seconds;
use super::report::Report;
use super::{limits, process};

/// The longest that the receiving end waits for the next connection or byte; after that the sender is considered dead.
const SINK_PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
/// The longest wait for room in one socket.
const WRITE_PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The process of the receiving end, which is stopped when this value is dropped.
struct Sink(Child);

impl Drop for Sink {
    fn drop(&mut self) {
        // It ends by itself when the connections do; both calls fail only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends, and measures the sender's CPU time.
pub(super) fn run(args: &FloorArgs, stop: &AtomicBool) -> Result<Report, String> {
    limits::raise_files(u64::from(args.connections))?;
    let (sink, sockets) = connect(args)?;
    limits::pin(args.server_cpu)?;
    let data = vec![b'x'; args.size as usize * args.coalesce as usize];
    let (mut sent, mut waits, mut rounds) = (0u64, 0u64, 0u64);
    let (clock, stolen, cpu) = (Clock::start(), process::stolen_seconds(), thread_seconds());
    let end = nanos(args.seconds);
    while clock.now() < end {
        if stop.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        if let Some(rate) = args.rate {
            let due = nanos(rounds as f64 / rate);
            std::thread::sleep(Duration::from_nanos(due.saturating_sub(clock.now())));
        }
        rounds += 1;
        for socket in &sockets {
            waits += send_all(socket, &data).map_err(|e| format!("send: {e}"))?;
            sent += u64::from(args.coalesce);
        }
    }
    let wall = clock.now() as f64 / 1e9;
    let cpu = thread_seconds() - cpu;
    drop(sockets);
    drop(sink);
    let per_million = cpu * 1e6 / sent.max(1) as f64;
    let mut report = Report::new("floor", "floor", args.server_cpu.is_some() && args.client_cpu.is_some());
    report.set("connections", args.connections);
    report.set("size", args.size);
    report.set("coalesce", args.coalesce);
    report.measure("wall_s", wall);
    report.measure("server_cpu_s", cpu);
    report.measure("cpu_s_per_million", per_million);
    report.measure("deliveries_per_s", sent as f64 / wall);
    report.measure("stolen_s", process::stolen_seconds() - stolen);
    report.set("waits", waits);
    report.summary = format!(
        "floor: {} sockets, {} bytes x {}: {per_million:.3} CPU s/M, {:.0} messages/s",
        args.connections,
        args.size,
        args.coalesce,
        sent as f64 / wall
    );
    Ok(report)
}

fn connect(args: &FloorArgs) -> Result<(Sink, Vec<TcpStream>), String> {
    let program = std::env::current_exe().map_err(|e| format!("own program: {e}"))?;
    let mut command = Command::new(program);
    command.args(["bench", "sink", "--connections", &args.connections.to_string()]);
    if let Some(cpu) = args.client_cpu {
        command.args(["--client-cpu", &cpu.to_string()]);
    }
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|e| format!("sink: {e}"))?;
    let stdout = child.stdout.take();
    let sink = Sink(child);
    let mut port = String::new();
    BufReader::new(stdout.ok_or("sink: no output")?)
        .read_line(&mut port)
        .map_err(|e| format!("sink: {e}"))?;
    let port: u16 = port.trim().parse().map_err(|_| "the reading end did not start".to_owned())?;
    let mut sockets = Vec::with_capacity(args.connections as usize);
    for _ in 0..args.connections {
        let socket = TcpStream::connect(("127.0.0.1", port)).map_err(|e| format!("connect: {e}"))?;
        socket.set_nodelay(true).and_then(|()| socket.set_nonblocking(true)).map_err(|e| e.to_string())?;
        sockets.push(socket);
    }
    Ok((sink, sockets))
}

/// Sends all of `data`; returns how often the socket was full.
fn send_all(socket: &TcpStream, mut data: &[u8]) -> rustix::io::Result<u64> {
    let mut waits = 0;
    while !data.is_empty() {
        match send(socket, data, SendFlags::NOSIGNAL) {
            Ok(sent) => data = &data[sent..],
            Err(Errno::AGAIN) => {
                waits += 1;
                let mut room = [PollFd::new(socket, PollFlags::OUT)];
                match poll(&mut room, Some(&WRITE_PATIENCE)) {
                    Ok(0) => return Err(Errno::TIMEDOUT),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(e) => return Err(e),
                }
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(waits)
}

/// The receiving end: prints its port, accepts the connections, reads until they close.
pub(super) fn sink(args: &SinkArgs) -> Result<(), String> {
    limits::raise_files(u64::from(args.connections))?;
    limits::pin(args.client_cpu)?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    writeln!(std::io::stdout().lock(), "{port}").map_err(|e| e.to_string())?;
    let failed = |e: Errno| format!("epoll: {e}");
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
    let mut sockets = Vec::with_capacity(args.connections as usize);
    for key in 0..u64::from(args.connections) {
        let mut waiting = [PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)];
        if poll(&mut waiting, Some(&SINK_PATIENCE)).map_err(failed)? == 0 {
            return Err("the sender is gone".into());
        }
        let (socket, _) = listener.accept().map_err(|e| e.to_string())?;
        epoll::add(&epoll, &socket, EventData::new_u64(key), EventFlags::IN).map_err(failed)?;
        sockets.push(socket);
    }
    let mut buffer = vec![0u8; 256 << 10];
    let mut events = Vec::with_capacity(1024);
    loop {
        match epoll::wait(&epoll, spare_capacity(&mut events), Some(&SINK_PATIENCE)) {
            Ok(0) => return Err("the sender is gone".into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(failed(e)),
        }
        for event in events.drain(..) {
            let key = event.data.u64() as usize;
            match recv(&sockets[key], &mut buffer[..], RecvFlags::empty()) {
                // The sender closes all at once.
                Ok((0, _)) | Err(Errno::CONNRESET) => return Ok(()),
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(e) => return Err(format!("read: {e}")),
            }
        }
    }
}
