//! What a connection has not taken yet.
//!
//! It exists only while a send fell short, a replay is under way or the connection is ending. Events are references into
//! shared batches, replies are bytes. The queue is bounded in messages and bytes (`protocol.md` 5): replies and infos are
//! never dropped and instead stop the reading; `drop_oldest` events give way and are counted; an event of a `disconnect`
//! topic that still does not fit ends the connection.
//!
//! Drops are counted and reported for all topics together and for each feed channel separately.
//!
//! A frame of which a part has left is always finished first.
//!
//! Longer than most: every rule of backpressure, and the sum of bytes they all keep, is in this one place.

use super::batch::{Backpressure, Batch, Frames};
use super::shard::Older;
use crate::feeds::{Positions, Prelude};
use crate::topics::Topic;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

/// Pieces in one vectored write.
pub(crate) const MAX_PIECES: usize = 32;

/// How much may wait for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes.
    pub bytes: usize,
}

/// Consecutive events of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) batch: Arc<Batch>,
    pub(crate) variant: u8,
    /// The first event not fully written.
    pub(crate) next: usize,
    /// One past the last event.
    pub(crate) end: usize,
    /// Written up to here, in bytes of the batch.
    pub(crate) pos: usize,
}

impl Span {
    /// Events `next..end` of a batch, nothing of them written.
    pub(crate) fn new(batch: &Arc<Batch>, variant: u8, next: usize, end: usize) -> Self {
        let pos = batch.frames[usize::from(variant)].start(next);
        Self { batch: batch.clone(), variant, next, end, pos }
    }

    fn frames(&self) -> &super::batch::Frames {
        &self.batch.frames[usize::from(self.variant)]
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        let frames = self.frames();
        &frames.bytes[self.pos..frames.start(self.end)]
    }

    pub(crate) fn messages(&self) -> usize {
        self.end - self.next
    }

    /// Whether a part of the first event has left.
    pub(crate) fn is_cut(&self) -> bool {
        self.pos > self.frames().start(self.next)
    }

    /// The rest of the event of which a part has left.
    pub(crate) fn frame_under_way(&self) -> Option<Span> {
        self.is_cut().then(|| Span { batch: self.batch.clone(), end: self.next + 1, ..*self })
    }

    /// This number of bytes was sent.
    pub(crate) fn advance(&mut self, n: usize) {
        self.pos += n;
        self.next = self.frames().frame_at(self.pos);
    }

    /// The feed channel they are of.
    pub(crate) fn channel(&self) -> Option<&Arc<str>> {
        self.batch.paced.as_ref().filter(|topic| topic.group.is_some()).map(|topic| &topic.name)
    }

    fn droppable(&self) -> bool {
        self.batch.policy == Backpressure::DropOldest
    }
}

/// Whose drops: a feed channel's, or those of the topics together.
pub(crate) type Source = Option<Arc<str>>;

/// Why bytes are queued; decides what they count against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A reply or an info: counts, is never dropped.
    Reply,
    /// A piece of a replay: pulled as the client reads, so it does not count.
    Replay,
    /// The notice of the number of dropped events.
    Notice(Source, u64),
}

#[derive(Debug)]
enum Entry {
    Bytes { kind: Kind, bytes: Vec<u8>, pos: usize, messages: usize },
    Events(Span),
}

impl Entry {
    fn rest(&self) -> &[u8] {
        match self {
            Entry::Bytes { bytes, pos, .. } => &bytes[*pos..],
            Entry::Events(span) => span.bytes(),
        }
    }

    fn is_cut(&self) -> bool {
        match self {
            Entry::Bytes { pos, .. } => *pos > 0,
            Entry::Events(span) => span.is_cut(),
        }
    }

    /// (messages, bytes) that count against the limits.
    fn weight(&self) -> (usize, usize) {
        match self {
            Entry::Bytes { kind: Kind::Replay, .. } => (0, 0),
            Entry::Bytes { bytes, pos, messages, .. } => (*messages, bytes.len() - pos),
            Entry::Events(span) => (span.messages(), span.bytes().len()),
        }
    }
}

/// A replay under way.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) topic: Arc<Topic>,
    /// The last position that was pulled.
    pub(crate) after: u64,
    /// The offset of the last event that was pulled; of topics only.
    pub(crate) offset: u64,
    /// What of a followed topic is shown before its tail.
    pub(crate) older: Option<Box<Older>>,
    /// What is shown before.
    pub(crate) before: Option<Box<Before>>,
}

/// What a feed's subscriber is shown before its group's records.
#[derive(Debug)]
pub(crate) struct Before {
    pub(crate) prelude: Box<dyn Prelude>,
    /// The channel's positions at the replay's `after`.
    pub(crate) positions: Positions,
    /// The last offset of each partition that the client has: what the prelude showed, and what it had seen before. Live
    /// records up to it are left out.
    pub(crate) shown: Positions,
    /// How many logs had begun again in the group when it entered: `shown` of those that do later means nothing.
    pub(crate) restarted: u64,
    /// It was shown to its end.
    pub(crate) done: bool,
}

/// What became of events that were pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Queued,
    Overflow,
}

/// The queue of one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Entry>,
    messages: usize,
    bytes: usize,
    /// Events that were dropped and not yet reported.
    drops: Vec<(Source, u64)>,
    pub(crate) replays: Vec<Replay>,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn add(&mut self, entry: Entry) {
        let (messages, bytes) = entry.weight();
        self.messages += messages;
        self.bytes += bytes;
        self.queue.push_back(entry);
    }

    fn remove(&mut self, messages: usize, bytes: usize) {
        self.messages -= messages;
        self.bytes -= bytes;
    }

    /// Queues bytes; `pos` of them have left already.
    pub(crate) fn push_bytes(&mut self, kind: Kind, bytes: Vec<u8>, pos: usize, messages: usize) {
        if pos < bytes.len() {
            self.add(Entry::Bytes { kind, bytes, pos, messages });
        }
    }

    /// Takes the drops to report: those not reported so far and those of a notice that has not begun to leave, so
    /// that however many are dropped, one notice waits.
    pub(crate) fn take_drops(&mut self) -> Vec<(Source, u64)> {
        let at = usize::from(self.is_cut());
        while let Some(entry @ Entry::Bytes { kind: Kind::Notice(source, count), .. }) = self.queue.get(at) {
            let (source, count) = (source.clone(), *count);
            let (messages, bytes) = entry.weight();
            self.remove(messages, bytes);
            self.queue.remove(at);
            self.note_drops(source.as_ref(), count);
        }
        std::mem::take(&mut self.drops)
    }

    /// Counts drops to report.
    pub(crate) fn note_drops(&mut self, source: Option<&Arc<str>>, count: u64) {
        match self.drops.iter_mut().find(|(s, _)| s.as_ref() == source) {
            Some((_, n)) => *n += count,
            None if count > 0 => self.drops.push((source.cloned(), count)),
            None => {}
        }
    }

    /// Drops that are not reported so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.drops.iter().map(|(_, n)| n).sum()
    }

    /// Queues the notice of drops before everything but what is under way: nothing dropped was before that.
    pub(crate) fn push_notice(&mut self, source: Source, count: u64, bytes: Vec<u8>) {
        let entry = Entry::Bytes { kind: Kind::Notice(source, count), bytes, pos: 0, messages: 1 };
        let (messages, size) = entry.weight();
        self.messages += messages;
        self.bytes += size;
        self.queue.insert(usize::from(self.is_cut()), entry);
    }

    /// Whether a part of the first frame has left.
    pub(crate) fn is_cut(&self) -> bool {
        self.queue.front().is_some_and(Entry::is_cut)
    }

    /// Whether events of this weight fit. An empty queue takes any one message.
    pub(crate) fn fits(&self, messages: usize, bytes: usize, limits: QueueLimits) -> bool {
        (self.messages + messages <= limits.messages && self.bytes + bytes <= limits.bytes)
            || (self.messages == 0 && messages <= 1)
    }

    /// Queues events whatever the limits say.
    pub(crate) fn push_anyway(&mut self, span: Span) {
        self.add(Entry::Events(span));
    }

    /// Queues events within the limits: `drop_oldest` events give way, oldest first.
    pub(crate) fn push_events(&mut self, mut span: Span, limits: QueueLimits) -> Verdict {
        if span.next == span.end {
            return Verdict::Queued;
        }
        while !self.fits(span.messages(), span.bytes().len(), limits) {
            let excess = (
                (self.messages + span.messages()).saturating_sub(limits.messages),
                (self.bytes + span.bytes().len()).saturating_sub(limits.bytes),
            );
            if self.drop_oldest(excess) {
                continue;
            }
            if !span.droppable() {
                return Verdict::Overflow;
            }
            // The newest stay: the batch's own oldest go, but for a frame that is under way.
            let first = span.next + usize::from(span.is_cut());
            if first == span.end {
                break;
            }
            if let Some(frame) = span.frame_under_way() {
                self.add(Entry::Events(frame));
            }
            // An empty queue takes any one message, so one of them stays then.
            let most = span.end - usize::from(self.messages == 0);
            let count = to_free(span.frames(), first..most, excess).max(1);
            self.note_drops(span.channel(), count as u64);
            span = Span::new(&span.batch, span.variant, first + count, span.end);
            if span.next == span.end {
                return Verdict::Queued;
            }
        }
        self.add(Entry::Events(span));
        Verdict::Queued
    }

    /// Drops queued `drop_oldest` events that are not under way, oldest first: as many of the oldest span that has some as it
    /// takes to free this number of messages and bytes. Returns whether there was one.
    fn drop_oldest(&mut self, excess: (usize, usize)) -> bool {
        for at in 0..self.queue.len() {
            let Some(Entry::Events(span)) = self.queue.get_mut(at) else { continue };
            let cut = span.is_cut();
            if !span.droppable() || span.messages() <= usize::from(cut) {
                continue;
            }
            let victim = span.next + usize::from(cut);
            let count = to_free(span.frames(), victim..span.end, excess).max(1);
            let size = span.frames().start(victim + count) - span.frames().start(victim);
            let rest = Span::new(&span.batch, span.variant, victim + count, span.end);
            if cut {
                span.end = victim;
                if rest.next < rest.end {
                    self.queue.insert(at + 1, Entry::Events(rest.clone()));
                }
            } else if rest.next < rest.end {
                *span = rest.clone();
            } else {
                self.queue.remove(at);
            }
            self.remove(count, size);
            self.note_drops(rest.channel(), count as u64);
            return true;
        }
        false
    }

    /// Drops everything but the frame under way.
    pub(crate) fn cut_to_frame(&mut self) {
        self.replays.clear();
        self.drops.clear();
        let keep = self.is_cut();
        self.queue.truncate(usize::from(keep));
        if let Some(Entry::Events(span)) = self.queue.front_mut() {
            span.end = span.next + 1;
        }
        (self.messages, self.bytes) = self.queue.front().map_or((0, 0), Entry::weight);
    }

    /// The first pieces to write.
    pub(crate) fn pieces<'a>(&'a self, into: &mut Vec<IoSlice<'a>>) {
        into.extend(self.queue.iter().take(MAX_PIECES).map(|e| IoSlice::new(e.rest())));
    }

    /// This number of bytes was sent.
    pub(crate) fn advance(&mut self, mut n: usize) {
        while n > 0 {
            let Some(front) = self.queue.front_mut() else { return };
            let rest = front.rest().len();
            let before = front.weight();
            if n >= rest {
                n -= rest;
                self.queue.pop_front();
                self.remove(before.0, before.1);
                continue;
            }
            match front {
                Entry::Bytes { pos, .. } => *pos += n,
                Entry::Events(span) => span.advance(n),
            }
            let after = front.weight();
            self.remove(before.0 - after.0, before.1 - after.1);
            return;
        }
    }
}

/// The number of the events `of` that free this number of messages and bytes; all of them if that is not enough.
fn to_free(frames: &Frames, of: std::ops::Range<usize>, (messages, bytes): (usize, usize)) -> usize {
    let mark = frames.start(of.start) + bytes;
    let by_bytes = match bytes {
        0 => 0,
        _ => (frames.ends.partition_point(|&end| (end as usize) < mark) + 1).saturating_sub(of.start),
    };
    messages.max(by_bytes).min(of.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::batch::Frames;
    use std::time::Instant;

    fn batch(policy: Backpressure, sizes: &[usize]) -> Arc<Batch> {
        let mut frames = Frames::default();
        for (i, n) in sizes.iter().enumerate() {
            frames.bytes.extend(std::iter::repeat_n(b'a' + i as u8, *n));
            frames.ends.push(frames.bytes.len() as u32);
        }
        let frames = [frames, Frames::default(), Frames::default(), Frames::default()];
        let count = sizes.len() as u32;
        Arc::new(Batch {
            topic: 1,
            first: 1,
            count,
            frames,
            excluded: vec![],
            policy,
            opened: Instant::now(),
            paced: None,
        })
    }

    fn text(outbox: &Outbox) -> String {
        let mut pieces = Vec::new();
        outbox.pieces(&mut pieces);
        pieces.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect()
    }

    const LIMITS: QueueLimits = QueueLimits { messages: 4, bytes: 100 };

    #[test]
    fn a_disconnect_event_evicts_droppable_ones_first() {
        let mut o = Outbox::default();
        assert_eq!(
            o.push_events(Span::new(&batch(Backpressure::DropOldest, &[2, 2, 2, 2]), 0, 0, 4), LIMITS),
            Verdict::Queued
        );
        let strict = batch(Backpressure::Disconnect, &[3, 3]);
        assert_eq!(o.push_events(Span::new(&strict, 0, 0, 2), LIMITS), Verdict::Queued);
        assert_eq!((o.dropped(), text(&o).as_str()), (2, "ccddaaabbb"));
        let more = batch(Backpressure::Disconnect, &[1, 1, 1]);
        assert_eq!(o.push_events(Span::new(&more, 0, 0, 3), LIMITS), Verdict::Overflow);
    }

    #[test]
    fn the_frame_under_way_is_never_dropped() {
        let mut o = Outbox::default();
        let loose = batch(Backpressure::DropOldest, &[4, 4, 4, 4]);
        let mut span = Span::new(&loose, 0, 0, 4);
        span.pos = 1;
        o.push_events(span, LIMITS);
        o.push_events(Span::new(&loose, 0, 0, 3), LIMITS);
        assert_eq!(text(&o), "aaaaaaabbbbcccc");
        assert_eq!((o.dropped(), o.messages(), o.bytes()), (3, 4, 15));
        o.cut_to_frame();
        assert_eq!((text(&o).as_str(), o.messages(), o.bytes()), ("aaa", 1, 3));
    }

    #[test]
    fn a_droppable_batch_larger_than_the_queue_keeps_its_newest() {
        let mut o = Outbox::default();
        o.push_events(Span::new(&batch(Backpressure::DropOldest, &[1; 9]), 0, 0, 9), LIMITS);
        assert_eq!((o.dropped(), text(&o).as_str()), (5, "fghi"));
    }

    #[test]
    fn the_notice_of_drops_stands_between_the_frame_under_way_and_the_next_event() {
        let mut o = Outbox::default();
        let mut span = Span::new(&batch(Backpressure::DropOldest, &[2; 6]), 0, 0, 6);
        span.advance(1);
        o.push_events(span, LIMITS);
        assert_eq!(o.take_drops(), [(None, 2)]);
        o.push_notice(None, 2, b"-2-".to_vec());
        assert_eq!((text(&o).as_str(), o.messages(), o.bytes()), ("a-2-ddeeff", 5, 10));
    }

    #[test]
    fn however_many_are_dropped_one_notice_waits() {
        let mut o = Outbox::default();
        for _ in 0..50 {
            o.push_events(Span::new(&batch(Backpressure::DropOldest, &[1; 6]), 0, 0, 6), LIMITS);
            let [(None, count)] = o.take_drops()[..] else { panic!("{o:?}") };
            o.push_notice(None, count, b"-n-".to_vec());
            assert!((o.messages(), o.bytes()) <= (5, 7), "{o:?}");
        }
        o.note_drops(Some(&"feed".into()), 3);
        o.push_notice(Some("feed".into()), 1, b"-f-".to_vec());
        let (all, left) = (o.take_drops(), o.messages() as u64);
        assert_eq!(all, [(Some("feed".into()), 4), (None, 50 * 6 - left)]);
    }

    #[test]
    fn advancing_keeps_the_counts() {
        let mut o = Outbox::default();
        o.push_bytes(Kind::Reply, b"xxxx".to_vec(), 1, 1);
        o.push_events(Span::new(&batch(Backpressure::Disconnect, &[2, 2]), 0, 0, 2), LIMITS);
        o.advance(4);
        assert_eq!((text(&o).as_str(), o.messages(), o.bytes()), ("abb", 2, 3));
        assert!(o.is_cut());
        o.advance(3);
        assert!(o.is_empty() && o.messages() == 0 && o.bytes() == 0);
    }
}
