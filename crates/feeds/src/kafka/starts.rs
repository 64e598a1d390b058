//! Where reading starts in partitions that the group assigned to this node, where librdkafka's own rule does not
//! suffice: new partitions are read from their beginning, and a stored position that is not in its log any more is
//! logged before it is reset.

use super::context::Context;
use super::shared::Shared;
use crate::config::OffsetReset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::time::Duration;

/// Longest wait for each response, inside a rebalance.
const ANSWER: Duration = Duration::from_secs(3);

/// Sets offsets in an assigned list. Without a response from Kafka librdkafka's own rule applies: it queries again
/// itself.
pub(crate) fn set(shared: &Shared, client: &BaseConsumer<Context>, list: &mut TopicPartitionList) {
    let fresh = fresh(shared, list);
    let committed = match client.committed_offsets(plain(list), ANSWER) {
        Ok(committed) => committed.to_topic_map(),
        Err(err) => return shared.complain(&format!("stored positions: {err}")),
    };
    for (topic, number) in &fresh {
        let none = !matches!(committed.get(&(topic.clone(), *number)), Some(Offset::Offset(_)));
        if none {
            let _ = list.set_partition_offset(topic, *number, Offset::Beginning);
        }
    }
    let stored: HashMap<_, _> = committed
        .into_iter()
        .filter_map(|(at, offset)| match offset {
            Offset::Offset(offset) => Some((at, offset)),
            _ => None,
        })
        .collect();
    if stored.is_empty() {
        return;
    }
    if let Err(err) = reset_void(shared, client, list, &stored) {
        shared.complain(&format!("ends of logs: {err}"));
    }
}

/// Partitions that did not exist at the start. Records written between their creation and their detection are no older
/// than the feed.
fn fresh(shared: &Shared, list: &TopicPartitionList) -> Vec<(String, i32)> {
    let mut known = shared.known.lock();
    let Some(known) = known.as_mut() else { return Vec::new() };
    let mut fresh = Vec::new();
    for one in list.elements() {
        if one.partition() >= *known.entry(one.topic().into()).or_insert(0) {
            fresh.push((one.topic().to_owned(), one.partition()));
        }
    }
    for (topic, number) in &fresh {
        if let Some(count) = known.get_mut(&**topic) {
            *count = (*count).max(number + 1);
        }
    }
    fresh
}

/// Logs stored positions that lie outside their log; reading continues as `kafka.offset_reset` says.
fn reset_void(
    shared: &Shared,
    client: &BaseConsumer<Context>,
    list: &mut TopicPartitionList,
    stored: &HashMap<(String, i32), i64>,
) -> Result<(), KafkaError> {
    let ends = |which| marks(client, stored, which);
    let (lows, ends) = (ends(Offset::Beginning)?, ends(Offset::End)?);
    for ((topic, partition), &position) in stored {
        let at = (topic.clone(), *partition);
        let (Some(&low), Some(&end)) = (lows.get(&at), ends.get(&at)) else { continue };
        if (low..=end).contains(&position) {
            continue;
        }
        let next = match shared.config.offset_reset {
            OffsetReset::Earliest => low,
            OffsetReset::Latest => end,
        };
        tracing::warn!(
            topic,
            partition,
            position,
            next,
            "a stored position is not in its Kafka log any more (its records expired, or the topic was made again); \
             reading continues as kafka.offset_reset says"
        );
        shared.counters.expired(&shared.partition(topic, *partition).topic);
        list.set_partition_offset(topic, *partition, Offset::Offset(next))?;
    }
    Ok(())
}

/// The first offsets or the ends of many logs, with one request to each of their brokers.
fn marks(
    client: &BaseConsumer<Context>,
    of: &HashMap<(String, i32), i64>,
    which: Offset,
) -> Result<HashMap<(String, i32), i64>, KafkaError> {
    let mut asked = TopicPartitionList::with_capacity(of.len());
    for (topic, partition) in of.keys() {
        asked.add_partition_offset(topic, *partition, which)?;
    }
    let answered = client.offsets_for_times(asked, ANSWER)?;
    let found = answered.elements().into_iter().filter(|one| one.error().is_ok()).filter_map(|one| {
        let Offset::Offset(offset) = one.offset() else { return None };
        Some(((one.topic().to_owned(), one.partition()), offset))
    });
    Ok(found.collect())
}

/// The partitions of a list without its offsets.
fn plain(list: &TopicPartitionList) -> TopicPartitionList {
    let mut plain = TopicPartitionList::with_capacity(list.count());
    for one in list.elements() {
        plain.add_partition(one.topic(), one.partition());
    }
    plain
}
