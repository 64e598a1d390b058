//! From the queue to the sink: a worker takes a partition, at most a batch of its records, passes them on, and stores
//! the position after them. Other partitions proceed meanwhile; this one waits until the batch is done.

use super::dead_letters::Failed;
use super::partition::{Item, Partition, State};
use super::restart;
use super::shared::Shared;
use crate::config::OnBadRecord;
use crate::mapping::{Bad, Mapped};
use crate::model::Delivery;
use rdkafka::consumer::Consumer;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause before dead letters that could not be written are tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Where a batch ended.
enum End {
    /// The whole batch is done.
    Done,
    /// The record at this index halts the partition.
    Halt(usize, &'static str),
    /// The record at this index is to be tried again later.
    Retry(usize),
}

/// The partition's state when a batch was taken.
#[derive(Clone, Copy)]
struct Taken {
    generation: u64,
    life: u64,
}

/// A worker's main loop.
pub(crate) fn run(shared: &Arc<Shared>) {
    while let Some(partition) = shared.next_ready() {
        turn(shared, &partition);
    }
}

/// One turn of a partition.
fn turn(shared: &Arc<Shared>, partition: &Arc<Partition>) {
    let (mut items, taken) = {
        let mut state = partition.lock();
        state.scheduled = false;
        if state.busy || state.queue.is_empty() {
            partition.notify_idle();
            return;
        }
        state.busy = true;
        state.retry_at = None;
        let count = state.queue.len().min(shared.config.batch_size.max(1));
        let items: VecDeque<Item> = state.queue.drain(..count).collect();
        state.queued_bytes -= items.iter().map(|item| item.bytes).sum::<usize>();
        (items, Taken { generation: state.generation, life: state.life })
    };
    #[cfg(test)]
    if let (true, Some(last)) = (shared.sabotage.load(std::sync::atomic::Ordering::Relaxed), items.back()) {
        store(shared, partition, last.offset + 1);
    }
    let end = hand_over(shared, partition, items.make_contiguous());
    settle(shared, partition, items, taken, &end);
}

/// Passes the batch on up to its end, in one call to the sink unless a record in it halts.
fn hand_over(shared: &Shared, partition: &Partition, items: &[Item]) -> End {
    let mut batch: Vec<Delivery<'_>> = Vec::with_capacity(items.len());
    let mut end = End::Done;
    for (index, item) in items.iter().enumerate() {
        if item.is_mark() {
            batch.push(Delivery::Restarted { topic: &partition.topic, partition: partition.number });
        }
        match judge(shared, partition, item) {
            Ok(()) => batch.extend(item.mapped.iter().filter_map(|mapped| delivery(partition, item, mapped))),
            Err(Failed::ForGood(why)) => end = End::Halt(index, why),
            Err(Failed::ForNow) => end = End::Retry(index),
        }
        if !matches!(end, End::Done) {
            break;
        }
    }
    if !batch.is_empty() {
        shared.sink.deliver(&batch);
    }
    end
}

fn delivery<'a>(partition: &'a Partition, item: &'a Item, mapped: &'a Mapped) -> Option<Delivery<'a>> {
    match mapped {
        Mapped::Record(record) => Some(Delivery::Record(record)),
        Mapped::Tombstone { channel, kind, key } => Some(Delivery::Tombstone {
            channel,
            kind,
            key,
            topic: &partition.topic,
            partition: partition.number,
            offset: item.offset,
        }),
        Mapped::Nothing | Mapped::Bad(..) => None,
    }
}

/// Handles a record that is invalid under some row. The strictest row decides; a record is counted once.
fn judge(shared: &Shared, partition: &Partition, item: &Item) -> Result<(), Failed> {
    let strictness = |policy: OnBadRecord| match policy {
        OnBadRecord::Skip => 0,
        OnBadRecord::DeadLetter => 1,
        OnBadRecord::Halt => 2,
    };
    let bad = item.mapped.iter().filter_map(|mapped| match mapped {
        Mapped::Bad(bad, policy) => Some((*bad, *policy)),
        _ => None,
    });
    let Some((bad, policy)) = bad.max_by_key(|&(_, policy)| strictness(policy)) else { return Ok(()) };
    match policy {
        OnBadRecord::Skip => shared.counters.skipped(&partition.topic, bad),
        OnBadRecord::DeadLetter => {
            shared.dead_letters.write(shared, partition, item, bad)?;
            shared.counters.dead(&partition.topic, bad);
        }
        OnBadRecord::Halt => {}
    }
    log(shared, partition, item.offset, bad, policy);
    if policy == OnBadRecord::Halt { Err(Failed::ForGood(bad.word())) } else { Ok(()) }
}

/// Logs the record's coordinates and the reason, never its contents.
fn log(shared: &Shared, partition: &Partition, offset: i64, bad: Bad, policy: OnBadRecord) {
    let Some(held_back) = shared.bad_lines.allow(Instant::now()) else { return };
    let done = match policy {
        OnBadRecord::Skip => "passed over",
        OnBadRecord::DeadLetter => "written to the dead letters",
        OnBadRecord::Halt => "its partition is halted",
    };
    let (topic, partition, reason) = (&*partition.topic, partition.number, bad.word());
    tracing::warn!(topic, partition, offset, reason, held_back, "invalid record: {done}");
}

/// Stores the result in the partition's state: position, halt or retry, and the next turn.
fn settle(
    shared: &Arc<Shared>,
    partition: &Arc<Partition>,
    mut items: VecDeque<Item>,
    taken: Taken,
    end: &End,
) {
    let done = match end {
        End::Done => items.len(),
        End::Halt(index, _) | End::Retry(index) => *index,
    };
    let marks = items.iter().take(done).filter(|item| item.is_mark()).count();
    shared.counters.read(&partition.topic, (done - marks) as u64);
    let mut state = partition.lock();
    state.busy = false;
    let last = done.checked_sub(1).map(|index| &items[index]).filter(|_| state.life == taken.life);
    if let Some(last) = last {
        state.reached(last);
    }
    if state.generation == taken.generation {
        if let Some(last) = last {
            store(shared, partition, last.offset + 1);
            if marks > 0 {
                restart::commit_position(shared, partition, last.offset + 1);
            }
        }
        match end {
            End::Done => {}
            End::Halt(index, why) => halt(shared, partition, &mut state, items[*index].offset, why),
            End::Retry(_) => {
                state.retry_at = Some(Instant::now() + RETRY_AFTER);
                for item in items.drain(done..).rev() {
                    state.queued_bytes += item.bytes;
                    state.queue.push_front(item);
                }
            }
        }
    }
    if state.paused && state.halted.is_none() && state.has_room() && shared.pause(partition, false) {
        state.paused = false;
    }
    let again = !state.queue.is_empty() && state.retry_at.is_none() && !state.scheduled;
    state.scheduled |= again;
    drop(state);
    partition.notify_idle();
    if again {
        shared.schedule(Arc::clone(partition));
    }
}

/// Halts a partition at a record: the records after it will be read again when the partition is assigned again.
fn halt(shared: &Shared, partition: &Partition, state: &mut State, offset: i64, why: &'static str) {
    state.position = Some(offset);
    state.forget_queue();
    state.halted = Some(why);
    if !state.paused && shared.pause(partition, true) {
        state.paused = true;
    }
    let (topic, number) = (&*partition.topic, partition.number);
    tracing::error!(topic, partition = number, offset, reason = why, "a feed's partition was halted");
}

/// Stores the next offset to read; librdkafka commits stored offsets four times a second. For a partition that was
/// revoked meanwhile librdkafka rejects the store, as it should.
pub(crate) fn store(shared: &Shared, partition: &Partition, next: i64) {
    if shared.broadcast {
        return;
    }
    if let Some(client) = shared.client.read().as_ref() {
        let _ = client.store_offset(&partition.topic, partition.number, next - 1);
    }
}
