//! All connections of a run on one thread: one epoll set, one read buffer, frames passed on from inside it.
//!
//! Each [`Swarm::turn`] waits for sockets (or until a time), reads each ready socket once, responds to heartbeats,
//! advances handshakes, and passes every data frame of a ready connection to the [`Receive`]r. Nothing is allocated per
//! message: an incomplete frame is kept in its connection until the rest arrives.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustls::ClientConfig;

use super::clock::{Clock, Timer, nanos};
use super::encrypted::Encrypted;
use super::frame::{self, Masker, Opcode};
use super::handshake::{beat, closed, greet, upgrade, upgraded};
use super::link::{Link, Stage};
use super::peer::{Dialect, Role, Script};

/// Concurrent handshakes: below every listener's backlog.
const HANDSHAKES: usize = 128;
/// Time limit for all handshakes.
const CONNECT_LIMIT: Duration = Duration::from_secs(120);
/// Room for many messages of one connection in one read.
const READ_BUFFER: usize = 256 << 10;
/// Events taken from one wait.
const EVENTS: usize = 1024;
/// The timer's key in the epoll set; no connection has it.
const TIMER: u64 = u64::MAX;

/// Receives the data frames of ready connections.
pub(super) trait Receive {
    /// `now` is when the frame was read; a reply goes to `link.out` through `masker`.
    fn frame(&mut self, link: &mut Link, script: &Script, frame: &[u8], now: u64, masker: &mut Masker);
}

/// For phases in which nothing is expected.
pub(super) struct Ignore;

impl Receive for Ignore {
    fn frame(&mut self, _: &mut Link, _: &Script, _: &[u8], _: u64, _: &mut Masker) {}
}

/// The connections and their shared state.
pub(super) struct Swarm {
    epoll: OwnedFd,
    timer: Timer,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    server: SocketAddrV4,
    dialect: Dialect,
    path: Option<String>,
    tls: Option<Arc<ClientConfig>>,
    scripts: Vec<(Role, Script)>,
    stop: Arc<AtomicBool>,
    pub(super) links: Vec<Link>,
    pub(super) topics: Vec<String>,
    pub(super) masker: Masker,
    pub(super) clock: Clock,
    pub(super) ready: usize,
    /// The number of connections that ended unexpectedly, and the reason of the first.
    pub(super) failed: usize,
    pub(super) first_failure: Option<String>,
    /// Bytes and calls of reading.
    pub(super) bytes_read: u64,
    pub(super) reads: u64,
}

impl Swarm {
    pub(super) fn new(
        server: SocketAddrV4,
        dialect: Dialect,
        path: Option<String>,
        tls: Option<Arc<ClientConfig>>,
        topics: Vec<String>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, String> {
        let failed = |e: Errno| format!("epoll: {e}");
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        let timer = Timer::new().map_err(failed)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN).map_err(failed)?;
        Ok(Self {
            epoll,
            timer,
            events: Vec::with_capacity(EVENTS),
            buffer: vec![0; READ_BUFFER],
            server,
            dialect,
            path,
            tls,
            scripts: Vec::new(),
            stop,
            links: Vec::new(),
            topics,
            masker: Masker::new(),
            clock: Clock::start(),
            ready: 0,
            failed: 0,
            first_failure: None,
            bytes_read: 0,
            reads: 0,
        })
    }

    /// Opens a connection for each of `wanted` and returns once all are ready: the seconds it took.
    pub(super) fn open(&mut self, wanted: &[(Role, u32)]) -> Result<f64, String> {
        let (start, ready_before) = (self.clock.now(), self.ready);
        let mut opened = 0;
        while self.ready - ready_before < wanted.len() {
            while opened < wanted.len() && opened - (self.ready - ready_before) < HANDSHAKES {
                let (role, topic) = wanted[opened];
                self.begin(role, topic)
                    .map_err(|e| format!("connection {opened} to {}: {e}", self.server))?;
                opened += 1;
            }
            self.turn(self.clock.now() + nanos(0.02), &mut Ignore)?;
            let took = self.clock.now() - start;
            if let Some(failure) = &self.first_failure {
                return Err(format!("{} of {} connections failed: {failure}", self.failed, wanted.len()));
            }
            if took > CONNECT_LIMIT.as_nanos() as u64 {
                return Err(format!(
                    "only {} of {} connections were ready in time",
                    self.ready,
                    wanted.len()
                ));
            }
        }
        Ok((self.clock.now() - start) as f64 / 1e9)
    }

    fn begin(&mut self, role: Role, topic: u32) -> std::io::Result<()> {
        if !self.scripts.iter().any(|(of, _)| *of == role) {
            self.scripts.push((role, self.dialect.script(role, self.path.as_deref())));
        }
        let mut link = Link::open(self.server, self.links.len(), role, topic)?;
        if let Some(config) = &self.tls {
            link.tls = Some(Encrypted::new(config, self.server).map_err(std::io::Error::other)?);
        }
        let key = EventData::new_u64(self.links.len() as u64);
        epoll::add(&self.epoll, &link.socket, key, EventFlags::IN | EventFlags::OUT)?;
        self.links.push(link);
        Ok(())
    }

    /// One round: waits until sockets are ready or until `until`, and serves the ready ones.
    pub(super) fn turn(&mut self, until: u64, receiver: &mut impl Receive) -> Result<(), String> {
        if self.stop.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        let wait = self.timer.arm(self.clock.now(), until).map_err(|e| format!("timer: {e}"))?;
        let mut events = std::mem::take(&mut self.events);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(format!("epoll: {e}")),
        }
        for event in events.drain(..) {
            let key = event.data.u64();
            if key != TIMER {
                self.serve(key as usize, event.flags, receiver);
            }
        }
        self.events = events;
        Ok(())
    }

    fn serve(&mut self, index: usize, ready: EventFlags, receiver: &mut impl Receive) {
        if self.links[index].stage == Stage::Gone {
            return;
        }
        let outcome = if ready.contains(EventFlags::OUT) { self.writable(index) } else { Ok(()) };
        let outcome = match outcome {
            Ok(()) if ready.intersects(!EventFlags::OUT) => self.readable(index, receiver),
            outcome => outcome,
        };
        if let Err(reason) = outcome.and_then(|()| self.flush(index)) {
            self.fail(index, reason);
        }
    }

    fn writable(&mut self, index: usize) -> Result<(), String> {
        if self.links[index].stage == Stage::Connecting {
            let link = &mut self.links[index];
            match sockopt::socket_error(&link.socket) {
                Ok(Ok(())) => {}
                Ok(Err(e)) | Err(e) => return Err(format!("connect: {e}")),
            }
            link.stage = Stage::Upgrading;
            let script = script(&self.scripts, link.role);
            link.out.extend_from_slice(upgrade(self.server, script).as_bytes());
        }
        Ok(())
    }

    /// Writes a connection's queued bytes and watches for room only while some are left.
    pub(super) fn flush(&mut self, index: usize) -> Result<(), String> {
        let link = &mut self.links[index];
        if matches!(link.stage, Stage::Connecting | Stage::Gone) {
            return Ok(());
        }
        link.write().map_err(|e| format!("write: {e}"))?;
        let left = link.wants_write();
        if link.watching_write != left {
            link.watching_write = left;
            let flags = if left { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            let key = EventData::new_u64(index as u64);
            epoll::modify(&self.epoll, &link.socket, key, flags).map_err(|e| format!("epoll: {e}"))?;
        }
        Ok(())
    }

    /// Counts a connection that ended unexpectedly and removes it from the epoll set.
    pub(super) fn fail(&mut self, index: usize, reason: String) {
        let link = &mut self.links[index];
        if link.stage != Stage::Gone {
            link.stage = Stage::Gone;
            self.failed += 1;
            self.first_failure.get_or_insert(reason);
            // Removing a descriptor fails only if it is no longer in the set.
            let _ = epoll::delete(&self.epoll, &link.socket);
        }
    }

    fn readable(&mut self, index: usize, receiver: &mut impl Receive) -> Result<(), String> {
        let link = &mut self.links[index];
        let kept = link.partial.len();
        if self.buffer.len() < kept + READ_BUFFER / 2 {
            self.buffer.resize(kept + READ_BUFFER, 0);
        }
        self.buffer[..kept].copy_from_slice(&link.partial);
        link.partial.clear();
        let read = link.read(&mut self.buffer[kept..])?;
        self.reads += 1;
        self.bytes_read += read as u64;
        let buffer = std::mem::take(&mut self.buffer);
        let bytes = &buffer[..kept + read];
        let used = self.consume(index, bytes, receiver);
        if let Ok(used) = used {
            self.links[index].partial.extend_from_slice(&bytes[used..]);
        }
        self.buffer = buffer;
        used.map(|_| ())
    }

    /// Handles all complete frames in `bytes`; returns the number of bytes consumed.
    fn consume(&mut self, index: usize, bytes: &[u8], receiver: &mut impl Receive) -> Result<usize, String> {
        let now = self.clock.now();
        let link = &mut self.links[index];
        let script = script(&self.scripts, link.role);
        let topic = self.topics.get(link.topic as usize).map_or("", String::as_str);
        let mut at = 0;
        if link.stage == Stage::Upgrading {
            let Some(end) = upgraded(bytes)? else { return Ok(0) };
            at = end;
            link.stage = Stage::Greeting;
            self.ready += usize::from(greet(link, script, topic, b"", &mut self.masker));
        }
        while let Some((opcode, place)) = frame::first(&bytes[at..]) {
            let payload = &bytes[at + place.start..at + place.end];
            at += place.end;
            match opcode {
                Opcode::Ping => link.queue(Opcode::Pong, payload, &mut self.masker),
                Opcode::Pong => {}
                Opcode::Close => return Err(closed(payload)),
                Opcode::Text | Opcode::Binary => {
                    beat(link, script, payload, &mut self.masker);
                    if link.stage == Stage::Ready {
                        receiver.frame(link, script, payload, now, &mut self.masker);
                    } else {
                        self.ready += usize::from(greet(link, script, topic, payload, &mut self.masker));
                    }
                }
            }
        }
        Ok(at)
    }
}

fn script(scripts: &[(Role, Script)], role: Role) -> &Script {
    // Three roles at most, so a scan is faster than a map. `begin` has registered every role before a link of it
    // exists.
    let found = scripts.iter().find(|(of, _)| *of == role);
    &found.unwrap_or(&scripts[0]).1
}
