//! The reference: what each command must be answered, computed from the commands alone.
//!
//! A topic name has lives; each life has a log and an epoch. A life ends by deletion; without subscribers it rests and
//! goes on when the topic comes back.

use super::{Violation, wrong};
use fanfare_core::model::{Epoch, HistoryCount, Since, SinceEpoch, StartFrom, Subscribed};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// An event in a log.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Its payload, unique in a run.
    pub payload: String,
    /// The connection that must not hear it.
    pub excluded: Option<usize>,
}

/// One life of a topic.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// Its epoch, once known.
    pub epoch: Option<u64>,
    /// Its events; offset 1 is at place 0.
    pub log: Vec<Logged>,
    /// It was deleted.
    pub deleted: bool,
    /// The life that took its place in a log that is ordered elsewhere, and the offset up to which they are one; none if they are
    /// not.
    pub next: Option<(usize, Option<u64>)>,
}

impl Life {
    /// Offset of the last event.
    pub fn head(&self) -> u64 {
        self.log.len() as u64
    }
}

/// A reply in the order in which a connection must read it.
#[derive(Clone, Debug)]
pub struct Expect {
    /// The reply's frame.
    pub text: String,
    /// What it changes for the reader.
    pub turn: Turn,
}

/// What a reply changes for its reader.
#[derive(Clone, Debug)]
pub enum Turn {
    /// Events of this life follow from `after + 1` on.
    Hear {
        /// The topic.
        topic: &'static str,
        /// Its life.
        life: usize,
        /// The last offset not sent.
        after: u64,
        /// The head at the time.
        head: u64,
        /// A replay comes first, and it is not known to have ended.
        replaying: bool,
    },
    /// The connection is subscribed to the topic already.
    StillHear(&'static str),
    /// No event of the topic follows. Everything up to its head came before; the head was one of these offsets.
    Silence(&'static str, RangeInclusive<u64>),
    /// The connection does not hear the topic.
    StillSilent(&'static str),
    /// Nothing.
    Nothing,
}

#[derive(Clone, Debug, Default)]
struct Live {
    life: usize,
    hearers: Vec<usize>,
    kept: bool,
}

/// The reference's state.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// All lives there ever were.
    pub lives: Vec<Life>,
    /// A log that is ordered elsewhere has lost events that the node may have.
    pub may_move: bool,
    history: u64,
    live: BTreeMap<&'static str, Live>,
    resting: BTreeMap<&'static str, usize>,
}

/// What a subscribe must be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The life.
    pub life: usize,
    /// The head.
    pub offset: u64,
    /// Whether everything since is replayed.
    pub recovered: Option<bool>,
    /// How many of the newest events are replayed.
    pub history: Option<u32>,
    /// Nothing changed.
    pub already: bool,
}

/// Which earlier events a subscription asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// None.
    Nothing,
    /// All after an offset of an epoch.
    Since(u64, u64),
    /// The newest, at most so many.
    Last(u32),
}

impl Asked {
    /// As the command has it.
    pub fn start(self) -> StartFrom<'static> {
        match self {
            Self::Nothing => StartFrom::Live,
            Self::Since(epoch, offset) => {
                let epoch = SinceEpoch(Epoch(epoch).to_string().into());
                StartFrom::Since(Since { epoch, offset })
            }
            Self::Last(count) => StartFrom::new(None, HistoryCount::new(count.into())),
        }
    }

    /// The last offset that is not sent after such a reply.
    pub fn after(self, got: &Subscribed<'_>) -> u64 {
        match self {
            Self::Since(_, offset) if got.recovered == Some(true) => offset,
            _ => got.offset - got.offset.min(got.history.unwrap_or(0).into()),
        }
    }
}

impl Truth {
    /// No topics; each keeps `history` events.
    pub fn new(history: usize) -> Self {
        Self { history: history as u64, ..Self::default() }
    }

    /// The life of a topic that is live or at rest.
    pub fn life_of(&self, topic: &str) -> Option<usize> {
        self.live.get(topic).map(|l| l.life).or_else(|| self.resting.get(topic).copied())
    }

    /// The life with this epoch.
    pub fn life_with(&self, epoch: u64) -> Option<usize> {
        self.lives.iter().position(|l| l.epoch == Some(epoch))
    }

    /// Adds a life.
    pub(super) fn begin(&mut self, life: Life) -> usize {
        self.lives.push(life);
        self.lives.len() - 1
    }

    /// All of it but the epochs, which are drawn anew in every world.
    pub fn state(&self) -> impl std::fmt::Debug + '_ {
        let lives: Vec<_> = self.lives.iter().map(|l| (&l.log, l.deleted, l.next)).collect();
        (lives, &self.live, &self.resting)
    }

    fn live_topics(&self) -> Vec<&'static str> {
        self.live.keys().copied().collect()
    }

    /// Names of topics that stay without subscribers.
    pub fn kept_topics(&self) -> Vec<&'static str> {
        self.live.iter().filter(|(_, live)| live.kept).map(|(topic, _)| *topic).collect()
    }

    /// Whether a connection is subscribed to the present life of a topic.
    pub fn is_subscribed(&self, conn: usize, topic: &str) -> bool {
        self.live.get(topic).is_some_and(|l| l.hearers.contains(&conn))
    }

    fn wake(&mut self, topic: &'static str) -> &mut Live {
        let lives = &mut self.lives;
        let resting = &mut self.resting;
        self.live.entry(topic).or_insert_with(|| {
            let life = resting.remove(topic).unwrap_or_else(|| {
                lives.push(Life::default());
                lives.len() - 1
            });
            Live { life, ..Live::default() }
        })
    }

    /// Notes a life's epoch as it was answered.
    ///
    /// # Errors
    /// It was another one before, or another life's.
    pub fn learn(&mut self, life: usize, epoch: u64) -> Result<(), Violation> {
        if self
            .lives
            .iter()
            .enumerate()
            .any(|(at, l)| (l.epoch == Some(epoch)) != (at == life) && l.epoch.is_some())
        {
            return wrong(format!("life {life} answers epoch {epoch:x}: {:?}", self.lives));
        }
        self.lives[life].epoch = Some(epoch);
        Ok(())
    }

    /// A connection subscribes.
    pub fn subscribe(&mut self, conn: usize, topic: &'static str, asked: Asked) -> Heard {
        let history = self.history;
        let live = self.wake(topic);
        let already = live.hearers.contains(&conn);
        let life = live.life;
        if !already {
            live.hearers.push(conn);
        }
        let head = self.lives[life].head();
        let epoch = self.lives[life].epoch;
        let oldest = head - head.min(history) + 1;
        let (recovered, history) = match asked {
            Asked::Since(e, o) if !already => (Some(Some(e) == epoch && o <= head && o + 1 >= oldest), None),
            Asked::Last(count) if !already => (None, Some(count.min((head + 1 - oldest) as u32))),
            _ => (None, None),
        };
        Heard { life, offset: head, recovered, history, already }
    }

    /// A connection unsubscribes: the head at that moment, or nothing when it did not hear the topic.
    pub fn unsubscribe(&mut self, conn: usize, topic: &'static str) -> Option<u64> {
        let live = self.live.get_mut(topic)?;
        let at = live.hearers.iter().position(|c| *c == conn)?;
        live.hearers.swap_remove(at);
        let (life, idle) = (live.life, live.hearers.is_empty() && !live.kept);
        if idle {
            self.live.remove(topic);
            self.resting.insert(topic, life);
        }
        Some(self.lives[life].head())
    }

    /// A connection is gone.
    pub fn close(&mut self, conn: usize) {
        for topic in self.live_topics() {
            self.unsubscribe(conn, topic);
        }
    }

    /// An event: its offset and the number of subscriptions it goes to, or nothing when there is no such topic.
    pub fn publish(&mut self, topic: &str, payload: &str, excluded: Option<usize>) -> Option<(u64, u64)> {
        let live = self.live.get(topic)?;
        let own = excluded.is_some_and(|c| live.hearers.contains(&c));
        let delivered = live.hearers.len() as u64 - u64::from(own);
        let log = &mut self.lives[live.life].log;
        log.push(Logged { payload: payload.to_owned(), excluded });
        Some((log.len() as u64, delivered))
    }

    /// Deletes a topic, live or at rest; says whether there was one.
    pub fn delete(&mut self, topic: &str) -> bool {
        let Some(live) = self.live.remove(topic) else { return self.resting.remove(topic).is_some() };
        self.lives[live.life].deleted = true;
        true
    }

    /// Makes a topic by hand; says its life and whether it was live.
    pub fn make(&mut self, topic: &'static str) -> (usize, bool) {
        let existed = self.live.contains_key(topic);
        let live = self.wake(topic);
        live.kept = true;
        (live.life, existed)
    }
}
