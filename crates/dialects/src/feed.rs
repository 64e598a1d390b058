//! What both dialects share of feeds: the members of a delivery, and the wishes of a subscription.
//!
//! Wishes are bounded and checked here, so that the hub judges records by lists and texts only; scalars of a filter are
//! brought into one canonical text, in which a record's value is compared.

use crate::json::{write_str, write_u64};
use fanfare_core::feeds::{GroupSpec, Pointed, is_pointer};
use fanfare_core::model::{ErrorCode, FeedPosition, Refusal, SubscribeFeed};
use fanfare_core::time::write_rfc3339_ms;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Types one subscription may name.
const MAX_TYPES: usize = 64;
/// Keys one filter may name.
const MAX_KEYS: usize = 1000;
/// JSON pointers of one filter, and values for each.
const MAX_POINTERS: usize = 16;
const MAX_VALUES: usize = 100;
/// Positions of one `since`.
const MAX_POSITIONS: usize = 1000;

/// What a delivery says of its record.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// The `type` of the frame.
    pub kind: &'a str,
    /// The channel.
    pub channel: &'a str,
    /// The record's JSON exactly as it was produced.
    pub value: &'a str,
    /// The record's time in milliseconds since 1970.
    pub at_ms: u64,
    /// The source's topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
    /// The record's key.
    pub key: Option<&'a str>,
}

/// Writes the members of a delivery's JSON object, without the braces: the same in both dialects.
pub fn write_body(out: &mut Vec<u8>, record: &RecordView<'_>) {
    out.reserve(160 + record.value.len() + record.channel.len() + record.topic.len());
    out.extend_from_slice(b"\"type\":");
    write_str(out, record.kind);
    out.extend_from_slice(b",\"channel\":");
    write_str(out, record.channel);
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(record.value.as_bytes());
    out.extend_from_slice(b",\"timestamp\":\"");
    write_rfc3339_ms(out, record.at_ms);
    out.extend_from_slice(b"\",\"source\":{\"topic\":");
    write_str(out, record.topic);
    out.extend_from_slice(b",\"partition\":");
    write_u64(out, u64::from(record.partition.unsigned_abs()));
    out.extend_from_slice(b",\"offset\":");
    write_u64(out, record.offset.unsigned_abs());
    out.push(b'}');
    if let Some(key) = record.key {
        out.extend_from_slice(b",\"key\":");
        write_str(out, key);
    }
}

/// The canonical text of a scalar; `None` for arrays and objects. Equal numbers have equal texts.
pub fn scalar(value: &Value) -> Option<Box<str>> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Array(_) | Value::Object(_) => None,
        Value::Number(n) => match n.as_f64() {
            Some(f) if n.is_f64() && f.fract() == 0.0 && f.abs() < EXACT => {
                Some((f as i64).to_string().into())
            }
            _ => Some(n.to_string().into()),
        },
        other => Some(other.to_string().into()),
    }
}

/// The wishes of a feed's subscription as they were sent.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Only these types.
    pub types: Option<Vec<String>>,
    /// Only records that fit.
    pub filter: Option<FilterWish>,
    /// The latest records first.
    pub snapshot: bool,
    /// Last offsets seen by `topic/partition`.
    pub since: Option<BTreeMap<String, i64>>,
}

/// `filter` as it was sent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterWish {
    /// Only records with one of these keys.
    pub key: Option<Vec<String>>,
    /// Only records whose value at each JSON pointer is this scalar, or one of these.
    pub json: Option<BTreeMap<String, Value>>,
}

impl Wish {
    /// Takes the members of a frame, each as JSON.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` naming the member.
    pub fn parse(
        types: Option<&str>,
        filter: Option<&str>,
        snapshot: Option<&str>,
        since: Option<&str>,
    ) -> Result<Self, Refusal> {
        let snapshot = match snapshot {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(invalid("snapshot", "snapshot is true or false")),
        };
        Ok(Self {
            types: member(types, "types", "types is an array of strings")?,
            filter: member(
                filter,
                "filter",
                "filter is {\"key\": [string], \"json\": {pointer: value or [values]}}",
            )?,
            snapshot,
            since: member(since, "since", SINCE)?,
        })
    }

    /// The command it is on a channel.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` naming the member that is wrong.
    pub fn on(self, channel: Cow<'_, str>) -> Result<SubscribeFeed<'_>, Refusal> {
        let filter = self.filter.unwrap_or_default();
        let keys = filter.key;
        let spec = GroupSpec {
            types: list(self.types, MAX_TYPES, "types", "types is an array of 1 to 64 strings")?,
            keys: list(keys, MAX_KEYS, "filter", "filter.key is an array of 1 to 1000 strings")?,
            json: pointers(filter.json.unwrap_or_default())?,
        };
        let since = self.since.map(positions).transpose()?;
        Ok(SubscribeFeed { channel, spec: spec.normal(), snapshot: self.snapshot, since })
    }
}

const SINCE: &str = "since is {\"<topic>/<partition>\": last offset seen, …}, at most 1000 of them";

fn member<'a, T: Deserialize<'a>>(
    raw: Option<&'a str>,
    field: &'static str,
    why: &'static str,
) -> Result<Option<T>, Refusal> {
    raw.map(fanfare_json::from_str).transpose().map_err(|_| invalid(field, why))
}

fn list(
    given: Option<Vec<String>>,
    max: usize,
    field: &'static str,
    why: &'static str,
) -> Result<Option<Box<[Box<str>]>>, Refusal> {
    let Some(given) = given else { return Ok(None) };
    if given.is_empty() || given.len() > max {
        return Err(invalid(field, why));
    }
    Ok(Some(given.into_iter().map(String::into_boxed_str).collect()))
}

fn pointers(given: BTreeMap<String, Value>) -> Result<Box<[Pointed]>, Refusal> {
    let wrong = || {
        invalid(
            "filter",
            "filter.json is up to 16 JSON pointers, each with a scalar or an array of 1 to 100 scalars",
        )
    };
    if given.len() > MAX_POINTERS {
        return Err(wrong());
    }
    let one = |(pointer, allowed): (String, Value)| {
        let allowed = match allowed {
            Value::Array(all) if all.is_empty() || all.len() > MAX_VALUES => return Err(wrong()),
            Value::Array(all) => all.iter().map(|v| scalar(v).ok_or_else(wrong)).collect::<Result<_, _>>()?,
            one => Box::from([scalar(&one).ok_or_else(wrong)?]),
        };
        if is_pointer(&pointer) { Ok((pointer.into(), allowed)) } else { Err(wrong()) }
    };
    given.into_iter().map(one).collect()
}

fn positions(given: BTreeMap<String, i64>) -> Result<Vec<FeedPosition>, Refusal> {
    let wrong = || invalid("since", SINCE);
    if given.len() > MAX_POSITIONS {
        return Err(wrong());
    }
    let one = |(name, offset): (String, i64)| {
        let (topic, partition) = name.rsplit_once('/').ok_or_else(wrong)?;
        let digits = !partition.is_empty() && partition.bytes().all(|b| b.is_ascii_digit());
        let partition = partition.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
        if topic.is_empty() || offset < -1 {
            return Err(wrong());
        }
        Ok(FeedPosition { topic: topic.into(), partition, offset })
    };
    given.into_iter().map(one).collect()
}

fn invalid(field: &'static str, why: &'static str) -> Refusal {
    Refusal::new(ErrorCode::InvalidMessage, why).field(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_where_its_record_is_from() {
        let record = RecordView {
            kind: "trade_data",
            channel: "dash\"board",
            value: "{ \"b\":1.10}",
            at_ms: 1_700_000_000_123,
            topic: "trade-info",
            partition: 3,
            offset: 42,
            key: Some("k"),
        };
        let text = |record: &RecordView<'_>| {
            let mut out = Vec::new();
            write_body(&mut out, record);
            String::from_utf8(out).unwrap()
        };
        let want = r#""type":"trade_data","channel":"dash\"board","data":{ "b":1.10},"timestamp":"2023-11-14T22:13:20.123Z","source":{"topic":"trade-info","partition":3,"offset":42},"key":"k""#;
        assert_eq!(text(&record), want);
        assert_eq!(text(&RecordView { key: None, ..record }) + r#","key":"k""#, want);
    }

    fn wish(
        types: Option<&str>,
        filter: Option<&str>,
        since: Option<&str>,
    ) -> Result<SubscribeFeed<'static>, Refusal> {
        Wish::parse(types, filter, None, since)?.on("c".into())
    }

    #[test]
    fn wishes_become_lists_in_one_order() {
        let got = wish(
            Some(r#"["b","a","b"]"#),
            Some(r#"{"key":["k"],"json":{"/x":[1.0,"1",null],"/a~1b":true}}"#),
            Some(r#"{"a/b/7":-1}"#),
        )
        .unwrap();
        assert_eq!(got.spec.types.as_deref().unwrap(), ["a".into(), "b".into()]);
        let texts = |list: &[&str]| list.iter().map(|t| Box::from(*t)).collect::<Box<[Box<str>]>>();
        assert_eq!(
            got.spec.json[..],
            [("/a~1b".into(), texts(&["true"])), ("/x".into(), texts(&["\"1\"", "1", "null"]))]
        );
        assert_eq!(got.since.unwrap(), [FeedPosition { topic: "a/b".into(), partition: 7, offset: -1 }]);
    }

    #[test]
    fn what_is_wrong_names_its_member() {
        for (types, filter, since, field) in [
            (Some("5"), None, None, "types"),
            (Some("[]"), None, None, "types"),
            (Some("[1]"), None, None, "types"),
            (None, Some("[]"), None, "filter"),
            (None, Some(r#"{"keys":["a"]}"#), None, "filter"),
            (None, Some(r#"{"key":[]}"#), None, "filter"),
            (None, Some(r#"{"json":{"x":1}}"#), None, "filter"),
            (None, Some(r#"{"json":{"/~":1}}"#), None, "filter"),
            (None, Some(r#"{"json":{"/a~2b":1}}"#), None, "filter"),
            (None, Some(r#"{"json":{"/x":{}}}"#), None, "filter"),
            (None, Some(r#"{"json":{"/x":[[1]]}}"#), None, "filter"),
            (None, None, Some("5"), "since"),
            (None, None, Some(r#"{"t/0":"x"}"#), "since"),
            (None, None, Some(r#"{"t/0":-5}"#), "since"),
            (None, None, Some(r#"{"t":1}"#), "since"),
            (None, None, Some(r#"{"/0":1}"#), "since"),
            (None, None, Some(r#"{"t/+1":1}"#), "since"),
            (None, None, Some(r#"{"t/99999999999":1}"#), "since"),
        ] {
            let refusal = wish(types, filter, since).unwrap_err();
            assert_eq!(
                (refusal.code, refusal.field),
                (ErrorCode::InvalidMessage, Some(field)),
                "{types:?} {filter:?} {since:?}"
            );
        }
        assert_eq!(Wish::parse(None, None, Some("1"), None).unwrap_err().field, Some("snapshot"));
    }

    #[test]
    fn equal_numbers_have_equal_texts() {
        let text = |json: &str| scalar(&serde_json::from_str(json).unwrap());
        assert_eq!(text("1"), text("1.0"));
        assert_eq!(text("-3"), text("-3e0"));
        assert_ne!(text("1"), text("\"1\""));
        assert_eq!(text("1.5").unwrap(), "1.5".into());
        assert_eq!(text("[]"), None);
    }
}
