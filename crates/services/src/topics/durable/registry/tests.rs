use super::*;
use fanfare_core::model::EventId;
use fanfare_store::{Committed, LogEntry, Trimmed};

const KEEP: LogRetention = LogRetention { size: 3, ttl_ms: 1000, bytes: 0 };

fn head(id: i64, head: u64, first: u64) -> LogHead {
    LogHead { id: LogId(id), name: "t".into(), epoch: Epoch(7), head, first, bytes: 0, created_at: 0 }
}

fn append() -> Waiting {
    Waiting::Append(NewEntry::new("1"), Append { less: 0, reply: Box::new(drop) })
}

/// Entries with these numbers, each appended at 1000 ms times its number.
fn committed(id: i64, seqs: std::ops::RangeInclusive<u64>) -> Committed {
    let entry = |seq: u64| {
        let id = EventId { time: (seq * 1000) << 20, node: 1 };
        (LogEntry { seq, id, client_id: None, user: None, payload: vec![0; 4] }, 0)
    };
    Committed { log: LogId(id), epoch: Epoch(7), entries: seqs.map(entry).collect() }
}

fn name() -> Arc<str> {
    "t".into()
}

/// A registry whose topic follows the log 1.
fn followed() -> Registry {
    let mut registry = Registry::default();
    assert_eq!(registry.follow("t", KEEP, 0), (None, Next::Open(name())));
    let (found, next) = registry.opened(&name(), &head(1, 0, 1), 0);
    assert!(found.is_some() && next == Next::Nothing);
    registry
}

#[test]
fn what_waits_gets_the_log_in_the_order_of_the_calls() {
    let mut registry = Registry::default();
    assert!(matches!(registry.find_or_wait("t", append()), Wait::Noted(Next::Open(_))));
    let attach = Waiting::Attach(LogRef { name: name(), topic: 1 }, AttachTicket::default());
    assert!(matches!(registry.find_or_wait("t", attach), Wait::Noted(Next::Nothing)));
    let (found, next) = registry.opened(&name(), &head(1, 4, 2), 0);
    let (found, waiting) = found.unwrap();
    assert_eq!((found.head, found.place.id, next), (4, LogId(1), Next::Nothing));
    assert!(matches!(waiting[..], [Waiting::Append(..), Waiting::Attach(..)]));
    assert!(matches!(registry.find_or_wait("t", append()), Wait::Found(..)), "it is open now");
}

#[test]
fn a_log_that_cannot_be_opened_is_tried_again_by_the_next_one() {
    let mut registry = Registry::default();
    let _open = registry.find_or_wait("t", append());
    assert_eq!(registry.not_opened("t").len(), 1);
    assert!(matches!(registry.find_or_wait("t", append()), Wait::Noted(Next::Open(_))));
}

#[test]
fn what_waits_is_bounded_in_bytes_and_counted_off_again() {
    let mut registry = Registry::default();
    let large = || {
        Waiting::Append(NewEntry::new(vec![0; WAITING_BYTES / 2]), Append { less: 0, reply: Box::new(drop) })
    };
    assert!(matches!(registry.find_or_wait("t", large()), Wait::Noted(_)));
    assert!(matches!(registry.find_or_wait("u", large()), Wait::Full(_)));
    assert_eq!(registry.not_opened("t").len(), 1);
    assert!(matches!(registry.find_or_wait("u", large()), Wait::Noted(_)));
}

#[test]
fn a_topic_of_an_earlier_life_has_its_place_at_once() {
    let mut registry = Registry::default();
    registry.load(&head(1, 9, 4), 0);
    assert_eq!(registry.take_due(u64::MAX), [], "nothing is known of its bounds");
    let (at, next) = registry.follow("t", KEEP, 0);
    assert_eq!((at.unwrap(), next), (Attached { chain: Chain::new(Epoch(7)), head: 9 }, Next::Nothing));
    assert_eq!(registry.take_due(0), [(LogId(1), KEEP)], "it holds six entries and keeps three");
}

#[test]
fn an_empty_log_goes_with_its_topic_and_one_with_events_stays() {
    let mut registry = followed();
    assert_eq!(registry.left("t"), Next::Drop(name(), LogId(1)));
    let mut registry = followed();
    assert_eq!(registry.committed(&committed(1, 1..=1)).unwrap().0, name());
    assert_eq!(registry.left("t"), Next::Nothing);
    assert_eq!(registry.follow("t", KEEP, 0).0.unwrap().head, 1);
}

#[test]
fn a_topic_that_comes_back_while_its_empty_log_is_dropped_gets_another() {
    let mut registry = followed();
    let _dropping = registry.left("t");
    assert_eq!(registry.follow("t", KEEP, 0), (None, Next::Nothing));
    assert!(matches!(registry.find_or_wait("t", append()), Wait::Noted(Next::Nothing)));
    assert_eq!(registry.dropped(&name()), Next::Open(name()));
    let (found, _) = registry.opened(&name(), &head(2, 0, 1), 0);
    let (found, waiting) = found.unwrap();
    assert_eq!((found.place.id, waiting.len()), (LogId(2), 1));
    assert_eq!(registry.totals(), (1, 0));
}

#[test]
fn a_log_that_nothing_needs_any_more_when_it_is_open_is_dropped() {
    let mut registry = Registry::default();
    let _open = registry.follow("t", KEEP, 0);
    assert_eq!(registry.left("t"), Next::Nothing);
    let (_, next) = registry.opened(&name(), &head(1, 0, 1), 0);
    assert_eq!(next, Next::Drop(name(), LogId(1)));
    assert_eq!(registry.dropped(&name()), Next::Nothing);
    assert_eq!(registry.follow("t", KEEP, 0), (None, Next::Open(name())));
}

#[test]
fn logs_are_due_by_size_and_by_the_age_of_their_oldest_entry() {
    let mut registry = followed();
    registry.committed(&committed(1, 1..=3));
    assert_eq!(registry.take_due(1999), [], "within its bounds");
    assert_eq!(registry.take_due(2000), [(LogId(1), KEEP)], "entry 1 is 1000 ms old");
    let trimmed = Trimmed { entries: 1, first: 2, bytes: 200, oldest_at_ms: Some(2000) };
    registry.trimmed(LogId(1), Some(&trimmed), 2000);
    assert_eq!((registry.take_due(2999), registry.totals()), (vec![], (1, 200)));
    registry.committed(&committed(1, 4..=5));
    assert_eq!(registry.take_due(2999), [(LogId(1), KEEP)], "four entries");
    registry.trimmed(LogId(1), None, 2999);
    assert_eq!(registry.take_due(2999), [(LogId(1), KEEP)], "it failed, and is due again");
}

#[test]
fn a_deleted_log_leaves_nothing() {
    let mut registry = followed();
    registry.committed(&committed(1, 1..=9));
    registry.delete("t");
    assert_eq!((registry.totals(), registry.take_due(u64::MAX)), ((0, 0), vec![]));
    assert!(registry.committed(&committed(1, 10..=10)).is_none(), "of before");
    assert_eq!(registry.follow("t", KEEP, 0), (None, Next::Open(name())));
}

#[test]
fn a_head_that_was_not_reported_is_found_once() {
    let mut registry = followed();
    assert_eq!(registry.reached(&head(1, 2, 1)), Some((name(), Epoch(7))));
    assert_eq!(registry.reached(&head(1, 2, 1)), None);
}
