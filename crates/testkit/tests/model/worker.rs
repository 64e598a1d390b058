//! A thread of the test with real threads: a shard, its clients, and what they do at random.

use fanfare_core::hub::{self, Effect, QueueLimits, Shard, ShardConfig};
use fanfare_core::model::{EventMeta, Publish, Reply, Requester, Subscribe, TopicRef, Unsubscribe};
use fanfare_core::topics::Topics;
use fanfare_testkit::model::{Asked, Expect, Logged, Socket, Sockets, TextEncoder, Turn};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) const NOW: u64 = 1_000_000;
pub(crate) const TOPICS: [&str; 3] = ["s", "d", "x"];
/// Connections of a worker.
const CONNS: usize = 4;

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

pub(crate) type Log = Mutex<Vec<(&'static str, EventMeta, Logged)>>;

pub(crate) struct Client {
    pub(crate) id: usize,
    pub(crate) slot: u32,
    pub(crate) variant: u8,
    roomy: bool,
    pub(crate) expects: Vec<Expect>,
    /// The epoch each subscribe was answered, beside `expects`.
    pub(crate) epochs: Vec<Option<u64>>,
    /// Subscriptions whose replay may not have ended: topic, epoch, place in `expects`.
    replaying: Vec<(&'static str, u64, usize)>,
    out: Vec<u8>,
    pub(crate) ended: Option<u16>,
    paused: bool,
    wants_writable: bool,
}

pub(crate) struct Worker<'a> {
    topics: &'a Topics<()>,
    pub(crate) shard: Shard<()>,
    pub(crate) wire: Sockets,
    pub(crate) clients: Vec<Client>,
    dice: Dice,
    log: &'a Log,
    payloads: &'a AtomicU64,
}

/// Epoch and head of a topic that is live.
fn position(topics: &Topics<()>, topic: &str) -> Option<(u64, u64)> {
    topics.show(topic).ok().map(|info| (info.epoch.0, info.offset))
}

impl Worker<'_> {
    fn command(&mut self, at: usize) {
        let topic = TOPICS[self.dice.below(3) as usize];
        if topic == "x" && self.dice.below(12) == 0 {
            let by = (self.clients[at].id / CONNS) as u8;
            let _gone_already = self.topics.delete(topic, Some(by), NOW);
        }
        let mut epoch = None;
        let (text, turn) = match self.dice.below(10) {
            0..=2 => self.subscribe(at, topic, &mut epoch),
            3 => self.unsubscribe(at, topic),
            kind => self.publish(at, topic, kind == 4),
        };
        let client = &mut self.clients[at];
        TextEncoder(client.variant).frame(&text, &mut client.out);
        client.expects.push(Expect { text, turn });
        client.epochs.push(epoch);
    }

    fn subscribe(&mut self, at: usize, topic: &'static str, epoch: &mut Option<u64>) -> (String, Turn) {
        let client = &mut self.clients[at];
        let asked = match (self.dice.below(4), position(self.topics, topic)) {
            (0 | 1, Some((epoch, head))) => Asked::Since(epoch, head.saturating_sub(self.dice.below(6))),
            (2, _) => Asked::Last(1 + self.dice.below(6) as u32),
            _ => Asked::Nothing,
        };
        let name = TopicRef::parse(topic).unwrap();
        let command = Subscribe { topic: name, client_id: None, start: asked.start(), token: None };
        let Ok(hub::Answer::Now(Reply::Subscribed(got))) =
            self.shard.subscribe(client.slot, &command, Requester::Backend, NOW, &mut client.out)
        else {
            panic!("no subscription")
        };
        *epoch = Some(got.epoch.0);
        let after = asked.after(&got);
        let replaying = after < got.offset;
        let turn = match got.already {
            true => Turn::StillHear(topic),
            false => Turn::Hear { topic, life: 0, after, head: got.offset, replaying },
        };
        if !got.already {
            client.replaying.retain(|(t, ..)| *t != topic); // of a life that was deleted
        }
        if replaying {
            client.replaying.push((topic, got.epoch.0, client.expects.len()));
        }
        (format!("A|subscribe|{topic}|{}", got.offset), turn)
    }

    fn unsubscribe(&mut self, at: usize, topic: &'static str) -> (String, Turn) {
        let client = &mut self.clients[at];
        let command = Unsubscribe { topic: TopicRef::parse(topic).unwrap(), client_id: None };
        let before = position(self.topics, topic);
        let reply = self.shard.unsubscribe(client.slot, &command, NOW, &mut client.out);
        let after = position(self.topics, topic);
        client.replaying.retain(|(t, ..)| *t != topic);
        let Reply::Unsubscribed { already: false, .. } = reply else {
            return ("A|unsubscribe|already".to_owned(), Turn::StillSilent(topic));
        };
        // Others publish and delete meanwhile: the head is known as closely as the looks before and after agree, and not
        // at all where they see different lives.
        let head = match (before, after) {
            (Some((life, from)), Some((same, to))) if life == same => from..=to,
            _ => 0..=u64::MAX,
        };
        ("A|unsubscribe".to_owned(), Turn::Silence(topic, head))
    }

    fn publish(&mut self, at: usize, topic: &'static str, exclude_self: bool) -> (String, Turn) {
        let client = &self.clients[at];
        let payload = self.payloads.fetch_add(1, Ordering::Relaxed).to_string();
        let command = Publish {
            topic: TopicRef::parse(topic).unwrap(),
            payload: &payload,
            client_id: None,
            idempotency_key: None,
            exclude_self,
            token: None,
        };
        let got = self.shard.publish(client.slot, &command, "me", Requester::Backend, NOW).unwrap();
        let excluded = exclude_self.then_some(client.id);
        self.log.lock().unwrap().push((topic, got.meta, Logged { payload, excluded }));
        (format!("A|publish|{}", got.meta.offset), Turn::Nothing)
    }

    pub(crate) fn turn(&mut self, commands: bool) {
        for at in 0..self.clients.len() {
            let client = &self.clients[at];
            if commands && client.ended.is_none() && !client.paused {
                for _ in 0..self.dice.below(4) {
                    self.command(at);
                }
                let client = &mut self.clients[at];
                let out = std::mem::take(&mut client.out);
                self.shard.reply(client.slot, &out, 1, &mut self.wire);
            }
            let client = &self.clients[at];
            let room = if client.roomy || !commands { 1 << 30 } else { self.dice.below(200) as usize };
            let socket = &mut self.wire.by_slot[client.slot as usize];
            socket.room = socket.room.max(room);
            if client.wants_writable {
                self.shard.writable(client.slot, &mut self.wire, NOW);
            }
        }
        self.shard.end_turn();
        let budget = 1 + self.dice.below(4) as usize;
        self.shard.run(&mut self.wire, budget, NOW);
        for effect in self.shard.effects() {
            match effect {
                Effect::Writable(slot, on) => self.clients[slot as usize].wants_writable = on,
                Effect::Paused(slot, on) => self.clients[slot as usize].paused = on,
                Effect::Ending(slot, code) => self.clients[slot as usize].ended = Some(code),
                Effect::Drained(_) => {}
                Effect::Broken(slot) => panic!("slot {slot} is not broken"),
            }
        }
        self.note_ended_replays();
    }

    /// Where nothing waits and nothing is pulled, replays have ended; one whose topic was deleted since may have been cut.
    fn note_ended_replays(&mut self) {
        if self.shard.is_flushing() {
            return;
        }
        for client in &mut self.clients {
            if client.wants_writable || self.shard.queued(client.slot) != (0, 0) {
                continue;
            }
            for (topic, epoch, at) in client.replaying.drain(..) {
                let lives = position(self.topics, topic).is_some_and(|(life, _)| life == epoch);
                if let Turn::Hear { replaying, .. } = &mut client.expects[at].turn {
                    *replaying = !lives;
                }
            }
        }
    }

    pub(crate) fn rest(&mut self) {
        self.turn(false);
        while self.shard.has_work() || self.clients.iter().any(|c| c.wants_writable) {
            self.turn(false);
        }
    }
}

/// The worker of a shard, its clients connected.
pub(crate) fn worker<'a>(
    shard: usize,
    topics: &'a Arc<Topics<()>>,
    seed: u64,
    log: &'a Log,
    payloads: &'a AtomicU64,
) -> Worker<'a> {
    let queue = QueueLimits { messages: 30, bytes: 1 << 16 };
    let config = ShardConfig { id: shard as u8, queue, max_subscriptions: 8 };
    let dice = Dice(seed * 7919 + shard as u64 + 1);
    let mut worker = Worker {
        topics,
        shard: Shard::new(config, topics.clone(), hub::Turn { at: std::time::Instant::now(), ms: NOW }),
        wire: Sockets::default(),
        clients: Vec::new(),
        dice,
        log,
        payloads,
    };
    for at in 0..CONNS {
        let slot = worker.shard.open(at as u8).slot();
        worker.wire.put(slot, Socket::default());
        worker.clients.push(Client {
            id: shard * CONNS + at,
            slot,
            variant: at as u8,
            roomy: at % 2 == 0,
            expects: Vec::new(),
            epochs: Vec::new(),
            replaying: Vec::new(),
            out: Vec::new(),
            ended: None,
            paused: false,
            wants_writable: false,
        });
    }
    worker
}
