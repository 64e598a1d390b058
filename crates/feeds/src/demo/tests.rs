use super::*;
use crate::config::{FeedsConfig, MappingConfig, OnBadRecord, SourceConfig};
use crate::model::{Conflate, Snapshot};
use crate::sink::LagAlert;
use crate::{Feeds, Health};
use fanfare_core::topics::rules::Backpressure;

fn rows() -> Vec<MappingConfig> {
    [("token-info", "token_info"), ("trade-info", "trade_data"), ("aggregate-info", "aggregate_data")]
        .map(|(topic, kind)| MappingConfig {
            topic: topic.into(),
            channel: "dashboard".into(),
            kind: kind.into(),
            on_bad_record: OnBadRecord::Skip,
            snapshot: Snapshot::None,
            conflate: Conflate::None,
            backpressure: Backpressure::DropOldest,
        })
        .into()
}

#[derive(Default)]
struct Received(Mutex<Vec<Record>>, Condvar);

impl FeedSink for Received {
    fn failed(&self, thread: &str) {
        panic!("{thread} failed");
    }

    fn deliver(&self, batch: &[Delivery<'_>]) {
        let records = batch.iter().map(|one| match one {
            Delivery::Record(record) => (*record).clone(),
            other => panic!("{other:?}"),
        });
        self.0.lock().extend(records);
        self.1.notify_all();
    }

    fn fill(&self, _: &Arc<str>, _: i32, _: i64, _: &[&Record]) -> bool {
        true
    }

    fn lag(&self, _: LagAlert) {}
}

impl Received {
    fn wait(&self, count: usize) -> Vec<Record> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut received = self.0.lock();
        while received.len() < count {
            assert!(!self.1.wait_until(&mut received, deadline).timed_out(), "{} of {count}", received.len());
        }
        received.clone()
    }
}

#[test]
fn the_first_records_of_a_seed_are_these() {
    let mut market = Market::new(7);
    let made: Vec<String> =
        (0..5).map(|n| market.next(n)).map(|made| format!("{} {}", TOPICS[made.topic], made.value)).collect();
    let want = [
        r#"trade-info {"trade_id":1,"symbol":"CORN","side":"sell","price":7.880174,"amount":22204,"demo":true}"#,
        r#"token-info {"symbol":"TUBA","name":"Tuba","price":95.400000,"supply":900000,"market_cap":85860000,"holders":1305,"demo":true}"#,
        r#"aggregate-info {"symbol":"TUBA","open":95.400000,"high":95.400000,"low":95.400000,"close":95.400000,"volume":0,"trades":0,"demo":true}"#,
        r#"trade-info {"trade_id":2,"symbol":"FANF","side":"buy","price":1.253125,"amount":5517,"demo":true}"#,
        r#"trade-info {"trade_id":3,"symbol":"FANF","side":"sell","price":1.244354,"amount":31328,"demo":true}"#,
    ];
    assert_eq!(made, want);
}

#[test]
fn a_seed_makes_one_market_and_all_of_it_is_json() {
    let make = |seed| {
        let mut market = Market::new(seed);
        (0..20_000).map(|n| market.next(n)).collect::<Vec<_>>()
    };
    let made = make(1);
    assert!(made == make(1) && made != make(2));
    let mut count = [0; 3];
    for one in &made {
        count[one.topic] += 1;
        let value: serde_json::Value = serde_json::from_str(&one.value).unwrap();
        assert_eq!((value["demo"].as_bool(), value["symbol"].as_str()), (Some(true), Some(one.key)));
        let price = value.get("price").or(value.get("low")).unwrap().as_f64().unwrap();
        assert!(price > 0.0, "{}", one.value);
    }
    assert!(count[0] > 13_000 && count[1] > 3500 && count[2] > 1700, "{count:?}");
}

#[tokio::test]
async fn the_demo_is_marked_and_replays_what_it_keeps() {
    let received = Arc::new(Received::default());
    let config = FeedsConfig {
        source: SourceConfig::Demo(DemoConfig { rate: 2000, seed: 1 }),
        mappings: rows(),
        max_record_bytes: 65536,
        lag_warn: 1000,
    };
    let feeds = Feeds::start(config, Arc::clone(&received) as Arc<dyn FeedSink>).unwrap();
    let records = received.wait(300);
    let kinds = records.iter().take(3).map(|record| record.kind.to_string()).collect::<Vec<_>>();
    assert_eq!(kinds, ["trade_data", "token_info", "aggregate_data"]);
    let trades: Vec<_> = records.iter().filter(|record| &*record.topic == "trade-info").collect();
    assert!(trades.iter().enumerate().all(|(n, trade)| usize::try_from(trade.offset) == Ok(n)));
    let status = feeds.status();
    assert!(status.demo && status.health == Health::Ok && status.feeds.len() == 3);

    let topic: Arc<str> = "trade-info".into();
    let from = vec![(Arc::clone(&topic), 0, 9), ("none".into(), 0, 1)];
    let mut replay = feeds.replay("dashboard", from, vec![(topic, 0, 20)]).await.unwrap();
    assert_eq!(replay.lost, ["none/0"]);
    let chunk = replay.next().await.unwrap().unwrap();
    let want: Vec<_> = trades[10..=20].iter().map(|trade| (*trade).clone()).collect();
    assert_eq!(chunk, want);
    assert!(replay.next().await.is_none());
    feeds.stop().await;
}

#[test]
fn a_slow_demo_is_paced_by_its_rate() {
    let received = Arc::new(Received::default());
    let mappings = Arc::new(Mappings::compile(&rows(), 65536).unwrap());
    let start = Instant::now();
    let config = DemoConfig { rate: 20, seed: 1 };
    let demo = DemoSource::start(&config, mappings, Arc::clone(&received) as Arc<dyn FeedSink>).unwrap();
    received.wait(10);
    assert!(start.elapsed() >= Duration::from_millis(490), "{:?}", start.elapsed());
    demo.stop();
}
