//! Replays of missed records.

use super::*;
use crate::replay::ReplayRefused;

fn read(feeds: &Feeds, from: &[(i32, i64)], to: &[(i32, i64)]) -> (Vec<String>, Vec<Record>) {
    let at =
        |list: &[(i32, i64)]| list.iter().map(|&(p, o)| (Arc::<str>::from("t"), p, o)).collect::<Vec<_>>();
    run(async {
        let mut replay = feeds.replay("c", at(from), at(to)).await.unwrap();
        let mut records = Vec::new();
        while let Some(chunk) = replay.next().await {
            let chunk = chunk.unwrap();
            assert!(!chunk.is_empty() && chunk.len() <= 500);
            records.extend(chunk);
        }
        (replay.lost, records)
    })
}

fn offsets(records: &[Record], partition: i32) -> Vec<i64> {
    records.iter().filter(|record| record.partition == partition).map(|record| record.offset).collect()
}

#[test]
fn a_replay_has_exactly_the_records_between() {
    let mock = mock("t", 2);
    let sink = Arc::new(RecordingSink::default());
    let feeds = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c"), row("t", "other")]).start(&sink);
    Source::new(&mock.bootstrap_servers(), "t").numbers(0..4000, 2);
    sink.wait(8000);
    let (lost, records) = read(&feeds, &[(0, 9), (1, 1989)], &[(0, 1500), (1, 1999)]);
    assert!(lost.is_empty());
    assert_eq!(offsets(&records, 0), (10..=1500).collect::<Vec<_>>());
    assert_eq!(offsets(&records, 1), (1990..=1999).collect::<Vec<_>>());
    assert!(records.iter().all(|record| &*record.channel == "c"));
    let live = sink.received.lock().records.clone();
    assert!(records.iter().all(|record| live.contains(record)), "a replayed record is the live one");

    let (lost, records) = read(&feeds, &[(0, 1999), (1, 2000), (9, 0)], &[(0, 1999), (1, 1999)]);
    assert_eq!((lost, records.len()), (vec!["t/1".to_owned(), "t/9".to_owned()], 0));
    stop(feeds);
}

#[test]
fn without_a_live_offset_a_replay_ends_where_live_reading_started() {
    let mock = mock("t", 1);
    let setup = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]);
    let sink = Arc::new(RecordingSink::default());
    let feeds = setup.start(&sink);
    Source::new(&mock.bootstrap_servers(), "t").numbers(0..100, 1);
    sink.wait(100);
    stop(feeds);
    // The group continues at 100: this node delivered nothing, so all of 50..100 is to be replayed.
    let feeds = setup.start(&Arc::default());
    let (lost, records) = read(&feeds, &[(0, 49)], &[]);
    assert_eq!((lost.len(), offsets(&records, 0)), (0, (50..100).collect::<Vec<_>>()));
    stop(feeds);
}

#[test]
fn an_unreachable_log_is_reported_unavailable_in_time() {
    let mock = mock("t", 1);
    let sink = Arc::new(RecordingSink::default());
    let feeds = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]).start(&sink);
    Source::new(&mock.bootstrap_servers(), "t").numbers(0..10, 1);
    sink.wait(10);
    for broker in 1..=2 {
        mock.broker_down(broker).unwrap();
    }
    let began = Instant::now();
    let refused = run(feeds.replay("c", vec![("t".into(), 0, 1)], vec![("t".into(), 0, 9)])).map(|_| ());
    assert_eq!(refused, Err(ReplayRefused::Unavailable));
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    let unknown = run(feeds.replay("none", Vec::new(), Vec::new())).map(|_| ());
    assert_eq!(unknown, Err(ReplayRefused::UnknownChannel));
    for broker in 1..=2 {
        mock.broker_up(broker).unwrap();
    }
    stop(feeds);
}

#[test]
fn many_clients_at_once_share_the_readers() {
    let mock = mock("t", 1);
    let sink = Arc::new(RecordingSink::default());
    let feeds = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]).start(&sink);
    Source::new(&mock.bootstrap_servers(), "t").numbers(0..300, 1);
    sink.wait(300);
    let topic: Arc<str> = "t".into();
    run(async {
        let mut replays = Vec::new();
        for from in 0..40 {
            let replay =
                feeds.replay("c", vec![(Arc::clone(&topic), 0, from)], vec![(Arc::clone(&topic), 0, 299)]);
            replays.push((from, replay.await.unwrap()));
        }
        for (from, mut replay) in replays {
            let mut records = Vec::new();
            while let Some(chunk) = replay.next().await {
                records.extend(chunk.unwrap());
            }
            assert_eq!(offsets(&records, 0), (from + 1..300).collect::<Vec<_>>());
        }
    });
    stop(feeds);
}

#[test]
fn a_template_s_channel_is_replayed_before_its_first_record_since_the_start() {
    let mock = mock("t", 1);
    let setup = Setup::new(&mock.bootstrap_servers(), vec![row("t", "k:{key}")]);
    let sink = Arc::new(RecordingSink::default());
    let feeds = setup.start(&sink);
    let source = Source::new(&mock.bootstrap_servers(), "t");
    for number in 0..10 {
        source.put(0, Some("x"), Some(number.to_string().as_bytes()));
    }
    source.flush();
    sink.wait(10);
    stop(feeds);
    let feeds = setup.start(&Arc::default());
    assert!(!feeds.is_channel("k:x"));
    let refused = run(feeds.replay("other:x", vec![("t".into(), 0, 3)], Vec::new())).map(|_| ());
    assert_eq!(refused, Err(ReplayRefused::UnknownChannel));
    let records = run(async {
        let mut replay = feeds.replay("k:x", vec![("t".into(), 0, 3)], Vec::new()).await.unwrap();
        assert!(replay.lost.is_empty());
        replay.next().await.unwrap().unwrap()
    });
    assert_eq!(offsets(&records, 0), (4..10).collect::<Vec<_>>());
    stop(feeds);
}
