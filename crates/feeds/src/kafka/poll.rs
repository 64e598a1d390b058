//! The polling thread: creates the consumer, keeps its subscription, receives records, and shuts it down in order. It
//! waits for Kafka only, so the group never considers this node dead because of a slow sink.

use super::context::{Context, DRAIN, commit};
use super::shared::{Client, Layout, Shared};
use super::{receive, settings};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Longest wait for a record, and so the delay until a stop takes effect.
const POLL: Duration = Duration::from_millis(100);
/// How often the subscription is compared with the existing topics.
const COMPARE: Duration = Duration::from_millis(500);
/// Pause before another consumer is created after a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// The thread's main loop.
pub(crate) fn run(shared: &Arc<Shared>) {
    while !shared.is_stopping() {
        match settings::live(&shared.config).create_with_context::<_, Client>(Context(Arc::clone(shared))) {
            Ok(client) => {
                *shared.client.write() = Some(client);
                live(shared);
                let_go(shared);
            }
            Err(err) => shared.complain(&format!("no client: {err}")),
        }
        if !shared.is_stopping() {
            std::thread::sleep(AGAIN);
        }
    }
}

/// The lifetime of one consumer: until the stop, a fatal error, or the watchdog.
fn live(shared: &Arc<Shared>) {
    let guard = shared.client.read();
    let Some(client) = guard.as_ref() else { return };
    let mut following: Option<Layout> = None;
    let mut compared: Option<Instant> = None;
    while !shared.is_stopping() && !shared.rebuild.swap(false, Ordering::AcqRel) {
        if compared.is_none_or(|at| at.elapsed() >= COMPARE) {
            compared = Some(Instant::now());
            follow(shared, client, &mut following);
        }
        match client.poll(POLL) {
            None => {}
            Some(Ok(message)) => {
                let partition = shared.find(message.topic(), message.partition());
                if let Some(partition) = partition {
                    receive::receive(shared, &partition, &message);
                }
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                shared.complain(&format!("fatal, the client is recreated: {code}"));
                shared.counters.restarts.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Some(Err(err)) => passing(shared, &err),
        }
    }
}

/// Transport errors are ordinary: librdkafka reconnects by itself.
fn passing(shared: &Shared, err: &KafkaError) {
    match err.rdkafka_error_code() {
        Some(Code::PartitionEOF) => {}
        // The watch reports missing topics, once.
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => tracing::debug!("Kafka: {err}"),
        Some(
            code @ (Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication),
        ) => {
            shared.trouble.lock().refused = Some((code.to_string(), Instant::now()));
            shared.complain(&err.to_string());
        }
        _ => shared.complain(&err.to_string()),
    }
}

/// Subscribes to, or assigns, the existing topics.
fn follow(shared: &Shared, client: &Client, following: &mut Option<Layout>) {
    let mut wanted = shared.layout.lock().clone();
    if shared.broadcast {
        if following.as_ref() != Some(&wanted) {
            assign(shared, client, following.as_ref().unwrap_or(&Layout::new()), &wanted);
            *following = Some(wanted);
        }
        return;
    }
    // Topics named in the mappings are subscribed to before they exist; only the names are compared, because Kafka's
    // group follows the partitions itself.
    for topic in shared.mappings.exact_topics() {
        wanted.entry(topic).or_insert(0);
    }
    if following.as_ref().is_some_and(|had| had.keys().eq(wanted.keys())) {
        return;
    }
    let names: Vec<&str> = wanted.keys().map(|name| &**name).collect();
    if names.is_empty() {
        client.unsubscribe();
    } else if let Err(err) = client.subscribe(&names) {
        shared.complain(&format!("subscribe: {err}"));
        return;
    }
    tracing::debug!(?names, "Kafka: subscribed");
    *following = Some(wanted);
}

/// Broadcast: this node reads every partition itself.
fn assign(shared: &Shared, client: &Client, had: &Layout, wanted: &Layout) {
    let (mut more, mut less) = (TopicPartitionList::new(), TopicPartitionList::new());
    let count = |layout: &Layout, topic: &Arc<str>| layout.get(topic).copied().unwrap_or(0);
    for topic in had.keys().chain(wanted.keys().filter(|topic| !had.contains_key(*topic))) {
        let (old, new) = (count(had, topic), count(wanted, topic));
        for number in old..new {
            let from = start_of(shared, topic, number);
            let _ = more.add_partition_offset(topic, number, from);
        }
        for number in new..old {
            less.add_partition(topic, number);
            let partition = shared.partition(topic, number);
            let mut state = partition.lock();
            state.forget_queue();
            state.assigned = false;
        }
    }
    let done = if less.count() > 0 { client.incremental_unassign(&less) } else { Ok(()) };
    let done = done.and_then(|()| if more.count() > 0 { client.incremental_assign(&more) } else { Ok(()) });
    if let Err(err) = done {
        shared.complain(&format!("assign: {err}"));
    }
}

/// Where a broadcast node starts to read a partition: after what it delivered, at the beginning of a partition that was
/// added later, else as `kafka.offset_reset` says.
fn start_of(shared: &Shared, topic: &Arc<str>, number: i32) -> Offset {
    let partition = shared.partition(topic, number);
    let mut state = partition.lock();
    state.forget_queue();
    state.assigned = true;
    state.paused = false;
    state.halted = None;
    state.stalled_since = None;
    if let Some(position) = state.position {
        return Offset::Offset(position);
    }
    let mut known = shared.known.lock();
    match known.as_mut().map(|known| known.entry(Arc::clone(topic)).or_insert(0)) {
        Some(count) if number >= *count => {
            *count = number + 1;
            Offset::Beginning
        }
        _ => shared.reset_offset(),
    }
}

/// Lets queued records reach the sink, commits, and drops the consumer, which leaves the group.
fn let_go(shared: &Arc<Shared>) {
    let deadline = Instant::now() + DRAIN;
    for partition in shared.all_partitions() {
        partition.drain(deadline);
    }
    if let Some(client) = shared.client.read().as_ref() {
        commit(shared, client);
    }
    let client = shared.client.write().take();
    for partition in shared.all_partitions() {
        let mut state = partition.lock();
        state.forget_queue();
        state.assigned = false;
    }
    drop(client);
    shared.trouble.lock().up = Some(false);
}
