use super::*;
use fanfare_core::hub::Backpressure;
use fanfare_core::model::EventView;
use fanfare_core::model::{Client, Requester, UserRef};
use fanfare_core::ports::{Appended, NewEvent, Retention};
use fanfare_core::topics::{Kept, Lost};

const KEEP: Retention = Retention { size: 10, ttl_ms: 1000, bytes: 1 << 20 };
const LIMITS: MemoryLimits = MemoryLimits { history_bytes: 1 << 20, idempotency_keys: 3 };

const BACKEND: Claim = Claim { client: None, own_live: 0, own_max: usize::MAX, live: 1, max: usize::MAX };

/// Options of a topic that keeps so much.
fn keeping(retention: Retention) -> TopicOptions {
    TopicOptions { backpressure: Backpressure::Disconnect, retention, durable: None }
}

fn open(broker: &MemoryBroker, topic: &str, retention: Retention, now_ms: u64) -> Log {
    log_of(broker.open(topic, &keeping(retention), &BACKEND, now_ms)).unwrap()
}

fn event<'a>(payload: &'a str, key: Option<&'a str>, now_ms: u64) -> NewEvent<'a> {
    NewEvent {
        payload,
        client_id: "c",
        idempotency_key: key,
        publisher: Requester::Backend,
        delivered: 7,
        now_ms,
    }
}

/// The log of an opened topic, which the memory broker always orders.
fn log_of(opened: Option<Opened>) -> Option<Log> {
    match opened? {
        Opened::Here(log) => Some(log),
        Opened::Elsewhere { .. } => panic!("ordered elsewhere"),
    }
}

/// Appends an event to a log, as a topic does.
fn append(log: &mut Log, event: &NewEvent<'_>) -> Appended {
    let appended = log.sequencer.append(event);
    if let Appended::New(meta) = appended {
        let view =
            EventView { topic: "t", meta, payload: event.payload, client_id: event.client_id, user: None };
        log.tail.push_event(&view, event.now_ms);
    }
    appended
}

fn offsets(log: &Log, after: u64, now: u64) -> Result<Vec<u64>, Lost> {
    let mut seen = Vec::new();
    log.tail.range(after, now, |_, kept| {
        if let Kept::Event { meta, .. } = kept {
            seen.push(meta.offset);
        }
        true
    })?;
    Ok(seen)
}

/// The offset of the oldest event in the log.
fn oldest(log: &Log, now_ms: u64) -> u64 {
    log.tail.floor(now_ms).offset + 1
}

#[test]
fn a_parked_log_continues_until_it_expires() {
    let broker = MemoryBroker::new(LIMITS, 1);
    let mut log = open(&broker, "t", KEEP, 0);
    append(&mut log, &event("1", None, 0));
    let epoch = log.chain.epoch();
    broker.park("t", log, 100);
    let log = open(&broker, "t", KEEP, 1099);
    assert_eq!((log.chain.epoch(), log.tail.head().offset), (epoch, 1));
    broker.park("t", log, 1099);
    assert_ne!(open(&broker, "t", KEEP, 2099).chain.epoch(), epoch);
    assert_eq!(broker.history_bytes(), 0, "an unreachable log is not kept");
}

#[test]
fn history_is_bounded_in_events_bytes_and_time() {
    let broker = MemoryBroker::new(LIMITS, 1);
    let mut log = open(&broker, "t", KEEP, 0);
    for n in 0..15 {
        append(&mut log, &event("x", None, n));
    }
    assert_eq!(offsets(&log, 5, 15), Ok((6..=15).collect()));
    assert_eq!(offsets(&log, 4, 15).map_err(|l| l.oldest), Err(6));
    assert_eq!(oldest(&log, 1010), 12, "events 6..=11 are past their time");
    assert_eq!(offsets(&log, 11, 1010), Ok(vec![12, 13, 14, 15]));
    let small = Retention { bytes: 500, ..KEEP };
    let mut log = open(&broker, "s", small, 0);
    for _ in 0..9 {
        append(&mut log, &event(&"y".repeat(100), None, 0));
    }
    assert_eq!(offsets(&log, 7, 0), Ok(vec![8, 9]));
    append(&mut log, &event(&"z".repeat(1000), None, 0));
    assert_eq!(
        offsets(&log, 9, 0).map_err(|l| l.oldest),
        Err(11),
        "an event that is not kept leaves a reported gap"
    );
}

#[test]
fn all_histories_together_are_bounded_and_the_oldest_go() {
    let broker = MemoryBroker::new(MemoryLimits { history_bytes: 100_000, ..LIMITS }, 1);
    let keep = Retention { size: 1000, ttl_ms: 1 << 40, bytes: 1 << 20 };
    let mut old = open(&broker, "old", keep, 0);
    let mut new = open(&broker, "new", keep, 0);
    for n in 0..80 {
        append(&mut old, &event(&"x".repeat(900), None, n));
    }
    for n in 0..80 {
        append(&mut new, &event(&"x".repeat(900), None, 1000 + n));
    }
    assert!(broker.history_bytes() <= 100_000);
    assert!(oldest(&old, 2000) > 1 && oldest(&new, 2000) == 1, "the newer topic lost nothing");
}

#[test]
fn a_key_returns_the_first_result_until_it_expires() {
    let broker = MemoryBroker::new(LIMITS, 1);
    let mut log = open(&broker, "t", KEEP, 0);
    let Appended::New(first) = append(&mut log, &event("1", Some("k"), 0)) else { panic!("new") };
    let again = append(&mut log, &event("2", Some("k"), 299_999));
    assert_eq!(again, Appended::Repeat { meta: first, delivered: 7 });
    assert_eq!(log.tail.head().offset, 1);
    assert!(matches!(append(&mut log, &event("2", Some("k"), 300_000)), Appended::New(_)));
    for key in ["a", "b", "c"] {
        append(&mut log, &event("3", Some(key), 300_001));
    }
    assert!(
        matches!(append(&mut log, &event("4", Some("k"), 300_002)), Appended::New(_)),
        "three keys in all"
    );
    let mut other = open(&broker, "other", KEEP, 0);
    assert!(
        matches!(append(&mut other, &event("5", Some("c"), 300_003)), Appended::New(_)),
        "keys belong to a topic"
    );
}

fn network(last: u8) -> Option<Client> {
    Some(Client::Network([192, 0, 2, last].into()))
}

fn user(id: &str) -> Option<Client> {
    Some(Client::User(id.into()))
}

/// Creates a topic for `owner` among `live` live ones and at most `max`, and parks it. Returns whether there was room.
fn park(broker: &MemoryBroker, topic: &str, owner: Option<Client>, live: usize, max: usize) -> bool {
    let claim = Claim { client: owner, live, max, ..BACKEND };
    let log = log_of(broker.open(topic, &keeping(KEEP), &claim, 0));
    log.map(|log| broker.park(topic, log, 0)).is_some()
}

/// The given topics that are parked.
fn kept<'a>(broker: &MemoryBroker, topics: &[&'a str]) -> Vec<&'a str> {
    topics.iter().copied().filter(|topic| broker.forget(topic, 0)).collect()
}

#[test]
fn room_is_made_among_the_parked() {
    let broker = MemoryBroker::new(LIMITS, 1);
    assert!(
        park(&broker, "a", None, 1, 2) && park(&broker, "b", None, 1, 2) && park(&broker, "c", None, 1, 2)
    );
    assert_eq!(kept(&broker, &["a", "b", "c"]), ["b", "c"], "the oldest went");
}

#[test]
fn a_client_at_its_share_loses_its_own_oldest_parked_log() {
    let broker = MemoryBroker::new(LIMITS, 1);
    for (topic, owner) in [("other", network(2)), ("old", network(1)), ("young", network(1)), ("key", None)] {
        assert!(park(&broker, topic, owner, 1, 100));
    }
    let claim = Claim { client: network(1), own_live: 3, own_max: 4, ..BACKEND };
    assert!(broker.open("new", &keeping(KEEP), &claim, 0).is_some());
    assert_eq!(kept(&broker, &["other", "old", "young", "key"]), ["other", "young", "key"]);
}

#[test]
fn parked_logs_of_others_are_not_evicted_for_a_stranger() {
    let broker = MemoryBroker::new(LIMITS, 1);
    let rows = [
        ("key", None),
        ("few", network(2)),
        ("ann", user("ann")),
        ("many1", network(3)),
        ("many2", network(3)),
    ];
    for (topic, owner) in rows.clone() {
        assert!(park(&broker, topic, owner, 1, 100));
    }
    assert!(park(&broker, "mine", network(1), 1, 5), "the client that has most loses its oldest");
    assert!(park(&broker, "mine2", network(1), 1, 5), "then its own goes first");
    assert!(!broker.forget("many1", 0) && !broker.forget("mine", 0));
    for live in 2..=3 {
        let claim = Claim { client: network(1), live, max: 5, ..BACKEND };
        assert!(broker.open("live", &keeping(KEEP), &claim, 0).is_some(), "{live}");
    }
    let claim = |client, max| Claim { client, live: 4, max, ..BACKEND };
    assert!(
        broker.open("live", &keeping(KEEP), &claim(network(1), 5), 0).is_none(),
        "no user's goes for the anonymous"
    );
    assert!(
        broker.open("live", &keeping(KEEP), &claim(user("bob"), 5), 0).is_some(),
        "a user's goes for a user"
    );
    assert!(
        broker.open("live", &keeping(KEEP), &claim(user("bob"), 4), 0).is_none(),
        "none of the backend's for a user"
    );
    assert!(
        broker.open("live", &keeping(KEEP), &claim(None, 4), 0).is_some(),
        "the backend's for the backend"
    );
    assert_eq!(kept(&broker, &rows.map(|(topic, _)| topic)), [""; 0]);
}

#[test]
fn a_log_stays_its_creators_when_others_use_the_topic() {
    let broker = MemoryBroker::new(LIMITS, 1);
    assert!(park(&broker, "key", None, 1, 100) && park(&broker, "key", network(1), 1, 100));
    let claim = Claim { client: network(1), own_live: 2, own_max: 1, ..BACKEND };
    assert!(broker.open("new", &keeping(KEEP), &claim, 0).is_some());
    assert_eq!(
        kept(&broker, &["key"]),
        ["key"],
        "it did not become the stranger's, whose oldest log would be evicted"
    );
}

#[test]
fn a_key_is_its_publishers_own() {
    let broker = MemoryBroker::new(MemoryLimits { idempotency_keys: 10, ..LIMITS }, 1);
    let mut log = open(&broker, "t", KEEP, 0);
    let mut is_new = |publisher| {
        let event = NewEvent { publisher, ..event("1", Some("order-43"), 0) };
        matches!(append(&mut log, &event), Appended::New(_))
    };
    let user = |id| UserRef { id, name: "zoe" };
    let stranger = |last| Requester::Anonymous([127, 0, 0, last].into());
    assert!(is_new(stranger(1)));
    assert!(is_new(Requester::Backend), "a stranger's guess does not use the backend's key");
    assert!(is_new(Requester::User(user("7"))) && is_new(Requester::User(user("8"))));
    assert!(!is_new(stranger(2)), "the anonymous are one publisher");
    assert!(!is_new(Requester::Admin(user("7"))), "a user stays the same whatever the role");
    assert!(!is_new(Requester::Backend) && !is_new(Requester::User(user("8"))));
}

#[test]
fn a_forgotten_parked_log_is_not_reopened() {
    let broker = MemoryBroker::new(LIMITS, 1);
    let mut log = open(&broker, "t", KEEP, 0);
    append(&mut log, &event("1", None, 0));
    let epoch = log.chain.epoch();
    broker.park("t", log, 0);
    assert!(broker.forget("t", 999));
    assert_eq!(broker.history_bytes(), 0);
    assert!(!broker.forget("t", 999), "it is gone");
    let log = open(&broker, "t", KEEP, 999);
    assert_ne!(log.chain.epoch(), epoch);
    broker.park("t", log, 999);
    assert!(!broker.forget("t", 1999), "an expired log could not be reopened");
}
