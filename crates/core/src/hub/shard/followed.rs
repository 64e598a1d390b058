//! Subscriptions to topics that follow a log: those that wait before they can be acknowledged, and replays of what is older than the
//! tail.
//!
//! A subscription waits when the topic does not know yet where its log is, or when what it resumes from must be read first. Its seat is
//! counted and it is among those that are replayed to, so nothing passes it by. The outcome is an [`Outcome`] that the driver takes from
//! [`Shard::take_outcomes`]; when the reply has been sent, [`Shard::proceed`] lets the events follow.
//!
//! What is older than the tail is read from the upstream in pages, at most two ahead of the client. Then the tail is read, as by every
//! replay; a tail that has moved on meanwhile is caught up with by reading again.

use super::feeds::Shown;
use super::*;
use crate::model::{Delivery, Epoch, PositionLost, StartFrom};
use crate::ports::{Arrival, Away, READ_BYTES, Read, ReadTicket};
use crate::topics::{Begin, Mark, Past, Resume, Start, away};

/// What `subscribe` comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The reply.
    Now(Reply<'static>),
    /// The reply follows: [`Shard::take_outcomes`] has it under this ticket.
    Later(Ticket),
}

/// Identifies a waiting subscription of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// A subscription that waited has its reply. Send it, then call [`Shard::proceed`].
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The connection.
    pub conn: ConnAddr,
    /// As in [`Answer::Later`].
    pub ticket: Ticket,
    /// The reply; refused, nothing is subscribed.
    pub reply: Result<Reply<'static>, Refusal>,
}

/// What comes before the tail.
#[derive(Debug)]
pub(crate) struct Older {
    stage: Stage,
    start: Start,
    /// The offset up to which events were sent.
    after: u64,
    /// The offset up to which they have been read.
    fetched: u64,
    /// The offset up to which they are wanted.
    until: u64,
    page: VecDeque<Arrival>,
    /// What the page takes.
    bytes: usize,
    /// The number of the read that is under way.
    asked: Option<u64>,
    /// What follows the page is gone up to this offset.
    gone: Option<u64>,
}

/// How far a subscription has come.
#[derive(Debug)]
enum Stage {
    /// The topic does not know where its log is.
    Attach(Ticket, StartFrom<'static>),
    /// The first page shows which earlier events there are.
    Verdict(Ticket),
    /// The reply is on its way.
    Reply(Ticket),
    /// Events follow.
    Open,
}

impl Older {
    fn new(stage: Stage, start: Start, after: u64, until: u64) -> Box<Self> {
        let page = VecDeque::new();
        Box::new(Self { stage, start, after, fetched: after, until, page, bytes: 0, asked: None, gone: None })
    }

    fn ticket(&self) -> Option<Ticket> {
        match self.stage {
            Stage::Attach(ticket, _) | Stage::Verdict(ticket) | Stage::Reply(ticket) => Some(ticket),
            Stage::Open => None,
        }
    }
}

impl<D> Shard<D> {
    /// Enters a subscription that waits; returns its ticket.
    pub(super) fn wait_to_begin(
        &mut self,
        slot: u32,
        topic: Arc<Topic>,
        begin: Begin,
        from: &StartFrom<'_>,
    ) -> Ticket {
        self.next_ticket += 1;
        let (id, ticket) = (topic.id, Ticket(self.next_ticket));
        let local = self.local_of(&topic);
        self.locals_mut(local).replaying.push(slot);
        self.cold[slot as usize].subs.push(Sub { local, place: REPLAYING });
        let past = Past::NotWanted;
        let unknown = Start { epoch: Epoch(0), head: Mark::default(), past, replay_after: None };
        let stage = Stage::Attach(ticket, from.to_static());
        let older = Some(Older::new(stage, unknown, 0, 0));
        self.outbox(slot).replays.push(Replay { topic, after: 0, offset: 0, before: None, older });
        self.begin_waiting(slot, id, begin);
        ticket
    }

    /// An upstream has said something that subscriptions wait for.
    pub(super) fn on_upstream(&mut self, came: Came) {
        match came {
            Came::Attached { topic } => self.begin_all(topic),
            Came::Events { reader, topic, serial, events } => self.older_came(reader, topic, serial, events),
        }
    }

    /// A topic knows where its log is, or that it cannot know: those that waited for it begin.
    fn begin_all(&mut self, topic: u64) {
        let Some(local) = self.by_id.get(&topic).map(|&local| self.local(local)) else { return };
        let (topic, waiting) = (local.topic.clone(), local.replaying.clone());
        for slot in waiting {
            let Some(Older { stage: Stage::Attach(_, from), .. }) = self.older(slot, topic.id) else {
                continue;
            };
            match self.topics.begin(&topic, self.config.id, from, self.now.ms) {
                Ok(begin) => self.begin_waiting(slot, topic.id, begin),
                Err(refusal) => self.refuse(slot, topic.id, refusal),
            }
        }
    }

    fn begin_waiting(&mut self, slot: u32, topic: u64, begin: Begin) {
        let Some(older) = self.older_mut(slot, topic) else { return };
        match begin {
            Begin::Later => {}
            Begin::At(start) => {
                (older.start, older.after, older.until) = (start, start.head.offset, start.head.offset);
                self.announce(slot, topic, start.past);
            }
            Begin::Read { start, after } => {
                let Some(ticket) = older.ticket() else { return };
                **older = *Older::new(Stage::Verdict(ticket), start, after, start.head.offset);
                self.ask_older(slot, topic);
            }
        }
    }

    /// The reply of a subscription is known: nothing is sent to it before the reply.
    fn announce(&mut self, slot: u32, topic: u64, past: Past) {
        let conn = self.addr(slot);
        let Some(replay) = self.replay_mut(slot, topic) else { return };
        let Some(older) = &mut replay.older else { return };
        let Some(ticket) = older.ticket() else { return };
        older.stage = Stage::Reply(ticket);
        older.start.past = past;
        let start = older.start;
        let Mark { pos, offset } = start.replay_after.unwrap_or(start.head);
        (replay.after, replay.offset) = (pos, offset);
        let durable = replay.topic.options.durable.is_some();
        let reply = Ok(Reply::Subscribed(start.reply(&replay.topic.name, durable)));
        self.outcomes.push(Outcome { conn, ticket, reply });
    }

    /// A subscription that waited is refused, and ends.
    fn refuse(&mut self, slot: u32, topic: u64, refusal: Refusal) {
        let conn = self.addr(slot);
        let Some(ticket) = self.older_mut(slot, topic).and_then(|older| older.ticket()) else { return };
        let Some(at) = self.find_id(slot, topic) else { return };
        let sub = self.cold[slot as usize].subs.swap_remove(at);
        let topic = self.local(sub.local).topic.clone();
        if let Some(replay) = self.replay_mut(slot, topic.id) {
            replay.older = None; // its ticket is used up
        }
        self.topics.leave(&topic, self.seat(slot), self.now.ms);
        self.detach(slot, sub);
        self.outcomes.push(Outcome { conn, ticket, reply: Err(refusal) });
    }

    /// A replay was taken away; if its subscription still waits, that has come to nothing. Returns whether it did.
    pub(super) fn give_up(&mut self, slot: u32, replay: &Replay) -> bool {
        let Some(ticket) = replay.older.as_ref().and_then(|older| older.ticket()) else { return false };
        self.outcomes.push(Outcome { conn: self.addr(slot), ticket, reply: Err(away()) });
        true
    }

    /// The replies of subscriptions that waited, since the last call.
    pub fn take_outcomes(&mut self) -> std::vec::Drain<'_, Outcome> {
        self.outcomes.drain(..)
    }

    /// The reply of a subscription that waited has been sent: its events follow, when the caller pulls or the shard runs.
    pub fn proceed(&mut self, conn: ConnAddr, ticket: Ticket) {
        let Some(slot) = self.slot_of(conn) else { return };
        let Some(outbox) = &mut self.cold[slot as usize].outbox else { return };
        let waits = |older: &&mut Box<Older>| matches!(older.stage, Stage::Reply(t) if t == ticket);
        if let Some(older) = outbox.replays.iter_mut().filter_map(|r| r.older.as_mut()).find(waits) {
            older.stage = Stage::Open;
            self.pulling.push_back(slot);
        }
    }

    /// Shows what was read of what is older than the tail, as far as it fits in `bytes`.
    pub(super) fn pull_older(
        &mut self,
        slot: u32,
        topic: &Arc<Topic>,
        bytes: &mut Vec<u8>,
        wire: &mut impl Wire,
    ) -> Shown {
        let encoder = &self.encoders[usize::from(self.hot[slot as usize].variant)];
        let replay = self.cold[slot as usize].outbox.as_mut().and_then(|o| o.replays.first_mut());
        let Some(older) = replay.and_then(|replay| replay.older.as_mut()) else { return Shown::All };
        if !matches!(older.stage, Stage::Open) {
            return Shown::Waits;
        }
        let mut count = 0;
        while bytes.len() < REPLAY_CHUNK_BYTES
            && let Some(event) = older.page.pop_front()
        {
            encoder.delivery(&Delivery::Event(event.view(&topic.name)), bytes);
            older.after = event.meta.offset;
            older.bytes -= event.cost();
            count += 1;
        }
        let (left, done, gone) = (older.page.len(), older.after >= older.until, older.gone);
        self.counts.deliveries += u64::from(count);
        self.count_sent(slot, count);
        if done {
            if let Some(replay) = self.first_replay(slot) {
                replay.older = None;
            }
            return Shown::All;
        }
        if left > 0 {
            self.ask_older(slot, topic.id);
            return Shown::Some;
        }
        if let Some(gone) = gone {
            self.older_gone(slot, topic, gone, wire);
            return Shown::Some;
        }
        self.ask_older(slot, topic.id);
        Shown::Waits
    }

    /// Events up to an offset are gone in the middle of a replay.
    fn older_gone(&mut self, slot: u32, topic: &Arc<Topic>, gone: u64, wire: &mut impl Wire) {
        if let Some(Resume::Moved(epoch, base)) = self.topics.resume(topic, 0)
            && self.first_replay(slot).is_some_and(|replay| replay.after < base.pos)
        {
            return self.move_replay(slot, topic, epoch, base);
        }
        let Some(older) = self.first_replay(slot).and_then(|replay| replay.older.as_mut()) else { return };
        let missed = gone - older.after;
        (older.after, older.fetched, older.gone) = (gone, gone, None);
        self.behind(slot, topic, missed, wire);
    }

    /// The tail has moved past a replay of a followed topic: it reads what it has missed. Returns false if there is nowhere to read.
    pub(super) fn read_again(&mut self, slot: u32, topic: &Arc<Topic>) -> bool {
        let Some(after) = self.first_replay(slot).map(|replay| replay.after) else { return false };
        match self.topics.resume(topic, after) {
            None => return false,
            Some(Resume::Moved(epoch, base)) => self.move_replay(slot, topic, epoch, base),
            Some(Resume::Read(epoch, head)) => {
                let start = Start { epoch, head, past: Past::NotWanted, replay_after: None };
                let Some(replay) = self.first_replay(slot) else { return false };
                replay.older = Some(Older::new(Stage::Open, start, replay.offset, head.offset));
                (replay.after, replay.offset) = (head.pos, head.offset);
                self.ask_older(slot, topic.id);
            }
        }
        true
    }

    /// The log has continued elsewhere since a replay's last event: so does the replay, with a notice.
    fn move_replay(&mut self, slot: u32, topic: &Arc<Topic>, epoch: Epoch, base: Mark) {
        let lost = PositionLost { topic: &topic.name, epoch, offset: base.offset, at_ms: self.now.ms };
        let mut bytes = Vec::new();
        let encoder = &self.encoders[usize::from(self.hot[slot as usize].variant)];
        encoder.delivery(&Delivery::PositionLost(lost), &mut bytes);
        self.queue_bytes(slot, Kind::Replay, bytes, 0, 0);
        if let Some(replay) = self.first_replay(slot) {
            (replay.after, replay.offset, replay.older) = (base.pos, base.offset, None);
        }
    }

    /// Asks for the next page, unless that was done, there is none, or the one that is there is large.
    fn ask_older(&mut self, slot: u32, topic: u64) {
        let reader = Some(self.addr(slot));
        let serial = self.next_read + 1;
        let Some(replay) = self.replay_mut(slot, topic) else { return };
        let Some(older) = &mut replay.older else { return };
        let enough = older.bytes > READ_BYTES || older.fetched >= older.until;
        if enough || older.asked.is_some() || older.gone.is_some() {
            return;
        }
        older.asked = Some(serial);
        let (epoch, after, until) = (older.start.epoch, older.fetched, older.until);
        let (topic, ticket) = (replay.topic.clone(), ReadTicket { reader, serial });
        self.next_read = serial;
        self.topics.read(&topic, Read { ticket, epoch, after, until });
    }

    /// A page has come, or cannot.
    fn older_came(&mut self, reader: ConnAddr, topic: u64, serial: u64, events: Result<Vec<Arrival>, Away>) {
        let Some(slot) = self.slot_of(reader) else { return };
        let Some(older) = self.older_mut(slot, topic).filter(|older| older.asked == Some(serial)) else {
            return;
        };
        older.asked = None;
        let pending = matches!(older.stage, Stage::Verdict(_));
        let events = match events {
            Ok(events) => events,
            Err(Away) if pending => return self.refuse(slot, topic, away()),
            Err(Away) => return self.ask_again(slot, topic),
        };
        let first = events.first().map_or(older.until + 1, |event| event.meta.offset);
        let last = matches!(older.start.past, Past::Last(_));
        if pending && last {
            // Of the newest events, those that the log still has are sent.
            older.after = (first - 1).min(older.until);
            older.fetched = older.after;
        }
        let whole = first == older.fetched + 1;
        if whole {
            older.fetched = events.last().map_or(older.fetched, |event| event.meta.offset);
            older.bytes += events.iter().map(Arrival::cost).sum::<usize>();
            older.page.extend(events);
        } else if pending {
            (older.after, older.fetched) = (older.until, older.until);
        } else {
            older.gone = Some((first - 1).min(older.until));
        }
        if pending {
            let count = older.until - older.after;
            let past = if last { Past::Last(count as u32) } else { Past::Since { recovered: whole } };
            self.announce(slot, topic, past);
        } else {
            self.pulling.push_back(slot);
        }
    }

    /// The upstream is away in the middle of a replay: the read is tried again.
    fn ask_again(&mut self, slot: u32, topic: u64) {
        let (reader, serial) = (Some(self.addr(slot)), self.next_read + 1);
        let now_ms = self.now.ms;
        let Some(replay) = self.replay_mut(slot, topic) else { return };
        let Some(older) = &mut replay.older else { return };
        older.asked = Some(serial);
        let ticket = ReadTicket { reader, serial };
        let read = Read { ticket, epoch: older.start.epoch, after: older.fetched, until: older.until };
        let topic = replay.topic.clone();
        self.next_read = serial;
        self.topics.read_later(&topic, read, now_ms);
    }

    fn replay_mut(&mut self, slot: u32, topic: u64) -> Option<&mut Replay> {
        let outbox = self.cold[slot as usize].outbox.as_mut()?;
        outbox.replays.iter_mut().find(|replay| replay.topic.id == topic)
    }

    fn older(&self, slot: u32, topic: u64) -> Option<&Older> {
        let replays = &self.cold[slot as usize].outbox.as_ref()?.replays;
        replays.iter().find(|replay| replay.topic.id == topic)?.older.as_deref()
    }

    fn older_mut(&mut self, slot: u32, topic: u64) -> Option<&mut Box<Older>> {
        self.replay_mut(slot, topic)?.older.as_mut()
    }
}
