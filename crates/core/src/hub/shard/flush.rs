//! Flushes: a batch to each subscriber once, in slices; what is not taken goes to the outbox.

use super::*;

impl<D> Shard<D> {
    pub(super) fn run_job(&mut self, wire: &mut impl Wire, budget: usize, now_ms: u64) -> usize {
        let Some(job) = self.jobs.pop_front() else { return budget };
        let (left, done) = match &job.work {
            Work::Events(batch) => self.flush(job.local, batch, wire, budget),
            Work::Deletion => self.tell_deleted(job.local, wire, budget, now_ms),
        };
        if done {
            self.cursor = None;
            if let Work::Events(batch) = &job.work {
                self.flushes.push(batch.opened);
            }
            self.make_lagging_pull(job.local);
            self.make_ahead_pull(job.local);
            self.finish_job(job.local);
            if let Work::Events(batch) = &job.work {
                self.told_flushed(batch);
            }
        } else {
            self.jobs.push_front(job);
        }
        left
    }

    pub(super) fn finish_job(&mut self, local: u32) {
        let entry = self.locals_mut(local);
        entry.jobs -= 1;
        if entry.jobs == 0 {
            let joins = std::mem::take(&mut entry.joins);
            joins.iter().for_each(|j| self.enlist(j.slot, local));
        }
        self.drop_local_if_unused(local);
    }

    /// Sends a batch to the list, from the cursor on. Answers the budget left and whether the end was reached.
    pub(super) fn flush(
        &mut self,
        local: u32,
        batch: &Arc<Batch>,
        wire: &mut impl Wire,
        mut budget: usize,
    ) -> (usize, bool) {
        if self.cursor.is_none() {
            self.admit(local, batch.first);
        }
        let mut cursor = self.cursor.unwrap_or(0);
        let count = u64::from(batch.count);
        let plain = batch.excluded.is_empty();
        while budget > 0 {
            let Some(&slot) = self.local(local).list.get(cursor) else { return (budget, true) };
            cursor += 1;
            budget -= 1;
            let hot = self.hot[slot as usize];
            let frames = &batch.frames[usize::from(hot.variant)];
            if plain && hot.flags & (BACKLOG | ENDING) == 0 {
                match wire.send(slot, &frames.bytes) {
                    Sent::Bytes(n) if n == frames.bytes.len() => {
                        self.counts.deliveries += count;
                        self.count_sent(slot, batch.count);
                    }
                    Sent::Bytes(n) => {
                        let mut span = Span::new(batch, hot.variant, 0, frames.ends.len());
                        span.pos = n;
                        span.next = frames.frame_at(n);
                        self.counts.deliveries += count;
                        self.count_sent(slot, batch.count);
                        self.queue_events(slot, span, wire);
                    }
                    Sent::Broken => self.effects.push(Effect::Broken(slot)),
                }
            } else if hot.flags & ENDING == 0 {
                self.flush_slowly(slot, batch, wire);
            }
            self.cursor = Some(cursor);
        }
        (0, cursor >= self.local(local).list.len())
    }

    /// The path for connections with a backlog and for batches that exclude a connection.
    pub(super) fn flush_slowly(&mut self, slot: u32, batch: &Arc<Batch>, wire: &mut impl Wire) {
        for (from, to) in self.ranges_for(slot, batch) {
            self.counts.deliveries += (to - from) as u64;
            self.count_sent(slot, (to - from) as u32);
            self.offer(slot, Span::new(batch, self.hot[slot as usize].variant, from, to), wire);
        }
    }

    /// Sends events to a connection that may have a backlog, and queues what it does not take.
    pub(super) fn offer(&mut self, slot: u32, mut span: Span, wire: &mut impl Wire) {
        let limits = self.config.queue;
        // With frames waiting already, the socket is known to be full and becomes writable later.
        let try_first = match &self.cold[slot as usize].outbox {
            Some(o) if o.is_empty() => o.dropped() > 0,
            Some(o) => !o.fits(span.messages(), span.bytes().len(), limits),
            None => false,
        };
        if try_first {
            self.drain(slot, wire);
            // Nothing is queued that would make the socket writable later, so a replay continues from here.
            if self.cold[slot as usize].outbox.as_ref().is_some_and(|o| o.is_empty() && !o.replays.is_empty())
            {
                self.pulling.push_back(slot);
            }
        }
        let idle = self.cold[slot as usize].outbox.as_ref().is_none_or(|o| o.is_empty() && o.dropped() == 0);
        if idle && !self.has(slot, ENDING) {
            match wire.send(slot, span.bytes()) {
                Sent::Bytes(n) => span.advance(n),
                Sent::Broken => {
                    self.effects.push(Effect::Broken(slot));
                    return;
                }
            }
        }
        if span.next < span.end {
            self.queue_events(slot, span, wire);
        }
    }

    /// The ranges of a batch that a connection is sent.
    pub(super) fn ranges_for(&self, slot: u32, batch: &Batch) -> SmallVec<[(usize, usize); 2]> {
        let mut ranges = SmallVec::new();
        let mut from = 0;
        if !batch.excluded.is_empty() {
            let addr = self.addr(slot);
            for at in batch.excluded.iter().filter(|(_, a)| *a == addr).map(|(at, _)| *at as usize) {
                ranges.push((from, at));
                from = at + 1;
            }
        }
        ranges.push((from, batch.count as usize));
        ranges.retain(|(a, b)| a < b);
        ranges
    }

    /// Queues events that a connection did not take: a send was tried before, so overflow can be judged.
    pub(super) fn queue_events(&mut self, slot: u32, span: Span, wire: &mut impl Wire) {
        let limits = self.config.queue;
        if self.has(slot, ENDING) {
            return;
        }
        if span.batch.paced.as_ref().is_some_and(|topic| topic.conflates()) {
            self.lag(slot, &span);
            return;
        }
        let outbox = self.outbox(slot);
        let (before, dropped) = (outbox.bytes(), outbox.dropped());
        let under_way = span.frame_under_way();
        let verdict = outbox.push_events(span, limits);
        if verdict == Verdict::Overflow
            && let Some(frame) = under_way
        {
            outbox.push_anyway(frame);
        }
        let (after, now_dropped) = (outbox.bytes(), outbox.dropped());
        self.queued_bytes = self.queued_bytes + after - before;
        self.counts.dropped += now_dropped - dropped;
        self.want_writable(slot);
        if verdict == Verdict::Overflow {
            self.end_slow(slot, "the client did not read fast enough and its queue overflowed; reconnect and subscribe with since", wire);
        }
    }

    pub(super) fn end_slow(&mut self, slot: u32, why: &'static str, wire: &mut impl Wire) {
        self.counts.slow_consumers += 1;
        self.end(slot, Some(&Refusal::new(ErrorCode::SlowConsumer, why)), 1013, "slow consumer", wire);
    }
}
