//! Reads what one client got and says whether it may be so.

use super::text::{Record, parse};
use super::truth::{Expect, Truth, Turn};
use super::{Violation, policy_of, wrong};
use fanfare_core::hub::Backpressure;
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// What one client got, and how its connection ended.
#[derive(Clone, Debug)]
pub struct Stream<'a> {
    /// The connection, as the truth numbers it.
    pub conn: usize,
    /// Its variant.
    pub variant: u8,
    /// All bytes its socket took.
    pub bytes: &'a [u8],
    /// Its replies, in order.
    pub expects: &'a [Expect],
    /// The close code, when the server ended it.
    pub ended: Option<u16>,
    /// It was cut off: the bytes may stop anywhere.
    pub cut_off: bool,
    /// It may be told of drops or be ended as slow: its socket was full once, or a replay ran.
    pub may_lose: bool,
}

/// What clients were seen to get: shows that a program reaches what it is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Events.
    pub events: u64,
    /// `TOPIC_DELETED`.
    pub deletions: u64,
    /// `MESSAGES_DROPPED`.
    pub drops: u64,
    /// `SLOW_CONSUMER`.
    pub slow: u64,
    /// `POSITION_LOST`.
    pub moves: u64,
}

impl std::ops::AddAssign for Reached {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.deletions += other.deletions;
        self.drops += other.drops;
        self.slow += other.slow;
        self.moves += other.moves;
    }
}

struct Hearing {
    life: usize,
    next: u64,
    head: u64,
    replay: bool,
    replaying: bool,
}

/// Drops that were reported and whose events were not yet found missing: at least and at most so many, because of some
/// missing events it cannot be known whether they were dropped.
#[derive(Clone, Copy, Debug, Default)]
struct Credit {
    least: u64,
    most: u64,
}

impl Credit {
    fn add(&mut self, count: u64) {
        self.least += count;
        self.most += count;
    }

    /// A missing event was dropped; false when no report is left that it can belong to.
    fn spend(&mut self) -> bool {
        let any = self.most > 0;
        self.least = self.least.saturating_sub(1);
        self.most = self.most.saturating_sub(1);
        any
    }

    /// Up to `count` missing events may have been dropped.
    fn may_spend(&mut self, count: u64) {
        self.least = self.least.saturating_sub(count);
    }
}

struct Reader<'a> {
    stream: &'a Stream<'a>,
    truth: &'a Truth,
    hearing: HashMap<String, Hearing>,
    replies: usize,
    credit: Credit,
    closing: bool,
    closed: bool,
}

/// Judges a stream.
///
/// # Errors
/// The first thing that breaks the contract (`protocol.md` 3.2, 5 and 6).
pub fn judge(stream: &Stream<'_>, truth: &Truth) -> Result<Reached, Violation> {
    let mut reached = Reached::default();
    let (records, rest) = parse(stream.variant, stream.bytes)?;
    let mut reader = Reader {
        stream,
        truth,
        hearing: HashMap::new(),
        replies: 0,
        credit: Credit::default(),
        closing: false,
        closed: false,
    };
    for (at, record) in records.iter().enumerate() {
        reader.read(record).map_err(|v| {
            Violation(format!("connection {}, record {at} {record:?}: {v}; all: {records:?}", stream.conn))
        })?;
        match record {
            Record::Event { .. } => reached.events += 1,
            Record::Deleted(_) => reached.deletions += 1,
            Record::Dropped(_) => reached.drops += 1,
            Record::Error(_) => reached.slow += 1,
            Record::Moved { .. } => reached.moves += 1,
            Record::Close(_) | Record::Reply(_) | Record::Body(_) | Record::FeedDropped(..) => {}
        }
    }
    reader.end(rest).map_err(|v| Violation(format!("connection {}: {v}; all: {records:?}", stream.conn)))?;
    Ok(reached)
}

impl Reader<'_> {
    fn read(&mut self, record: &Record) -> Result<(), Violation> {
        if self.closed || (self.closing && !matches!(record, Record::Close(_))) {
            return wrong("a frame after the end");
        }
        match record {
            Record::Event { topic, offset, payload } => self.event(topic, *offset, payload),
            Record::Deleted(topic) => self.deleted(topic),
            Record::Moved { topic, epoch, offset } => self.moved(topic, *epoch, *offset),
            Record::Body(_) | Record::FeedDropped(..) => wrong("a feed that nobody subscribed to"),
            Record::Dropped(count) => {
                self.credit.add(*count);
                if *count == 0 || !self.stream.may_lose {
                    return wrong("told of drops that there cannot be");
                }
                Ok(())
            }
            Record::Error(code) => {
                self.closing = true;
                let fits = code == "SLOW_CONSUMER" && self.stream.may_lose;
                if fits { Ok(()) } else { wrong("an error without a cause") }
            }
            Record::Close(code) => {
                self.closed = true;
                let fits = self.stream.ended == Some(*code) && (*code == 1013) == self.closing;
                if fits { Ok(()) } else { wrong(format!("the server ended it with {:?}", self.stream.ended)) }
            }
            Record::Reply(text) => self.reply(text),
        }
    }

    fn event(&mut self, topic: &str, offset: u64, payload: &str) -> Result<(), Violation> {
        let Some(mut hearing) = self.hearing.remove(topic) else { return wrong("not subscribed") };
        self.continue_life(&mut hearing, offset, payload);
        let Some(logged) =
            offset.checked_sub(1).and_then(|at| self.truth.lives[hearing.life].log.get(at as usize))
        else {
            return wrong("no such event in this life");
        };
        if logged.payload != payload {
            return wrong(format!("the log has {} there", logged.payload));
        }
        if offset < hearing.next {
            return wrong(format!("expected {} or later", hearing.next));
        }
        self.missing(topic, &hearing, offset - 1)?;
        if logged.excluded == Some(self.stream.conn) && !hearing.replay {
            return wrong("its own, excluded");
        }
        hearing.next = offset + 1;
        self.hearing.insert(topic.to_owned(), hearing);
        Ok(())
    }

    /// A log that continues in another epoch may do so without a word, where nothing was lost.
    fn continue_life(&self, hearing: &mut Hearing, offset: u64, payload: &str) {
        let lives = &self.truth.lives;
        let is_in = |life: usize| {
            lives[life]
                .log
                .get((offset as usize).wrapping_sub(1))
                .is_some_and(|logged| logged.payload == payload)
        };
        while !is_in(hearing.life)
            && let Some((next, Some(end))) = lives[hearing.life].next
            && hearing.next <= end + 1
        {
            hearing.life = next;
        }
    }

    /// A log continues at another position: was something lost?
    fn moved(&mut self, topic: &str, epoch: u64, offset: u64) -> Result<(), Violation> {
        let Some(mut hearing) = self.hearing.remove(topic) else { return wrong("not subscribed") };
        let Some(life) = self.truth.life_with(epoch) else { return wrong("no such epoch") };
        if !self.truth.may_move {
            return wrong("a position lost without a cause");
        }
        if life < hearing.life || offset > self.truth.lives[life].head() {
            return wrong("no position of the log");
        }
        (hearing.life, hearing.next) = (life, offset + 1);
        self.hearing.insert(topic.to_owned(), hearing);
        Ok(())
    }

    /// Everything from the next expected offset up to this one did not come: may that be?
    fn missing(&mut self, topic: &str, hearing: &Hearing, upto: u64) -> Result<(), Violation> {
        let drops = policy_of(topic) == Backpressure::DropOldest;
        for offset in hearing.next..=upto {
            let own =
                self.truth.lives[hearing.life].log[offset as usize - 1].excluded == Some(self.stream.conn);
            if own && (offset > hearing.head || !hearing.replay) {
                // Left out by the live events, or dropped where the history moved past the replay.
                self.credit.may_spend(u64::from(drops && hearing.replay));
            } else if !drops || !self.credit.spend() {
                return wrong(format!("offset {offset} of {topic} is missing"));
            }
        }
        Ok(())
    }

    /// A subscription ends while the topic's head is one of `head`: everything up to the first of them must have come,
    /// unless the replay was under way; what follows may have been dropped.
    fn complete(
        &mut self,
        topic: &str,
        hearing: &Hearing,
        head: &RangeInclusive<u64>,
    ) -> Result<(), Violation> {
        let last = self.truth.lives[hearing.life].head();
        let (from, to) = ((*head.start()).min(last), (*head.end()).min(last));
        let mut next = hearing.next;
        if !hearing.replaying {
            self.missing(topic, hearing, from)?;
            next = next.max(from + 1);
        }
        if policy_of(topic) == Backpressure::DropOldest {
            self.credit.may_spend((to + 1).saturating_sub(next));
        }
        Ok(())
    }

    fn deleted(&mut self, topic: &str) -> Result<(), Violation> {
        let Some(hearing) = self.hearing.remove(topic) else { return wrong("not subscribed") };
        let life = &self.truth.lives[hearing.life];
        if !life.deleted {
            return wrong("not deleted");
        }
        self.complete(topic, &hearing, &(life.head()..=life.head()))
    }

    fn reply(&mut self, text: &str) -> Result<(), Violation> {
        let Some(expect) = self.stream.expects.get(self.replies).filter(|e| e.text == text) else {
            return wrong(format!("expected {:?}", self.stream.expects.get(self.replies)));
        };
        self.replies += 1;
        match expect.turn {
            Turn::Hear { topic, life, after, head, replaying } => {
                let hearing =
                    Hearing { life, next: after + 1, head, replay: after < head || replaying, replaying };
                if self.hearing.insert(topic.to_owned(), hearing).is_some() {
                    return wrong("subscribed before and not told of its end");
                }
            }
            Turn::StillHear(topic) if !self.hearing.contains_key(topic) => return wrong("not subscribed"),
            Turn::StillSilent(topic) if self.hearing.contains_key(topic) => return wrong("subscribed"),
            Turn::Silence(topic, ref head) => {
                let Some(hearing) = self.hearing.remove(topic) else { return wrong("not subscribed") };
                if hearing.next > head.end().saturating_add(1) {
                    return wrong("an event from after the end");
                }
                self.complete(topic, &hearing, head)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn end(mut self, rest: usize) -> Result<(), Violation> {
        if self.stream.cut_off {
            return Ok(());
        }
        if rest > 0 {
            return wrong("an unfinished frame at the end");
        }
        if self.closed != self.stream.ended.is_some() {
            return wrong("ended without a close frame");
        }
        if self.closing {
            return Ok(()); // a slow consumer: what was queued is gone
        }
        if self.replies < self.stream.expects.len() {
            return wrong(format!("unanswered: {:?}", &self.stream.expects[self.replies..]));
        }
        if self.closed {
            return Ok(());
        }
        for (topic, mut hearing) in std::mem::take(&mut self.hearing) {
            while let Some((next, end)) = self.truth.lives[hearing.life].next {
                let Some(end) = end.filter(|end| hearing.next <= end + 1) else {
                    return wrong(format!("not told that {topic} continued elsewhere"));
                };
                self.missing(&topic, &hearing, end)?;
                (hearing.life, hearing.next) = (next, end + 1);
            }
            let life = &self.truth.lives[hearing.life];
            if life.deleted {
                return wrong(format!("not told that {topic} was deleted"));
            }
            self.missing(&topic, &hearing, life.head())?;
        }
        if self.credit.least > 0 {
            return wrong(format!("told of {} drops too many", self.credit.least));
        }
        Ok(())
    }
}
