//! Behaviour that only a real broker shows. Runs when `TEST_KAFKA_BROKERS` names one (`make test` starts it); otherwise
//! each test prints that and passes, as `make test` must also work where there is no Java. Topics and groups are new in
//! every run.

use super::*;
use parking_lot::{RwLock, RwLockReadGuard};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

/// Held by every test that needs the broker to stay up; the one that kills it waits until it is alone.
static UP: RwLock<()> = RwLock::new(());

/// The broker, its admin client, and a topic created in it.
struct Real {
    _up: Option<RwLockReadGuard<'static, ()>>,
    brokers: String,
    admin: AdminClient<DefaultClientContext>,
    topic: String,
}

impl Real {
    fn new(topic: &str, partitions: i32) -> Option<Self> {
        Self::with(Some(UP.read()), topic, partitions)
    }

    fn with(up: Option<RwLockReadGuard<'static, ()>>, topic: &str, partitions: i32) -> Option<Self> {
        let Some(brokers) = std::env::var("TEST_KAFKA_BROKERS").ok().filter(|brokers| !brokers.is_empty())
        else {
            println!("left out: TEST_KAFKA_BROKERS names no broker");
            return None;
        };
        let admin = ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let real = Self { _up: up, brokers, admin, topic: format!("{topic}-{}", now.as_nanos()) };
        real.make(&real.topic, partitions);
        Some(real)
    }

    fn make(&self, topic: &str, partitions: i32) {
        until("the topic is made", || {
            let wanted = [NewTopic::new(topic, partitions, TopicReplication::Fixed(1))];
            let made = run(self.admin.create_topics(&wanted, &AdminOptions::new())).unwrap().remove(0);
            made.map(drop)
        });
    }

    fn delete(&self) {
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
        run(self.admin.delete_topics(&[&self.topic], &options)).unwrap().remove(0).unwrap();
    }

    fn cut(&self, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, 0, Offset::Offset(before)).unwrap();
        run(self.admin.delete_records(&list, &AdminOptions::new())).unwrap();
    }

    /// Deletes the topic, recreates it and fills it at once.
    fn refilled(self, count: u64) -> Self {
        self.delete();
        self.make(&self.topic, 1);
        self.source().numbers(1000..1000 + count, 1);
        self
    }

    /// The position a group has stored.
    fn next_of(&self, group: &str) -> Offset {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("group.id", group);
        let reader: BaseConsumer = config.create().unwrap();
        let stored = reader.committed_offsets(crate::kafka::shared::list(&self.topic, 0), LONG).unwrap();
        stored.elements()[0].offset()
    }

    fn setup(&self) -> Setup {
        Setup::new(&self.brokers, vec![row(&self.topic, "c")])
    }

    fn source(&self) -> Source {
        Source::new(&self.brokers, &self.topic)
    }

    fn at_end(&self, feeds: &Feeds, end: i64) {
        until("at the end", || {
            let at = partition_of(&feeds.status(), &self.topic, 0).map(|p| (p.offset, p.end, p.lag));
            if at == Some((end, end, 0)) { Ok(()) } else { Err(at) }
        });
    }
}

#[test]
fn only_committed_transactions_are_shown_and_the_lag_still_ends() {
    let Some(real) = Real::new("tx", 1) else { return };
    let sink = Arc::new(RecordingSink::default());
    let feeds = real.setup().start(&sink);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &real.brokers)
        .set("transactional.id", &real.topic)
        .create()
        .unwrap();
    producer.init_transactions(LONG).unwrap();
    let source = Source { producer, topic: real.topic.clone() };
    for (range, keep) in [(0..20, true), (100..120, false), (20..40, true), (200..220, false)] {
        source.producer.begin_transaction().unwrap();
        source.numbers(range, 1);
        if keep {
            source.producer.commit_transaction(LONG).unwrap();
        } else {
            source.producer.abort_transaction(LONG).unwrap();
        }
    }
    sink.wait(40);
    // Eighty records and four markers: the last thing in the log is an aborted transaction.
    real.at_end(&feeds, 84);
    complete(&sink, 40, 1).unwrap();
    let topic: Arc<str> = real.topic.as_str().into();
    let records = run(async {
        let mut replay =
            feeds.replay("c", vec![(Arc::clone(&topic), 0, 4)], vec![(topic, 0, 83)]).await.unwrap();
        let mut records = Vec::new();
        while let Some(chunk) = replay.next().await {
            records.extend(chunk.unwrap());
        }
        records
    });
    assert_eq!(records.len(), 35, "what was aborted is not replayed, and a replay ends behind it");
    stop(feeds);
}

#[test]
fn a_position_out_of_range_continues_by_the_reset_rule() {
    for (reset, want) in [(OffsetReset::Earliest, vec![80, 81, 82, 83, 84]), (OffsetReset::Latest, vec![])] {
        let Some(real) = Real::new("cut", 1) else { return };
        let mut setup = real.setup();
        let sink = Arc::new(RecordingSink::default());
        let feeds = setup.start(&sink);
        real.source().numbers(0..20, 1);
        sink.wait(20);
        real.at_end(&feeds, 20);
        stop(feeds);
        real.source().numbers(20..85, 1);
        real.cut(80);
        setup.kafka.offset_reset = reset;
        let again = Arc::new(RecordingSink::default());
        let feeds = setup.start(&again);
        real.at_end(&feeds, 85);
        assert_eq!(again.numbers().remove(&0).unwrap_or_default(), want, "{reset:?}");
        let lost =
            run(feeds.replay("c", vec![(real.topic.as_str().into(), 0, 19)], Vec::new())).unwrap().lost;
        assert_eq!(lost, [format!("{}/0", real.topic)]);
        assert_eq!(feeds.status().expired_total, [(real.topic.as_str().into(), 1)], "logged and counted");
        stop(feeds);
    }
}

#[test]
fn a_recreated_topic_is_read_from_its_beginning() {
    let Some(real) = Real::new("again", 1) else { return };
    let sink = Arc::new(RecordingSink::default());
    let feeds = real.setup().start(&sink);
    real.source().numbers(0..500, 1);
    sink.wait(500);
    real.delete();
    real.make(&real.topic, 1);
    let source = real.source();
    source.numbers(1000..1010, 1);
    sink.wait(510);
    assert_eq!(sink.numbers()[&0][500..], (1000..1010).collect::<Vec<_>>());
    assert_eq!(sink.received.lock().restarts, [500], "the hub is notified before the first new record");
    real.at_end(&feeds, 10);
    until("well", || if feeds.status().health == Health::Ok { Ok(()) } else { Err(wrong(&feeds.status())) });
    stop(feeds);
}

/// A topic of ten records that is recreated and has `count` of them before anything could detect it.
fn recreated(reset: OffsetReset, mode: Mode, count: u64) -> Option<(Real, Setup, Arc<RecordingSink>, Feeds)> {
    let real = Real::new("refilled", 1)?;
    let mut setup = real.setup();
    setup.kafka.mode = mode;
    setup.kafka.offset_reset = reset;
    let sink = Arc::new(RecordingSink::default());
    let feeds = setup.start(&sink);
    // With `latest` only records after the first check are received.
    until("given", || if partition_of(&feeds.status(), &real.topic, 0).is_some() { Ok(()) } else { Err(()) });
    real.source().numbers(0..10, 1);
    sink.wait(10);
    real.at_end(&feeds, 10);
    Some((real.refilled(count), setup, sink, feeds))
}

/// Shorter than what was read, as long, and longer.
const REFILLS: [(Mode, u64); 5] =
    [(Mode::Shared, 9), (Mode::Shared, 10), (Mode::Shared, 40), (Mode::Broadcast, 9), (Mode::Broadcast, 40)];

#[test]
fn a_topic_recreated_and_filled_at_once_is_read_from_its_beginning() {
    for (mode, count) in REFILLS {
        let Some((real, setup, sink, feeds)) = recreated(OffsetReset::Earliest, mode, count) else { return };
        let want: Vec<u64> = (1000..1000 + count).collect();
        until("all of the new log", || {
            let received = sink.received.lock();
            let before = received.restarts.last().copied().unwrap_or(received.records.len());
            let after: Vec<u64> = received.records[before..].iter().flat_map(|r| r.value.parse()).collect();
            if after == want { Ok(()) } else { Err((count, received.restarts.clone(), after)) }
        });
        assert_eq!(sink.numbers()[&0][..10], (0..10).collect::<Vec<_>>());
        assert_eq!(feeds.status().log_restarts_total, [(real.topic.as_str().into(), 1)], "{count}");
        real.at_end(&feeds, i64::try_from(count).unwrap());
        stop(feeds);
        if mode == Mode::Shared {
            let next = real.next_of(&setup.kafka.group);
            assert_eq!(next, Offset::Offset(count as i64), "the group's position is that of the new log");
        }
    }
}

#[test]
fn a_topic_recreated_and_filled_at_once_continues_at_its_end_with_latest() {
    for (mode, count) in REFILLS {
        let Some((real, _, sink, feeds)) = recreated(OffsetReset::Latest, mode, count) else { return };
        until("noticed", || {
            let status = feeds.status();
            if status.log_restarts_total.is_empty() { Err(Box::new((mode, count, status))) } else { Ok(()) }
        });
        let end = i64::try_from(count).unwrap();
        real.at_end(&feeds, end);
        real.source().numbers(5000..5005, 1);
        real.at_end(&feeds, end + 5);
        let numbers = sink.numbers().remove(&0).unwrap();
        assert_eq!(numbers[numbers.len() - 5..], (5000..5005).collect::<Vec<_>>(), "{count}");
        assert_eq!(sink.received.lock().restarts.len(), 1, "{count}: the hub is notified");
        stop(feeds);
    }
}

#[test]
fn a_missing_dead_letter_topic_is_created() {
    let Some(real) = Real::new("poison", 1) else { return };
    super::bad_records::dead_letters_of(&real.brokers, &real.topic);
}

#[test]
fn every_codec_is_read() {
    let Some(real) = Real::new("zip", 1) else { return };
    let sink = Arc::new(RecordingSink::default());
    let feeds = real.setup().start(&sink);
    for (index, codec) in ["gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let made = ClientConfig::new()
            .set("bootstrap.servers", &real.brokers)
            .set("compression.type", codec)
            .set("linger.ms", "50")
            .create::<BaseProducer>();
        // A codec that this build cannot write it cannot read either.
        let source = Source { producer: made.unwrap(), topic: real.topic.clone() };
        let from = index as u64 * 1000;
        source.numbers(from..from + 1000, 1);
        sink.wait((index + 1) * 1000);
    }
    complete(&sink, 4000, 1).unwrap();
    stop(feeds);
}

#[test]
fn members_without_a_cluster_broker_are_an_error_even_with_one_partition() {
    let Some(real) = Real::new("single", 1) else { return };
    let mut setup = real.setup();
    setup.kafka.relayed = false;
    let (one, two) = (setup.start(&Arc::default()), setup.start(&Arc::default()));
    for feeds in [&one, &two] {
        until("reported", || {
            let why = wrong(&feeds.status());
            if why.contains("other members of the group") { Ok(()) } else { Err(why) }
        });
    }
    stop(one);
    stop(two);
}

#[test]
fn a_topic_that_does_not_exist_yet_is_reported_and_then_read_from_its_beginning() {
    let Some(real) = Real::new("base", 1) else { return };
    let later = format!("{}-later", real.topic);
    let mut setup = Setup::new(&real.brokers, vec![row(&later, "c")]);
    setup.kafka.offset_reset = OffsetReset::Latest;
    let sink = Arc::new(RecordingSink::default());
    let feeds = setup.start(&sink);
    until("missing", || {
        let why = wrong(&feeds.status());
        if why.contains("does not exist") { Ok(()) } else { Err(why) }
    });
    real.make(&later, 2);
    Source::new(&real.brokers, &later).numbers(0..100, 2);
    sink.wait(100);
    complete(&sink, 100, 2).unwrap();
    until("well", || if feeds.status().health == Health::Ok { Ok(()) } else { Err(wrong(&feeds.status())) });
    stop(feeds);
}

#[test]
fn a_broker_that_is_killed_in_mid_stream_loses_nothing() {
    let Ok(pid_file) = std::env::var("TEST_KAFKA_PID_FILE") else {
        println!("left out: TEST_KAFKA_PID_FILE does not say which process is the broker");
        return;
    };
    let _alone = UP.write();
    let Some(real) = Real::with(None, "killed", 3) else { return };
    let sink = Arc::new(RecordingSink::default());
    let feeds = real.setup().start(&sink);
    let source = real.source();
    source.numbers(0..600, 3);
    sink.wait(600);
    let pid = || std::fs::read_to_string(&pid_file).unwrap().trim().to_owned();
    let killed = pid();
    for number in 600..3000u64 {
        let partition = i32::try_from(number % 3).unwrap();
        source.put(partition, None, Some(number.to_string().as_bytes()));
        if number == 1500 {
            assert!(std::process::Command::new("kill").args(["-9", &killed]).status().unwrap().success());
        }
    }
    until("the broker is started again", || if pid() == killed { Err(()) } else { Ok(()) });
    source.flush();
    sink.wait(3000);
    complete(&sink, 3000, 3).unwrap();
    until("well", || if feeds.status().health == Health::Ok { Ok(()) } else { Err(wrong(&feeds.status())) });
    for partition in 0..3 {
        until("at the end", || match partition_of(&feeds.status(), &real.topic, partition) {
            Some(at) if (at.offset, at.lag) == (1000, 0) => Ok(()),
            other => Err(other),
        });
    }
    assert_eq!(feeds.status().restarts_total, 0, "librdkafka connects again by itself");
    stop(feeds);
}

/// Lossless under a burst, and a single record is not held back. Prints what it measured and asserts no times, since it
/// runs in parallel to other tests.
#[test]
fn a_burst_is_complete_and_a_single_record_is_not_held_back() {
    let Some(real) = Real::new("pace", 4) else { return };
    let sink = Arc::new(RecordingSink::default());
    let feeds = real.setup().start(&sink);
    let source = real.source();
    source.numbers(0..4, 4);
    sink.wait(4);
    let (count, began) = (30_000, Instant::now());
    source.numbers(4..count, 4);
    sink.wait(usize::try_from(count).unwrap());
    let seconds = began.elapsed().as_secs_f64();
    let mut waits: Vec<Duration> = (count..count + 100)
        .map(|number| {
            let sent = Instant::now();
            source.numbers(number..number + 1, 4);
            sink.wait(usize::try_from(number + 1).unwrap());
            sent.elapsed()
        })
        .collect();
    waits.sort();
    let rate = (count - 4) as f64 / seconds;
    println!("{rate:.0} records a second; one record p50 {:?}, p99 {:?}", waits[50], waits[98]);
    complete(&sink, count + 100, 4).unwrap();
    stop(feeds);
}
