//! The simulated world: real shards and topics, fake sockets, and the driver's role between them.
//!
//! Data flows as the head of the hub's shard says: a connection's commands run on its shard and append to its replies;
//! the replies are sent before anything else happens on the shard; the turn ends; the shard runs; its effects are obeyed.
//! Every answer is held against [`Truth`] at once.

use super::oracle::{Reached, Stream, judge};
use super::program::{Command, Program, Sabotage, Step, policy_of};
use super::text::{Socket, Sockets, TextEncoder, encoders};
use super::truth::{Expect, Truth, Turn};
use super::{Violation, wrong};
use fanfare_brokers::memory::{MemoryBroker, MemoryLimits};
use fanfare_core::hub::{Effect, Inbox, Post, Shard, ShardConfig};
use fanfare_core::model::{
    Epoch, ErrorCode, Publish, Refusal, Reply, Since, SinceEpoch, Subscribe, TopicRef, Unsubscribe,
};
use fanfare_core::ports::Retention;
use fanfare_core::topics::{Published, Publishing, TopicOptions, Topics, TopicsConfig};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

/// The world's time stands still.
const NOW: u64 = 1_000_000;
/// Steps after which a world that should come to rest is said not to.
const REST_STEPS: usize = 10_000;

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
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("truth", &self.truth).finish_non_exhaustive()
    }
}

fn topics_of(program: &Program) -> Arc<Topics<()>> {
    let inboxes: Vec<Inbox<()>> = (0..program.shards).map(|_| Inbox::new(|| {})).collect();
    let limits = MemoryLimits { history_bytes: 1 << 24, idempotency_keys: 16 };
    let retention = Retention { size: program.history, ttl_ms: 3_600_000, bytes: 1 << 20 };
    let config = TopicsConfig {
        max_topics: 64,
        publish_creates: false,
        options: Box::new(move |name| TopicOptions { backpressure: policy_of(name), retention }),
    };
    Arc::new(Topics::new(inboxes.into(), Arc::new(MemoryBroker::new(limits, 1)), encoders(), config))
}

fn topic_ref(name: &'static str) -> Result<TopicRef<'static>, Violation> {
    TopicRef::parse(name).map_err(|e| Violation(e.to_string()))
}

impl World {
    /// A program's beginning: its connections are open.
    pub fn new(program: &Arc<Program>, sabotage: Sabotage) -> Self {
        let topics = topics_of(program);
        let side = |id: usize| {
            let config = ShardConfig { id: id as u8, queue: program.queue, max_subscriptions: 8 };
            Side {
                shard: Shard::new(config, topics.clone()),
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
            });
        }
        world
    }

    // --- states -----------------------------------------------------------------------------------------------------

    /// A hash of everything that decides what comes, and of everything that was said: worlds with equal ones have the
    /// same futures and the same past for the oracle.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Hashing(DefaultHasher::new());
        for (s, side) in self.sides.iter().enumerate() {
            let inbox = &self.topics.inboxes()[s];
            let mut posts = VecDeque::new();
            inbox.take(&mut posts);
            let turn = (side.turn_open, side.speaking, side.tampered, &side.late);
            let _infallible = write!(hash, "{:?}{posts:?}{turn:?}", side.shard.state());
            posts.into_iter().for_each(|post| inbox.push(post, true));
        }
        for conn in &self.conns {
            let epochs: Vec<_> = conn.epochs.iter().map(|(t, e)| (t, self.truth.life_with(*e))).collect();
            let socket = &self.sides[conn.shard].wire.by_slot[conn.slot as usize];
            let flags = (conn.paused, conn.wants_writable, conn.ended, conn.reap, conn.broken, conn.open);
            let _infallible = write!(hash, "{flags:?}{}{}{:?}", conn.next, conn.reads, conn.expects);
            let _infallible = write!(hash, "{}{epochs:?}{:?}", socket.room, conn.replaying);
            [&conn.out, &socket.got, &conn.got].into_iter().for_each(|bytes| hash.0.write(bytes));
        }
        let _infallible = write!(hash, "{}{:?}", self.outside, self.truth.state());
        hash.0.finish()
    }

    // --- steps ------------------------------------------------------------------------------------------------------

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
            let speaks = !conn.paused && conn.ended.is_none() && !conn.reap;
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
        Ok(())
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

    // --- commands ---------------------------------------------------------------------------------------------------

    /// A payload that tells its source and its place among that source's.
    fn payload(source: usize, at: usize) -> String {
        format!("{}{at}", char::from(b'a' + source as u8))
    }

    fn command(&mut self, c: usize) -> Result<(), Violation> {
        let s = self.conns[c].shard;
        if self.sides[s].speaking != Some(c) {
            self.before(s);
        }
        self.tamper(s);
        self.sides[s].turn_open = true;
        let command = self.program.conns[c].commands[self.conns[c].next];
        self.conns[c].next += 1;
        match command {
            Command::Subscribe(topic) => self.subscribe(c, topic, None),
            Command::Since(topic, back) => self.subscribe(c, topic, Some(back)),
            Command::Unsubscribe(topic) => self.unsubscribe(c, topic),
            Command::Publish(topic) => self.publish(c, topic, false),
            Command::PublishExcluded(topic) => self.publish(c, topic, true),
            Command::Delete(_) | Command::Make(_) => self.outside(command, Some(s as u8)),
            Command::Close => {
                self.before(s);
                self.close(c);
                Ok(())
            }
            Command::Break => {
                let slot = self.conns[c].slot as usize;
                self.sides[s].wire.by_slot[slot].broken = true;
                self.conns[c].broken = true;
                Ok(())
            }
            Command::Bye => {
                self.before(s);
                let Side { shard, wire, .. } = &mut self.sides[s];
                shard.close_after(self.conns[c].slot, None, 1001, "bye", wire);
                Ok(())
            }
        }
    }

    fn answer(&mut self, c: usize, text: &str, turn: Turn) {
        let conn = &mut self.conns[c];
        TextEncoder(self.program.conns[c].variant).frame(text, &mut conn.out);
        conn.replies += 1;
        conn.expects.push(Expect { text: text.to_owned(), turn });
        self.sides[conn.shard].speaking = Some(c);
    }

    fn subscribe(&mut self, c: usize, topic: &'static str, back: Option<u64>) -> Result<(), Violation> {
        let life = self.truth.life_of(topic);
        let known = life.and_then(|l| self.truth.lives[l].epoch);
        let since = back.map(|back| {
            let epoch = self.conns[c].epochs.get(topic).copied().or(known).unwrap_or(0);
            (epoch, life.map_or(0, |l| self.truth.lives[l].head()).saturating_sub(back))
        });
        let command = Subscribe {
            topic: topic_ref(topic)?,
            client_id: None,
            since: since.map(|(e, offset)| Since { epoch: SinceEpoch(Epoch(e).to_string().into()), offset }),
        };
        let conn = &mut self.conns[c];
        let shard = &mut self.sides[conn.shard].shard;
        let got = shard.subscribe(conn.slot, &command, NOW, &mut conn.out);
        let Ok(Reply::Subscribed(got)) = got else { return wrong(format!("subscribe is answered {got:?}")) };
        let heard = self.truth.subscribe(c, topic, since);
        if (got.offset, got.recovered, got.already) != (heard.offset, heard.recovered, heard.already) {
            return wrong(format!("subscribe is answered {got:?}, not {heard:?}"));
        }
        self.truth.learn(heard.life, got.epoch.0)?;
        self.conns[c].epochs.insert(topic, got.epoch.0);
        let after = since.filter(|_| heard.recovered == Some(true)).map_or(heard.offset, |s| s.1);
        let replaying = after < heard.offset;
        let turn = match heard.already {
            true => Turn::StillHear(topic),
            false => Turn::Hear { topic, life: heard.life, after, head: heard.offset, replaying },
        };
        if replaying {
            let at = self.conns[c].expects.len();
            self.conns[c].replaying.push((topic, at));
        }
        self.answer(c, &format!("A|subscribe|{topic}|{}|{:?}", heard.offset, heard.recovered), turn);
        Ok(())
    }

    fn unsubscribe(&mut self, c: usize, topic: &'static str) -> Result<(), Violation> {
        let command = Unsubscribe { topic: topic_ref(topic)?, client_id: None };
        let conn = &mut self.conns[c];
        let shard = &mut self.sides[conn.shard].shard;
        let got = shard.unsubscribe(conn.slot, &command, NOW, &mut conn.out);
        let upto = self.truth.unsubscribe(c, topic);
        if !matches!(got, Reply::Unsubscribed { already, .. } if already == upto.is_none()) {
            return wrong(format!("unsubscribe is answered {got:?}, the head is {upto:?}"));
        }
        conn.replaying.retain(|(t, _)| *t != topic);
        let turn = upto.map_or(Turn::StillSilent(topic), |_| Turn::Silence(topic, upto));
        self.answer(c, &format!("A|unsubscribe|{topic}|{upto:?}"), turn);
        Ok(())
    }

    fn publish(&mut self, c: usize, topic: &'static str, excluded: bool) -> Result<(), Violation> {
        let payload = Self::payload(c, self.conns[c].next);
        let command = Publish {
            topic: topic_ref(topic)?,
            payload: &payload,
            client_id: None,
            idempotency_key: None,
            exclude_self: excluded && self.sabotage != Sabotage::ForgetExclude,
        };
        let conn = &self.conns[c];
        let got = self.sides[conn.shard].shard.publish(conn.slot, &command, "me", NOW);
        let want = self.truth.publish(topic, &payload, excluded.then_some(c));
        let sabotaged = self.sabotage == Sabotage::ForgetExclude;
        let text = check_published(got, want, sabotaged)?;
        self.answer(c, &format!("A|publish|{topic}|{text}"), Turn::Nothing);
        Ok(())
    }

    fn outside(&mut self, command: Command, own: Option<u8>) -> Result<(), Violation> {
        match command {
            Command::Publish(topic) => {
                let payload = Self::payload(25, self.outside);
                let got = self.topics.publish(&Publishing {
                    topic,
                    payload: &payload,
                    client_id: "rest",
                    idempotency_key: None,
                    exclude: None,
                    shard: None,
                    now_ms: NOW,
                });
                check_published(got, self.truth.publish(topic, &payload, None), false).map(drop)
            }
            Command::Delete(topic) => {
                self.forget_replays(topic);
                let got = self.topics.delete(topic, own);
                let want = self.truth.delete(topic);
                if got.is_ok() == want { Ok(()) } else { wrong(format!("delete is answered {got:?}")) }
            }
            Command::Make(topic) => {
                let made = self.topics.make(topic, None, NOW).map_err(|e| Violation(e.to_string()))?;
                let (life, existed) = self.truth.make(topic);
                if (made.existed, made.info.offset) != (existed, self.truth.lives[life].head()) {
                    return wrong(format!("make is answered {made:?}"));
                }
                self.truth.learn(life, made.info.epoch.0)
            }
            other => wrong(format!("{other:?} is no command for the outside")),
        }
    }

    /// Replays of a topic that is deleted end where they are.
    fn forget_replays(&mut self, topic: &'static str) {
        for (c, conn) in self.conns.iter_mut().enumerate() {
            if self.truth.hears(c, topic) {
                conn.replaying.retain(|(t, _)| *t != topic);
            }
        }
    }

    fn close(&mut self, c: usize) {
        let conn = &mut self.conns[c];
        let side = &mut self.sides[conn.shard];
        conn.open = false;
        if self.sabotage != Sabotage::ForgetClose {
            side.shard.close(conn.slot, NOW);
        }
        let socket = std::mem::take(&mut side.wire.by_slot[conn.slot as usize]);
        conn.got = socket.got;
        conn.fell_short = socket.fell_short;
        side.wire.by_slot[conn.slot as usize].broken = true;
        if self.sabotage != Sabotage::ForgetClose {
            self.truth.close(c);
        }
    }

    // --- sabotage ---------------------------------------------------------------------------------------------------

    /// Does to the posts of shard 0 what must never happen to them.
    fn tamper(&mut self, s: usize) {
        let inbox = &self.topics.inboxes()[s];
        let side = &mut self.sides[s];
        let late: Vec<_> = side.late.drain(..).collect();
        late.into_iter().for_each(|p| inbox.push(p, true));
        if s != 0 || side.tampered || inbox.is_empty() {
            return;
        }
        let mut posts = VecDeque::new();
        match self.sabotage {
            Sabotage::LosePost => {
                inbox.take(&mut posts);
                posts.pop_front();
            }
            Sabotage::DoublePost => {
                inbox.take(&mut posts);
                if let Some(Post::Batch(batch)) = posts.front() {
                    let again = Post::Batch(batch.clone());
                    posts.push_front(again);
                }
            }
            Sabotage::ReversePosts => {
                inbox.take(&mut posts);
                let alone = posts.len() < 2;
                posts = posts.into_iter().rev().collect();
                side.tampered = !alone;
                posts.drain(..).for_each(|p| inbox.push(p, true));
                return;
            }
            Sabotage::LatePost => {
                inbox.take(&mut posts);
                side.late.extend(posts.pop_front());
            }
            _ => return,
        }
        side.tampered = true;
        posts.into_iter().for_each(|p| inbox.push(p, true));
    }

    // --- the end ----------------------------------------------------------------------------------------------------

    /// Lets everything come to rest, judges every stream, closes everything and looks that nothing is left.
    ///
    /// # Errors
    /// The first thing found.
    pub fn finish(mut self) -> Result<Reached, Violation> {
        let mut reached = Reached::default();
        self.rest()?;
        for c in 0..self.conns.len() {
            reached += self.judge(c)?;
        }
        for c in 0..self.conns.len() {
            if self.conns[c].open {
                self.close(c);
            }
        }
        for topic in self.truth.kept_topics() {
            self.outside(Command::Delete(topic), None)?;
        }
        self.rest()?;
        if self.topics.count() != 0 {
            return wrong(format!("{} topics are left", self.topics.count()));
        }
        for (s, side) in self.sides.iter().enumerate() {
            let left = (side.shard.queued_bytes(), side.shard.local_topics(), side.shard.has_work());
            if left != (0, 0, false) {
                return wrong(format!("shard {s} keeps bytes, topics, work: {left:?}"));
            }
        }
        Ok(reached)
    }

    fn rest(&mut self) -> Result<(), Violation> {
        for _ in 0..REST_STEPS {
            for conn in self.conns.iter().filter(|c| c.open) {
                self.sides[conn.shard].wire.by_slot[conn.slot as usize].room = 1 << 30;
            }
            let steps = self.enabled();
            let Some(step) = steps.into_iter().find(|s| !matches!(s, Step::Read(_))) else { return Ok(()) };
            self.step(step)?;
        }
        wrong("the world does not come to rest")
    }

    fn judge(&mut self, c: usize) -> Result<Reached, Violation> {
        let conn = &mut self.conns[c];
        if conn.open {
            let socket = &self.sides[conn.shard].wire.by_slot[conn.slot as usize];
            conn.got.clone_from(&socket.got);
            conn.fell_short = socket.fell_short;
        }
        let conn = &self.conns[c];
        let program = &self.program.conns[c];
        let since = program.commands.iter().any(|c| matches!(c, Command::Since(..)));
        judge(
            &Stream {
                conn: c,
                variant: program.variant,
                bytes: &conn.got,
                expects: &conn.expects,
                ended: conn.ended,
                cut_off: conn.broken || (!conn.open && conn.ended.is_none()) || self.left_while_ending(c),
                may_lose: conn.fell_short || since,
            },
            &self.truth,
        )
    }

    /// The client went away before what ended its connection had left.
    fn left_while_ending(&self, c: usize) -> bool {
        let conn = &self.conns[c];
        conn.ended.is_some() && !conn.open && !conn.reap
    }
}

struct Hashing(DefaultHasher);

impl std::fmt::Write for Hashing {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

fn check_published(
    got: Result<Published, Refusal>,
    want: Option<(u64, u64)>,
    any_count: bool,
) -> Result<String, Violation> {
    match (got, want) {
        (Ok(p), Some((offset, delivered)))
            if p.meta.offset == offset && (any_count || p.delivered == delivered) =>
        {
            Ok(format!("{offset}|{delivered}"))
        }
        (Err(r), None) if r.code == ErrorCode::TopicNotFound => Ok(r.code.name().to_owned()),
        (got, want) => wrong(format!("publish is answered {got:?}, not {want:?}")),
    }
}
