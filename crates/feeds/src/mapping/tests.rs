use super::*;
use crate::model::{Conflate, Snapshot};

fn row(topic: &str, channel: &str, kind: &str) -> MappingConfig {
    MappingConfig {
        topic: topic.into(),
        channel: channel.into(),
        kind: kind.into(),
        on_bad_record: OnBadRecord::Skip,
        snapshot: Snapshot::None,
        conflate: Conflate::None,
        backpressure: Backpressure::DropOldest,
    }
}

fn fault(rows: &[MappingConfig]) -> String {
    Mappings::compile(rows, 100).map(|_| ()).unwrap_err().to_string()
}

fn sample(topic: &str, key: Option<&str>, value: Option<&str>) -> SampleRecord {
    SampleRecord {
        topic: topic.into(),
        key: key.map(Into::into),
        headers: vec![("region".into(), b"eu".to_vec())],
        value: value.map(Into::into),
    }
}

fn outcomes(rows: &[MappingConfig], sample: &SampleRecord) -> Vec<TrialOutcome> {
    test_mapping(rows, 100, sample).unwrap().into_iter().map(|trial| trial.outcome).collect()
}

fn bad(reason: &'static str) -> Vec<TrialOutcome> {
    vec![TrialOutcome::Bad { reason, policy: OnBadRecord::Skip }]
}

#[test]
fn wrong_rows_name_their_key() {
    assert!(fault(&[row("a b", "c", "t")]).starts_with("kafka.topics[0].topic must be a topic name"));
    assert!(fault(&[row("/(/", "c", "t")]).starts_with("kafka.topics[0].topic is no regular expression"));
    assert!(
        fault(&[row("a", "c", "t"), row("b", "{kay}", "t")])
            .starts_with("kafka.topics[1].channel has `{kay}`")
    );
    assert!(fault(&[row("a", "c", "")]).starts_with("kafka.topics[0].type"));
    for kind in fanfare_core::model::FrameType::ALL {
        let why = format!("kafka.topics[0].type may not be `{}`", kind.name());
        assert!(fault(&[row("a", "c", kind.name())]).starts_with(&why));
    }
    assert!(fault(&[row("a", "c", "t"), row("a", "c", "t")]).starts_with("kafka.topics[1] says the same"));
    let other = MappingConfig { backpressure: Backpressure::Disconnect, ..row("b", "c", "u") };
    assert!(fault(&[row("a", "c", "t"), other]).starts_with("kafka.topics[1].backpressure differs"));
}

#[test]
fn a_topic_may_feed_several_channels_and_a_pattern_matches_whole_names() {
    let rows = [row("/price-.*/", "{header:region}", "p"), row("price-eu", "all", "q")];
    let of = |topic: &str| Mappings::compile(&rows, 100).unwrap().rows_of(topic).to_vec();
    assert_eq!(of("price-eu"), [0, 1]);
    assert_eq!(of("price-us"), [0]);
    assert!(of("my-price-us").is_empty() && of("price-eu.dlq").is_empty());
    let got = outcomes(&rows, &sample("price-eu", Some("k"), Some("{}")));
    let record = |channel: &str, kind: &str| TrialOutcome::Record {
        channel: channel.into(),
        kind: kind.into(),
        key: Some("k".into()),
    };
    assert_eq!(got, [record("eu", "p"), record("all", "q")]);
}

#[test]
fn values_are_checked() {
    let rows = [row("t", "c", "k")];
    for (value, reason) in [("", "empty"), ("{", "not_json"), ("{} x", "not_json")] {
        assert_eq!(outcomes(&rows, &sample("t", None, Some(value))), bad(reason), "{value}");
    }
    let long = format!("\"{}\"", "x".repeat(99));
    assert_eq!(outcomes(&rows, &sample("t", None, Some(&long))), bad("too_large"));
    assert!(matches!(
        outcomes(&rows, &sample("t", None, Some(&long[..99]))).as_slice(),
        [TrialOutcome::Bad { .. }]
    ));
    assert_eq!(outcomes(&[row("t", "{json:/a}", "k")], &sample("t", None, Some("{}"))), bad("no_field"));
}

#[test]
fn tombstones_need_a_key_and_a_channel() {
    let gone = TrialOutcome::Tombstone { channel: "c".into(), kind: "k".into(), key: "x".into() };
    assert_eq!(outcomes(&[row("t", "c", "k")], &sample("t", Some("x"), None)), [gone]);
    assert_eq!(outcomes(&[row("t", "c", "k")], &sample("t", None, None)), [TrialOutcome::Ignored]);
    assert_eq!(
        outcomes(&[row("t", "{json:/a}", "k")], &sample("t", Some("x"), None)),
        [TrialOutcome::Ignored]
    );
}

#[test]
fn channels_of_a_template_exist_once_seen() {
    let keyed = MappingConfig { snapshot: Snapshot::Key, ..row("t", "p:{key}", "k") };
    let mappings = Mappings::compile(&[row("u", "fixed", "k"), keyed], 100).unwrap();
    assert!(mappings.is_channel("fixed") && !mappings.is_channel("p:1"));
    let raw = Raw {
        topic: &"t".into(),
        partition: 0,
        offset: 5,
        key: Some(b"1"),
        value: Some(b"{}"),
        headers: &Vec::new(),
        timestamp_ms: 0,
    };
    mappings.map(&mappings.rows_of("t"), &raw);
    let spec = mappings.spec_of("p:1").unwrap();
    assert_eq!((spec.channel.clone(), spec.snapshot), (None, Snapshot::Key));
    let names: Vec<_> = mappings.channels().into_iter().map(|channel| channel.name.to_string()).collect();
    assert_eq!(names, ["fixed", "p:1"]);
    assert!(mappings.feeds(&mappings.rows_of("t"), "p:1") && !mappings.feeds(&mappings.rows_of("u"), "p:1"));
}

#[test]
fn a_channel_that_a_topic_could_feed_is_resolved_by_that_topic() {
    let keyed = MappingConfig { conflate: Conflate::Key, ..row("t", "p:{key}", "k") };
    let mappings = Mappings::compile(&[row("u", "fixed", "k"), keyed], 100).unwrap();
    let spec = |channel, topic| mappings.spec_to_be(channel, &mut [topic].into_iter());
    assert_eq!(spec("p:1", "t").unwrap().conflate, Conflate::Key);
    assert_eq!((spec("p:1", "u"), spec("q:1", "t"), spec("p:1", "none")), (None, None, None));
    assert!(!mappings.is_channel("p:1"), "asking makes no channel");
}

#[test]
fn key_and_value_together_are_within_the_limit() {
    let rows = [row("t", "c", "k")];
    let of = |key: usize, value: usize| {
        let (key, value) = ("k".repeat(key), format!("\"{}\"", "x".repeat(value - 2)));
        outcomes(&rows, &sample("t", Some(&key), Some(&value)))
    };
    assert!(matches!(of(50, 50).as_slice(), [TrialOutcome::Record { .. }]));
    assert_eq!(of(51, 50), bad("too_large"));
    assert_eq!(of(101, 2), bad("too_large"));
    assert_eq!(outcomes(&rows, &sample("t", Some(&"k".repeat(101)), None)), bad("too_large"));
}

#[test]
fn keys_that_are_no_text_are_shown_in_base_64() {
    assert_eq!((&*text_of(b"k\xc3\xa9"), &*text_of(&[0xff, 0])), ("ké", "/wA="));
}

#[test]
fn a_channel_combines_all_its_rows() {
    let token = MappingConfig { snapshot: Snapshot::Key, ..row("a", "d", "token") };
    let spec = Mappings::compile(&[token, row("b", "d", "trade")], 100).unwrap().spec_of("d").unwrap();
    assert_eq!(spec.kinds.iter().map(|kind| &**kind).collect::<Vec<_>>(), ["token", "trade"]);
    assert_eq!((spec.snapshot, spec.rules[1].snapshot), (Snapshot::Key, Snapshot::None));
}
