//! Real threads: what a step of the model does as one act is several here, so others get between a subscribe's entry and
//! its join. The same oracle reads the streams; the logs are put together from the publishers' acks afterwards: within a
//! topic event ids rise, and where the offset is 1 another life begins. Topic `x` is deleted again and again.

use super::worker::{Client, Log, NOW, TOPICS, Worker, worker};
use fanfare_brokers::memory::{MemoryBroker, MemoryLimits};
use fanfare_core::hub::Inbox;
use fanfare_core::model::Requester;
use fanfare_core::ports::Retention;
use fanfare_core::topics::{Publishing, TopicOptions, Topics, TopicsConfig};
use fanfare_testkit::model::{
    Expect, Life, Logged, Reached, Record, Sabotage, Socket, Stream, Truth, Turn, encoders_with, judge,
    parse, policy_of,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

const SHARDS: usize = 2;
const COMMANDS: usize = 300;
const ROUNDS: u64 = 30;

fn topics(sabotage: Sabotage) -> Topics<()> {
    let inboxes: Vec<Inbox<()>> = (0..SHARDS).map(|_| Inbox::new(|| {})).collect();
    let limits = MemoryLimits { history_bytes: 1 << 24, idempotency_keys: 16 };
    let retention = Retention { size: 50, ttl_ms: 3_600_000, bytes: 1 << 20 };
    let config = TopicsConfig {
        max_topics: 64,
        topics_per_client: 64,
        publish_creates: true,
        options: Box::new(move |name| TopicOptions {
            backpressure: policy_of(name),
            retention,
            durable: None,
        }),
    };
    Topics::new(inboxes.into(), Arc::new(MemoryBroker::new(limits, 1)), encoders_with(sabotage), config)
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

fn round(seed: u64, sabotage: Sabotage) -> Reached {
    let (topics, log, payloads) = (Arc::new(topics(sabotage)), Log::default(), AtomicU64::new(0));
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
    (1..=ROUNDS).for_each(|seed| reached += round(seed, Sabotage::None));
    println!("{ROUNDS} rounds: {reached:?}");
    assert!(
        reached.events > 0 && reached.drops > 0 && reached.slow > 0 && reached.deletions > 0,
        "{reached:?}"
    );
}

#[test]
fn twin_a_drop_counted_twice_is_seen_under_real_threads() {
    let seen = (1..=ROUNDS).find_map(|seed| {
        let panic = std::panic::catch_unwind(|| round(seed, Sabotage::OverstateDrops)).err()?;
        panic.downcast::<String>().ok()
    });
    assert!(seen.as_ref().is_some_and(|text| text.contains("drops too many")), "{seen:?}");
}
