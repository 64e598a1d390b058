//! Feed channels on real shards with sockets that take as little as chance says: what each subscriber reads is held against
//! what was delivered since it subscribed.

use fanfare_brokers::memory::{MemoryBroker, MemoryLimits};
use fanfare_core::feeds::{
    ChannelOptions, FeedRecord, GroupSpec, Incoming, Lookup, PerKey, Positions, Prelude, Taken,
};
use fanfare_core::hub::{Backpressure, FeedStart, Inbox, QueueLimits, Shard, ShardConfig, Turn};
use fanfare_core::model::Requester;
use fanfare_core::ports::Retention;
use fanfare_core::topics::{TopicOptions, Topics, TopicsConfig};
use fanfare_testkit::model::{Record, Socket, Sockets, encoders, parse, policy_of};
use fanfare_testkit::soak;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const NOW: u64 = 1_000_000;

struct NoJson;
impl Lookup for NoJson {
    fn is_one_of(&mut self, _: usize, record: &FeedRecord, _: &str, _: &[Box<str>]) -> bool {
        panic!("{record:?} is looked into")
    }
}

/// The source's own log, which replays are read from.
type Log = Arc<Mutex<Vec<Arc<FeedRecord>>>>;

/// Gives what the log has between two positions, a few records at a time; now and then it has nothing yet.
#[derive(Debug)]
struct FromLog {
    log: Log,
    since: i64,
    until: i64,
    /// Where the client said it was.
    client: i64,
    hesitate: bool,
}

impl Prelude for FromLog {
    fn show(&mut self, after: Option<&Positions>, until: &Positions) -> bool {
        let last = |p: &Positions| p.values().next().copied();
        self.since = after.map_or(self.since, |after| last(after).unwrap_or(-1));
        // Where the channel has no position yet, all there is now is shown.
        self.until = last(until).unwrap_or(self.log.lock().unwrap().len() as i64 - 1);
        true
    }

    fn seen(&self) -> Positions {
        [(("t".into(), 0), self.client)].into()
    }

    fn take(&mut self) -> Taken {
        self.hesitate = !self.hesitate;
        if self.hesitate {
            return Taken::Later;
        }
        let log = self.log.lock().unwrap();
        let rest: Vec<_> =
            log.iter().filter(|r| r.offset > self.since && r.offset <= self.until).take(2).cloned().collect();
        match rest.last() {
            None => Taken::End,
            Some(record) => {
                self.since = record.offset;
                Taken::Records(rest)
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many records are written to the log, and not read live yet.
    Write(usize),
    /// So many records are delivered in one batch: what the log has more than was delivered, else new ones.
    Deliver(usize),
    /// A connection subscribes: live, with a snapshot, or since an offset so far back.
    Subscribe(usize, Option<i64>, bool),
    Unsubscribe(usize),
    /// A socket takes so many bytes more.
    Read(usize, usize),
    Run(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..12u8, 0..3usize, 0..12i64, 1..120usize).prop_map(|(kind, conn, back, n)| match kind {
        0..=2 => Step::Deliver(n % 7 + 1),
        3 => Step::Write(n % 12),
        4 => Step::Subscribe(conn, None, false),
        5 => Step::Subscribe(conn, None, true),
        6 => Step::Subscribe(conn, Some(back), false),
        7 => Step::Unsubscribe(conn),
        8 | 9 => Step::Read(conn, n),
        _ => Step::Run(n % 3),
    });
    prop::collection::vec(step, 1..60)
}

/// What a subscription must hear: the offsets above its begin.
#[derive(Clone, Debug)]
struct Expect {
    after: i64,
    until: Option<i64>,
    snapshot: Vec<i64>,
    /// Bytes of the socket before its first frame.
    from: usize,
}

struct World {
    shard: Shard<()>,
    topics: Arc<Topics<()>>,
    wire: Sockets,
    log: Log,
    /// Records of the log that were delivered.
    delivered: usize,
    slots: Vec<u32>,
    subscribed: Vec<Option<Expect>>,
    conflate: bool,
}

impl World {
    fn new(conflate: bool) -> Self {
        let inboxes: Arc<[Inbox<()>]> = vec![Inbox::new(|| {})].into();
        let retention = Retention { size: 8, ttl_ms: 60_000, bytes: 1 << 16 };
        let options =
            move |name: &str| TopicOptions { backpressure: policy_of(name), retention, durable: None };
        let config = TopicsConfig {
            max_topics: 8,
            topics_per_client: 8,
            publish_creates: false,
            options: Box::new(options),
        };
        let broker = MemoryBroker::new(MemoryLimits { history_bytes: 1 << 20, idempotency_keys: 8 }, 1);
        let topics = Arc::new(Topics::new(inboxes, Arc::new(broker), encoders(), config));
        let queue = QueueLimits { messages: 4, bytes: 1 << 12 };
        let config = ShardConfig { id: 0, queue, max_subscriptions: 2 };
        let mut shard = Shard::new(config, topics.clone(), Turn { at: std::time::Instant::now(), ms: NOW });
        let mut wire = Sockets::default();
        let slots: Vec<u32> = (0..3).map(|_| shard.open(0).slot()).collect();
        slots.iter().for_each(|slot| wire.put(*slot, Socket { room: 40, ..Socket::default() }));
        Self {
            shard,
            topics,
            wire,
            log: Log::default(),
            delivered: 0,
            slots,
            subscribed: vec![None; 3],
            conflate,
        }
    }

    fn head(&self) -> i64 {
        self.log.lock().unwrap().len() as i64 - 1
    }

    fn write(&self, count: usize) {
        let mut log = self.log.lock().unwrap();
        for _ in 0..count {
            let offset = log.len() as i64;
            log.push(Arc::new(FeedRecord {
                kind: "k".into(),
                key: Some(format!("{}", offset % 3).into()),
                topic: "t".into(),
                partition: 0,
                offset,
                per_key: PerKey { snapshot: true, conflate: self.conflate },
                body: offset.to_string().into(),
            }));
        }
    }

    fn deliver(&mut self, count: usize) {
        let end = self.delivered + count;
        let written = self.log.lock().unwrap().len();
        self.write(end.saturating_sub(written));
        let batch: Vec<Incoming> =
            self.log.lock().unwrap()[self.delivered..end].iter().cloned().map(Incoming::Record).collect();
        self.delivered = end;
        self.topics.deliver("feed", &batch, &mut NoJson, std::time::Instant::now());
    }

    fn subscribe(&mut self, conn: usize, since: Option<i64>, snapshot: bool) {
        let slot = self.slots[conn];
        let head = self.head();
        // One life of a subscription per connection, so that all its bytes are of one.
        if self.subscribed[conn].is_some() {
            return;
        }
        let since = since.map(|back| (head - back).max(-1));
        let mut lookup = NoJson;
        let start = match since {
            Some(since) => FeedStart::Replay(Box::new(FromLog {
                log: self.log.clone(),
                since,
                until: -1,
                client: since,
                hesitate: false,
            })),
            None if snapshot => FeedStart::Snapshot(&mut lookup),
            None => FeedStart::Live,
        };
        let options = ChannelOptions { backpressure: Backpressure::DropOldest, conflate: self.conflate };
        assert!(
            self.shard
                .subscribe_feed(
                    slot,
                    "feed",
                    &Arc::new(GroupSpec::default()),
                    options,
                    Requester::Backend,
                    start
                )
                .unwrap()
        );
        let live = self.delivered as i64 - 1;
        let latest = if snapshot && since.is_none() { (live - 2).max(0)..live + 1 } else { 0..0 };
        let from = self.wire.by_slot[slot as usize].got.len();
        let expect = Expect { after: since.unwrap_or(live), until: None, snapshot: latest.collect(), from };
        self.subscribed[conn] = Some(expect);
        self.shard.pull(slot, &mut self.wire, NOW);
    }

    fn unsubscribe(&mut self, conn: usize) {
        let slot = self.slots[conn];
        let head = self.head();
        if let Some(expect) = self.subscribed[conn].as_mut().filter(|e| e.until.is_none()) {
            expect.until = Some(head);
            let mut out = Vec::new();
            assert!(self.shard.unsubscribe_feed(slot, "feed", NOW, &mut out));
            self.shard.reply(slot, &out, 1, &mut self.wire);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(count) => self.write(count),
            Step::Deliver(count) => self.deliver(count),
            Step::Subscribe(conn, since, snapshot) => self.subscribe(conn, since, snapshot),
            Step::Unsubscribe(conn) => self.unsubscribe(conn),
            Step::Read(conn, bytes) => self.read(conn, bytes),
            Step::Run(budget) => {
                self.shard.end_turn();
                self.shard.run(&mut self.wire, budget, NOW);
            }
        }
        self.shard.effects().for_each(drop);
    }

    fn read(&mut self, conn: usize, bytes: usize) {
        let slot = self.slots[conn];
        self.wire.by_slot[slot as usize].room += bytes;
        self.shard.writable(slot, &mut self.wire, NOW);
        self.shard.poke(slot);
    }

    /// Lets everybody read, and live reading come to the log's end, until nothing moves.
    fn settle(&mut self) {
        let rest = self.log.lock().unwrap().len() - self.delivered;
        self.deliver(rest);
        self.settle_reading();
    }

    fn settle_reading(&mut self) {
        for _ in 0..400 {
            (0..3).for_each(|conn| self.read(conn, 4096));
            self.step(Step::Run(64));
        }
        assert!(!self.shard.has_work() && self.shard.queued_bytes() == 0);
    }

    /// Records and drops that a connection was told, after its snapshot.
    fn judge(&self, conn: usize) -> Result<(), TestCaseError> {
        let Some(expect) = &self.subscribed[conn] else { return Ok(()) };
        let got = &self.wire.by_slot[self.slots[conn] as usize].got[expect.from..];
        let (records, left) = parse(0, got).unwrap();
        prop_assert_eq!(left, 0);
        let (mut offsets, mut dropped) = (Vec::new(), 0);
        for record in &records {
            match record {
                Record::Body(body) => offsets.push(body.parse::<i64>().unwrap()),
                Record::FeedDropped(channel, count) => {
                    prop_assert_eq!(channel, "feed");
                    dropped += count;
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert_eq!(
            &offsets[..expect.snapshot.len().min(offsets.len())],
            &expect.snapshot[..expect.snapshot.len().min(offsets.len())]
        );
        let live = offsets.get(expect.snapshot.len()..).unwrap_or_default();
        prop_assert!(live.is_sorted_by(|a, b| a < b), "{:?}", live);
        prop_assert!(
            live.iter().all(|o| *o > expect.after && expect.until.is_none_or(|u| *o <= u)),
            "{:?} {:?}",
            live,
            expect
        );
        if expect.until.is_some() {
            return Ok(()); // what an unsubscribe cuts off of a replay is not told
        }
        if self.conflate {
            let newest: BTreeMap<i64, i64> = ((expect.after + 1)..=self.head()).map(|o| (o % 3, o)).collect();
            prop_assert!(newest.values().all(|o| live.contains(o)), "{:?} {:?}", newest, live);
            prop_assert_eq!(dropped, 0);
        } else {
            let produced = (self.head() - expect.after) as u64;
            prop_assert_eq!(live.len() as u64 + dropped, produced, "{:?} {:?}", live, expect);
        }
        Ok(())
    }
}

fn explore(conflate: bool, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::new(conflate);
    steps.iter().for_each(|step| world.step(*step));
    world.settle();
    (0..3).try_for_each(|conn| world.judge(conn))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: soak::pick(1500, 200_000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn received_and_told_as_dropped_is_what_was_delivered(steps in steps()) {
        explore(false, &steps)?;
    }

    #[test]
    fn a_slow_reader_of_a_conflating_channel_has_the_newest_of_each_key(steps in steps()) {
        explore(true, &steps)?;
    }
}

#[test]
fn a_replay_that_the_ring_left_behind_begins_again_from_where_the_client_is() {
    let mut world = World::new(false);
    world.deliver(10);
    // It takes nothing before all is delivered, so it cannot have caught up and be live.
    world.wire.by_slot[0].room = 0;
    world.subscribe(0, Some(5), false);
    // The ring keeps 4096 records; the source waits for nobody here, as the shard runs in between.
    for _ in 0..60 {
        world.deliver(100);
        world.step(Step::Run(8));
    }
    world.settle();
    world.judge(0).unwrap();
    let told = parse(0, &world.wire.by_slot[0].got).unwrap().0;
    assert!(told.iter().all(|r| matches!(r, Record::Body(_))), "nothing was dropped");
}

/// What a connection was shown of a feed so far.
fn shown(world: &World, conn: usize) -> Vec<i64> {
    let told = parse(0, &world.wire.by_slot[world.slots[conn] as usize].got).unwrap().0;
    told.iter()
        .map(
            |record| {
                if let Record::Body(body) = record { body.parse().unwrap() } else { panic!("{record:?}") }
            },
        )
        .collect()
}

/// Issue 10, entry 21: after a crash the log was replayed to its end, and live reading begins at an older commit.
#[test]
fn live_records_that_a_replay_has_shown_are_not_shown_again() {
    let mut world = World::new(false);
    world.write(20);
    world.delivered = 8;
    world.subscribe(0, Some(15), false);
    world.settle_reading();
    assert_eq!(shown(&world, 0), (5..20).collect::<Vec<_>>());
    for _ in 0..10 {
        world.deliver(2);
        world.settle_reading();
    }
    assert_eq!(shown(&world, 0), (5..28).collect::<Vec<_>>());
    // Live since it was caught up: a batch is sent to it and read from no ring.
    world.deliver(1);
    world.step(Step::Run(1));
    world.read(0, 100);
    assert_eq!(shown(&world, 0).last(), Some(&28));
}

/// A log that begins anew while a subscription is ahead of live reading: its offsets start over, and are shown.
#[test]
fn a_log_that_began_anew_is_shown_from_its_beginning() {
    let mut world = World::new(false);
    world.write(20);
    world.delivered = 8;
    world.subscribe(0, Some(15), false);
    world.settle_reading();
    world.deliver(4);
    world.topics.restarted(&"t".into(), 0);
    world.log.lock().unwrap().clear();
    world.delivered = 0;
    world.deliver(3);
    world.settle_reading();
    assert_eq!(shown(&world, 0), (5..20).chain(0..3).collect::<Vec<_>>());
    world.deliver(3);
    world.settle_reading();
    assert_eq!(shown(&world, 0), (5..20).chain(0..6).collect::<Vec<_>>());
    assert_eq!(world.topics.latest("feed").iter().map(|r| r.offset).collect::<Vec<_>>(), [3, 4, 5]);
}

/// Live reading that repeats itself is not shown, and no snapshot goes back.
#[test]
fn what_a_channel_is_past_is_not_delivered_again() {
    let mut world = World::new(false);
    world.deliver(3);
    world.subscribe(0, None, false);
    world.delivered = 1;
    world.deliver(1);
    world.deliver(2);
    world.settle_reading();
    // The second of the repeats has the last offset, as a record of another type could.
    assert_eq!(shown(&world, 0), [2, 3]);
    assert_eq!(world.topics.latest("feed").iter().map(|r| r.offset).max(), Some(3));
}

/// Issue 10, entry 22: after a start a snapshot is filled from the log, without what a tombstone took out meanwhile.
#[test]
fn a_snapshot_is_filled_below_the_live_records() {
    let mut world = World::new(false);
    world.write(5);
    let at = ("t".into(), 0);
    let newest_first: Vec<_> = world.log.lock().unwrap().iter().rev().take(3).cloned().collect();
    let latest = |world: &World| world.topics.latest("feed").iter().map(|r| r.offset).collect::<Vec<_>>();
    assert!(world.topics.fill("feed", &at, 4, &newest_first));
    assert_eq!(latest(&world), [2, 3, 4]);
    let (kind, key, topic) = ("k".into(), Some("0".into()), "t".into());
    let tombstone = Incoming::Tombstone { kind, key, topic, partition: 0, offset: 5 };
    world.topics.deliver("feed", &[tombstone], &mut NoJson, std::time::Instant::now());
    assert!(!world.topics.fill("feed", &at, 4, &newest_first), "the tombstone is above it");
    assert_eq!(latest(&world), [2, 4]);
    world.subscribe(0, None, true);
    world.write(2);
    world.delivered = 6;
    world.deliver(1);
    world.settle_reading();
    assert_eq!(shown(&world, 0), [2, 4, 6]);
}
