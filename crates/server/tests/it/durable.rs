//! Durable topics: what was acknowledged is there after every end (`protocol.md` 3.2, `foundation.md` 2).

use crate::ops::Again;
use crate::support::must_fail;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, eventually};
use fanfare_testkit::{postgres, soak};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Publishes that a publisher has outstanding.
const WINDOW: usize = 16;

/// An acknowledged publish: topic, offset, id, and the payload, which is its idempotency key, too.
#[derive(Clone, Debug)]
pub(crate) struct Acked {
    pub(crate) topic: String,
    pub(crate) offset: u64,
    pub(crate) id: String,
    pub(crate) payload: String,
}

/// Rules that make `d/…` durable, `few/…` durable with the newest 200 events, and all others ephemeral.
pub(crate) fn settings(database: Option<&str>) -> Vec<(String, String)> {
    let open = |pattern: &str, more: Value| {
        let mut rule =
            json!({ "pattern": pattern, "subscribe": "anyone", "publish": "anyone", "history": "anyone" });
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    };
    let durable = json!({ "durable": true });
    let few = json!({ "durable": true, "history_size": 200 });
    let rules = json!([open("d/*", durable), open("few/*", few), open("*", json!({}))]);
    let mut settings = vec![
        ("topics.rules".to_owned(), rules.to_string()),
        ("limits.messages_per_second".to_owned(), "0".to_owned()),
        ("topics.publish_creates".to_owned(), "true".to_owned()),
    ];
    settings.extend(database.map(|url| ("store.url".to_owned(), url.to_owned())));
    settings
}

pub(crate) fn start(folder: &Path, settings: &[(String, String)]) -> Again {
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    Again::start(folder, &settings)
}

/// Ends the publishers when the test ends, also by a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Publishes to topics in turn, `WINDOW` at a time, until the connection ends or `done` says so. Acknowledged publishes go to `acked`,
/// refusals to `refused`.
pub(crate) fn publisher(
    mut client: Client,
    (name, topics): (&str, &[String]),
    done: &AtomicBool,
    acked: &Mutex<Vec<Acked>>,
    refused: &Mutex<Vec<Value>>,
) {
    let mut n = 0;
    while !done.load(Ordering::SeqCst) {
        let sent: Vec<(String, String)> = (0..WINDOW)
            .map(|at| (topics[(n + at) % topics.len()].clone(), format!("{name}-{}", n + at)))
            .collect();
        n += WINDOW;
        let publish = |(topic, payload): &(String, String)| {
            client.try_say(
                &json!({ "type": "publish", "topic": topic, "payload": payload, "idempotency_key": payload }),
            )
        };
        if !sent.iter().all(publish) {
            return;
        }
        for (topic, payload) in sent {
            let Ok(reply) = client.try_hear() else { return };
            if reply["type"] == "ack" {
                let (offset, id) =
                    (reply["offset"].as_u64().unwrap(), reply["id"].as_str().unwrap().to_owned());
                acked.lock().unwrap().push(Acked { topic, offset, id, payload });
            } else {
                refused.lock().unwrap().push(reply);
            }
        }
    }
}

/// All events of a topic's history, oldest first.
pub(crate) fn history(addr: SocketAddr, topic: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let target = format!("/topics/{}/history?limit=100&after={after}", topic.replace('/', "%2F"));
        let page = Request::get(&target).send(addr);
        assert_eq!(page.status, 200, "{topic}: {page:?}");
        let page = page.json();
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => return all,
        }
    }
}

/// The faults of a topic's history, given what was acknowledged.
pub(crate) fn faults(topic: &str, rows: &[Value], acked: &[Acked]) -> Vec<String> {
    let mut faults = Vec::new();
    for pair in rows.windows(2) {
        if pair[1]["offset"].as_u64() != pair[0]["offset"].as_u64().map(|offset| offset + 1) {
            faults.push(format!("{topic}: offset {} behind {}", pair[1]["offset"], pair[0]["offset"]));
        }
    }
    let payloads: BTreeSet<_> = rows.iter().map(|row| row["payload"].as_str().unwrap()).collect();
    if payloads.len() != rows.len() {
        faults.push(format!("{topic}: {} events, {} of them different", rows.len(), payloads.len()));
    }
    let by_offset: BTreeMap<_, _> = rows.iter().map(|row| (row["offset"].as_u64().unwrap(), row)).collect();
    for ack in acked.iter().filter(|ack| ack.topic == topic) {
        let is_there = by_offset.get(&ack.offset).is_some_and(|row| {
            row["id"].as_str() == Some(&ack.id) && row["payload"].as_str() == Some(&ack.payload)
        });
        if !is_there {
            faults.push(format!("{ack:?} is not there"));
        }
    }
    faults
}

fn subscribe(client: &mut Client, topic: &str, more: Value) -> Value {
    let mut command = json!({ "type": "subscribe", "topic": topic });
    command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let ack = client.call(command);
    assert_eq!(ack["type"], "ack", "{ack}");
    ack
}

/// Checks topics on a server that was started again: histories, epochs, a replay from the middle, and idempotency keys.
fn all_there(addr: SocketAddr, acked: &[Acked], epochs: &mut BTreeMap<String, String>) {
    let topics: BTreeSet<_> = acked.iter().map(|ack| ack.topic.as_str()).collect();
    for topic in topics {
        let rows = history(addr, topic);
        assert_eq!(faults(topic, &rows, acked), [""; 0]);
        let mut client = Client::connect(addr);
        let head = rows.len() as u64;
        let since = |epoch: &str| json!({ "since": { "epoch": epoch, "offset": head / 2 } });
        let first = subscribe(&mut client, topic, json!({}))["epoch"].as_str().unwrap().to_owned();
        let epoch = epochs.entry(topic.to_owned()).or_insert(first.clone());
        assert_eq!(*epoch, first, "{topic}");
        client.call(json!({ "type": "unsubscribe", "topic": topic }));
        let ack = subscribe(&mut client, topic, since(epoch));
        assert_eq!((&ack["recovered"], &ack["offset"]), (&json!(true), &json!(head)), "{ack}");
        for row in &rows[head as usize / 2..] {
            let event = client.hear_type("event");
            assert_eq!((&event["offset"], &event["payload"]), (&row["offset"], &row["payload"]));
        }
        let ack = acked.iter().rfind(|ack| ack.topic == topic).unwrap();
        let payload = &ack.payload;
        let again =
            json!({ "type": "publish", "topic": topic, "payload": "again", "idempotency_key": payload });
        assert_eq!(client.call(again)["offset"], ack.offset, "{ack:?}");
    }
}

/// The number of acknowledged publishes.
fn count(acked: &Mutex<Vec<Acked>>) -> usize {
    acked.lock().unwrap().len()
}

/// A number below `upto` that the seed decides, so that a failed round can be repeated.
fn drawn(seed: u64, upto: u64) -> u64 {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 33) % upto
}

/// Publishes from several connections until the server is killed after a number of acknowledgements that the seed decides.
fn until_killed(server: Again, (kind, seed): (&str, u64), acked: &Mutex<Vec<Acked>>) {
    let (done, refused, addr) = (AtomicBool::new(false), Mutex::default(), server.addr);
    let publishers = 2 + seed % 4;
    let goal = count(acked) + 60 + drawn(seed, 300) as usize;
    let topics: Vec<String> = (0..1 + seed % 3).map(|n| format!("{kind}/{n}")).collect();
    std::thread::scope(|scope| {
        let _ends = Ends(&done);
        for n in 0..publishers {
            let (done, refused, topics) = (&done, &refused, &topics);
            let name = format!("{seed}-{n}");
            let client = Client::connect(addr);
            scope.spawn(move || publisher(client, (&name, topics), done, acked, refused));
        }
        eventually("many are acknowledged", PATIENCE, || (count(acked) >= goal).then_some(()));
        server.kill();
        done.store(true, Ordering::SeqCst);
    });
    assert!(refused.into_inner().unwrap().is_empty());
}

fn survives_kills(database: Option<&str>) {
    let place = tempfile::tempdir().unwrap();
    let (folder, settings) = (place.path().join("data"), settings(database));
    let (acked, mut epochs) = (Mutex::default(), BTreeMap::new());
    for seed in 0..soak::pick(10, 100) {
        until_killed(start(&folder, &settings), ("d", seed), &acked);
        let server = start(&folder, &settings);
        all_there(server.addr, &acked.lock().unwrap(), &mut epochs);
        server.kill();
    }
    // The twins: an event that nobody published, and topics in memory.
    let server = start(&folder, &settings);
    let mut forged = acked.lock().unwrap().clone();
    forged[0].payload.push('x');
    must_fail("another payload", AssertUnwindSafe(|| all_there(server.addr, &forged, &mut epochs)));
    forged[0] = Acked { offset: u64::MAX >> 12, ..acked.lock().unwrap()[0].clone() };
    must_fail("an event that is gone", AssertUnwindSafe(|| all_there(server.addr, &forged, &mut epochs)));
    let lost = Mutex::default();
    until_killed(server, ("e", 1), &lost);
    let server = start(&folder, &settings);
    let lost = lost.into_inner().unwrap();
    must_fail("topics in memory", AssertUnwindSafe(|| all_there(server.addr, &lost, &mut BTreeMap::new())));
}

#[test]
fn every_acknowledged_event_survives_kills() {
    survives_kills(None);
}

#[test]
fn every_acknowledged_event_survives_kills_on_postgres() {
    if let Some(url) = postgres::database() {
        survives_kills(Some(&url));
    }
}

/// A subscriber's stream as it must be: dense from `after`, less what it published itself without wanting it.
fn dense(events: &[Value], after: u64, own: &BTreeSet<u64>) -> u64 {
    events.iter().fold(after, |last, event| {
        let offset = event["offset"].as_u64().unwrap();
        let next = (last + 1..).find(|offset| !own.contains(offset)).unwrap();
        assert_eq!(offset, next, "behind {last}");
        offset
    })
}

#[test]
fn subscribers_that_come_and_go_miss_nothing_between_publishers_on_all_shards() {
    let place = tempfile::tempdir().unwrap();
    let server = start(&place.path().join("data"), &settings(None));
    let (addr, topic) = (server.addr, "d/busy".to_owned());
    let (done, acked, refused) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
    let leaving = AtomicBool::new(false);
    let (rounds, own_rounds) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _ends = Ends(&done);
        for n in 0..3 {
            let (done, acked, refused, topic) = (&done, &acked, &refused, &topic);
            let client = Client::connect(addr);
            scope.spawn(move || {
                publisher(client, (&format!("p{n}"), std::slice::from_ref(topic)), done, acked, refused);
            });
        }
        // Publishers continue until the last subscriber has left.
        std::thread::scope(|scope| {
            let _leave = Ends(&leaving);
            scope.spawn(|| {
            let mut client = Client::connect(addr);
            let ack = subscribe(&mut client, &topic, json!({}));
            let (mut own, mut events) = (BTreeSet::new(), Vec::new());
            while !leaving.load(Ordering::SeqCst) {
                let publish =
                    json!({ "type": "publish", "topic": topic, "payload": own.len(), "exclude_self": true });
                own.insert(client.call(publish)["offset"].as_u64().unwrap());
                events.push(client.hear_type("event"));
                own_rounds.fetch_add(1, Ordering::SeqCst);
            }
            dense(&events, ack["offset"].as_u64().unwrap(), &own);
        });
            for n in 0..3 {
                let (leaving, rounds, topic) = (&leaving, &rounds, &topic);
                scope.spawn(move || {
                    let mut position: Option<(String, u64)> = None;
                    while !leaving.load(Ordering::SeqCst) {
                        let mut client = Client::connect(addr);
                        let (more, after) = match (&position, n) {
                            (Some((epoch, offset)), 0) => {
                                (json!({ "since": { "epoch": epoch, "offset": offset } }), Some(*offset))
                            }
                            (_, 1) => (json!({ "history": 20 }), None),
                            _ => (json!({}), None),
                        };
                        let ack = subscribe(&mut client, topic, more);
                        let head = ack["offset"].as_u64().unwrap();
                        let replayed = ack["history"].as_u64().unwrap_or_default();
                        assert!(after.is_none() || ack["recovered"] == true, "{ack}");
                        let events: Vec<_> = (0..50).map(|_| client.hear_type("event")).collect();
                        let last = dense(&events, after.unwrap_or(head - replayed), &BTreeSet::new());
                        position = Some((ack["epoch"].as_str().unwrap().to_owned(), last));
                        rounds.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            let enough = soak::pick(60, 2000);
            eventually("they came and went", PATIENCE * 10, || {
                (rounds.load(Ordering::SeqCst) >= enough && own_rounds.load(Ordering::SeqCst) >= 20)
                    .then_some(())
            });
        });
    });
    assert!(refused.into_inner().unwrap().is_empty());
    let rows = history(addr, &topic);
    let acked = acked.into_inner().unwrap();
    let strangers = |row: &&Value| row["payload"].is_string();
    assert!(rows.windows(2).all(|pair| pair[1]["offset"].as_u64() > pair[0]["offset"].as_u64()));
    let by_offset: BTreeMap<_, _> =
        rows.iter().filter(strangers).map(|row| (row["offset"].as_u64().unwrap(), &row["payload"])).collect();
    assert!(
        acked.iter().all(|ack| by_offset[&ack.offset] == &json!(ack.payload)),
        "the acks and the history agree"
    );
    // The twins: a hole and a doubled event are found.
    let events: Vec<Value> = (1..5).map(|offset| json!({ "offset": offset })).collect();
    must_fail("a hole", || dense(&[&events[..1], &events[2..]].concat(), 0, &BTreeSet::new()));
    must_fail("a repeat", || dense(&[&events[..2], &events[1..]].concat(), 0, &BTreeSet::new()));
}

#[test]
fn clients_that_replay_while_the_oldest_events_are_removed_see_no_silent_hole() {
    let place = tempfile::tempdir().unwrap();
    let server = start(&place.path().join("data"), &settings(None));
    let (addr, topic) = (server.addr, "few/busy".to_owned());
    let (done, acked, refused) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
    let leaving = AtomicBool::new(false);
    let (recovered, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _ends = Ends(&done);
        for n in 0..2 {
            let (done, acked, refused, topic) = (&done, &acked, &refused, &topic);
            let client = Client::connect(addr);
            scope.spawn(move || {
                publisher(client, (&format!("p{n}"), std::slice::from_ref(topic)), done, acked, refused);
            });
        }
        // Publishers continue until the last subscriber has left.
        std::thread::scope(|scope| {
            let _leave = Ends(&leaving);
            for n in 0..3_u64 {
                let (leaving, topic, recovered, gone) = (&leaving, &topic, &recovered, &gone);
                scope.spawn(move || {
                    while !leaving.load(Ordering::SeqCst) {
                        let mut client = Client::connect(addr);
                        let ack = subscribe(&mut client, topic, json!({}));
                        let epoch = ack["epoch"].clone();
                        // One in three asks for more than is kept.
                        let offset =
                            ack["offset"].as_u64().unwrap().saturating_sub([100, 190, 1000][n as usize]);
                        let mut client = Client::connect(addr);
                        let since = json!({ "since": { "epoch": epoch, "offset": offset } });
                        let ack = subscribe(&mut client, topic, since);
                        let is_whole = ack["recovered"] == true;
                        let mut last = if is_whole { offset } else { ack["offset"].as_u64().unwrap() };
                        for _ in 0..120 {
                            std::thread::sleep(std::time::Duration::from_micros(300)); // a slow reader
                            match client.try_hear() {
                                Ok(event) if event["type"] == "event" => {
                                    assert_eq!(event["offset"].as_u64(), Some(last + 1), "{ack}");
                                    last += 1;
                                }
                                // Too slow for what is kept: it was told so.
                                Ok(error) => assert_eq!(error["code"], "SLOW_CONSUMER"),
                                Err(code) => {
                                    assert_eq!(code, Some(1013));
                                    break;
                                }
                            }
                        }
                        if is_whole { recovered } else { gone }.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            let enough = soak::pick(10, 300);
            eventually("they replayed", PATIENCE * 10, || {
                let (recovered, gone) = (recovered.load(Ordering::SeqCst), gone.load(Ordering::SeqCst));
                (recovered >= enough && gone >= enough).then_some(())
            });
        });
    });
    let rows = history(addr, &topic);
    assert_eq!(rows.len(), 200);
    let newest: Vec<_> = acked.into_inner().unwrap();
    let first = rows[0]["offset"].as_u64().unwrap();
    let kept: Vec<_> = newest.into_iter().filter(|ack| ack.offset >= first).collect();
    assert_eq!(faults(&topic, &rows, &kept), [""; 0]);
}

#[test]
fn a_topic_without_events_goes_with_its_last_subscriber_and_leaves_no_log() {
    let place = tempfile::tempdir().unwrap();
    let (folder, settings) = (place.path().join("data"), settings(None));
    let server = start(&folder, &settings);
    let metric = |addr: SocketAddr| {
        let text = Request::get("/metrics").send(addr).text();
        text.lines().find_map(|line| line.strip_prefix("fanfare_durable_topics ")).unwrap().to_owned()
    };
    let mut client = Client::connect(server.addr);
    let epochs: BTreeSet<String> = (0..20)
        .map(|_| {
            let epoch = subscribe(&mut client, "d/unused", json!({}))["epoch"].as_str().unwrap().to_owned();
            client.call(json!({ "type": "unsubscribe", "topic": "d/unused" }));
            epoch
        })
        .collect();
    assert!(epochs.len() > 1, "another log each time, or the one that was not dropped yet");
    eventually("the log is gone", PATIENCE, || (metric(server.addr) == "0").then_some(()));
    assert_eq!(Request::get("/topics/d%2Funused").send(server.addr).status, 404);
    // 300 at once, each with an event, and a restart.
    for n in 0..300 {
        client.say(&json!({ "type": "publish", "topic": format!("d/{n}"), "payload": n }));
    }
    for _ in 0..300 {
        assert_eq!(client.hear_type("ack")["offset"], 1);
    }
    server.stop();
    let server = start(&folder, &settings);
    assert_eq!(metric(server.addr), "300");
    let mut client = Client::connect(server.addr);
    for n in [0, 150, 299] {
        assert_eq!(subscribe(&mut client, &format!("d/{n}"), json!({}))["offset"], 1);
    }
}

#[test]
fn a_topic_deleted_under_load_ends_its_epoch() {
    let place = tempfile::tempdir().unwrap();
    let server = start(&place.path().join("data"), &settings(None));
    let addr = server.addr;
    let key = {
        let made = crate::ops::command(
            &place.path().join("data"),
            &["admin", "create-api-key", "app", "--scope", "topics"],
        );
        crate::ops::succeeded(&made).trim().to_owned()
    };
    let (done, acked, refused) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
    let mut deleted = 0;
    std::thread::scope(|scope| {
        let _ends = Ends(&done);
        for n in 0..2 {
            let (done, acked, refused) = (&done, &acked, &refused);
            let topics = ["d/deleted".to_owned()];
            let client = Client::connect(addr);
            scope.spawn(move || publisher(client, (&format!("p{n}"), &topics), done, acked, refused));
        }
        let mut client = Client::connect(addr);
        let mut ack = subscribe(&mut client, "d/deleted", json!({}));
        for _ in 0..5 {
            let events: Vec<_> = (0..30).map(|_| client.hear_type("event")).collect();
            dense(&events, ack["offset"].as_u64().unwrap(), &BTreeSet::new());
            let delete = crate::people::bare("DELETE", "/topics/d%2Fdeleted").header("X-API-Key", &key);
            assert_eq!(delete.send(addr).status, 204);
            deleted += 1;
            assert_eq!(client.hear_type("info")["code"], "TOPIC_DELETED");
            let next = subscribe(&mut client, "d/deleted", json!({}));
            assert_ne!(next["epoch"], ack["epoch"], "another log");
            ack = next;
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(deleted, 5);
    for refusal in refused.into_inner().unwrap() {
        assert_eq!(refusal["code"], "TOPIC_NOT_FOUND", "{refusal}");
    }
    let rows = history(addr, "d/deleted");
    assert_eq!(rows.first().map(|row| row["offset"].as_u64()), Some(Some(1)));
    assert!(
        rows.windows(2).all(|pair| pair[1]["offset"].as_u64() == pair[0]["offset"].as_u64().map(|o| o + 1))
    );
}

#[test]
fn a_database_that_is_killed_under_load_loses_nothing_and_keeps_its_subscribers() {
    let Some(mut database) = postgres::own() else { return };
    let place = tempfile::tempdir().unwrap();
    let server = start(&place.path().join("data"), &settings(Some(database.url())));
    let (addr, topic) = (server.addr, "d/away".to_owned());
    let (done, acked, refused) = (AtomicBool::new(false), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let mut listener = Client::connect(addr);
    let first = subscribe(&mut listener, &topic, json!({}))["offset"].as_u64().unwrap();
    std::thread::scope(|scope| {
        let _ends = Ends(&done);
        for n in 0..3 {
            let (done, acked, refused, topic) = (&done, &acked, &refused, &topic);
            let client = Client::connect(addr);
            scope.spawn(move || {
                publisher(client, (&format!("p{n}"), std::slice::from_ref(topic)), done, acked, refused);
            });
        }
        let mut other = Client::connect(addr);
        subscribe(&mut other, "memory", json!({}));
        for _ in 0..soak::pick(2, 10) {
            let more = |from: usize| {
                eventually("publishes are acknowledged", PATIENCE * 2, || {
                    (count(&acked) > from + 200).then_some(())
                });
            };
            more(count(&acked));
            database.kill();
            let before = refused.lock().unwrap().len();
            eventually("publishes are refused", PATIENCE, || {
                (refused.lock().unwrap().len() > before).then_some(())
            });
            assert_eq!(other.publish("memory", json!(1))["delivered"], 1, "topics in memory continue");
            database.start();
            more(count(&acked));
        }
        done.store(true, Ordering::SeqCst);
    });
    for refusal in refused.into_inner().unwrap() {
        assert_eq!(refusal["code"], "UNAVAILABLE", "{refusal}");
        assert!(refusal["retry_after_ms"].as_u64() > Some(0), "{refusal}");
    }
    let acked = acked.into_inner().unwrap();
    let rows = history(addr, &topic);
    assert_eq!(faults(&topic, &rows, &acked), [""; 0]);
    let heard: Vec<Value> = rows.iter().skip(first as usize).map(|_| listener.hear_type("event")).collect();
    let shown = |row: &Value| (row["offset"].clone(), row["id"].clone());
    assert!(heard.iter().map(shown).eq(rows[first as usize..].iter().map(shown)), "the listener got the log");
    let mut lost = acked;
    lost.push(Acked { offset: rows.len() as u64 + 1, ..lost[0].clone() });
    must_fail("an event that is gone", || assert_eq!(faults(&topic, &rows, &lost), [""; 0]));
}
