//! What commits add to the logs, and when something has to go.

use super::{Entry, OpenLog, Place, Registry};
use fanfare_core::model::Epoch;
use fanfare_core::topics::LogRetention;
use fanfare_store::{Committed, LogHead, LogId, Trimmed};
use std::sync::Arc;

/// Longest time until a log of an earlier life is looked at for entries that are past their time, in milliseconds.
const FIRST_LOOK_MS: u64 = 60_000;

impl Registry {
    /// Plans when a log is trimmed whose bounds are new.
    pub(super) fn look_at_first(&mut self, id: LogId, now_ms: u64) {
        let Some(name) = self.names.get(&id) else { return };
        let Some(Entry::Open(log)) = self.entries.get_mut(name) else { return };
        if log.is_over() {
            self.over.insert(id);
        }
        let ttl_ms = log.place.keep.ttl_ms;
        if log.head >= log.first && ttl_ms > 0 && log.due.is_none() {
            // Spread, because all logs of an earlier life are looked at after a start.
            let due = now_ms + id.0.unsigned_abs() % FIRST_LOOK_MS.min(ttl_ms).max(1);
            log.due = Some(due);
            self.due.insert((due, id));
        }
    }

    /// A commit has appended to a log. Returns the name of its topic, if it is a topic's.
    pub(in crate::topics::durable) fn committed(&mut self, group: &Committed) -> Option<(Arc<str>, Place)> {
        let name = self.names.get(&group.log)?.clone();
        let Some(Entry::Open(log)) = self.entries.get_mut(&name) else { return None };
        let added: u64 = group.entries.iter().map(|(entry, _)| entry.bytes() as u64).sum();
        let (first, last) = (group.entries.first()?, group.entries.last()?);
        log.head = log.head.max(last.0.seq);
        log.bytes += added;
        self.bytes += added;
        if log.due.is_none() && log.place.keep.ttl_ms > 0 {
            let due = first.0.at_ms() + log.place.keep.ttl_ms;
            log.due = Some(due);
            self.due.insert((due, group.log));
        }
        if log.is_over() {
            self.over.insert(group.log);
        }
        Some((name, log.place.clone()))
    }

    /// The store says that a log has come to this head.
    pub(in crate::topics::durable) fn reached(&mut self, head: &LogHead) -> Option<(Arc<str>, Epoch)> {
        let name = self.names.get(&head.id)?.clone();
        let Some(Entry::Open(log)) = self.entries.get_mut(&name) else { return None };
        if head.head <= log.head {
            return None;
        }
        log.head = head.head;
        Some((name, log.place.epoch))
    }

    /// Takes the logs out that are to be trimmed now.
    pub(in crate::topics::durable) fn take_due(&mut self, now_ms: u64) -> Vec<(LogId, LogRetention)> {
        let mut due = std::mem::take(&mut self.over);
        while let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= now_ms) {
            self.due.remove(&(at, id));
            due.insert(id);
        }
        let keep = |id: LogId| {
            let name = self.names.get(&id)?;
            match self.entries.get(name) {
                Some(Entry::Open(log)) => Some((id, log.place.keep)),
                _ => None,
            }
        };
        due.into_iter().filter_map(keep).collect()
    }

    /// A log was trimmed, or could not be: then it is due again.
    pub(in crate::topics::durable) fn trimmed(&mut self, id: LogId, trimmed: Option<&Trimmed>, now_ms: u64) {
        let Some(name) = self.names.get(&id) else { return };
        let Some(Entry::Open(log)) = self.entries.get_mut(name) else { return };
        if let Some(old) = log.due.take() {
            self.due.remove(&(old, id));
        }
        let Some(trimmed) = trimmed else {
            log.due = Some(now_ms);
            self.due.insert((now_ms, id));
            return;
        };
        log.first = trimmed.first;
        self.bytes = self.bytes - log.bytes + trimmed.bytes;
        log.bytes = trimmed.bytes;
        if let (Some(oldest), 1..) = (trimmed.oldest_at_ms, log.place.keep.ttl_ms) {
            let due = oldest + log.place.keep.ttl_ms;
            log.due = Some(due);
            self.due.insert((due, id));
        }
        if log.is_over() {
            self.over.insert(id);
        }
    }
}

impl OpenLog {
    pub(super) fn is_over(&self) -> bool {
        let keep = self.place.keep;
        let entries = (self.head + 1).saturating_sub(self.first);
        (keep.size > 0 && entries > keep.size) || (keep.bytes > 0 && self.bytes > keep.bytes && entries > 1)
    }
}
