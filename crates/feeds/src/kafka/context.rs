//! Callbacks of librdkafka: logs, errors, statistics, and partitions assigned and revoked. All of them run on the
//! polling thread, inside `poll`.

use super::partition::{Partition, Rest};
use super::restart;
use super::shared::Shared;
use super::starts;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a rebalance may wait for queued records to reach the sink.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// librdkafka's facility for log lines about an invalid position of a partition being read. The lines name topic,
/// partition and position.
const OFFSET_RESET: &str = "OFFSET";

/// The live consumer's context.
pub(crate) struct Context(pub(crate) Arc<Shared>);

/// The fields used of librdkafka's statistics.
#[derive(Deserialize)]
struct Figures {
    #[serde(default)]
    brokers: HashMap<String, BrokerFigures>,
    #[serde(default)]
    topics: HashMap<String, TopicFigures>,
}

#[derive(Deserialize)]
struct BrokerFigures {
    state: String,
}

#[derive(Deserialize)]
struct TopicFigures {
    #[serde(default)]
    partitions: HashMap<i32, PartitionFigures>,
}

#[derive(Deserialize)]
struct PartitionFigures {
    fetch_state: String,
    next_offset: i64,
    hi_offset: i64,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if matches!(level, RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug | RDKafkaLogLevel::Notice) {
            tracing::debug!(facility, "Kafka: {message}");
        } else if facility == OFFSET_RESET {
            // One line for each partition whose records expired before they were read: these are not throttled.
            tracing::warn!("Kafka: {message}; reading continues as kafka.offset_reset says");
        } else {
            self.0.complain(message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.0.trouble.lock().up = Some(false);
        }
        self.0.complain(reason);
    }

    fn stats_raw(&self, figures: &[u8]) {
        let Ok(figures) = serde_json::from_slice::<Figures>(figures) else { return };
        let up = figures.brokers.values().any(|broker| broker.state == "UP");
        self.0.trouble.lock().up = Some(up);
        for (topic, figures) in &figures.topics {
            for (&number, figures) in &figures.partitions {
                if figures.fetch_state == "active"
                    && let Some(partition) = self.0.find(topic, number)
                {
                    look(&self.0, &partition, figures);
                }
            }
        }
    }
}

/// Compares a partition's state with the fetcher's statistics.
fn look(shared: &Shared, partition: &Arc<Partition>, figures: &PartitionFigures) {
    let mut state = partition.lock();
    if state.other {
        let reached = state.wanted.unwrap_or(figures.next_offset);
        restart::begin(shared, partition, &mut state, reached);
        return;
    }
    match state.look(figures.next_offset, figures.hi_offset) {
        Rest::Nothing => {}
        Rest::Advance(next) => {
            state.position = Some(next);
            state.wanted = Some(next);
            state.first.get_or_insert(next);
            // A gap in the offsets, or librdkafka moved to the end of another log by itself.
            state.doubt = true;
            super::work::store(shared, partition, next);
        }
        Rest::Elsewhere => {
            let position = state.position.unwrap_or(figures.next_offset);
            drop(state);
            // The statistics may predate an assignment, and a fetcher may return to uncommitted records: a log that is
            // shorter than what was delivered has restarted, any other is looked up.
            let shorter = restart::marks(shared, partition).is_some_and(|(_, end)| end < position);
            let mut state = partition.lock();
            if shorter {
                restart::begin(shared, partition, &mut state, figures.next_offset);
            } else {
                state.doubt = true;
            }
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, client: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        self.0.counters.rebalances.fetch_add(1, Ordering::Relaxed);
        let cooperative = matches!(client.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(client, list, cooperative)
        } else {
            self.revoke(client, list, cooperative)
        };
        if let Err(err) = done {
            self.0.complain(&format!("rebalance: {err}"));
        }
    }

    fn commit_callback(&self, result: Result<(), KafkaError>, _: &TopicPartitionList) {
        match result {
            Ok(()) => {}
            Err(err) if err.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) => {}
            // The next commit includes the same positions.
            Err(err) => self.0.complain(&format!("commit: {err}")),
        }
    }
}

impl Context {
    fn assign(
        &self,
        client: &BaseConsumer<Self>,
        list: &mut TopicPartitionList,
        cooperative: bool,
    ) -> Result<(), KafkaError> {
        starts::set(&self.0, client, list);
        let given: Vec<_> =
            list.elements().iter().map(|one| self.0.partition(one.topic(), one.partition())).collect();
        let mut resume = TopicPartitionList::new();
        for partition in &given {
            let mut state = partition.lock();
            state.forget_queue();
            state.assigned = true;
            if std::mem::take(&mut state.paused) {
                resume.add_partition(&partition.topic, partition.number);
            }
            state.halted = None;
            state.stalled_since = None;
            // While other members had the partition, or its topic did not exist, the log may have been recreated.
            state.doubt = true;
        }
        if cooperative {
            client.incremental_assign(list)?
        } else {
            client.assign(list)?
        }
        tracing::info!(partitions = given.len(), "Kafka assigned partitions to this node");
        if resume.count() > 0 { client.resume(&resume) } else { Ok(()) }
    }

    fn revoke(
        &self,
        client: &BaseConsumer<Self>,
        list: &TopicPartitionList,
        cooperative: bool,
    ) -> Result<(), KafkaError> {
        let lost = client.assignment_lost();
        let taken: Vec<_> =
            list.elements().iter().filter_map(|one| self.0.find(one.topic(), one.partition())).collect();
        let deadline = Instant::now() + DRAIN;
        for partition in &taken {
            if !lost {
                partition.drain(deadline);
            }
            let mut state = partition.lock();
            state.forget_queue();
            state.assigned = false;
        }
        if !lost {
            commit(&self.0, client);
        }
        tracing::info!(partitions = taken.len(), lost, "Kafka revoked partitions of this node");
        if cooperative { client.incremental_unassign(list) } else { client.unassign() }
    }
}

/// Commits the stored positions and waits for the result.
pub(crate) fn commit(shared: &Shared, client: &BaseConsumer<Context>) {
    if shared.broadcast {
        return;
    }
    match client.commit_consumer_state(CommitMode::Sync) {
        Ok(()) => {}
        Err(err) if err.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) => {}
        Err(err) => shared.complain(&format!("commit: {err}")),
    }
}
