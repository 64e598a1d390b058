//! Reads values of records for filters: a record is parsed at most once for all groups, and only if one of them needs
//! it.

use fanfare_core::feeds::{FeedRecord, Lookup};
use fanfare_dialects::feed::scalar;
use serde_json::Value;

/// The parsed records of a batch.
#[derive(Debug, Default)]
pub(crate) struct JsonLookup(Vec<Option<Value>>);

impl Lookup for JsonLookup {
    fn is_one_of(&mut self, at: usize, record: &FeedRecord, pointer: &str, allowed: &[Box<str>]) -> bool {
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        // A record that nests too deep for the parser has no value that a pointer could name.
        let parsed = self.0[at].get_or_insert_with(|| {
            let frame = serde_json::from_str::<Value>(&format!("{{{}}}", record.body));
            frame.ok().and_then(|mut frame| Some(frame.get_mut("data")?.take())).unwrap_or_default()
        });
        let found = parsed.pointer(pointer).and_then(scalar);
        found.is_some_and(|text| allowed.binary_search(&text).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_core::feeds::PerKey;

    #[test]
    fn a_value_is_compared_in_its_canonical_text() {
        let record = |data: &str| FeedRecord {
            kind: "t".into(),
            key: None,
            topic: "x".into(),
            partition: 0,
            offset: 0,
            per_key: PerKey::default(),
            body: format!(r#""type":"t","data":{data},"timestamp":"…""#).into(),
        };
        for (data, pointer, allowed, want) in [
            (r#"{"a":{"b":1.0}}"#, "/a/b", "1", true),
            (r#"{"a":{"b":1.0}}"#, "/a", "1", false),
            (r#"{"a/b":"x"}"#, "/a~1b", "\"x\"", true),
            (r#"[true,null]"#, "/1", "null", true),
            ("5", "", "5", true),
            ("5", "/a", "5", false),
            (r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#, "/a", "1", false),
        ] {
            let got = JsonLookup::default().is_one_of(3, &record(data), pointer, &[allowed.into()]);
            assert_eq!(got, want, "{data} {pointer}");
        }
        // Deeper than the parser goes: no value is found there, and nothing overflows.
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(!JsonLookup::default().is_one_of(0, &record(&deep), &"/0".repeat(100_000), &["1".into()]));
    }
}
