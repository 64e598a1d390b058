//! Single facts about a shard that no program of the model is about.

use fanfare_brokers::memory::{MemoryBroker, MemoryLimits};
use fanfare_core::hub::{Answer, Effect, Inbox, Post, QueueLimits, Shard, ShardConfig, Turn};
use fanfare_core::model::{ErrorCode, Publish, Refusal, Reply, Requester, StartFrom, Subscribe, TopicRef};
use fanfare_core::ports::Retention;
use fanfare_core::topics::{TopicOptions, Topics, TopicsConfig};
use fanfare_testkit::model::{Record, Socket, Sockets, encoders, parse, policy_of};
use std::sync::Arc;

const NOW: u64 = 1_000_000;

fn shard(max_topics: usize) -> (Shard<u8>, Arc<Topics<u8>>) {
    shard_with(max_topics, 2)
}

fn shard_with(max_topics: usize, messages: usize) -> (Shard<u8>, Arc<Topics<u8>>) {
    let inboxes: Arc<[Inbox<u8>]> = vec![Inbox::new(|| {})].into();
    let retention = Retention { size: 8, ttl_ms: 60_000, bytes: 1 << 16 };
    let options = move |name: &str| TopicOptions { backpressure: policy_of(name), retention, durable: None };
    let config =
        TopicsConfig { max_topics, topics_per_client: 8, publish_creates: false, options: Box::new(options) };
    let broker = MemoryBroker::new(MemoryLimits { history_bytes: 1 << 20, idempotency_keys: 8 }, 1);
    let topics = Arc::new(Topics::new(inboxes, Arc::new(broker), encoders(), config));
    let queue = QueueLimits { messages, bytes: 1 << 16 };
    let now = Turn { at: std::time::Instant::now(), ms: NOW };
    (Shard::new(ShardConfig { id: 0, queue, max_subscriptions: 2 }, topics.clone(), now), topics)
}

fn subscribe(shard: &mut Shard<u8>, slot: u32, topic: &str) -> Result<Reply<'static>, Refusal> {
    let command = Subscribe {
        topic: TopicRef::parse(topic).unwrap(),
        client_id: None,
        start: StartFrom::Live,
        token: None,
    };
    match shard.subscribe(slot, &command, Requester::Backend, NOW, &mut Vec::new())? {
        Answer::Now(reply) => Ok(reply),
        Answer::Later(ticket) => panic!("{ticket:?} waits"),
    }
}

fn publish(shard: &mut Shard<u8>, slot: u32, topic: &str) {
    let topic = TopicRef::parse(topic).unwrap();
    let command = Publish {
        topic,
        payload: "1",
        client_id: None,
        idempotency_key: None,
        exclude_self: false,
        token: None,
    };
    shard.publish(slot, &command, "me", Requester::Backend, NOW).unwrap();
}

fn wire(room: usize) -> Sockets {
    let mut wire = Sockets::default();
    wire.put(0, Socket { room, ..Socket::default() });
    wire
}

#[test]
fn a_slot_is_used_again_under_another_address() {
    let (mut shard, _) = shard(8);
    let first = shard.open(0);
    assert_eq!(shard.slot_of(first), Some(first.slot()));
    shard.close(first.slot(), NOW);
    shard.close(first.slot(), NOW);
    let second = shard.open(1);
    assert_eq!((second.slot(), shard.slot_of(first)), (first.slot(), None));
    assert_ne!(shard.open(2).slot(), second.slot());
}

#[test]
fn the_subscription_after_the_last_allowed_is_refused_and_takes_nothing() {
    let (mut shard, topics) = shard(8);
    let slot = shard.open(0).slot();
    for topic in ["a", "b", "a"] {
        subscribe(&mut shard, slot, topic).unwrap();
    }
    assert_eq!(subscribe(&mut shard, slot, "c").unwrap_err().code, ErrorCode::LimitExceeded);
    assert_eq!((topics.count(), shard.local_topics()), (2, 2));
    assert_eq!(shard.subscriptions(slot).collect::<Vec<_>>(), ["a", "b"]);
    shard.leave_all(slot, NOW);
    assert_eq!((topics.count(), shard.local_topics(), shard.is_subscribed(slot, "a")), (0, 0, false));
}

#[test]
fn a_topic_beyond_the_limit_is_refused_until_another_goes() {
    let (mut shard, _) = shard(1);
    let slot = shard.open(0).slot();
    subscribe(&mut shard, slot, "a").unwrap();
    assert_eq!(subscribe(&mut shard, slot, "b").unwrap_err().code, ErrorCode::LimitExceeded);
    shard.leave_all(slot, NOW);
    subscribe(&mut shard, slot, "b").unwrap();
}

#[test]
fn a_topic_that_comes_back_at_the_limit_keeps_its_own_history() {
    let (mut shard, topics) = shard(2);
    let slot = shard.open(0).slot();
    for topic in ["oldest", "newer"] {
        subscribe(&mut shard, slot, topic).unwrap();
        publish(&mut shard, slot, topic);
        shard.leave_all(slot, NOW);
    }
    subscribe(&mut shard, slot, "oldest").unwrap();
    assert_eq!(topics.show("oldest").map(|info| info.offset), Ok(1));
}

#[test]
fn a_node_that_drains_refuses_subscriptions() {
    let (mut shard, topics) = shard(8);
    let slot = shard.open(0).slot();
    topics.drain();
    assert_eq!(subscribe(&mut shard, slot, "a").unwrap_err().code, ErrorCode::ServerShutdown);
    assert_eq!(topics.count(), 0);
}

#[test]
fn replies_that_fill_the_queue_stop_the_reading_until_half_of_it_left() {
    let (mut shard, _) = shard(8);
    let slot = shard.open(0).slot();
    let mut wire = wire(0);
    shard.reply(slot, b"\x02ab", 1, &mut wire);
    assert!(!shard.is_paused(slot));
    shard.reply(slot, b"\x02cd", 1, &mut wire);
    assert!(shard.is_paused(slot) && shard.queued(slot) == (2, 6));
    wire.by_slot[0].room = 1;
    shard.writable(slot, &mut wire, NOW);
    assert!(shard.is_paused(slot), "two replies still wait");
    wire.by_slot[0].room = 2;
    shard.writable(slot, &mut wire, NOW);
    assert!(!shard.is_paused(slot));
    wire.by_slot[0].room = 3;
    shard.writable(slot, &mut wire, NOW);
    assert_eq!(wire.by_slot[0].got, b"\x02ab\x02cd");
    let effects: Vec<_> = shard.effects().collect();
    let writable = |on| Effect::Writable(slot, on);
    assert_eq!(
        effects,
        [writable(true), Effect::Paused(slot, true), Effect::Paused(slot, false), writable(false)]
    );
    assert_eq!(shard.queued_bytes(), 0);
}

#[test]
fn an_ending_drops_what_waits_but_the_frame_under_way() {
    let (mut shard, _) = shard(8);
    let slot = shard.open(0).slot();
    let mut wire = wire(12);
    subscribe(&mut shard, slot, "a").unwrap();
    for _ in 0..3 {
        publish(&mut shard, slot, "a");
        shard.end_turn();
        shard.run(&mut wire, 9, NOW);
    }
    assert_eq!(shard.queued(slot).0, 2);
    let refusal = Refusal::new(ErrorCode::Forbidden, "kicked");
    shard.end(slot, Some(&refusal), 4403, "kicked", &mut wire);
    shard.end(slot, None, 1000, "", &mut wire);
    wire.by_slot[0].room = 1 << 10;
    shard.writable(slot, &mut wire, NOW);
    publish(&mut shard, slot, "a");
    shard.end_turn();
    shard.run(&mut wire, 9, NOW);
    let (records, rest) = parse(0, &wire.by_slot[0].got).unwrap();
    // The first event had left whole, of the second a part had, the third waited.
    let event = |offset| Record::Event { topic: "a".to_owned(), offset, payload: "1".to_owned() };
    let wanted = [event(1), event(2), Record::Error("FORBIDDEN".to_owned()), Record::Close(4403)];
    assert_eq!((records.as_slice(), rest), (&wanted[..], 0));
    let effects: Vec<_> = shard.effects().collect();
    assert!(
        effects.contains(&Effect::Ending(slot, 4403)) && effects.contains(&Effect::Drained(slot)),
        "{effects:?}"
    );
}

/// Publishes so many events to the loose topic `d`, each in a turn of its own.
fn turns(shard: &mut Shard<u8>, slot: u32, wire: &mut Sockets, count: usize) {
    for _ in 0..count {
        publish(shard, slot, "d");
        shard.end_turn();
        shard.run(wire, 9, NOW);
    }
}

#[test]
fn a_client_that_never_reads_does_not_gather_notices_of_drops() {
    let (mut shard, _) = shard(8);
    let slot = shard.open(0).slot();
    let mut wire = wire(0);
    subscribe(&mut shard, slot, "d").unwrap();
    turns(&mut shard, slot, &mut wire, 100);
    assert!(shard.queued(slot).0 <= 4, "{:?}", shard.queued(slot));
    wire.by_slot[0].room = 1 << 10;
    shard.writable(slot, &mut wire, NOW);
    let (records, _) = parse(0, &wire.by_slot[0].got).unwrap();
    let events = records.iter().filter(|r| matches!(r, Record::Event { .. })).count() as u64;
    assert!(matches!(records[0], Record::Dropped(n) if n + events == 100), "{records:?}");
}

#[test]
fn drops_are_told_before_the_next_event_also_when_one_write_takes_all() {
    let (mut shard, _) = shard_with(8, 3);
    let slot = shard.open(0).slot();
    let mut wire = wire(5);
    subscribe(&mut shard, slot, "d").unwrap();
    turns(&mut shard, slot, &mut wire, 4);
    wire.by_slot[0].room = 1 << 10;
    shard.writable(slot, &mut wire, NOW);
    let (records, _) = parse(0, &wire.by_slot[0].got).unwrap();
    assert!(
        matches!(
            records[..],
            [Record::Event { offset: 1, .. }, Record::Dropped(1), Record::Event { offset: 3, .. }, _]
        ),
        "{records:?}"
    );
}

#[test]
fn the_drivers_own_posts_come_through_in_order() {
    let (mut shard, topics) = shard(8);
    topics.inboxes()[0].push(Post::Driver(1), false);
    topics.inboxes()[0].push(Post::Driver(2), false);
    shard.take_inbox();
    assert!(shard.has_work() && !shard.is_flushing());
    assert_eq!(
        [shard.next_driver_post(), shard.next_driver_post(), shard.next_driver_post()],
        [Some(1), Some(2), None]
    );
}

#[test]
fn a_list_pages_through_live_topics_in_the_order_of_their_names() {
    let (_, topics) = shard(1000);
    let name = |n: usize| format!("t{:03}", n * 7 % 500);
    for n in 0..500 {
        topics.make(&name(n), None, Requester::Backend, NOW).unwrap();
    }
    (0..500).step_by(5).for_each(|n| topics.delete(&name(n), None, NOW).unwrap());
    let mut expected: Vec<String> = (0..500).filter(|n| n % 5 != 0).map(name).collect();
    expected.sort();
    let (mut seen, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        let (page, more) = topics.list(after.as_deref(), 33);
        assert!(page.len() == 33 || !more, "a page in the middle is whole");
        seen.extend(page.iter().map(|topic| topic.name.to_string()));
        after = seen.last().cloned();
        if !more {
            break;
        }
    }
    assert_eq!(seen, expected);
}
