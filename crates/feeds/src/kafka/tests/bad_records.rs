//! Invalid records.

use super::*;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};

const POISON: [&[u8]; 6] = [b"{", b"", b"\xff\xfe", b"1 2", b"{\"a\":NaN}", b"\"\x01\""];

#[test]
fn one_percent_of_poison_is_counted_to_the_record() {
    let mock = mock("t", 2);
    let sink = Arc::new(RecordingSink::default());
    let feeds = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]).start(&sink);
    let source = Source::new(&mock.bootstrap_servers(), "t");
    let mut want: BTreeMap<i32, Vec<u64>> = BTreeMap::new();
    for number in 0..10_000u64 {
        let partition = i32::try_from(number % 2).unwrap();
        if number % 100 == 7 {
            source.put(partition, None, Some(POISON[usize::try_from(number / 100 % 6).unwrap()]));
        } else {
            source.put(partition, None, Some(number.to_string().as_bytes()));
            want.entry(partition).or_default().push(number);
        }
    }
    source.flush();
    sink.wait(9900);
    until("all read", || match feeds.status().records_total.first() {
        Some((_, 10_000)) => Ok(()),
        other => Err(other.cloned()),
    });
    assert_eq!(sink.numbers(), want);
    let skipped = feeds.status().skipped_total;
    let by_reason: BTreeMap<_, _> = skipped.iter().map(|(_, reason, count)| (*reason, *count)).collect();
    assert_eq!(by_reason, BTreeMap::from([("empty", 17), ("not_json", 83)]));
    stop(feeds);
}

#[test]
fn halt_stops_at_its_record_and_reports_it() {
    let mock = mock("t", 2);
    let sink = Arc::new(RecordingSink::default());
    let mut setup = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]);
    setup.rows[0].on_bad_record = OnBadRecord::Halt;
    setup.lag_warn = 10;
    let feeds = setup.start(&sink);
    let source = Source::new(&mock.bootstrap_servers(), "t");
    source.put(0, None, Some(b"0"));
    source.put(0, None, Some(b"poison"));
    for number in 0..60u64 {
        source.put(0, None, Some(b"1"));
        source.put(1, None, Some(number.to_string().as_bytes()));
    }
    source.flush();
    sink.wait(61);
    until("reported", || {
        let status = feeds.status();
        let at = partition_of(&status, "t", 0).map(|p| (p.offset, p.end, p.lag, p.alert, p.halted));
        if at == Some((1, 62, 61, true, Some("not_json"))) { Ok(()) } else { Err(Box::new(status)) }
    });
    assert!(wrong(&feeds.status()).contains("t/0 stands still at offset 1: not_json"));
    let alerts = sink.received.lock().alerts.clone();
    assert_eq!(alerts, [LagAlert { topic: "t".into(), partition: 0, lag: 61, raised: true }]);
    assert_eq!(sink.numbers()[&0], [0]);
    assert_eq!(sink.numbers()[&1].len(), 60);
    stop(feeds);
    // The position was not moved past the record: the next node stops there too.
    let again = Arc::new(RecordingSink::default());
    let feeds = setup.start(&again);
    until("there again", || {
        let at = partition_of(&feeds.status(), "t", 0).and_then(|p| p.halted.map(|_| p.offset));
        if at == Some(1) { Ok(()) } else { Err(at) }
    });
    assert_eq!(again.count(), 0);
    stop(feeds);
}

/// The letters of a topic: value, key, headers.
type Letter = (Vec<u8>, Option<Vec<u8>>, BTreeMap<String, String>);

fn letters(brokers: &str, topic: &str, count: usize) -> Vec<Letter> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "letters").set("auto.offset.reset", "earliest");
    let reader: BaseConsumer = config.create().unwrap();
    reader.subscribe(&[topic]).unwrap();
    let mut letters = Vec::new();
    until("letters", || {
        if let Some(Ok(letter)) = reader.poll(Duration::from_millis(100)) {
            let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or_default().into()).unwrap();
            let headers = letter.headers().unwrap();
            let headers = headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect();
            letters.push((
                letter.payload().unwrap_or_default().into(),
                letter.key().map(Into::into),
                headers,
            ));
        }
        if letters.len() >= count { Ok(()) } else { Err(letters.len()) }
    });
    letters
}

/// Invalid records among valid ones are written to the dead letters, on a mock and a real broker.
pub(super) fn dead_letters_of(brokers: &str, topic: &str) {
    let sink = Arc::new(RecordingSink::default());
    let mut setup = Setup::new(brokers, vec![row(topic, "c")]);
    setup.rows[0].on_bad_record = OnBadRecord::DeadLetter;
    let feeds = setup.start(&sink);
    let source = Source::new(brokers, topic);
    source.put(0, None, Some(b"0"));
    source.put(0, Some("k"), Some(b"{poison"));
    source.put(0, None, Some(b"1"));
    source.flush();
    sink.wait(2);
    let letters = letters(brokers, &format!("{topic}.dlq"), 1);
    let want = [("topic", topic), ("partition", "0"), ("offset", "1"), ("reason", "not_json")]
        .map(|(name, value)| (format!("fanfare-{name}"), value.to_owned()));
    assert_eq!(letters, [(b"{poison".to_vec(), Some(b"k".to_vec()), want.into())]);
    assert_eq!(feeds.status().dead_letters_total, [(topic.into(), "not_json", 1)]);
    assert_eq!(sink.numbers()[&0], [0, 1]);
    stop(feeds);
}

#[test]
fn dead_letters_have_their_coordinates() {
    let mock = mock("t", 1);
    dead_letters_of(&mock.bootstrap_servers(), "t");
}

#[test]
fn a_record_waits_for_its_dead_letter_and_nothing_overtakes_it() {
    use rdkafka::bindings::rd_kafka_resp_err_t as Code;
    let mock = mock("t", 1);
    let sink = Arc::new(RecordingSink::default());
    let mut setup = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]);
    setup.rows[0].on_bad_record = OnBadRecord::DeadLetter;
    mock.create_topic("t.dlq", 1, 1).unwrap();
    let feeds = setup.start(&sink);
    let source = Source::new(&mock.bootstrap_servers(), "t");
    source.put(0, None, Some(b"0"));
    source.put(0, None, Some(b"poison"));
    source.put(0, None, Some(b"1"));
    source.flush();
    // Refused for a while with a temporary error, then accepted.
    mock.topic_error("t.dlq", Code::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    sink.wait(2);
    assert_eq!(sink.numbers()[&0], [0, 1]);
    stop(feeds);
}
