use super::*;
use fanfare_core::model::Requester;
use fanfare_core::ports::{Appended, NewEvent};

const KEEP: Retention = Retention { size: 10, ttl_ms: 1000, bytes: 1 << 20 };
const LIMITS: MemoryLimits = MemoryLimits { history_bytes: 1 << 20, idempotency_keys: 3 };

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

fn offsets(log: &dyn TopicLog, after: u64, now: u64) -> Result<Vec<u64>, fanfare_core::ports::Lost> {
    let mut seen = Vec::new();
    log.range(after, now, &mut |e| {
        seen.push(e.meta.offset);
        true
    })?;
    Ok(seen)
}

#[test]
fn a_parked_log_goes_on_until_its_time() {
    let broker = MemoryBroker::new(LIMITS, 1);
    let mut log = broker.open("t", KEEP, 0);
    log.append(&event("1", None, 0));
    let epoch = log.epoch();
    broker.park("t", log, 100);
    let log = broker.open("t", KEEP, 1099);
    assert_eq!((log.epoch(), log.head()), (epoch, 1));
    broker.park("t", log, 1099);
    assert_ne!(broker.open("t", KEEP, 2099).epoch(), epoch);
    assert_eq!(broker.history_bytes(), 0, "what nobody can reach is not kept");
}

#[test]
fn history_is_bounded_in_events_bytes_and_time() {
    let broker = MemoryBroker::new(LIMITS, 1);
    let mut log = broker.open("t", KEEP, 0);
    for n in 0..15 {
        log.append(&event("x", None, n));
    }
    assert_eq!(offsets(&*log, 5, 15), Ok((6..=15).collect()));
    assert_eq!(offsets(&*log, 4, 15).map_err(|l| l.oldest), Err(6));
    assert_eq!(log.oldest(1010), 12, "events 6..=11 are past their time");
    assert_eq!(offsets(&*log, 11, 1010), Ok(vec![12, 13, 14, 15]));
    let small = Retention { bytes: 500, ..KEEP };
    let mut log = broker.open("s", small, 0);
    for _ in 0..9 {
        log.append(&event(&"y".repeat(100), None, 0));
    }
    assert_eq!(offsets(&*log, 7, 0), Ok(vec![8, 9]));
    log.append(&event(&"z".repeat(1000), None, 0));
    assert_eq!(
        offsets(&*log, 9, 0).map_err(|l| l.oldest),
        Err(11),
        "one that is not kept leaves a gap that is told"
    );
}

#[test]
fn all_histories_together_are_bounded_and_the_oldest_go() {
    let broker = MemoryBroker::new(MemoryLimits { history_bytes: 100_000, ..LIMITS }, 1);
    let keep = Retention { size: 1000, ttl_ms: 1 << 40, bytes: 1 << 20 };
    let mut old = broker.open("old", keep, 0);
    let mut new = broker.open("new", keep, 0);
    for n in 0..80 {
        old.append(&event(&"x".repeat(900), None, n));
    }
    for n in 0..80 {
        new.append(&event(&"x".repeat(900), None, 1000 + n));
    }
    assert!(broker.history_bytes() <= 100_000);
    assert!(old.oldest(2000) > 1 && new.oldest(2000) == 1, "the newer topic lost nothing");
}

#[test]
fn a_key_answers_the_first_until_it_is_forgotten() {
    let broker = MemoryBroker::new(LIMITS, 1);
    let mut log = broker.open("t", KEEP, 0);
    let Appended::New(first) = log.append(&event("1", Some("k"), 0)) else { panic!("new") };
    let again = log.append(&event("2", Some("k"), 299_999));
    assert_eq!(again, Appended::Repeat { meta: first, delivered: 7 });
    assert_eq!(log.head(), 1);
    assert!(matches!(log.append(&event("2", Some("k"), 300_000)), Appended::New(_)));
    for key in ["a", "b", "c"] {
        log.append(&event("3", Some(key), 300_001));
    }
    assert!(matches!(log.append(&event("4", Some("k"), 300_002)), Appended::New(_)), "three keys in all");
    let mut other = broker.open("other", KEEP, 0);
    assert!(
        matches!(other.append(&event("5", Some("c"), 300_003)), Appended::New(_)),
        "keys belong to a topic"
    );
}

#[test]
fn room_is_made_among_the_parked() {
    let broker = MemoryBroker::new(LIMITS, 1);
    let epochs: Vec<_> = ["a", "b"]
        .iter()
        .map(|name| {
            let log = broker.open(name, KEEP, 0);
            let epoch = log.epoch();
            broker.park(name, log, 0);
            epoch
        })
        .collect();
    broker.make_room(1, 2);
    assert_ne!(broker.open("a", KEEP, 1).epoch(), epochs[0]);
    assert_eq!(broker.open("b", KEEP, 1).epoch(), epochs[1]);
}

#[test]
fn a_key_is_its_publishers_own() {
    let broker = MemoryBroker::new(MemoryLimits { idempotency_keys: 10, ..LIMITS }, 1);
    let mut log = broker.open("t", KEEP, 0);
    let mut append = |publisher| {
        let event = NewEvent { publisher, ..event("1", Some("order-43"), 0) };
        matches!(log.append(&event), Appended::New(_))
    };
    let stranger = |last| Requester::Anonymous([127, 0, 0, last].into());
    assert!(append(stranger(1)));
    assert!(append(Requester::Backend), "a stranger's guess takes nothing from the backend");
    assert!(append(Requester::User("7")) && append(Requester::User("8")));
    assert!(!append(stranger(2)), "the anonymous are one publisher");
    assert!(!append(Requester::Admin("7")), "a user stays the same whatever the role");
    assert!(!append(Requester::Backend) && !append(Requester::User("8")));
}

#[test]
fn a_parked_log_that_is_forgotten_does_not_come_back() {
    let broker = MemoryBroker::new(LIMITS, 1);
    let mut log = broker.open("t", KEEP, 0);
    log.append(&event("1", None, 0));
    let epoch = log.epoch();
    broker.park("t", log, 0);
    assert!(broker.forget("t", 999));
    assert_eq!(broker.history_bytes(), 0);
    assert!(!broker.forget("t", 999), "it is gone");
    let log = broker.open("t", KEEP, 999);
    assert_ne!(log.epoch(), epoch);
    broker.park("t", log, 999);
    assert!(!broker.forget("t", 1999), "past its time it could not have come back");
}
