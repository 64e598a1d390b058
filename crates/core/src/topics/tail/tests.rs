use super::*;
use crate::feeds::PerKey;
use crate::model::EventId;

const EVENTS: Retention = Retention { size: 3, ttl_ms: 100, bytes: 10_000 };
const RECORDS: Retention = Retention { size: 4096, ttl_ms: u64::MAX, bytes: 4 * 1024 * 1024 };

fn record(key: Option<&str>, bytes: usize) -> Arc<FeedRecord> {
    Arc::new(FeedRecord {
        kind: "t".into(),
        key: key.map(Into::into),
        topic: "x".into(),
        partition: 0,
        offset: 0,
        per_key: PerKey { snapshot: false, conflate: true },
        body: "x".repeat(bytes).into(),
    })
}

fn push(tail: &mut Tail, offset: u64, at_ms: u64) {
    let meta = EventMeta { id: EventId { time: 0, node: 0 }, offset, at_ms };
    tail.push_event(&EventView { topic: "t", meta, payload: "1", client_id: "c", user: None }, at_ms);
}

#[test]
fn an_event_is_kept_with_its_username_and_counted_with_it() {
    let histories = Histories::new(1 << 20);
    let mut tail = Tail::new(EVENTS, &histories);
    let meta = EventMeta { id: EventId { time: 0, node: 0 }, offset: 1, at_ms: 0 };
    let event = EventView { topic: "t", meta, payload: "1", client_id: "c", user: Some("zoë") };
    tail.push_event(&event, 0);
    assert_eq!(histories.bytes(), 1 + 1 + "zoë".len() + EVENT_OVERHEAD);
    let (payload, client_id) = ("2".into(), "".into());
    let meta = EventMeta { offset: 2, ..meta };
    tail.keep_arrival(Arrival { meta, payload, client_id, user: Some("bo".into()), excluded: None }, 0);
    push(&mut tail, 3, 0);
    let mut found = Vec::new();
    let all = |_, kept: &Kept| {
        let event = kept.view("t").unwrap();
        found.push((event.payload.to_owned(), event.client_id.to_owned(), event.user.map(str::to_owned)));
        true
    };
    assert_eq!(tail.range(0, 0, all), Ok(true));
    let want = [("1", "c", Some("zoë")), ("2", "", Some("bo")), ("1", "c", None)];
    assert_eq!(found, want.map(|(p, c, u)| (p.to_owned(), c.to_owned(), u.map(str::to_owned))));
}

#[test]
fn what_an_event_is_counted_with_covers_its_entry() {
    assert!(size_of::<Entry>() + 16 <= EVENT_OVERHEAD, "{}", size_of::<Entry>());
}

fn held(tail: &Tail, after: u64, now_ms: u64) -> Result<Vec<u64>, Lost> {
    let mut found = Vec::new();
    tail.range(after, now_ms, |pos, kept| {
        found.extend(kept.delivery("t").map(|_| pos));
        true
    })
    .map(|end| {
        assert!(end);
        found
    })
}

#[test]
fn offsets_that_do_not_follow_from_each_other_have_positions_that_do() {
    let mut tail = Tail::new(EVENTS, &Histories::new(1 << 20));
    for offset in [7, 8, 12, 20] {
        push(&mut tail, offset, 0);
    }
    assert_eq!(tail.head(), Mark { pos: 4, offset: 20 });
    assert_eq!(tail.floor(0), Mark { pos: 1, offset: 7 });
    for (offset, pos) in [(7, 1), (8, 2), (9, 2), (11, 2), (12, 3), (19, 3), (20, 4), (21, 4)] {
        assert_eq!(tail.position_of(offset), pos, "{offset}");
    }
    assert_eq!((held(&tail, 1, 0), held(&tail, 3, 0)), (Ok(vec![2, 3, 4]), Ok(vec![4])));
    assert_eq!(held(&tail, 0, 0), Err(Lost { oldest: 2 }));
}

#[test]
fn what_is_past_its_time_is_lost_before_it_is_swept() {
    let histories = Histories::new(1 << 20);
    let mut tail = Tail::new(EVENTS, &histories);
    push(&mut tail, 1, 0);
    push(&mut tail, 2, 50);
    assert_eq!(tail.floor(99).pos, 0);
    assert_eq!(tail.floor(100), Mark { pos: 1, offset: 1 });
    assert_eq!(held(&tail, 0, 100), Err(Lost { oldest: 2 }));
    let before = histories.bytes();
    histories.expire(100);
    assert_eq!(histories.bytes() * 2, before);
    histories.expire(150);
    assert_eq!((histories.bytes(), tail.floor(0).pos), (0, 2));
    assert_eq!(held(&tail, 2, 0), Ok(vec![]));
    drop(tail);
    assert!(histories.rings_are_gone());
}

#[test]
fn what_went_for_want_of_room_is_lost_and_not_skipped() {
    let mut tail = Tail::apart(RECORDS, false);
    for _ in 0..RECORDS.size + 10 {
        tail.push_record(&record(Some("k"), 1));
    }
    assert_eq!(held(&tail, 9, 0), Err(Lost { oldest: 11 }));
    assert_eq!(held(&tail, 10, 0).unwrap().len(), RECORDS.size);
    let head = tail.head().pos;
    assert_eq!(held(&tail, head, 0).unwrap(), []);
    tail.push_record(&record(None, RECORDS.bytes - RECORD_OVERHEAD));
    assert_eq!(held(&tail, head, 0).unwrap(), [head + 1]);
    assert!(held(&tail, head - 1, 0).is_err());
}

#[test]
fn superseded_records_leave_a_conflating_tail_without_a_loss() {
    let mut tail = Tail::apart(RECORDS, true);
    for key in ["a", "b", "a", "a", "c", "b"] {
        tail.push_record(&record(Some(key), 1));
    }
    tail.push_record(&record(None, 1));
    tail.push_record(&record(None, 1));
    assert_eq!(held(&tail, 0, 0).unwrap(), [4, 5, 6, 7, 8]);
    assert_eq!(tail.ring.lock().bytes, 3 * (2 + RECORD_OVERHEAD) + 2 * (1 + RECORD_OVERHEAD));
    let mut shown = 0;
    let first = |_, _: &Kept| {
        shown += 1;
        false
    };
    assert_eq!(tail.range(4, 0, first), Ok(false));
    assert_eq!(shown, 1);
}

#[test]
fn superseded_records_take_no_more_room_than_those_that_are_held() {
    let mut tail = Tail::apart(RECORDS, true);
    tail.push_record(&record(None, 1));
    for n in 0..10_000 {
        tail.push_record(&record(Some(&format!("k{}", n % 3)), 1));
        let ring = tail.ring.lock();
        assert!(ring.held() <= 4 && ring.superseded <= ring.held(), "{n}");
    }
    assert_eq!(held(&tail, 0, 0).unwrap(), [1, 9999, 10_000, 10_001]);
    assert_eq!(tail.ring.lock().newest.as_ref().unwrap().len(), 3);
}
