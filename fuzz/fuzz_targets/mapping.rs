//! Any record of a Kafka topic: no panic, and what it becomes has a channel of the mapping.
//!
//! The first byte chooses whether there are key and value, the second where the rest is cut into key, header and value.
//! dictionary: json
#![no_main]

use fanfare_core::hub::Backpressure;
use fanfare_feeds::{Conflate, MappingConfig, OnBadRecord, SampleRecord, Snapshot, TrialOutcome, test_mapping};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static ROWS: LazyLock<Vec<MappingConfig>> = LazyLock::new(|| {
    let rows = [
        ("orders", "orders", "order"),
        ("orders", "by-{key}", "order"),
        ("orders", "at-{header:place}", "order"),
        ("/^ord.*/", "of-{json:/customer/id}", "{json:/kind}"),
    ];
    let row = |(topic, channel, kind): (&str, &str, &str)| MappingConfig {
        topic: topic.into(),
        channel: channel.into(),
        kind: kind.into(),
        on_bad_record: OnBadRecord::Skip,
        snapshot: Snapshot::Key,
        conflate: Conflate::None,
        backpressure: Backpressure::DropOldest,
    };
    rows.map(row).into()
});

fuzz_target!(|data: &[u8]| {
    let [flags, cut, rest @ ..] = data else { return };
    let (key, value) = rest.split_at(usize::from(*cut).min(rest.len()));
    for (topic, rows) in [("orders", 4), ("ordinary", 1)] {
        let sample = SampleRecord {
            topic: topic.into(),
            key: (flags & 1 != 0).then(|| key.to_vec()),
            headers: vec![("place".into(), key.to_vec())],
            value: (flags & 2 == 0).then(|| value.to_vec()),
        };
        let trials = test_mapping(&ROWS, 4096, &sample).expect("the rows can be served");
        assert_eq!(trials.len(), rows);
        for trial in trials {
            if let TrialOutcome::Record { channel, .. } | TrialOutcome::Tombstone { channel, .. } = trial.outcome {
                let fixed = ROWS[trial.row].channel.split('{').next().unwrap_or_default();
                assert!(channel.starts_with(fixed) && channel.len() <= 255, "{channel}");
            }
        }
    }
});
