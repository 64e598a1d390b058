//! From a topic's record to deliveries: the rows of `kafka.topics` that apply to a topic, and the result of a record
//! under each.
//!
//! Rows are compiled once. [`Mappings`] is shared by the source, which maps, and the server, which queries the existing
//! channels; only the set of channels that templates have made changes.

mod json;
mod template;
mod trial;

pub use trial::{MappingTrial, SampleRecord, TrialOutcome, test_mapping};

use crate::config::{ConfigFault, MappingConfig, OnBadRecord};
use crate::model::{ChannelInfo, ChannelSpec, Conflate, KindSpec, Record, Snapshot};
use base64::Engine as _;
use fanfare_core::model::FrameType;
use fanfare_core::topics::rules::Backpressure;
use parking_lot::RwLock;
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::Arc;
use template::Template;

/// Maximum channels that templates may make: keys that never repeat must not exhaust the memory.
const MAX_CHANNELS: usize = 100_000;

/// Why a record is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Bad {
    /// Empty value.
    Empty,
    /// Not a JSON text, or not UTF-8.
    NotJson,
    /// Nested too deep.
    TooDeep,
    /// Key and value are longer than the message limit.
    TooLarge,
    /// The template needs a key.
    NoKey,
    /// The template needs a header that is absent or not text.
    NoHeader,
    /// The template needs a field that is absent or not a scalar.
    NoField,
    /// The result of the template is not a channel name.
    NoChannel,
    /// The record would make one more channel than [`MAX_CHANNELS`].
    TooManyChannels,
}

impl Bad {
    /// The reason's code in metrics, logs and the header `fanfare-reason`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotJson => "not_json",
            Self::TooDeep => "too_deep",
            Self::TooLarge => "too_large",
            Self::NoKey => "no_key",
            Self::NoHeader => "no_header",
            Self::NoField => "no_field",
            Self::NoChannel => "no_channel_name",
            Self::TooManyChannels => "too_many_channels",
        }
    }
}

/// A record's headers.
pub(crate) trait Headers {
    /// The last header of this name, as Kafka's own clients count.
    fn get(&self, name: &str) -> Option<&[u8]>;
}

impl Headers for Vec<(String, Vec<u8>)> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().rev().find(|(header, _)| header == name).map(|(_, value)| value.as_slice())
    }
}

/// A record as it was read.
pub(crate) struct Raw<'a> {
    pub(crate) topic: &'a Arc<str>,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a dyn Headers,
    pub(crate) timestamp_ms: u64,
}

/// The result of a record under one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// A record for subscribers.
    Record(Record),
    /// Removes a key from the snapshot.
    Tombstone { channel: Arc<str>, kind: Arc<str>, key: Arc<str> },
    /// Nothing: a tombstone without a key or a channel.
    Nothing,
    /// An invalid record, and how this row handles it.
    Bad(Bad, OnBadRecord),
}

enum TopicName {
    Exact(Arc<str>),
    Pattern(Regex, Arc<str>),
}

/// A compiled row.
struct Row {
    topic: TopicName,
    template: Template,
    /// As configured, for `GET /feeds`.
    channel_text: Arc<str>,
    fixed: Option<Arc<str>>,
    kind: Arc<str>,
    on_bad: OnBadRecord,
    snapshot: Snapshot,
    conflate: Conflate,
    backpressure: Backpressure,
}

/// The rows of one topic: resolved once, then used for each of its records.
pub(crate) type RowSet = Arc<[usize]>;

/// All rows and the channels they have made.
pub(crate) struct Mappings {
    rows: Vec<Row>,
    /// The rows of each channel. Channels with fixed names exist from the start.
    channels: RwLock<BTreeMap<Arc<str>, Vec<usize>>>,
    max_record_bytes: usize,
}

impl Mappings {
    /// Compiles `kafka.topics`.
    ///
    /// # Errors
    /// Names the invalid row and its key.
    pub(crate) fn compile(configs: &[MappingConfig], max_record_bytes: usize) -> Result<Self, ConfigFault> {
        let mut rows: Vec<Row> = Vec::with_capacity(configs.len());
        let mut channels: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
        for (index, config) in configs.iter().enumerate() {
            let row = Row::compile(config)
                .map_err(|(key, what)| ConfigFault::new(format!("kafka.topics[{index}].{key}"), what))?;
            if let Some(channel) = &row.fixed {
                let others = channels.entry(Arc::clone(channel)).or_default();
                if others.iter().any(|&other| rows[other].backpressure != row.backpressure) {
                    let what = format!("differs from that of an earlier mapping to `{channel}`");
                    return Err(ConfigFault::new(format!("kafka.topics[{index}].backpressure"), what));
                }
                others.push(index);
            }
            if rows.iter().any(|other| other.repeats(&row)) {
                let what = "says the same as an earlier mapping: its records would be shown twice";
                return Err(ConfigFault::new(format!("kafka.topics[{index}]"), what));
            }
            rows.push(row);
        }
        Ok(Self { rows, channels: RwLock::new(channels), max_record_bytes })
    }

    /// The rows that apply to a topic. Patterns do not match Kafka's own topics and dead letter topics, which would
    /// feed themselves.
    pub(crate) fn rows_of(&self, topic: &str) -> RowSet {
        let own = topic.starts_with("__") || topic.ends_with(".dlq");
        let takes = |row: &Row| match &row.topic {
            TopicName::Exact(name) => **name == *topic,
            TopicName::Pattern(pattern, _) => !own && pattern.is_match(topic),
        };
        (0..self.rows.len()).filter(|&index| takes(&self.rows[index])).collect()
    }

    /// Those of the given rows that keep the newest record of each key.
    pub(crate) fn keyed(&self, rows: &[usize]) -> RowSet {
        rows.iter().copied().filter(|&row| self.rows[row].snapshot == Snapshot::Key).collect()
    }

    /// Topics that rows name without a pattern, each once.
    #[cfg(feature = "kafka")]
    pub(crate) fn exact_topics(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = Vec::new();
        for row in &self.rows {
            if let TopicName::Exact(name) = &row.topic
                && !names.contains(name)
            {
                names.push(Arc::clone(name));
            }
        }
        names
    }

    /// For each row: its topic or pattern as configured, whether that is a pattern, channel and type.
    pub(crate) fn table(&self) -> impl Iterator<Item = (&Arc<str>, bool, &Arc<str>, &Arc<str>)> {
        self.rows.iter().map(|row| {
            let (topic, pattern) = match &row.topic {
                TopicName::Exact(name) => (name, false),
                TopicName::Pattern(_, text) => (text, true),
            };
            (topic, pattern, &row.channel_text, &row.kind)
        })
    }

    /// Maps a record under each of its topic's rows.
    pub(crate) fn map(&self, rows: &[usize], raw: &Raw<'_>) -> Vec<Mapped> {
        let size = raw.key.map_or(0, <[u8]>::len) + raw.value.map_or(0, <[u8]>::len);
        if size > self.max_record_bytes {
            return rows.iter().map(|&index| Mapped::Bad(Bad::TooLarge, self.rows[index].on_bad)).collect();
        }
        let key = raw.key.map(text_of);
        let value = raw.value.map(|value| checked(value).map(Arc::<str>::from));
        rows.iter().map(|&index| self.map_one(index, raw, key.as_ref(), value.as_ref())).collect()
    }

    fn map_one(
        &self,
        index: usize,
        raw: &Raw<'_>,
        key: Option<&Arc<str>>,
        value: Option<&Result<Arc<str>, Bad>>,
    ) -> Mapped {
        let row = &self.rows[index];
        let value = match value {
            Some(Err(bad)) => return Mapped::Bad(*bad, row.on_bad),
            Some(Ok(value)) => Some(value),
            None if key.is_none() || row.template.needs_value() => return Mapped::Nothing,
            None => None,
        };
        let channel = match self.channel(index, raw, key, value) {
            Ok(channel) => channel,
            Err(bad) => return Mapped::Bad(bad, row.on_bad),
        };
        let kind = Arc::clone(&row.kind);
        match (value, key) {
            (Some(value), key) => Mapped::Record(Record {
                channel,
                kind,
                topic: Arc::clone(raw.topic),
                partition: raw.partition,
                offset: raw.offset,
                key: key.cloned(),
                value: Arc::clone(value),
                timestamp_ms: raw.timestamp_ms,
            }),
            (None, Some(key)) => Mapped::Tombstone { channel, kind, key: Arc::clone(key) },
            (None, None) => Mapped::Nothing,
        }
    }

    fn channel(
        &self,
        index: usize,
        raw: &Raw<'_>,
        key: Option<&Arc<str>>,
        value: Option<&Arc<str>>,
    ) -> Result<Arc<str>, Bad> {
        let row = &self.rows[index];
        if let Some(channel) = &row.fixed {
            return Ok(Arc::clone(channel));
        }
        let name = row.template.name(key.map(|key| &**key), raw.headers, value.map(|value| &**value))?;
        if let Some((known, rows)) = self.channels.read().get_key_value(&*name)
            && rows.contains(&index)
        {
            return Ok(Arc::clone(known));
        }
        let mut channels = self.channels.write();
        if channels.len() >= MAX_CHANNELS && !channels.contains_key(&*name) {
            return Err(Bad::TooManyChannels);
        }
        let name: Arc<str> = name.into();
        let rows = channels.entry(Arc::clone(&name)).or_default();
        if !rows.contains(&index) {
            rows.push(index);
        }
        Ok(name)
    }

    /// Whether the channel exists.
    pub(crate) fn is_channel(&self, name: &str) -> bool {
        self.channels.read().contains_key(name)
    }

    /// Whether one of these rows feeds this channel, or could: after a restart a template's channels are unknown until
    /// their records arrive.
    pub(crate) fn feeds(&self, rows: &[usize], channel: &str) -> bool {
        rows.iter().any(|&row| self.rows[row].template.could_make(channel))
    }

    /// The spec that a channel would have to which no record was mapped yet, if rows of these topics could make it.
    pub(crate) fn spec_to_be(
        &self,
        channel: &str,
        topics: &mut dyn Iterator<Item = &str>,
    ) -> Option<ChannelSpec> {
        let mut of: Vec<usize> = topics.flat_map(|topic| self.rows_of(topic).to_vec()).collect();
        of.retain(|&row| self.rows[row].template.could_make(channel));
        of.sort_unstable();
        of.dedup();
        (!of.is_empty()).then(|| self.spec(&of))
    }

    /// All channels, ordered by name.
    pub(crate) fn channels(&self) -> Vec<ChannelInfo> {
        let all = self.channels.read();
        all.iter().map(|(name, rows)| ChannelInfo { name: Arc::clone(name), spec: self.spec(rows) }).collect()
    }

    /// The spec of a channel.
    pub(crate) fn spec_of(&self, channel: &str) -> Option<ChannelSpec> {
        self.channels.read().get(channel).map(|rows| self.spec(rows))
    }

    fn spec(&self, of: &[usize]) -> ChannelSpec {
        let mut rules: Vec<KindSpec> = Vec::new();
        for row in of.iter().map(|&index| &self.rows[index]) {
            match rules.iter_mut().find(|rule| rule.kind == row.kind) {
                Some(rule) => {
                    rule.snapshot = rule.snapshot.or(row.snapshot);
                    rule.conflate = rule.conflate.or(row.conflate);
                }
                None => rules.push(KindSpec {
                    kind: Arc::clone(&row.kind),
                    snapshot: row.snapshot,
                    conflate: row.conflate,
                }),
            }
        }
        let first = of.first().map(|&index| &self.rows[index]);
        ChannelSpec {
            channel: first.and_then(|row| row.fixed.clone()),
            kinds: rules.iter().map(|rule| Arc::clone(&rule.kind)).collect(),
            snapshot: rules.iter().fold(Snapshot::None, |all, rule| all.or(rule.snapshot)),
            conflate: rules.iter().fold(Conflate::None, |all, rule| all.or(rule.conflate)),
            backpressure: first.map_or(Backpressure::DropOldest, |row| row.backpressure),
            rules,
        }
    }
}

impl Row {
    fn compile(config: &MappingConfig) -> Result<Self, (&'static str, String)> {
        let topic = topic_name(&config.topic).map_err(|what| ("topic", what))?;
        let template = Template::parse(&config.channel).map_err(|what| ("channel", what))?;
        if !(1..=64).contains(&config.kind.len()) || config.kind.chars().any(char::is_control) {
            return Err(("type", "must be 1 to 64 bytes without control characters".into()));
        }
        // A delivery of such a type would be indistinguishable from a frame of the protocol.
        if FrameType::parse(&config.kind).is_some() {
            return Err(("type", format!("may not be `{}`, which the protocol uses itself", config.kind)));
        }
        Ok(Self {
            topic,
            fixed: template.fixed().map(Into::into),
            template,
            channel_text: config.channel.as_str().into(),
            kind: config.kind.as_str().into(),
            on_bad: config.on_bad_record,
            snapshot: config.snapshot,
            conflate: config.conflate,
            backpressure: config.backpressure,
        })
    }

    fn repeats(&self, other: &Self) -> bool {
        let same_topic = match (&self.topic, &other.topic) {
            (TopicName::Exact(a), TopicName::Exact(b))
            | (TopicName::Pattern(_, a), TopicName::Pattern(_, b)) => a == b,
            _ => false,
        };
        same_topic && self.template == other.template && self.kind == other.kind
    }
}

/// Kafka's own rule for topic names: 1 to 249 of letters, digits, `.`, `_`, `-`.
fn topic_name(text: &str) -> Result<TopicName, String> {
    if let Some(pattern) = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        let whole = Regex::new(&format!("^(?:{pattern})$"))
            .map_err(|err| format!("is no regular expression: {}", last_line(&err.to_string())))?;
        return Ok(TopicName::Pattern(whole, text.into()));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !(1..=249).contains(&text.len()) || !text.chars().all(legal) || matches!(text, "." | "..") {
        return Err(
            "must be a topic name (1 to 249 letters, digits, `.`, `_`, `-`) or a pattern in slashes".into()
        );
    }
    Ok(TopicName::Exact(text.into()))
}

/// The line of a multi-line message that has the error.
fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ")
}

fn checked(value: &[u8]) -> Result<&str, Bad> {
    if value.is_empty() {
        return Err(Bad::Empty);
    }
    json::check(value).map_err(|not| match not {
        json::NotJson::Malformed => Bad::NotJson,
        json::NotJson::TooDeep => Bad::TooDeep,
    })
}

/// A key as text: itself, or base64.
fn text_of(key: &[u8]) -> Arc<str> {
    match std::str::from_utf8(key) {
        Ok(text) => text.into(),
        Err(_) => base64::engine::general_purpose::STANDARD.encode(key).into(),
    }
}

#[cfg(test)]
mod tests;
