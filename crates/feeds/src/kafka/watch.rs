//! The watch: once a second it checks lag, alerts and stalls; every few seconds it queries Kafka for topics and other
//! members of the group. Nothing waits for it.

use super::anchor::Lookout;
use super::partition::State;
use super::shared::{Layout, Shared};
use crate::sink::LagAlert;
use rdkafka::consumer::Consumer;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_secs(1);
/// How often topics are queried.
const TOPICS_EVERY: Duration = Duration::from_secs(3);
/// How often other members of the group are queried.
const MEMBERS_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for a response.
const ANSWER: Duration = Duration::from_secs(3);
/// How often the end of a partition is queried while no record arrives.
const END_EVERY: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// How long the end of a partition may advance without a record arriving before the client is recreated.
const STALLED: Duration = Duration::from_secs(if cfg!(test) { 4 } else { 30 });

/// The thread's main loop.
pub(crate) fn run(shared: &Arc<Shared>) {
    let mut topics_at: Option<Instant> = None;
    let mut members_at = Instant::now();
    let mut lookout = Lookout::default();
    while !shared.is_stopping() {
        let began = Instant::now();
        if topics_at.is_none_or(|at| at.elapsed() >= TOPICS_EVERY) {
            let answered = look_for_topics(shared);
            // Until the first response every tick queries.
            if answered || topics_at.is_some() {
                topics_at = Some(began);
            }
        }
        if !shared.broadcast && !shared.config.relayed && members_at.elapsed() >= MEMBERS_EVERY {
            members_at = began;
            look_for_members(shared);
        }
        look_at_resting_ends(shared);
        lookout.look(shared);
        look_at_partitions(shared);
        std::thread::sleep(TICK.saturating_sub(began.elapsed()));
    }
}

/// Queries which mapped topics exist, and with how many partitions.
fn look_for_topics(shared: &Shared) -> bool {
    let found = {
        let client = shared.client.read();
        client.as_ref().and_then(|client| client.fetch_metadata(None, ANSWER).ok())
    };
    let Some(found) = found else { return false };
    let layout: Layout = found
        .topics()
        .iter()
        .filter(|topic| topic.error().is_none() && !shared.mappings.rows_of(topic.name()).is_empty())
        .map(|topic| (topic.name().into(), i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)))
        .collect();
    shared.known.lock().get_or_insert_with(|| layout.clone());
    let exact = shared.mappings.exact_topics();
    let missing: Vec<_> = exact.into_iter().filter(|topic| !layout.contains_key(topic)).collect();
    let mut trouble = shared.trouble.lock();
    for topic in missing.iter().filter(|topic| !trouble.missing.contains(topic)) {
        tracing::warn!(
            topic = &**topic,
            "a mapped Kafka topic does not exist; it is looked for again and again"
        );
    }
    trouble.missing = missing;
    drop(trouble);
    let before = std::mem::replace(&mut *shared.layout.lock(), layout.clone());
    // A topic that did not exist for a while may have been recreated.
    for (topic, _) in before.iter().filter(|(topic, count)| layout.get(*topic).is_none_or(|now| now < count))
    {
        shared.doubt(topic);
    }
    true
}

/// Queries whether other members own partitions whose records never reach this node.
fn look_for_members(shared: &Shared) {
    let members = {
        let client = shared.client.read();
        let groups = client
            .as_ref()
            .and_then(|client| client.fetch_group_list(Some(&shared.config.group), ANSWER).ok());
        groups.and_then(|groups| groups.groups().first().map(|group| group.members().len()))
    };
    let there: i32 = shared.layout.lock().values().sum();
    let own = shared.all_partitions().iter().filter(|partition| partition.lock().assigned).count();
    let foreign = members.is_some_and(|members| members > 1) || own < usize::try_from(there).unwrap_or(0);
    let mut trouble = shared.trouble.lock();
    // While Kafka is unreachable no partition is owned, which does not mean that other members own them.
    if !foreign || trouble.up != Some(true) {
        trouble.foreign_since = None;
    } else {
        trouble.foreign_since.get_or_insert_with(Instant::now);
    }
}

/// Queries the ends of partitions from which no record arrives: paused ones, whose end librdkafka's statistics do not
/// follow, and quiet ones, which may have stalled.
fn look_at_resting_ends(shared: &Shared) {
    let now = Instant::now();
    for partition in shared.all_partitions() {
        let resting = {
            let mut state = partition.lock();
            let arrivals = state.arrivals;
            let (at, before) = *state.asked.get_or_insert((now, arrivals));
            if before != arrivals {
                state.asked = Some((now, arrivals));
            }
            let quiet = before == arrivals && now.duration_since(at) >= END_EVERY;
            state.assigned && (state.halted.is_some() || state.paused || quiet)
        };
        if !resting {
            continue;
        }
        let marks = {
            let client = shared.client.read();
            client.as_ref().map(|client| client.fetch_watermarks(&partition.topic, partition.number, TICK))
        };
        // After one timeout the other partitions would time out too: the next tick tries again.
        let Some(Ok((_, end))) = marks else { return };
        let mut state = partition.lock();
        state.asked = Some((now, state.arrivals));
        state.readable = end;
        state.end = state.end.max(end);
    }
}

/// Alerts, delayed retries, stalls.
fn look_at_partitions(shared: &Arc<Shared>) {
    let now = Instant::now();
    let up = shared.trouble.lock().up == Some(true);
    for partition in shared.all_partitions() {
        let mut state = partition.lock();
        if state.retry_at.is_some_and(|at| at <= now) && !state.busy && !state.scheduled {
            state.retry_at = None;
            state.scheduled = true;
            shared.schedule(Arc::clone(&partition));
        }
        let lag = if state.assigned { state.lag().unwrap_or(0) } else { 0 };
        if lag == 0 {
            state.behind_since = None;
        } else {
            state.behind_since.get_or_insert(now);
        }
        let changed = state.lag_watch.look(lag, shared.lag_warn, now);
        let stalled = up && is_stalled(&mut state, now);
        drop(state);
        let (topic, number) = (&*partition.topic, partition.number);
        if let Some(raised) = changed {
            shared.sink.lag(LagAlert { topic: Arc::clone(&partition.topic), partition: number, lag, raised });
        }
        if stalled {
            tracing::error!(topic, partition = number, lag, "a feed stalled: the Kafka client is recreated");
            shared.counters.restarts.fetch_add(1, Ordering::Relaxed);
            shared.rebuild.store(true, Ordering::Release);
        }
    }
}

/// Whether records have been available for a while and none arrived, although nothing holds the partition back.
fn is_stalled(state: &mut State, now: Instant) -> bool {
    let waiting = state.assigned
        && state.queue.is_empty()
        && !state.busy
        && !state.paused
        && state.halted.is_none()
        && state.position.is_some_and(|position| state.readable > position);
    match state.stalled_since {
        Some((since, arrivals)) if waiting && arrivals == state.arrivals => {
            let stalled = now.duration_since(since) >= STALLED;
            if stalled {
                state.stalled_since = None;
            }
            stalled
        }
        _ => {
            state.stalled_since = waiting.then_some((now, state.arrivals));
            false
        }
    }
}
