//! `fanfare feeds test-mapping`: maps sample records without a broker.

use super::{Mapped, Mappings, Raw};
use crate::config::{ConfigFault, MappingConfig, OnBadRecord};
use std::sync::Arc;

/// A sample record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleRecord {
    /// Topic it would come from.
    pub topic: String,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
}

/// The result of a sample under one mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingTrial {
    /// Index in `kafka.topics`.
    pub row: usize,
    /// Its result.
    pub outcome: TrialOutcome,
}

/// The result of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrialOutcome {
    /// Delivered.
    Record {
        /// On this channel.
        channel: Arc<str>,
        /// With this `type`.
        kind: Arc<str>,
        /// And this key.
        key: Option<Arc<str>>,
    },
    /// Takes a key out of the channel's snapshot.
    Tombstone {
        /// The channel.
        channel: Arc<str>,
        /// `type` of the records with that key.
        kind: Arc<str>,
        /// The key.
        key: Arc<str>,
    },
    /// A tombstone without effect here.
    Ignored,
    /// An invalid record.
    Bad {
        /// The reason, as in the metric.
        reason: &'static str,
        /// How it is handled.
        policy: OnBadRecord,
    },
}

/// Tries mappings on a sample. Empty when no mapping matches its topic.
///
/// # Errors
/// A mapping that is invalid, as [`crate::Feeds::start`] would report it.
pub fn test_mapping(
    mappings: &[MappingConfig],
    max_record_bytes: usize,
    sample: &SampleRecord,
) -> Result<Vec<MappingTrial>, ConfigFault> {
    let mappings = Mappings::compile(mappings, max_record_bytes)?;
    let rows = mappings.rows_of(&sample.topic);
    let raw = Raw {
        topic: &sample.topic.as_str().into(),
        partition: 0,
        offset: 0,
        key: sample.key.as_deref(),
        value: sample.value.as_deref(),
        headers: &sample.headers,
        timestamp_ms: 0,
    };
    let outcome = |mapped| match mapped {
        Mapped::Record(record) => {
            TrialOutcome::Record { channel: record.channel, kind: record.kind, key: record.key }
        }
        Mapped::Tombstone { channel, kind, key } => TrialOutcome::Tombstone { channel, kind, key },
        Mapped::Nothing => TrialOutcome::Ignored,
        Mapped::Bad(bad, policy) => TrialOutcome::Bad { reason: bad.word(), policy },
    };
    let mapped = mappings.map(&rows, &raw);
    Ok(rows.iter().zip(mapped).map(|(&row, mapped)| MappingTrial { row, outcome: outcome(mapped) }).collect())
}
