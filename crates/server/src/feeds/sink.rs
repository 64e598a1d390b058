//! The sink of the source's records: passes them to the hub.

use super::JsonLookup;
use crate::node::Node;
use crate::posts::{Posts, ToShard};
use fanfare_core::feeds::{FeedRecord, Incoming, PerKey};
use fanfare_core::ports::Info;
use fanfare_core::topics::Topics;
use fanfare_dialects::feed::{RecordView, write_body};
use fanfare_feeds::{Conflate, Delivery, FeedSink, LagAlert, MappingConfig, Record, Snapshot};
use fanfare_services::ports::Sockets;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Converts records to the hub's form.
#[derive(Debug)]
pub(super) struct Shaper {
    /// Per-key rules by `type`: where mappings of one type differ, the stricter rule applies.
    per_key: HashMap<Box<str>, PerKey>,
}

impl Shaper {
    pub(super) fn new(mappings: &[MappingConfig]) -> Self {
        let mut per_key: HashMap<Box<str>, PerKey> = HashMap::new();
        for mapping in mappings {
            let wish = per_key.entry(mapping.kind.as_str().into()).or_default();
            wish.snapshot |= mapping.snapshot == Snapshot::Key;
            wish.conflate |= mapping.conflate == Conflate::Key;
        }
        Self { per_key }
    }

    pub(super) fn shape(&self, record: &Record) -> FeedRecord {
        let mut body = Vec::new();
        let view = RecordView {
            kind: &record.kind,
            channel: &record.channel,
            value: &record.value,
            at_ms: record.timestamp_ms,
            topic: &record.topic,
            partition: record.partition,
            offset: record.offset,
            key: record.key.as_deref(),
        };
        write_body(&mut body, &view);
        FeedRecord {
            kind: record.kind.clone(),
            key: record.key.clone(),
            topic: record.topic.clone(),
            partition: record.partition,
            offset: record.offset,
            per_key: self.per_key.get(&*record.kind).copied().unwrap_or_default(),
            // The text was concatenated from text.
            body: String::from_utf8(body).unwrap_or_default().into(),
        }
    }
}

/// The hub as the source's sink.
pub(super) struct HubSink {
    topics: Arc<Topics<ToShard>>,
    posts: Posts,
    shaper: Arc<Shaper>,
}

impl HubSink {
    pub(super) fn new(node: &Arc<Node>, shaper: Arc<Shaper>) -> Self {
        Self { topics: node.topics.clone(), posts: node.posts.clone(), shaper }
    }

    /// Notifies `/ws/system`: earlier offsets are invalid, and unread records of the old log are lost.
    fn notify_restarted(&self, topic: &str, partition: i32) {
        let message = format!(
            "the log of the feed {topic}/{partition} restarted: its topic was recreated, or truncated; earlier records that were not \
             shown are lost, and offsets start over"
        );
        self.posts.notify_system(&Info::Notice { message: &message, severity: "warning" });
    }
}

impl FeedSink for HubSink {
    fn deliver(&self, batch: &[Delivery<'_>]) {
        let mut run = Vec::with_capacity(batch.len());
        let mut of: Option<&Arc<str>> = None;
        let flush = |of: Option<&Arc<str>>, run: &mut Vec<Incoming>| {
            if let Some(channel) = of.filter(|_| !run.is_empty()) {
                self.topics.deliver(channel, run, &mut JsonLookup::default(), Instant::now());
                run.clear();
            }
        };
        for delivery in batch {
            let (channel, incoming) = match *delivery {
                Delivery::Record(record) => {
                    (&record.channel, Incoming::Record(Arc::new(self.shaper.shape(record))))
                }
                Delivery::Tombstone { channel, kind, key, topic, partition, offset } => {
                    let (kind, key, topic) = (kind.clone(), Some(key.clone()), topic.clone());
                    (channel, Incoming::Tombstone { kind, key, topic, partition, offset })
                }
                Delivery::Restarted { topic, partition } => {
                    flush(of, &mut run);
                    self.topics.restarted(topic, partition);
                    self.notify_restarted(topic, partition);
                    continue;
                }
            };
            if of.is_some_and(|of| of != channel) {
                flush(of, &mut run);
            }
            of = Some(channel);
            run.push(incoming);
        }
        flush(of, &mut run);
    }

    fn failed(&self, thread: &str) {
        tracing::error!(
            thread,
            "a thread of the feeds failed; the process ends so that its supervisor restarts it"
        );
        fanfare_services::fatal::fail()
    }

    fn fill(&self, topic: &Arc<str>, partition: i32, up_to: i64, records: &[&Record]) -> bool {
        let mut of: HashMap<&str, Vec<Arc<FeedRecord>>> = HashMap::new();
        for record in records {
            of.entry(&record.channel).or_default().push(Arc::new(self.shaper.shape(record)));
        }
        let at = (topic.clone(), partition);
        of.iter().fold(true, |all, (channel, records)| self.topics.fill(channel, &at, up_to, records) && all)
    }

    fn lag(&self, alert: LagAlert) {
        let LagAlert { topic, partition, lag, raised } = &alert;
        if *raised {
            tracing::warn!(%topic, partition, lag, "a feed lags behind");
        } else {
            tracing::info!(%topic, partition, lag, "a feed has caught up");
        }
        self.posts.notify_system(&Info::FeedLag { topic, partition: *partition, lag: *lag, raised: *raised });
    }
}
