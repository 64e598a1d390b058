//! Records pass from Kafka to the sink.

use super::*;

#[test]
fn records_pass_as_they_are() {
    let mock = mock("t", 1);
    let sink = Arc::new(RecordingSink::default());
    let feeds = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c"), row("t", "k:{key}")]).start(&sink);
    let source = Source::new(&mock.bootstrap_servers(), "t");
    let value = r#"{ "b":1.10,"a":10000000000000000000001, "a":2 ,"u":"\u00e9 é"}"#;
    source.put(0, Some("x"), Some(value.as_bytes()));
    source.put(0, Some("x"), None);
    source.flush();
    until("tombstones", || {
        let received = sink.received.lock();
        if received.tombstones.len() == 2 { Ok(()) } else { Err(received.records.len()) }
    });
    let records = sink.received.lock().records.clone();
    let channels: Vec<_> = records.iter().map(|record| &*record.channel).collect();
    assert_eq!(channels, ["c", "k:x"]);
    let first = &records[0];
    assert_eq!(
        (&*first.value, first.key.as_deref(), first.offset, &*first.kind),
        (value, Some("x"), 0, "rec")
    );
    assert!(feeds.is_channel("k:x") && first.timestamp_ms > 1_700_000_000_000);
    stop(feeds);
}

#[test]
fn positions_reach_the_end_and_the_commit() {
    let mock = mock("t", 2);
    let sink = Arc::new(RecordingSink::default());
    let setup = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]);
    let feeds = setup.start(&sink);
    Source::new(&mock.bootstrap_servers(), "t").numbers(0..100, 2);
    until("position", || {
        let status = feeds.status();
        let at = |number| partition_of(&status, "t", number).map(|p| (p.offset, p.end, p.lag, p.lag_seconds));
        if at(0) == Some((50, 50, 0, 0.0)) && at(1) == at(0) && status.health == Health::Ok {
            Ok(())
        } else {
            Err(Box::new(status))
        }
    });
    let status = feeds.status();
    assert_eq!((status.up, status.records_total), (Some(true), vec![("t".into(), 100)]));
    complete(&sink, 100, 2).unwrap();
    stop(feeds);
    let again = Arc::new(RecordingSink::default());
    let feeds = setup.start(&again);
    Source::new(&mock.bootstrap_servers(), "t").numbers(100..140, 2);
    again.wait(40);
    assert_eq!(
        again.numbers().values().flatten().min(),
        Some(&100),
        "committed records are not delivered again"
    );
    assert_eq!(again.count(), 40);
    stop(feeds);
}

#[test]
fn a_blocked_sink_holds_back_its_partition_only_and_bounds_the_queue() {
    let mock = mock("t", 2);
    let sink = Arc::new(RecordingSink::default());
    *sink.stuck_after.lock() = Some(10);
    let setup = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]);
    let feeds = setup.start(&sink);
    let source = Source::new(&mock.bootstrap_servers(), "t");
    source.numbers(0..20_000, 2);
    let shared = Arc::clone(feeds.kafka().shared());
    until("paused", || {
        let paused = |number| shared.find("t", number).is_some_and(|partition| partition.lock().paused);
        if paused(0) && paused(1) { Ok(()) } else { Err("not paused") }
    });
    for number in 0..2 {
        let queued = shared.find("t", number).unwrap().lock().queue.len();
        assert!(queued <= crate::kafka::partition::QUEUE_RECORDS, "{queued}");
    }
    sink.free();
    sink.wait(20_000);
    complete(&sink, 20_000, 2).unwrap();
    stop(feeds);
}

#[test]
fn topics_and_partitions_that_are_added_later_are_read_from_their_beginning() {
    for mode in [Mode::Shared, Mode::Broadcast] {
        let mock = mock("price-a", 1);
        let sink = Arc::new(RecordingSink::default());
        let mut setup = Setup::new(&mock.bootstrap_servers(), vec![row("/price-.*/", "p:{key}")]);
        setup.kafka.mode = mode;
        setup.kafka.offset_reset = OffsetReset::Latest;
        let feeds = setup.start(&sink);
        until(
            "found",
            || if partition_of(&feeds.status(), "price-a", 0).is_some() { Ok(()) } else { Err(()) },
        );
        mock.create_topic("price-b", 1, 1).unwrap();
        let source = Source::new(&mock.bootstrap_servers(), "price-b");
        source.put(0, Some("k"), Some(b"0"));
        source.flush();
        sink.wait(1);
        assert_eq!((sink.numbers()[&0].as_slice(), feeds.is_channel("p:k")), ([0].as_slice(), true));
        until("both are listed", || {
            let status = feeds.status();
            let topics: Vec<_> = status.feeds.iter().map(|feed| feed.topic.to_string()).collect();
            if topics == ["price-a", "price-b"] { Ok(()) } else { Err(topics) }
        });
        stop(feeds);
    }
}

#[test]
fn a_channel_s_name_comes_from_key_header_or_field_over_the_wire() {
    let mock = mock("t", 1);
    let sink = Arc::new(RecordingSink::default());
    let rows = vec![row("t", "{header:region}/{json:/pair/base}")];
    let feeds = Setup::new(&mock.bootstrap_servers(), rows).start(&sink);
    let source = Source::new(&mock.bootstrap_servers(), "t");
    let headers = rdkafka::message::OwnedHeaders::new()
        .insert(rdkafka::message::Header { key: "region", value: Some("old") })
        .insert(rdkafka::message::Header { key: "region", value: Some("eu") });
    let record = BaseRecord::<str, str>::to("t").payload(r#"{"pair":{"base":"X"}}"#).headers(headers);
    source.producer.send(record).map_err(|(err, _)| err).unwrap();
    source.flush();
    sink.wait(1);
    assert_eq!(&*sink.received.lock().records[0].channel, "eu/X");
    stop(feeds);
}

/// Issue 10, entry 22: snapshots are filled from the log after a start.
#[test]
fn a_snapshot_is_filled_from_the_log_after_a_start() {
    let mock = mock("t", 1);
    let mut setup = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c"), row("t", "d")]);
    setup.rows[0].snapshot = Snapshot::Key;
    let source = Source::new(&mock.bootstrap_servers(), "t");
    for (key, value) in [("a", Some("1")), ("b", Some("2")), ("a", Some("3")), ("c", Some("4")), ("b", None)]
    {
        source.put(0, Some(key), value.map(str::as_bytes));
    }
    source.flush();
    let first = Arc::new(RecordingSink::default());
    let feeds = setup.start(&first);
    // Both rows take the four records.
    first.wait(8);
    stop(feeds);
    let sink = Arc::new(RecordingSink::default());
    let feeds = setup.start(&sink);
    source.put(0, Some("d"), Some(b"5"));
    source.flush();
    sink.wait(2);
    // The sink requests more once: no record is passed twice or left out.
    until("filled", || {
        let filled = sink.received.lock().filled.clone();
        if filled.len() >= 2 { Ok(()) } else { Err(filled) }
    });
    let filled = sink.received.lock().filled.clone();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(filled[0], (4, vec![pair("c", "4"), pair("a", "3")]));
    assert!(filled[1].1.ends_with(&filled[0].1), "{filled:?}");
    stop(feeds);
}
