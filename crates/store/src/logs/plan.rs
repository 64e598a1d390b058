//! Numbering of a batch: which appends are entries, which are repeats, which are refused. Pure, so that it is testable
//! without a store.
//!
//! The caller holds the locks of all heads, and `known` was read after they were taken: no decision here can become
//! outdated before the commit.

use std::collections::HashMap;

use fanfare_core::model::{Epoch, EventId};

use super::{Append, IdClock, Key};
use crate::error::{Result, StoreError};
use crate::model::{LogId, Receipt};

/// A log's head, before the batch and then after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) epoch: Epoch,
    pub(super) head: u64,
    /// Time of the newest id.
    pub(super) clock: u64,
    /// Bytes that the batch adds.
    pub(super) added: usize,
}

/// An entry that an append may repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct First {
    pub(super) seq: u64,
    pub(super) id: EventId,
}

/// A stored message.
pub(super) struct Twin {
    pub(super) first: First,
    /// The whole envelope; none when its entry was removed.
    pub(super) envelope: Option<Vec<u8>>,
}

/// The stored state of the batch's logs, keys and messages.
#[derive(Default)]
pub(super) struct Known {
    pub(super) heads: HashMap<LogId, Head>,
    pub(super) keys: HashMap<(LogId, Key), First>,
    pub(super) messages: HashMap<String, Twin>,
}

/// The plan of a batch.
pub(super) struct Plan {
    /// For each append.
    pub(super) results: Vec<Result<Receipt>>,
    /// Heads after the batch, of all its logs.
    pub(super) heads: HashMap<LogId, Head>,
}

impl Plan {
    /// The appends that become entries.
    pub(super) fn entries<'a>(
        &'a self,
        appends: &'a [Append],
    ) -> impl Iterator<Item = (&'a Append, &'a Receipt)> {
        let new = |(append, answer): (&'a Append, &'a Result<Receipt>)| match answer {
            Ok(receipt) if !receipt.repeated => Some((append, receipt)),
            _ => None,
        };
        appends.iter().zip(&self.results).filter_map(new)
    }
}

/// Numbers the batch, in its order.
pub(super) fn plan(appends: &[Append], known: Known, ids: &IdClock, now_ms: u64) -> Plan {
    let Known { mut heads, mut keys, mut messages } = known;
    let results = appends.iter().map(|append| {
        let head = heads.get_mut(&append.log).ok_or(StoreError::NoLog)?;
        let repeat =
            |first: &First| Receipt { epoch: head.epoch, seq: first.seq, id: first.id, repeated: true };
        if let Some(first) = append.key.and_then(|key| keys.get(&(append.log, key))) {
            return Ok(repeat(first));
        }
        if let Some(twin) = append.message.as_ref().and_then(|message| messages.get(&message.id)) {
            let same = twin.envelope.as_ref() == Some(&append.entry.payload);
            return if same { Ok(repeat(&twin.first)) } else { Err(StoreError::Conflict("id")) };
        }
        let id = ids.next(now_ms, head.clock);
        (head.head, head.clock) = (head.head + 1, id.time);
        head.added += append.bytes();
        let first = First { seq: head.head, id };
        if let Some(key) = append.key {
            keys.insert((append.log, key), first);
        }
        if let Some(message) = &append.message {
            let envelope = Some(append.entry.payload.clone());
            messages.insert(message.id.clone(), Twin { first, envelope });
        }
        Ok(Receipt { epoch: head.epoch, seq: first.seq, id, repeated: false })
    });
    let results = results.collect();
    Plan { results, heads }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::model::NewEntry;

    fn append(log: i64, key: Option<&str>) -> Append {
        let idempotency = key.map(|key| ("scope".to_owned(), key.to_owned()));
        let entry = NewEntry { idempotency, ..NewEntry::new(*b"12345") };
        Append::new(LogId(log), entry, Box::new(drop))
    }

    fn known(heads: &[(i64, u64)]) -> Known {
        let head = |(log, head): &(i64, u64)| {
            (LogId(*log), Head { epoch: Epoch(7), head: *head, clock: 3, added: 0 })
        };
        Known { heads: heads.iter().map(head).collect(), ..Known::default() }
    }

    fn clock() -> IdClock {
        IdClock { last: AtomicU64::new(0), node: 1 }
    }

    fn seqs(plan: &Plan) -> Vec<Option<(u64, bool)>> {
        plan.results.iter().map(|answer| answer.as_ref().ok().map(|r| (r.seq, r.repeated))).collect()
    }

    #[test]
    fn numbers_are_dense_in_each_log_and_ids_rise() {
        let appends = [append(1, None), append(2, None), append(1, None), append(9, None), append(1, None)];
        let plan = plan(&appends, known(&[(1, 5), (2, 0)]), &clock(), 1);
        let new = |seq| Some((seq, false));
        assert_eq!(seqs(&plan), [new(6), new(1), new(7), None, new(8)]);
        assert_eq!(plan.results[3], Err(StoreError::NoLog));
        assert_eq!((plan.heads[&LogId(1)].head, plan.heads[&LogId(2)].head), (8, 1));
        assert_eq!(plan.heads[&LogId(1)].added, 3 * (5 + crate::model::OVERHEAD));
        let ids: Vec<_> = plan.results.iter().flatten().map(|receipt| receipt.id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        assert_eq!(plan.heads[&LogId(1)].clock, ids[3].time);
        assert_eq!(plan.entries(&appends).count(), 4);
    }

    #[test]
    fn a_key_is_one_entry_in_its_log_and_in_the_batch() {
        let appends =
            [append(1, Some("a")), append(1, Some("a")), append(2, Some("a")), append(1, Some("b"))];
        let mut before = known(&[(1, 5), (2, 0)]);
        let first = First { seq: 3, id: EventId { time: 2, node: 8 } };
        before.keys.insert((LogId(1), appends[3].key.unwrap()), first);
        let plan = plan(&appends, before, &clock(), 1);
        assert_eq!(seqs(&plan), [Some((6, false)), Some((6, true)), Some((1, false)), Some((3, true))]);
        assert_eq!(plan.results[3].as_ref().unwrap().id, first.id);
    }
}
