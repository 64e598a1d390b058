//! Where a subscription begins.

use super::chain::Verdict;
use super::registry::{Making, Topics};
use super::tail::Mark;
use super::topic::{Live, Owner, Seat, State, Topic};
use crate::model::{Epoch, ErrorCode, Refusal, Requester, StartFrom, Subscribed};
use crate::ports::Read;
use std::sync::Arc;

/// A subscription that was entered.
pub(crate) struct Entered {
    pub(crate) topic: Arc<Topic>,
    pub(crate) begin: Begin,
}

/// Where a subscription begins, as far as it is known.
pub(crate) enum Begin {
    /// Known.
    At(Start),
    /// The events between this offset and the start must be read first; the log's oldest one decides which of them are sent.
    Read { start: Start, after: u64 },
    /// The topic does not know yet where its log is; [`Topics::begin`] is asked again when it does.
    Later,
}

/// A start that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) epoch: Epoch,
    /// The place of the last delivery before the live ones.
    pub(crate) head: Mark,
    pub(crate) past: Past,
    /// The place after which a replay begins.
    pub(crate) replay_after: Option<Mark>,
}

impl Start {
    /// The reply to the subscription, which is to `topic`.
    pub(crate) fn reply(&self, topic: &str, durable: bool) -> Subscribed<'static> {
        let (recovered, history) = match self.past {
            Past::NotWanted => (None, None),
            Past::Since { recovered } => (Some(recovered), None),
            Past::Last(count) => (None, Some(count)),
        };
        let topic = topic.to_owned().into();
        let (epoch, offset) = (self.epoch, self.head.offset);
        Subscribed { topic, epoch, offset, recovered, history, already: false, durable }
    }
}

/// Which earlier events a subscription is sent before the live ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// None were asked for.
    NotWanted,
    /// All since a position, or none because some of them are gone.
    Since { recovered: bool },
    /// The newest, this many.
    Last(u32),
}

/// How a replay continues that the tail has left behind.
pub(crate) enum Resume {
    /// The events after its last one are read, up to this place.
    Read(Epoch, Mark),
    /// The log has continued elsewhere since: it does so, too, from this place.
    Moved(Epoch, Mark),
}

impl<D> Topics<D> {
    /// Enters a subscription: everything published so far is posted, everything later is the subscriber's.
    pub(crate) fn enter(
        &self,
        name: &str,
        seat: Seat,
        from: &StartFrom<'_>,
        by: Requester<'_>,
        now_ms: u64,
    ) -> Result<Entered, Refusal> {
        loop {
            self.check_open()?;
            let (topic, _) = self.acquire(name, &Making::automatic(by), now_ms)?;
            let mut state = topic.lock();
            let Some(live) = state.life.live_mut() else { continue };
            if let Owner::Elsewhere(follow) = &mut live.owner
                && !follow.attached
                && !follow.is_attaching()
            {
                follow.attach(&topic.log_ref()); // it was away
            }
            state.seats.enter(seat);
            let begin = self.begin_in(&topic, &mut state, seat.shard, from, now_ms).unwrap_or(Begin::Later);
            drop(state);
            return Ok(Entered { topic, begin });
        }
    }

    /// Where a subscription begins that had to wait.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the topic has ended, or its upstream is away.
    pub(crate) fn begin(
        &self,
        topic: &Arc<Topic>,
        shard: u8,
        from: &StartFrom<'_>,
        now_ms: u64,
    ) -> Result<Begin, Refusal> {
        let mut state = topic.lock();
        self.begin_in(topic, &mut state, shard, from, now_ms).ok_or_else(away)
    }

    /// `None` when it is not known where the topic's log is.
    fn begin_in(
        &self,
        topic: &Arc<Topic>,
        state: &mut State,
        shard: u8,
        from: &StartFrom<'_>,
        now_ms: u64,
    ) -> Option<Begin> {
        topic.post(state, &self.inboxes, Some(shard));
        match state.life.live()? {
            Live { owner: Owner::Elsewhere(follow), .. } if follow.is_attaching() => Some(Begin::Later),
            live => live.begin(from, now_ms),
        }
    }

    /// How a replay continues whose last delivery was at position `after`, and that the tail has left behind; `None` if this node
    /// orders the topic, so that what is gone here is gone.
    pub(crate) fn resume(&self, topic: &Topic, after: u64) -> Option<Resume> {
        let state = topic.lock();
        let Live { owner: Owner::Elsewhere(_), chain, tail, .. } = state.life.live()? else { return None };
        let base = tail.base();
        Some(match after < base.pos {
            true => Resume::Moved(chain.epoch(), base),
            false => Resume::Read(chain.epoch(), tail.head()),
        })
    }

    /// Asks for what a subscription reads back.
    pub(crate) fn read(&self, topic: &Topic, read: Read) {
        let state = topic.lock();
        if let Some(Live { owner: Owner::Elsewhere(follow), .. }) = state.life.live() {
            follow.upstream.read(&topic.log_ref(), read);
        }
    }
}

impl Live {
    /// `None` when it is not known where the log is.
    fn begin(&self, from: &StartFrom<'_>, now_ms: u64) -> Option<Begin> {
        let (epoch, offset) = self.position()?;
        let start = |past| Start { epoch, head: self.tail.head(), past, replay_after: None };
        let known = |past, after| {
            let mark = || Mark { pos: self.tail.position_of(after), offset: after };
            Begin::At(Start { replay_after: (after < offset).then(mark), ..start(past) })
        };
        let reads = matches!(self.owner, Owner::Elsewhere(_));
        let floor = || self.tail.floor(now_ms).offset;
        Some(match from {
            StartFrom::Live => known(Past::NotWanted, offset),
            StartFrom::Since(since) => match self.chain.judge(since, floor(), offset) {
                Verdict::Exact(after) => known(Past::Since { recovered: true }, after),
                Verdict::Gap(after) if reads => {
                    Begin::Read { start: start(Past::Since { recovered: false }), after }
                }
                Verdict::Gap(_) | Verdict::Unknown => known(Past::Since { recovered: false }, offset),
            },
            StartFrom::Last(count) => {
                let (wanted, floor) = (offset.saturating_sub(count.get().into()), floor());
                let after = wanted.max(floor);
                match reads && wanted < floor {
                    true => Begin::Read { start: start(Past::Last(0)), after: wanted },
                    false => known(Past::Last((offset - after) as u32), after),
                }
            }
        })
    }
}

/// The upstream of a topic cannot be reached.
pub(crate) fn away() -> Refusal {
    let why = "what keeps this topic's events cannot be reached now; try again";
    Refusal::new(ErrorCode::Unavailable, why).field("topic").retry_after(super::follow::RETRY_MS)
}
