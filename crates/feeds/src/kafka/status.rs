//! The source's status, as the server shows it.

use super::partition::Partition;
use super::receive::now_ms;
use super::shared::{OfTopic, Shared};
use crate::status::{FeedsStatus, Health, PartitionStatus, TopicStatus};
use std::sync::Arc;
use std::time::Duration;

/// How long a refusal by Kafka is reported: it recurs with every try.
const REFUSAL_COUNTS: Duration = Duration::from_secs(15);

/// How long other members may own partitions before it is an error: a rebalance ends sooner.
pub(crate) const FOREIGN_COUNTS: Duration = Duration::from_secs(15);

/// A copy of the current status.
pub(crate) fn of(shared: &Shared) -> FeedsStatus {
    let mut status = FeedsStatus {
        up: Some(shared.trouble.lock().up == Some(true)),
        feeds: feeds(shared),
        ..FeedsStatus::default()
    };
    let wrong = wrong(shared, &status);
    status.health = if wrong.is_empty() { Health::Ok } else { Health::Degraded(wrong) };
    shared.counters.fill(&mut status);
    status
}

fn feeds(shared: &Shared) -> Vec<TopicStatus> {
    let partitions = shared.partitions.read();
    let mut feeds = Vec::new();
    for (row, (topic, pattern, channel, kind)) in shared.mappings.table().enumerate() {
        let rows = |of: &OfTopic| {
            of.values().filter_map(|partition| partition_status(partition)).collect::<Vec<_>>()
        };
        let mut names: Vec<_> = partitions
            .iter()
            .filter(
                |(name, of)| {
                    if pattern { of.values().any(|one| one.rows.contains(&row)) } else { *name == topic }
                },
            )
            .map(|(name, of)| (Arc::clone(name), rows(of)))
            .filter(|(_, rows)| !pattern || !rows.is_empty())
            .collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        if names.is_empty() {
            names.push((Arc::clone(topic), Vec::new()));
        }
        feeds.extend(names.into_iter().map(|(topic, partitions)| TopicStatus {
            topic,
            channel: Arc::clone(channel),
            kind: Arc::clone(kind),
            partitions,
        }));
    }
    feeds
}

fn partition_status(partition: &Partition) -> Option<PartitionStatus> {
    let state = partition.lock();
    let position = state.position.filter(|_| state.assigned)?;
    Some(PartitionStatus {
        partition: partition.number,
        offset: position,
        end: state.end.max(position),
        lag: state.lag().unwrap_or(0),
        lag_seconds: Partition::lag_seconds(&state, now_ms()),
        alert: state.lag_watch.raised,
        halted: state.halted,
    })
}

/// The problems, in words.
fn wrong(shared: &Shared, status: &FeedsStatus) -> Vec<String> {
    let mut wrong = Vec::new();
    let trouble = shared.trouble.lock();
    if trouble.up != Some(true) {
        wrong.push("no Kafka broker responds".to_owned());
    }
    wrong.extend(trouble.missing.iter().map(|topic| format!("the topic {topic} does not exist")));
    if trouble.foreign_since.is_some_and(|since| since.elapsed() >= FOREIGN_COUNTS) {
        wrong.push(format!(
            "other members of the group {} read partitions whose records do not reach this node: \
             configure cluster.redis_url, or kafka.mode = broadcast",
            shared.config.group
        ));
    }
    if let Some((what, _)) = trouble.refused.as_ref().filter(|(_, at)| at.elapsed() < REFUSAL_COUNTS) {
        wrong.push(format!("Kafka refuses this node: {what}"));
    }
    drop(trouble);
    for partition in shared.all_partitions() {
        let state = partition.lock();
        let name = || format!("{}/{}", partition.topic, partition.number);
        if !state.assigned {
            continue;
        }
        match state.halted {
            Some(why) => {
                let at = state.position.unwrap_or(0);
                wrong.push(format!("{} stands still at offset {at}: {why}", name()));
            }
            None if state.retry_at.is_some() => {
                wrong.push(format!("{} waits for its dead letter topic", name()));
            }
            None if state.lag_watch.raised => {
                wrong.push(format!("{} is {} records behind", name(), state.lag().unwrap_or(0)));
            }
            None => {}
        }
    }
    debug_assert!(status.up.is_some());
    wrong
}
