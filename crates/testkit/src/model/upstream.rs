//! A made-up upstream: logs that are ordered outside of the hub, with the faults that a program wants.
//!
//! Nothing is answered from within a call: requests wait until a step serves them, and answers until a step brings them.

use super::program::Sabotage;
use super::truth::{Life, Logged, Truth};
use fanfare_brokers::memory::{MemoryBroker, MemoryLimits};
use fanfare_core::hub::Turn;
use fanfare_core::model::{Epoch, EventId, EventMeta};
use fanfare_core::ports::{
    Arrival, Arrivals, AttachTicket, Attached, Away, Broker, Claim, Log, LogRef, Opened, Read, ReadTicket,
    Upstream,
};
use fanfare_core::topics::{Chain, Tail, TopicOptions, Topics};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether a topic of the model follows a log: `f…`.
pub fn is_followed(topic: &str) -> bool {
    topic.starts_with('f')
}

/// What goes wrong on the way, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next event that would arrive is lost.
    Lose,
    /// The next event that would arrive comes twice.
    Repeat,
    /// The next two change places.
    Reorder,
    /// The log forgets its newest events, so many, and continues in a new epoch.
    NewEpoch(u64),
    /// The log is another one now: it begins in an epoch that knows nothing of those before.
    OtherLog,
    /// The log keeps only so many of its newest events.
    Trim(u64),
    /// The answer that would come next comes after the others.
    Late,
    /// The next request finds the upstream away.
    Away,
}

/// What the upstream is asked.
#[derive(Clone, Debug)]
enum Request {
    Attach(LogRef, AttachTicket),
    Read(LogRef, Read),
}

/// What it answers.
#[derive(Debug)]
enum Answer {
    Attached(LogRef, AttachTicket, Result<Attached, Away>),
    Events(LogRef, ReadTicket, Result<Vec<Arrival>, Away>),
}

#[derive(Debug, Default)]
struct Requests(Mutex<VecDeque<Request>>);

impl Requests {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hub's end. It says nothing of itself: what waits is part of [`Remote::state`].
#[derive(Clone, Default)]
struct End(Arc<Requests>);

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("End")
    }
}

impl Upstream for End {
    fn attach(&self, log: &LogRef, ticket: AttachTicket) {
        self.0.lock().push_back(Request::Attach(log.clone(), ticket));
    }

    fn read(&self, log: &LogRef, read: Read) {
        self.0.lock().push_back(Request::Read(log.clone(), read));
    }

    fn left(&self, log: &LogRef) {
        let of = |request: &Request| match request {
            Request::Attach(of, _) | Request::Read(of, _) => of.topic == log.topic,
        };
        self.0.lock().retain(|request| !of(request));
    }
}

/// A broker whose topics `f…` follow logs.
#[derive(Debug)]
pub(super) struct Mixed {
    memory: MemoryBroker,
    end: End,
}

impl Broker for Mixed {
    fn open(&self, topic: &str, options: &TopicOptions, claim: &Claim, now_ms: u64) -> Option<Opened> {
        if !is_followed(topic) {
            return self.memory.open(topic, options, claim, now_ms);
        }
        let upstream = Arc::new(self.end.clone());
        Some(Opened::Elsewhere {
            upstream,
            tail: Tail::new(options.retention, self.memory.histories()),
            at: None,
        })
    }

    fn park(&self, topic: &str, log: Log, now_ms: u64) {
        self.memory.park(topic, log, now_ms);
    }

    fn forget(&self, topic: &str, now_ms: u64) -> bool {
        self.memory.forget(topic, now_ms)
    }

    fn sweep(&self, now_ms: u64) {
        self.memory.sweep(now_ms);
    }
}

/// A log that the upstream orders.
#[derive(Debug)]
struct RemoteLog {
    /// Its life now.
    life: usize,
    /// Lives whose offsets it continues, and where each was closed.
    closed: Vec<(Epoch, u64)>,
    /// The offset of the oldest event that can be read.
    oldest: u64,
}

/// An event on its way to the node.
#[derive(Clone, Debug)]
struct Message {
    topic: &'static str,
    epoch: Epoch,
    /// The offset that is told.
    offset: u64,
    payload: String,
}

/// The upstream and what is on its way from it.
#[derive(Debug, Default)]
pub(super) struct Remote {
    end: End,
    logs: BTreeMap<&'static str, RemoteLog>,
    on_the_way: VecDeque<Message>,
    answers: VecDeque<Answer>,
    away: bool,
    sabotage: Sabotage,
    first_place: Option<Attached>,
    /// The life whose epoch is told instead of the real one.
    hidden: Option<usize>,
}

impl Remote {
    pub(super) fn new(sabotage: Sabotage) -> Self {
        Self { sabotage, ..Self::default() }
    }

    pub(super) fn broker(&self) -> Mixed {
        let limits = MemoryLimits { history_bytes: 1 << 24, idempotency_keys: 16 };
        let memory = MemoryBroker::new(limits, 1);
        Mixed { memory, end: self.end.clone() }
    }

    /// All of it that decides what comes.
    pub(super) fn state(&self) -> impl std::fmt::Debug + '_ {
        let requests: Vec<_> = self.end.0.lock().iter().cloned().collect();
        (&self.logs, &self.on_the_way, &self.answers, self.away, requests)
    }

    fn log<'a>(&'a mut self, topic: &'static str, truth: &mut Truth) -> &'a mut RemoteLog {
        self.logs.entry(topic).or_insert_with(|| RemoteLog {
            life: truth.begin(Life { epoch: Some(new_epoch(truth)), ..Life::default() }),
            closed: Vec::new(),
            oldest: 1,
        })
    }

    /// The life that a log has now.
    pub(super) fn life(&mut self, topic: &'static str, truth: &mut Truth) -> usize {
        self.log(topic, truth).life
    }

    /// The offset of the oldest event of a log that can be read.
    pub(super) fn oldest(&self, topic: &str) -> u64 {
        self.logs.get(topic).map_or(1, |log| log.oldest)
    }

    /// An event is committed: its offset.
    pub(super) fn append(&mut self, topic: &'static str, payload: String, truth: &mut Truth) -> u64 {
        let life = self.life(topic, truth);
        let life = &mut truth.lives[life];
        life.log.push(Logged { payload: payload.clone(), excluded: None });
        let (offset, epoch) = (life.head(), Epoch(life.epoch.unwrap_or_default()));
        self.on_the_way.push_back(Message { topic, epoch, offset, payload });
        offset
    }

    /// Whether something is on its way to the node, waits to be served, or waits to be brought.
    pub(super) fn waiting(&self) -> [bool; 3] {
        [!self.on_the_way.is_empty(), !self.end.0.lock().is_empty(), !self.answers.is_empty()]
    }

    /// Something goes wrong, if there is something that can.
    pub(super) fn fault(&mut self, fault: Fault, truth: &mut Truth) {
        match fault {
            Fault::Lose => {
                let lost = self.on_the_way.pop_front();
                if self.sabotage == Sabotage::LoseSilently
                    && let (Some(lost), Some(next)) = (lost, self.on_the_way.front_mut())
                {
                    next.offset = lost.offset; // as if there had been none
                }
            }
            Fault::Repeat => {
                if let Some(mut again) = self.on_the_way.front().cloned() {
                    again.offset += u64::from(self.sabotage == Sabotage::RepeatAsNew);
                    self.on_the_way.insert(1, again);
                }
            }
            Fault::Reorder => {
                if self.on_the_way.len() > 1 {
                    self.on_the_way.swap(0, 1);
                    if self.sabotage == Sabotage::ReorderOffsets {
                        let (first, second) = (self.on_the_way[0].offset, self.on_the_way[1].offset);
                        (self.on_the_way[0].offset, self.on_the_way[1].offset) = (second, first);
                    }
                }
            }
            Fault::NewEpoch(lost) => {
                self.renew("f", Some(lost), truth);
                if self.sabotage == Sabotage::HideEpoch {
                    self.hidden = self.hidden.or(Some(truth.lives.len() - 2));
                }
            }
            Fault::OtherLog => self.renew("f", None, truth),
            Fault::Trim(keep) => {
                if let Some(log) = self.logs.get_mut("f") {
                    log.oldest = log.oldest.max((truth.lives[log.life].head() + 1).saturating_sub(keep));
                }
            }
            Fault::Late => self.answers.rotate_left(usize::from(!self.answers.is_empty())),
            Fault::Away => self.away = true,
        }
    }

    /// A log continues in another epoch, without its newest events; or it is another log.
    fn renew(&mut self, topic: &'static str, lost: Option<u64>, truth: &mut Truth) {
        let Some(log) = self.logs.get_mut(topic) else { return };
        let old = &truth.lives[log.life];
        let end = lost.map_or(0, |lost| old.head().saturating_sub(lost));
        let epoch = Epoch(old.epoch.unwrap_or_default());
        let kept = old.log[..end as usize].to_vec();
        let life = truth.begin(Life { epoch: Some(new_epoch(truth)), log: kept, ..Life::default() });
        truth.lives[log.life].next = Some((life, lost.map(|_| end)));
        log.life = life;
        match lost {
            Some(_) => {
                log.closed.iter_mut().for_each(|(_, at)| *at = end.min(*at));
                log.closed.push((epoch, end));
                log.oldest = log.oldest.min(end + 1);
            }
            None => (log.closed, log.oldest) = (Vec::new(), 1),
        }
    }

    /// The next event arrives.
    pub(super) fn arrive(&mut self, topics: &Topics<()>, truth: &Truth, now: Turn) {
        let Some(mut message) = self.on_the_way.pop_front() else { return };
        if let Some(life) = self.hidden {
            message.epoch = Epoch(truth.lives[life].epoch.unwrap_or_default());
        }
        let mut event = arrival(message.offset, message.payload);
        if self.sabotage == Sabotage::WrongArrival {
            event.payload = "z9".into();
        }
        let events = vec![event];
        let (name, head) = (message.topic, message.offset);
        topics.arrive(Arrivals { name, epoch: message.epoch, events, head, now });
    }

    /// The next request is served: what it is answered is fixed now.
    pub(super) fn serve(&mut self, truth: &Truth) {
        let Some(request) = self.end.0.lock().pop_front() else { return };
        let away = std::mem::take(&mut self.away);
        let answer = match request {
            Request::Attach(log, ticket) => {
                let at = if away { Err(Away) } else { Ok(self.place(&log, truth)) };
                Answer::Attached(log, ticket, at)
            }
            Request::Read(log, read) => {
                let events = if away { Err(Away) } else { Ok(self.events(&log, &read, truth)) };
                Answer::Events(log, read.ticket, events)
            }
        };
        self.answers.push_back(answer);
    }

    fn place(&self, log: &LogRef, truth: &Truth) -> Attached {
        match self.logs.get(&*log.name) {
            Some(log) => {
                let life = &truth.lives[log.life];
                let epoch = Epoch(life.epoch.unwrap_or_default());
                Attached { chain: Chain::with_closed(epoch, log.closed.clone()), head: life.head() }
            }
            None => Attached { chain: Chain::new(Epoch(0)), head: 0 },
        }
    }

    /// Two events at a time: a page is small, so that there are several.
    fn events(&self, log: &LogRef, read: &Read, truth: &Truth) -> Vec<Arrival> {
        let Some(log) = self.logs.get(&*log.name) else { return Vec::new() };
        let life = &truth.lives[log.life];
        let known = life.epoch == Some(read.epoch.0)
            || log.closed.iter().any(|(epoch, end)| *epoch == read.epoch && read.until <= *end);
        if !known {
            return Vec::new();
        }
        let skipped = u64::from(self.sabotage == Sabotage::SkipFirst);
        let from = (read.after + 1).max(log.oldest) + skipped;
        let until = read.until.min(life.head());
        (from..=until).take(2).map(|at| arrival(at, life.log[at as usize - 1].payload.clone())).collect()
    }

    /// The next answer comes.
    pub(super) fn answer(&mut self, topics: &Topics<()>, now: Turn) {
        match self.answers.pop_front() {
            Some(Answer::Attached(log, ticket, mut at)) => {
                if let (Sabotage::OldAnswers, Ok(at)) = (self.sabotage, &mut at) {
                    at.clone_from(self.first_place.get_or_insert_with(|| at.clone()));
                }
                topics.attached(&log, ticket, at, now);
            }
            Some(Answer::Events(log, ticket, events)) => topics.answer(&log, ticket, events, now),
            None => {}
        }
    }
}

fn arrival(offset: u64, payload: String) -> Arrival {
    let meta = EventMeta { id: EventId { time: offset, node: 0 }, offset, at_ms: super::world::NOW };
    Arrival { meta, payload: payload.into(), client_id: "c".into(), user: None, excluded: None }
}

fn new_epoch(truth: &Truth) -> u64 {
    1_000_000 + truth.lives.len() as u64
}
