//! Brokers that stop, move and refuse; and crashes.

use super::*;
use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::consumer::Consumer;
use rdkafka::types::RDKafkaApiKey as Api;

#[test]
fn a_broker_that_is_away_is_waited_for() {
    let mock = mock("t", 2);
    for broker in 1..=2 {
        mock.broker_down(broker).unwrap();
    }
    let sink = Arc::new(RecordingSink::default());
    let feeds = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]).start(&sink);
    until("degraded", || {
        let status = feeds.status();
        if status.up == Some(false) && wrong(&status).contains("no Kafka broker") {
            Ok(())
        } else {
            Err(Box::new(status))
        }
    });
    for broker in 1..=2 {
        mock.broker_up(broker).unwrap();
    }
    let source = Source::new(&mock.bootstrap_servers(), "t");
    source.numbers(0..1000, 2);
    sink.wait(1000);
    let healthy = || if feeds.status().health == Health::Ok { Ok(()) } else { Err(wrong(&feeds.status())) };
    until("well", healthy);

    // And once more in mid-stream.
    for broker in 1..=2 {
        mock.broker_down(broker).unwrap();
    }
    until("degraded again", || if wrong(&feeds.status()).is_empty() { Err(()) } else { Ok(()) });
    for broker in 1..=2 {
        mock.broker_up(broker).unwrap();
    }
    source.numbers(1000..2000, 2);
    sink.wait(2000);
    complete(&sink, 2000, 2).unwrap();
    until("well again", healthy);
    stop(feeds);
}

#[test]
fn leaders_that_move_and_requests_that_fail_lose_nothing() {
    let mock = mock("t", 2);
    let sink = Arc::new(RecordingSink::default());
    let feeds = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]).start(&sink);
    let source = Source::new(&mock.bootstrap_servers(), "t");
    for turn in 0..6u64 {
        mock.request_errors(Api::Fetch, &[Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 5]);
        mock.request_errors(Api::OffsetCommit, &[Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS; 2]);
        for partition in 0..2 {
            mock.partition_leader("t", partition, Some(1 + i32::try_from(turn % 2).unwrap())).unwrap();
        }
        source.numbers(turn * 200..turn * 200 + 200, 2);
    }
    sink.wait(1200);
    complete(&sink, 1200, 2).unwrap();
    stop(feeds);
}

/// A node whose sink never returns after some records, as if it had died in the middle of a batch; then another node of
/// the group. Returns what both sinks received together.
fn crash(sabotage: bool) -> Result<(), String> {
    let mock = mock("t", 1);
    let sink = Arc::new(RecordingSink::default());
    *sink.stuck_after.lock() = Some(500);
    let mut setup = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]);
    setup.kafka.batch_size = 50;
    let feeds = setup.start(&sink);
    feeds.kafka().shared().sabotage.store(sabotage, Ordering::Relaxed);
    Source::new(&mock.bootstrap_servers(), "t").numbers(0..1000, 1);
    sink.wait(500);
    until("the sink is stuck", || {
        let busy = feeds.kafka().shared().find("t", 0).is_some_and(|partition| partition.lock().busy);
        if busy { Ok(()) } else { Err(()) }
    });
    stop(feeds);
    let after = Arc::new(RecordingSink::default());
    let feeds = setup.start(&after);
    until("the end", || {
        let last = after.numbers().get(&0).and_then(|numbers| numbers.last().copied());
        if last == Some(999) { Ok(()) } else { Err(last) }
    });
    stop(feeds);
    let mut records = sink.received.lock().records.clone();
    let both = RecordingSink::default();
    records.extend(after.received.lock().records.clone());
    both.received.lock().records = records;
    complete(&both, 1000, 1)
}

#[test]
fn a_crash_in_the_sink_loses_and_repeats_nothing() {
    crash(false).unwrap();
}

#[test]
fn the_oracle_sees_an_offset_stored_too_early() {
    // The size of the batch in the stuck sink depends on the broker, fifty at most.
    let seen = crash(true).unwrap_err();
    let lost = seen.strip_suffix(" lost").and_then(|rest| rest.rsplit(' ').next()?.parse::<u32>().ok());
    assert!(lost.is_some_and(|lost| (1..=50).contains(&lost)), "{seen}");
}

#[test]
fn a_stalled_client_is_recreated() {
    let mock = mock("t", 1);
    let sink = Arc::new(RecordingSink::default());
    let feeds = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]).start(&sink);
    let source = Source::new(&mock.bootstrap_servers(), "t");
    source.numbers(0..100, 1);
    sink.wait(100);
    // Without the source's knowledge: it believes that the partition is being fetched.
    {
        let shared = feeds.kafka().shared();
        let client = shared.client.read();
        client.as_ref().unwrap().pause(&crate::kafka::shared::list("t", 0)).unwrap();
    }
    source.numbers(100..200, 1);
    sink.wait(200);
    complete(&sink, 200, 1).unwrap();
    assert_eq!(feeds.status().restarts_total, 1);
    stop(feeds);
}

#[test]
fn a_property_that_cannot_be_served_ends_the_start() {
    let mut setup = Setup::new("127.0.0.1:9", vec![row("t", "c")]);
    setup.kafka.properties.insert("no.such".into(), "1".into());
    let fault = setup.try_start(&Arc::default()).map(|_| ()).unwrap_err();
    assert_eq!(fault.key, "kafka.properties.no.such");
}
