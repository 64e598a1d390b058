//! The place of a connection in its topics: joining, subscribed, leaving.

use super::*;

impl<D> Shard<D> {
    /// Takes a subscription that left its topic at `head` out of its connection, and appends what is posted for it and not yet
    /// delivered to `out`.
    pub(super) fn part(&mut self, slot: u32, at: usize, head: u64, out: &mut Vec<u8>) {
        self.take_inbox();
        let sub = self.cold[slot as usize].subs.swap_remove(at);
        self.settle(slot, sub, head, out);
        self.detach(slot, sub);
    }

    /// Appends what is posted for a subscription up to `head` and not yet delivered to `out`: it ends after this. Other threads
    /// may have posted more since.
    pub(super) fn settle(&mut self, slot: u32, sub: Sub, head: u64, out: &mut Vec<u8>) {
        let from = match sub.place {
            REPLAYING => return,
            JOINING => {
                self.local(sub.local).joins.iter().find(|j| j.slot == slot).map_or(u64::MAX, |j| j.from)
            }
            _ => 0,
        };
        let variant = usize::from(self.hot[slot as usize].variant);
        let mut delivered = 0;
        for (at, job) in self.jobs.iter().enumerate() {
            let Work::Events(batch) = &job.work else { continue };
            let begun = at == 0 && self.cursor.is_some();
            let done = begun && sub.place != JOINING && (sub.place as usize) < self.cursor.unwrap_or(0);
            let early = sub.place == JOINING && batch.first <= from;
            if job.local != sub.local || done || early || batch.first > head {
                continue;
            }
            for (a, b) in self.ranges_for(slot, batch) {
                let frames = &batch.frames[variant];
                out.extend_from_slice(&frames.bytes[frames.start(a)..frames.start(b)]);
                delivered += (b - a) as u64;
            }
        }
        self.counts.deliveries += delivered;
        self.count_sent(slot, delivered as u32);
    }

    /// Adds a subscriber that is sent what comes after `from`: at once, or when the earlier batches are flushed.
    pub(super) fn join(&mut self, slot: u32, local: u32, from: u64) {
        self.cold[slot as usize].subs.push(Sub { local, place: JOINING });
        let entry = self.locals_mut(local);
        if entry.jobs == 0 {
            self.enlist(slot, local);
        } else {
            entry.joins.push(Join { slot, from });
        }
    }

    /// Lets those join whose first batch begins at `first`.
    pub(super) fn admit(&mut self, local: u32, first: u64) {
        let entry = self.locals_mut(local);
        if entry.joins.is_empty() {
            return;
        }
        let (now, later) = std::mem::take(&mut entry.joins).into_iter().partition(|j: &Join| j.from < first);
        entry.joins = later;
        let now: Vec<Join> = now;
        now.iter().for_each(|j| self.enlist(j.slot, local));
    }

    pub(super) fn enlist(&mut self, slot: u32, local: u32) {
        let place = self.locals_mut(local).push(slot);
        if let Some(sub) = self.cold[slot as usize].subs.iter_mut().find(|s| s.local == local) {
            sub.place = place;
        }
    }

    /// Takes a subscription that was removed from its connection out of its local topic.
    pub(super) fn detach(&mut self, slot: u32, sub: Sub) {
        let begun = self.jobs.front().is_some_and(|j| j.local == sub.local);
        let cursor = if begun { self.cursor } else { None };
        let Some(entry) = self.locals[sub.local as usize].as_mut() else { return };
        match sub.place {
            JOINING => entry.joins.retain(|j| j.slot != slot),
            REPLAYING => {
                entry.replaying.retain(|s| *s != slot);
                let topic = entry.topic.clone();
                self.end_replay(slot, &topic);
            }
            place => {
                let cold = &mut self.cold;
                let after = entry.remove(place, cursor.unwrap_or(0), |moved, place| {
                    if let Some(s) = cold[moved as usize].subs.iter_mut().find(|s| s.local == sub.local) {
                        s.place = place;
                    }
                });
                if cursor.is_some() {
                    self.cursor = Some(after);
                }
            }
        }
        self.drop_local_if_unused(sub.local);
    }

    /// The subscription of a connection to a name.
    pub(super) fn find(&self, slot: u32, space: Space, name: &str) -> Option<usize> {
        self.cold[slot as usize].subs.iter().position(|s| {
            let topic = &self.local(s.local).topic;
            topic.space == space && *topic.name == *name
        })
    }

    pub(super) fn find_id(&self, slot: u32, topic: u64) -> Option<usize> {
        self.cold[slot as usize].subs.iter().position(|s| self.local(s.local).topic.id == topic)
    }

    pub(super) fn local_of(&mut self, topic: &Arc<Topic>) -> u32 {
        if let Some(&local) = self.by_id.get(&topic.id) {
            return local;
        }
        let local = self.free_locals.pop().unwrap_or_else(|| {
            self.locals.push(None);
            (self.locals.len() - 1) as u32
        });
        self.locals[local as usize] = Some(LocalTopic::new(topic.clone()));
        self.by_id.insert(topic.id, local);
        local
    }

    pub(super) fn drop_local_if_unused(&mut self, local: u32) {
        if let Some(entry) = &self.locals[local as usize]
            && entry.is_unused()
        {
            self.by_id.remove(&entry.topic.id);
            self.locals[local as usize] = None;
            self.free_locals.push(local);
        }
    }

    pub(super) fn local(&self, local: u32) -> &LocalTopic {
        let Some(entry) = &self.locals[local as usize] else {
            unreachable!("a local topic stays while a subscription or a job names it")
        };
        entry
    }

    pub(super) fn locals_mut(&mut self, local: u32) -> &mut LocalTopic {
        let Some(entry) = &mut self.locals[local as usize] else {
            unreachable!("a local topic stays while a subscription or a job names it")
        };
        entry
    }
}
