//! A shard: one thread that owns its sockets and drives the hub's [`Shard`] with them.
//!
//! A turn: wait for readiness; read each readable socket once and carry out its commands, answering with one send; close
//! the batches that were opened and take the inbox; flush, a slice at a time; obey what the hub asks; look at the clock.
//! Nothing here waits for anything but readiness, and no socket is touched by another thread.

mod admin;
mod commands;
mod conn;
mod feeds;
mod ledger;
mod lifecycle;
mod login;
mod push;
mod read;
mod rpc;
mod sockets;
#[cfg(test)]
mod tests;
mod timers;
mod tls;
mod typed;
mod waits;

pub(crate) use tls::decrypted;

use crate::node::{Node, Now};
use crate::posts::{NewSession, ToShard};
use crate::telemetry::metrics::ShardMetrics;
use conn::{Conn, Phase, TICK_MS, Tick};
use fanfare_core::hub::{Effect, QueueLimits, Shard, ShardConfig, Turn};
use fanfare_services::credentials::Verified;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use sockets::Sockets;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::sync::oneshot;
use waits::Waits;

/// Bytes read from a socket in one turn at most.
const READ_BYTES: usize = 64 * 1024;
/// Events taken from the kernel in one turn.
const EVENTS: usize = 256;
/// Sends of a fan-out before readiness is looked at again, so that requests wait a fraction of a millisecond.
const SLICE: usize = 64;
/// Marks the bell among the slots.
const BELL: u64 = u64::MAX;

/// Rings a shard that sleeps.
#[derive(Clone, Debug)]
pub struct Bell(Arc<OwnedFd>);

impl Bell {
    /// A new bell.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Wakes the shard.
    pub fn ring(&self) {
        // Full means it rings already.
        let _full = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }

    /// Takes the rings so far.
    fn drain(&self) {
        let _empty = rustix::io::read(&*self.0, &mut [0_u8; 8]);
    }
}

impl Now {
    fn turn(self) -> Turn {
        Turn { at: self.at, ms: self.ms }
    }
}

/// A shard's thread.
pub struct Driver {
    node: Arc<Node>,
    hub: Shard<ToShard>,
    sockets: Sockets,
    conns: Vec<Conn>,
    epoll: OwnedFd,
    bell: Bell,
    metrics: Arc<ShardMetrics>,
    now: Now,
    /// Shared by all reads of this thread.
    buffer: Vec<u8>,
    /// Frames that answer the connection whose turn it is.
    out: Vec<u8>,
    out_messages: usize,
    /// Credentials of the frame that is being carried out.
    verified: Verified,
    /// The connection whose turn it is logged in where nobody is served anonymously: its welcome comes behind the answer.
    welcome_owed: Option<NewSession>,
    /// Scratch for a JSON-RPC answer.
    answer: Vec<u8>,
    open: usize,
    /// The next slot whose clock is looked at, and when.
    scanned: usize,
    scan_at: Tick,
    draining: bool,
    /// Notified when every command that was read before the end began has been started.
    drained: Option<oneshot::Sender<()>>,
    /// The serial of the newest command.
    serials: u64,
    /// What the JSON-RPC text that is being carried out waits for.
    waits: Waits,
    finish_at: Option<Tick>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Driver {
    /// Makes the shard `id` of a node.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn new(node: Arc<Node>, id: u8, bell: Bell) -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*bell.0, EventData::new_u64(BELL), EventFlags::IN)?;
        let limits = &node.config.limits;
        let queue = QueueLimits { messages: limits.queue_messages, bytes: limits.queue_bytes.len() };
        let config = ShardConfig { id, queue, max_subscriptions: limits.max_subscriptions };
        let metrics = node.shard_metrics[usize::from(id)].clone();
        let now = node.now();
        let hub = Shard::new(config, node.topics.clone(), now.turn());
        Ok(Self {
            node,
            hub,
            sockets: Sockets::default(),
            conns: Vec::new(),
            epoll,
            bell,
            metrics,
            now,
            buffer: vec![0; READ_BYTES],
            out: Vec::new(),
            out_messages: 0,
            verified: Verified::default(),
            welcome_owed: None,
            answer: Vec::new(),
            open: 0,
            scanned: 0,
            scan_at: 0,
            draining: false,
            drained: None,
            serials: 0,
            waits: Waits::default(),
            finish_at: None,
        })
    }

    /// Runs until [`ToShard::Finish`] is done.
    pub fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        while !self.is_finished() {
            let timeout = self.timeout();
            events.clear();
            let buffer = rustix::buffer::spare_capacity(&mut events);
            if let Err(error) = epoll::wait(&self.epoll, buffer, timeout.as_ref())
                && error != rustix::io::Errno::INTR
            {
                tracing::error!(%error, "waiting for sockets failed");
            }
            self.now = self.node.now();
            self.hub.begin_turn(self.now.turn());
            for event in &events {
                let (data, flags) = (event.data.u64(), event.flags);
                match data {
                    BELL => self.bell.drain(),
                    slot => self.ready(slot as u32, flags),
                }
            }
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.obey();
        self.hub.end_turn();
        while let Some(post) = self.hub.next_driver_post() {
            self.obey_post(post);
        }
        self.hub.run(&mut self.sockets, SLICE, self.now.ms);
        self.take_outcomes();
        self.obey();
        self.count();
        self.look_at_clock();
        self.obey();
    }

    fn timeout(&self) -> Option<Timespec> {
        let busy = self.hub.has_work() || !self.node.topics.inboxes()[usize::from(self.hub.id())].is_empty();
        let ms = match busy {
            true => 0,
            false if self.open > 0 || self.finish_at.is_some() => TICK_MS,
            false => return None,
        };
        Some(Timespec { tv_sec: 0, tv_nsec: (ms * 1_000_000) as _ })
    }

    /// Hands what was counted in this turn to the shared metrics.
    fn count(&mut self) {
        let counts = self.hub.take_counts();
        let add = |counter: &std::sync::atomic::AtomicU64, n: u64| {
            if n > 0 {
                counter.fetch_add(n, Ordering::Relaxed);
            }
        };
        add(&self.metrics.deliveries, counts.deliveries);
        add(&self.metrics.dropped, counts.dropped);
        add(&self.metrics.slow_consumers, counts.slow_consumers);
        let waiting = self.hub.queued_bytes() + self.sockets.unsent_bytes();
        self.metrics.outbox_bytes.store(waiting as i64, Ordering::Relaxed);
        let mut flushes = self.hub.take_flushes().peekable();
        if flushes.peek().is_some() {
            let end = Instant::now();
            flushes.for_each(|begun| {
                self.metrics.publish_to_write.observe(end.duration_since(begun).as_nanos() as u64)
            });
        }
    }

    /// Carries out what the hub asks of the sockets.
    fn obey(&mut self) {
        loop {
            let effects: Vec<Effect> = self.hub.effects().collect();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Writable(slot, on) => self.watch(slot, conn_interest::WRITE, on),
                    Effect::Paused(slot, true) => self.watch(slot, conn_interest::READ, false),
                    Effect::Paused(slot, false) => self.unpause(slot),
                    Effect::Broken(slot) => self.cut(slot, 1006),
                    Effect::Ending(slot, code) => self.ending(slot, code),
                    Effect::Drained(slot) => self.drained(slot),
                }
            }
        }
    }

    fn watch(&mut self, slot: u32, bit: u8, on: bool) {
        let conn = &mut self.conns[slot as usize];
        let wanted = if on { conn.interest | bit } else { conn.interest & !bit };
        let Some(stream) = self.sockets.get(slot) else { return };
        if bit == conn_interest::WRITE {
            conn.stuck_since = if on { self.now.tick.max(1) } else { 0 };
        }
        if wanted != conn.interest {
            conn.interest = wanted;
            let flags = conn_interest::flags(wanted);
            if let Err(error) = epoll::modify(&self.epoll, stream, EventData::new_u64(u64::from(slot)), flags)
            {
                tracing::error!(%error, "a socket cannot be watched");
            }
        }
    }

    fn ready(&mut self, slot: u32, flags: EventFlags) {
        if self.sockets.get(slot).is_some() {
            self.contain(self.hub.addr(slot), |driver| driver.serve(slot, flags));
            self.obey();
            self.end_if_ended(slot);
        }
    }

    /// Writes what waits and reads once.
    fn serve(&mut self, slot: u32, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            let before = (self.hub.queued(slot), self.sockets.unsent(slot));
            self.hub.writable(slot, &mut self.sockets, self.now.ms);
            if (self.hub.queued(slot), self.sockets.unsent(slot)) != before {
                let later = self.ticks_from_now(self.node.ticks.write);
                let conn = &mut self.conns[slot as usize];
                conn.stuck_since = if conn.stuck_since == 0 { 0 } else { self.now.tick.max(1) };
                // Clients that still read when the server stops get all of it, within `server.shutdown_timeout`.
                if let Phase::Ending { at, drained: false, .. } = &mut conn.phase
                    && self.draining
                {
                    *at = later;
                }
            }
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.read(slot, flags.contains(EventFlags::IN));
        }
    }
}

/// Readiness asked of the kernel.
mod conn_interest {
    use super::EventFlags;

    pub(super) const READ: u8 = 1;
    pub(super) const WRITE: u8 = 2;

    pub(super) fn flags(interest: u8) -> EventFlags {
        let mut flags = EventFlags::empty();
        if interest & READ != 0 {
            flags |= EventFlags::IN;
        }
        if interest & WRITE != 0 {
            flags |= EventFlags::OUT;
        }
        flags
    }
}
