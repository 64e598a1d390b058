//! The simulated world: real shards and topics, fake sockets, and the driver's role between them.
//!
//! Data flows as the head of the hub's shard says: a connection's commands run on its shard and append to its replies;
//! the replies are sent before anything else happens on the shard; the turn ends; the shard runs; its effects are obeyed.
//! Every answer is held against [`Truth`] at once.

mod commands;
mod end;
mod followed;
mod sabotage;
mod state;

use super::program::Command;
use super::program::{Program, Sabotage, Step, policy_of};
use super::text::{Socket, Sockets, encoders_with};
use super::truth::{Asked, Expect, Truth, Turn};
use super::upstream::Remote;
use super::{Violation, wrong};
use fanfare_core::hub::{self, Effect, Inbox, Post, Shard, ShardConfig, Ticket};
use fanfare_core::ports::Retention;
use fanfare_core::topics::{TopicOptions, Topics, TopicsConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// The world's time stands still, but for what follows logs.
pub(super) const NOW: u64 = 1_000_000;

struct Conn {
    slot: u32,
    shard: usize,
    next: usize,
    out: Vec<u8>,
    replies: usize,
    paused: bool,
    wants_writable: bool,
    ended: Option<u16>,
    /// The shard asked for it to be closed.
    reap: bool,
    broken: bool,
    open: bool,
    reads: usize,
    got: Vec<u8>,
    fell_short: bool,
    expects: Vec<Expect>,
    /// The last known epoch of a topic.
    epochs: BTreeMap<&'static str, u64>,
    /// Subscriptions whose replay may not have ended: place in `expects`.
    replaying: Vec<(&'static str, usize)>,
    /// The subscription whose reply has not come.
    waiting: Option<Waiting>,
}

/// A subscription that waits for its reply.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    topic: &'static str,
    asked: Asked,
    ticket: Ticket,
}

struct Side {
    shard: Shard<()>,
    wire: Sockets,
    by_slot: Vec<usize>,
    turn_open: bool,
    /// The connection whose replies are not sent yet.
    speaking: Option<usize>,
    late: Vec<Post<()>>,
    tampered: bool,
}

/// A program under way.
pub struct World {
    program: Arc<Program>,
    sabotage: Sabotage,
    topics: Arc<Topics<()>>,
    sides: Vec<Side>,
    conns: Vec<Conn>,
    outside: usize,
    truth: Truth,
    remote: Remote,
    faults: usize,
    /// Milliseconds that have passed.
    passed: u64,
    began: Instant,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("truth", &self.truth).finish_non_exhaustive()
    }
}

fn topics_of(program: &Program, sabotage: Sabotage, remote: &Remote) -> Arc<Topics<()>> {
    let inboxes: Vec<Inbox<()>> = (0..program.shards).map(|_| Inbox::new(|| {})).collect();
    let retention = Retention { size: program.history, ttl_ms: 3_600_000, bytes: 1 << 20 };
    let config = TopicsConfig {
        max_topics: 64,
        topics_per_client: 64,
        publish_creates: false,
        options: Box::new(move |name| TopicOptions {
            backpressure: policy_of(name),
            retention,
            durable: None,
        }),
    };
    let broker = Arc::new(remote.broker());
    Arc::new(Topics::new(inboxes.into(), broker, encoders_with(sabotage), config))
}

impl World {
    /// A program's beginning: its connections are open.
    pub fn new(program: &Arc<Program>, sabotage: Sabotage) -> Self {
        let remote = Remote::new(sabotage);
        let topics = topics_of(program, sabotage, &remote);
        let began = Instant::now();
        let side = |id: usize| {
            let config = ShardConfig { id: id as u8, queue: program.queue, max_subscriptions: 8 };
            Side {
                shard: Shard::new(config, topics.clone(), hub::Turn { at: began, ms: NOW }),
                wire: Sockets { lying: sabotage == Sabotage::LyingSocket, ..Sockets::default() },
                by_slot: Vec::new(),
                turn_open: false,
                speaking: None,
                late: Vec::new(),
                tampered: false,
            }
        };
        let mut world = Self {
            program: program.clone(),
            sabotage,
            sides: (0..program.shards).map(side).collect(),
            topics,
            conns: Vec::new(),
            outside: 0,
            truth: Truth::new(program.history),
            remote,
            faults: 0,
            passed: 0,
            began,
        };
        for (at, spec) in program.conns.iter().enumerate() {
            let side = &mut world.sides[spec.shard];
            let slot = side.shard.open(spec.variant).slot();
            side.wire.put(slot, Socket { room: spec.room, ..Socket::default() });
            side.by_slot.push(at);
            world.conns.push(Conn {
                slot,
                shard: spec.shard,
                next: 0,
                out: Vec::new(),
                replies: 0,
                paused: false,
                wants_writable: false,
                ended: None,
                reap: false,
                broken: false,
                open: true,
                reads: spec.reads,
                got: Vec::new(),
                fell_short: false,
                expects: Vec::new(),
                epochs: BTreeMap::new(),
                replaying: Vec::new(),
                waiting: None,
            });
        }
        world
    }

    /// The steps that are possible now, in a fixed order.
    pub fn enabled(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (s, side) in self.sides.iter().enumerate() {
            if side.shard.is_flushing() && (!side.turn_open || self.program.loose) {
                steps.push(Step::Run(s));
            }
        }
        for (c, conn) in self.conns.iter().enumerate().filter(|(_, c)| c.open) {
            let full = self.program.conns[c].room.saturating_sub(self.room(conn)) > 0;
            let reads = conn.reads > 0 && full && !conn.broken;
            let writable = conn.wants_writable && self.room(conn) > 0 && !conn.reap;
            let leaves = matches!(self.program.conns[c].commands.get(conn.next), Some(Command::Close));
            let speaks =
                !conn.paused && conn.ended.is_none() && !conn.reap && (conn.waiting.is_none() || leaves);
            let more = conn.next < self.program.conns[c].commands.len();
            let possible = [
                (speaks && more, Step::Command(c)),
                (reads, Step::Read(c)),
                (writable, Step::Writable(c)),
                (conn.reap, Step::Reap(c)),
            ];
            steps.extend(possible.into_iter().filter(|(can, _)| *can).map(|(_, step)| step));
        }
        if self.outside < self.program.outside.len() {
            steps.push(Step::Outside);
        }
        for (s, side) in self.sides.iter().enumerate() {
            if side.turn_open || (side.shard.has_work() && !side.shard.is_flushing()) {
                steps.push(Step::EndTurn(s));
            }
            if !self.topics.inboxes()[s].is_empty() {
                steps.push(Step::Take(s));
            }
        }
        self.enabled_upstream(&mut steps);
        steps
    }

    fn room(&self, conn: &Conn) -> usize {
        self.sides[conn.shard].wire.by_slot[conn.slot as usize].room
    }

    /// Does a step.
    ///
    /// # Errors
    /// An answer or a count that is not as the reference has it.
    pub fn step(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::Command(c) => self.command(c)?,
            Step::Outside => {
                let command = self.program.outside[self.outside];
                self.outside += 1;
                self.outside(command, None)?;
            }
            Step::EndTurn(s) => {
                if self.sabotage == Sabotage::EventsBeforeReplies {
                    let Side { shard, wire, .. } = &mut self.sides[s];
                    shard.end_turn();
                    shard.run(wire, usize::MAX, NOW);
                }
                self.before(s);
                self.sides[s].turn_open = false;
                self.sides[s].shard.end_turn();
            }
            Step::Take(s) => {
                self.before(s);
                self.sides[s].shard.take_inbox();
            }
            Step::Run(s) => {
                self.before(s);
                let budget = self.program.budget;
                let Side { shard, wire, .. } = &mut self.sides[s];
                shard.run(wire, budget, NOW);
            }
            Step::Read(c) => {
                let spec = &self.program.conns[c];
                let (room, bytes) = (spec.room, spec.read_bytes);
                let conn = &mut self.conns[c];
                conn.reads -= 1;
                let socket = &mut self.sides[conn.shard].wire.by_slot[conn.slot as usize];
                socket.room = (socket.room + bytes).min(room);
            }
            Step::Writable(c) => {
                let (s, slot) = (self.conns[c].shard, self.conns[c].slot);
                self.before(s);
                let Side { shard, wire, .. } = &mut self.sides[s];
                shard.writable(slot, wire, NOW);
            }
            Step::Reap(c) => {
                self.before(self.conns[c].shard);
                self.close(c);
            }
            Step::Arrive | Step::Serve | Step::Answer | Step::Fault | Step::Tick => self.upstream_step(step),
        }
        self.obey()?;
        self.check_counts()
    }

    /// What the driver does before anything else happens on a shard: the replies go out.
    fn before(&mut self, s: usize) {
        self.tamper(s);
        let side = &mut self.sides[s];
        let Some(c) = side.speaking.take() else { return };
        let conn = &mut self.conns[c];
        let (out, replies) = (std::mem::take(&mut conn.out), std::mem::take(&mut conn.replies));
        side.shard.reply(conn.slot, &out, replies, &mut side.wire);
        if self.program.eager_pull {
            side.shard.pull(conn.slot, &mut side.wire, NOW);
        }
    }

    fn obey(&mut self) -> Result<(), Violation> {
        for s in 0..self.sides.len() {
            let side = &mut self.sides[s];
            for effect in side.shard.effects().collect::<Vec<_>>() {
                let slot = match effect {
                    Effect::Writable(slot, _) | Effect::Paused(slot, _) | Effect::Ending(slot, _) => slot,
                    Effect::Broken(slot) | Effect::Drained(slot) => slot,
                };
                let c = side.by_slot[slot as usize];
                let conn = &mut self.conns[c];
                match effect {
                    Effect::Writable(_, on) => {
                        conn.wants_writable = on && self.sabotage != Sabotage::DeafToWritable;
                    }
                    Effect::Paused(_, on) => conn.paused = on,
                    Effect::Broken(_) => {
                        if !side.wire.by_slot[slot as usize].broken {
                            return wrong(format!("connection {c} is said to be broken and is not"));
                        }
                        conn.reap = true;
                    }
                    Effect::Ending(_, code) => {
                        conn.ended = Some(code);
                        let socket = &side.wire.by_slot[slot as usize];
                        let room = socket.room > 0 && !socket.broken;
                        if code == 1013 && room && !self.program.replays() {
                            return wrong(format!(
                                "connection {c} is ended as slow while its socket has room"
                            ));
                        }
                    }
                    Effect::Drained(_) => conn.reap = true,
                }
            }
        }
        self.take_outcomes()
    }

    fn check_counts(&mut self) -> Result<(), Violation> {
        for (s, side) in self.sides.iter().enumerate() {
            let mine = || self.conns.iter().filter(|c| c.open && c.shard == s);
            let queued: usize = mine().map(|c| side.shard.queued(c.slot).1).sum();
            if queued != side.shard.queued_bytes() {
                return wrong(format!(
                    "shard {s} counts {} queued bytes of {queued}",
                    side.shard.queued_bytes()
                ));
            }
            // Replies, infos, an ending and two notices of drops may stand beside the events.
            let bound = |c: &Conn| self.program.queue.messages.max(1) + 2 * c.expects.len() + 5;
            if let Some(c) = mine().find(|c| side.shard.queued(c.slot).0 > bound(c)) {
                return wrong(format!(
                    "{:?} wait on slot {} of shard {s}",
                    side.shard.queued(c.slot),
                    c.slot
                ));
            }
            if mine().any(|c| side.shard.is_paused(c.slot) != c.paused) {
                return wrong(format!("shard {s} has another view of who is paused"));
            }
        }
        for conn in self.conns.iter_mut().filter(|c| c.open && !c.replaying.is_empty()) {
            let shard = &self.sides[conn.shard].shard;
            let quiet = !shard.has_work() && !conn.wants_writable && shard.queued(conn.slot) == (0, 0);
            if quiet && conn.out.is_empty() {
                for (_, at) in conn.replaying.drain(..) {
                    if let Turn::Hear { replaying, .. } = &mut conn.expects[at].turn {
                        *replaying = false;
                    }
                }
            }
        }
        Ok(())
    }
}
