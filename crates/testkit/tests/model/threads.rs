//! Real threads: what a step of the model does as one act is several here, so others get between a subscribe's entry and
//! its join. The same oracle reads the streams; the logs are put together from the publishers' acks afterwards: within a
//! topic event ids rise, and where the offset is 1 another life begins. Topic `x` is deleted again and again.

use fanfare_brokers::memory::{MemoryBroker, MemoryLimits};
use fanfare_core::hub::{self, Effect, Inbox, QueueLimits, Shard, ShardConfig};
use fanfare_core::model::{
    Epoch, EventMeta, Publish, Reply, Requester, Since, SinceEpoch, Subscribe, TopicRef, Unsubscribe,
};
use fanfare_core::ports::Retention;
use fanfare_core::topics::{Publishing, TopicOptions, Topics, TopicsConfig};
use fanfare_testkit::model::{
    Expect, Life, Logged, Reached, Record, Socket, Sockets, Stream, TextEncoder, Truth, Turn, encoders,
    judge, parse, policy_of,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};

const NOW: u64 = 1_000_000;
const TOPICS: [&str; 3] = ["s", "d", "x"];
const SHARDS: usize = 2;
const CONNS: usize = 4;
const COMMANDS: usize = 300;
const ROUNDS: u64 = 30;

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

type Log = Mutex<Vec<(&'static str, EventMeta, Logged)>>;

struct Client {
    id: usize,
    slot: u32,
    variant: u8,
    roomy: bool,
    expects: Vec<Expect>,
    /// The epoch each subscribe was answered, beside `expects`.
    epochs: Vec<Option<u64>>,
    out: Vec<u8>,
    ended: Option<u16>,
    paused: bool,
    wants_writable: bool,
}

struct Worker<'a> {
    topics: &'a Topics<()>,
    shard: Shard<()>,
    wire: Sockets,
    clients: Vec<Client>,
    dice: Dice,
    log: &'a Log,
    payloads: &'a AtomicU64,
}

impl Worker<'_> {
    fn command(&mut self, at: usize) {
        let topic = TOPICS[self.dice.below(3) as usize];
        let name = TopicRef::parse(topic).unwrap();
        let client = &mut self.clients[at];
        let shard = &mut self.shard;
        let mut epoch = None;
        if topic == "x" && self.dice.below(12) == 0 {
            let _gone_already = self.topics.delete(topic, Some((client.id / CONNS) as u8), NOW);
        }
        let (text, turn) = match self.dice.below(10) {
            0..=2 => {
                let since =
                    (self.dice.below(2) == 0).then(|| self.topics.show(topic).ok()).flatten().map(|info| {
                        let epoch = SinceEpoch(Epoch(info.epoch.0).to_string().into());
                        Since { epoch, offset: info.offset.saturating_sub(self.dice.below(6)) }
                    });
                let offset = since.as_ref().map(|s| s.offset);
                let command = Subscribe { topic: name, client_id: None, since, token: None };
                let Ok(Reply::Subscribed(got)) =
                    shard.subscribe(client.slot, &command, Requester::Backend, NOW, &mut client.out)
                else {
                    panic!("no subscription")
                };
                let after = offset.filter(|_| got.recovered == Some(true)).unwrap_or(got.offset);
                epoch = Some(got.epoch.0);
                // A deletion may come before the replay's end.
                let replaying = topic == "x" && after < got.offset;
                let turn = match got.already {
                    true => Turn::StillHear(topic),
                    false => Turn::Hear { topic, life: 0, after, head: got.offset, replaying },
                };
                (format!("A|subscribe|{topic}|{}", got.offset), turn)
            }
            3 => {
                let command = Unsubscribe { topic: name, client_id: None };
                match shard.unsubscribe(client.slot, &command, NOW, &mut client.out) {
                    Reply::Unsubscribed { already: false, .. } => {
                        ("A|unsubscribe".to_owned(), Turn::Silence(topic, None))
                    }
                    _ => ("A|unsubscribe|already".to_owned(), Turn::StillSilent(topic)),
                }
            }
            kind => {
                let payload = self.payloads.fetch_add(1, Ordering::Relaxed).to_string();
                let exclude_self = kind == 4;
                let command = Publish {
                    topic: name,
                    payload: &payload,
                    client_id: None,
                    idempotency_key: None,
                    exclude_self,
                    token: None,
                };
                let got = shard.publish(client.slot, &command, "me", Requester::Backend, NOW).unwrap();
                let excluded = exclude_self.then_some(client.id);
                self.log.lock().unwrap().push((topic, got.meta, Logged { payload, excluded }));
                (format!("A|publish|{}", got.meta.offset), Turn::Nothing)
            }
        };
        TextEncoder(client.variant).frame(&text, &mut client.out);
        client.expects.push(Expect { text, turn });
        client.epochs.push(epoch);
    }

    fn turn(&mut self, commands: bool) {
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
    }

    fn rest(&mut self) {
        self.turn(false);
        while self.shard.has_work() || self.clients.iter().any(|c| c.wants_writable) {
            self.turn(false);
        }
    }
}

fn topics() -> Topics<()> {
    let inboxes: Vec<Inbox<()>> = (0..SHARDS).map(|_| Inbox::new(|| {})).collect();
    let limits = MemoryLimits { history_bytes: 1 << 24, idempotency_keys: 16 };
    let retention = Retention { size: 50, ttl_ms: 3_600_000, bytes: 1 << 20 };
    let config = TopicsConfig {
        max_topics: 64,
        topics_per_client: 64,
        publish_creates: true,
        options: Box::new(move |name| TopicOptions { backpressure: policy_of(name), retention }),
    };
    Topics::new(inboxes.into(), Arc::new(MemoryBroker::new(limits, 1)), encoders(), config)
}

fn worker<'a>(
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
            out: Vec::new(),
            ended: None,
            paused: false,
            wants_writable: false,
        });
    }
    worker
}

/// The lives of all topics, and which life each payload belongs to.
fn lives_of(log: &Log) -> (Vec<Life>, HashMap<String, usize>) {
    let (mut lives, mut life_of): (Vec<Life>, _) = (Vec::new(), HashMap::new());
    for topic in TOPICS {
        let mut events: Vec<_> = log.lock().unwrap().iter().filter(|(t, ..)| *t == topic).cloned().collect();
        events.sort_by_key(|(_, meta, _)| meta.id);
        for (_, meta, logged) in events {
            if meta.offset == 1 {
                lives.push(Life::default());
            }
            let at = lives.len() - 1;
            life_of.insert(logged.payload.clone(), at);
            lives[at].log.push(logged);
            assert_eq!(meta.offset, lives[at].head(), "offsets of {topic} have a gap");
        }
    }
    (lives, life_of)
}

/// Which life an epoch is, by the events that were heard under it.
fn lives_by_epoch(clients: &[(&Client, &Socket)], life_of: &HashMap<String, usize>) -> HashMap<u64, usize> {
    let mut by_epoch = HashMap::new();
    for (client, socket) in clients {
        let mut answers = client.expects.iter().zip(&client.epochs);
        let mut hearing = HashMap::new();
        for record in parse(client.variant, &socket.got).unwrap().0 {
            match record {
                Record::Reply(_) => {
                    if let Some((Expect { turn: Turn::Hear { topic, .. }, .. }, epoch)) = answers.next() {
                        hearing.insert(*topic, epoch.unwrap());
                    }
                }
                Record::Event { topic, payload, .. } => {
                    let life = life_of[&payload];
                    let epoch = hearing[topic.as_str()];
                    assert_eq!(*by_epoch.entry(epoch).or_insert(life), life, "two lives in epoch {epoch:x}");
                }
                _ => {}
            }
        }
    }
    by_epoch
}

/// Puts the truth together, and names in each expected reply the life it is about.
fn truth_of(topics: &Topics<()>, log: &Log, workers: &mut [Worker<'_>]) -> Truth {
    let mut truth = Truth::new(50);
    let (lives, life_of) = lives_of(log);
    truth.lives = lives;
    let pairs: Vec<_> = workers.iter().flat_map(|w| w.clients.iter().zip(&w.wire.by_slot)).collect();
    let mut by_epoch = lives_by_epoch(&pairs, &life_of);
    for client in workers.iter_mut().flat_map(|w| &mut w.clients) {
        for (expect, epoch) in client.expects.iter_mut().zip(&client.epochs) {
            let (Turn::Hear { topic, life, .. }, Some(epoch)) = (&mut expect.turn, epoch) else { continue };
            *life = *by_epoch.entry(*epoch).or_insert_with(|| {
                truth.lives.push(Life::default()); // nobody heard anything of it
                truth.lives.len() - 1
            });
            truth.lives[*life].deleted = topics.show(topic).map(|t| t.epoch.0) != Ok(*epoch);
        }
    }
    truth
}

fn round(seed: u64) -> Reached {
    let (topics, log, payloads) = (Arc::new(topics()), Log::default(), AtomicU64::new(0));
    let barrier = Barrier::new(SHARDS + 1);
    let mut workers: Vec<Worker<'_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SHARDS)
            .map(|shard| {
                let mut worker = worker(shard, &topics, seed, &log, &payloads);
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    (0..COMMANDS).for_each(|_| worker.turn(true));
                    worker.rest();
                    barrier.wait(); // nothing is posted after this
                    worker.rest();
                    worker
                })
            })
            .collect();
        barrier.wait();
        for at in 0..COMMANDS {
            let topic = TOPICS[at % 3];
            if at % 10 == 5 {
                let _gone_already = topics.delete("x", None, NOW);
            }
            let payload = payloads.fetch_add(1, Ordering::Relaxed).to_string();
            let publishing = Publishing {
                topic,
                payload: &payload,
                client_id: "rest",
                idempotency_key: None,
                publisher: Requester::Backend,
                exclude: None,
                shard: None,
                now_ms: NOW,
                at: std::time::Instant::now(),
            };
            let got = topics.publish(&publishing).unwrap();
            log.lock().unwrap().push((topic, got.meta, Logged { payload, excluded: None }));
        }
        barrier.wait();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let truth = truth_of(&topics, &log, &mut workers);
    let mut reached = Reached::default();
    for worker in &workers {
        assert_eq!(worker.shard.queued_bytes(), 0);
        for client in &worker.clients {
            let socket = &worker.wire.by_slot[client.slot as usize];
            reached += judge(
                &Stream {
                    conn: client.id,
                    variant: client.variant,
                    bytes: &socket.got,
                    expects: &client.expects,
                    ended: client.ended,
                    cut_off: false,
                    may_lose: true,
                },
                &truth,
            )
            .unwrap_or_else(|v| panic!("seed {seed}: {}", v.0.chars().take(500).collect::<String>()));
        }
    }
    reached
}

#[test]
fn streams_are_whole_under_real_threads() {
    let mut reached = Reached::default();
    (1..=ROUNDS).for_each(|seed| reached += round(seed));
    println!("{ROUNDS} rounds: {reached:?}");
    assert!(
        reached.events > 0 && reached.drops > 0 && reached.slow > 0 && reached.deletions > 0,
        "{reached:?}"
    );
}
