//! One part of all sessions: a map by code, and queues that give the next to expire, and the next to lose its data, without a
//! search.
//!
//! A session without a socket stands in exactly one valid queue entry, in the queue of its [`Kind`]. Each queue is in order of last use, so its head expires first. Entries are not taken out when a
//! session is used again; a `stamp` marks the valid one, and a queue is cleaned when stale entries outnumber the others.

use super::data::Data;
use super::{ConnAddr, SessionCode, SessionLimits};
use std::collections::{HashMap, VecDeque};

/// A session as it is held: 80 bytes.
pub(super) struct Session {
    /// Milliseconds since 1970.
    pub created: u64,
    /// Last use, likewise.
    pub seen: u64,
    /// Until when generations from `confirmed` on are good beside the newest.
    pub grace_until: u64,
    /// Separates this session from former ones of the same code.
    pub life: u32,
    /// The newest generation.
    pub count: u32,
    /// The oldest generation that can still be good: the one the last rotation started from.
    pub confirmed: u32,
    /// Which queue entry is the valid one.
    stamp: u32,
    pub conn: Option<ConnAddr>,
    pub user: Option<Box<str>>,
    pub data: Option<Box<Data>>,
}

impl Session {
    pub(super) fn new(life: u32, user: Option<Box<str>>, now: u64) -> Self {
        Self {
            created: now,
            seen: now,
            grace_until: 0,
            life,
            count: 0,
            confirmed: 0,
            stamp: 0,
            conn: None,
            user,
            data: None,
        }
    }

    fn kind(&self) -> Kind {
        match (self.user.is_some(), self.data.is_some()) {
            (false, false) => Kind::Bare,
            (false, true) => Kind::Data,
            (true, false) => Kind::User,
            (true, true) => Kind::UserData,
        }
    }

    fn ttl(&self, limits: &SessionLimits) -> u64 {
        if self.kind() == Kind::Bare { limits.detached_ttl_ms } else { limits.ttl_ms }
    }

    fn expired(&self, limits: &SessionLimits, now: u64) -> bool {
        self.conn.is_none() && now.saturating_sub(self.seen) >= self.ttl(limits)
    }
}

type Queue = VecDeque<(SessionCode, u32)>;

/// What a session has: the place of its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Neither data nor user.
    Bare,
    /// Data of a stranger.
    Data,
    /// A user.
    User,
    /// A user with data.
    UserData,
}

#[derive(Default)]
pub(super) struct Shard {
    sessions: HashMap<SessionCode, Session>,
    /// By [`Kind`].
    queues: [Queue; 4],
    stamps: u32,
}

impl Shard {
    /// The session, if it is there and has not expired; an expired one is left for [`Self::expire`].
    pub(super) fn get(
        &mut self,
        code: SessionCode,
        limits: &SessionLimits,
        now: u64,
    ) -> Option<&mut Session> {
        self.sessions.get_mut(&code).filter(|s| !s.expired(limits, now))
    }

    /// The session whatever its age.
    pub(super) fn peek(&self, code: SessionCode) -> Option<&Session> {
        self.sessions.get(&code)
    }

    /// Puts a session under a code; gives it back when the code is taken.
    pub(super) fn insert(&mut self, code: SessionCode, session: Session, now: u64) -> Result<(), Session> {
        if self.sessions.contains_key(&code) {
            return Err(session);
        }
        self.sessions.insert(code, session);
        self.used(code, now);
        Ok(())
    }

    /// Puts a session that was kept elsewhere under its code, as old as it is; false when it has expired or the code is taken.
    pub(super) fn restore(
        &mut self,
        code: SessionCode,
        session: Session,
        limits: &SessionLimits,
        now: u64,
    ) -> bool {
        if session.expired(limits, now) || self.sessions.contains_key(&code) {
            return false;
        }
        self.sessions.insert(code, session);
        self.queue(code);
        true
    }

    /// The sessions that have not expired, with their last use; those with a socket are in use now.
    pub(super) fn alive(&self, limits: &SessionLimits, now: u64) -> impl Iterator<Item = (u64, SessionCode)> {
        let alive = self.sessions.iter().filter(move |(_, session)| !session.expired(limits, now));
        alive.map(move |(code, session)| (if session.conn.is_some() { now } else { session.seen }, *code))
    }

    pub(super) fn remove(&mut self, code: SessionCode) -> Option<Session> {
        self.sessions.remove(&code)
    }

    /// Notes a use: renews the time to live and, without a socket, the place in its queue.
    pub(super) fn used(&mut self, code: SessionCode, now: u64) {
        let Some(session) = self.sessions.get_mut(&code) else { return };
        session.seen = now;
        if session.conn.is_none() {
            self.queue(code);
        }
    }

    /// Gives a session without a socket its place.
    fn queue(&mut self, code: SessionCode) {
        let Some(session) = self.sessions.get_mut(&code) else { return };
        self.stamps = self.stamps.wrapping_add(1);
        session.stamp = self.stamps;
        let queue = &mut self.queues[session.kind() as usize];
        queue.push_back((code, self.stamps));
        if queue.len() > 2 * self.sessions.len() + 32 {
            let sessions = &self.sessions;
            queue.retain(|e| is_valid(sessions, e));
        }
    }

    /// Removes expired sessions, looking at no more than `budget` entries; answers how many it removed and looked at.
    pub(super) fn expire(&mut self, limits: &SessionLimits, now: u64, budget: usize) -> (usize, usize) {
        let (mut removed, mut looked) = (0, 0);
        for queue in &mut self.queues {
            while looked < budget
                && let Some(entry) = queue.front()
            {
                if is_valid(&self.sessions, entry) {
                    if self.sessions.get(&entry.0).is_some_and(|s| !s.expired(limits, now)) {
                        break;
                    }
                    self.sessions.remove(&entry.0);
                    removed += 1;
                }
                queue.pop_front();
                looked += 1;
            }
        }
        (removed, looked)
    }

    /// The session without a socket that was used longest ago, and when.
    pub(super) fn oldest(&mut self) -> Option<(u64, SessionCode)> {
        let kinds = [Kind::Bare, Kind::Data, Kind::User, Kind::UserData];
        kinds.into_iter().filter_map(|kind| self.oldest_of(kind)).min()
    }

    /// The same among those of one kind.
    pub(super) fn oldest_of(&mut self, kind: Kind) -> Option<(u64, SessionCode)> {
        let queue = &mut self.queues[kind as usize];
        while let Some(entry) = queue.front() {
            if is_valid(&self.sessions, entry) {
                let seen = self.sessions.get(&entry.0).map_or(0, |s| s.seen);
                return Some((seen, entry.0));
            }
            queue.pop_front();
        }
        None
    }

    /// Takes the data of a session without a socket; the session stays as old as it was.
    pub(super) fn take_data(&mut self, code: SessionCode) {
        if let Some(session) = self.sessions.get_mut(&code) {
            session.data = None;
            self.queue(code);
        }
    }

    /// Takes the data of strangers with a socket until about `bytes` are free; answers how much it took.
    pub(super) fn take_strangers(&mut self, bytes: usize) -> usize {
        let mut freed = 0;
        let strangers = self.sessions.values_mut().filter(|s| s.conn.is_some() && s.user.is_none());
        for session in strangers {
            if freed >= bytes {
                break;
            }
            freed += session.data.take().map_or(0, |data| data.cost());
        }
        freed
    }

    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }
}

fn is_valid(sessions: &HashMap<SessionCode, Session>, (code, stamp): &(SessionCode, u32)) -> bool {
    sessions.get(code).is_some_and(|s| s.conn.is_none() && s.stamp == *stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SessionLimits = SessionLimits {
        ttl_ms: 1000,
        detached_ttl_ms: 100,
        max: 10,
        max_data_bytes: 10,
        data_total_bytes: 100,
    };

    #[test]
    fn a_session_is_small() {
        assert!(size_of::<Session>() <= 80);
        assert_eq!(size_of::<(SessionCode, u32)>(), 8);
    }

    #[test]
    fn stale_queue_entries_do_not_pile_up() {
        let mut shard = Shard::default();
        let code = SessionCode::parse("happy-panda-42").unwrap();
        assert!(shard.insert(code, Session::new(1, None, 0), 0).is_ok());
        for now in 0..10_000 {
            shard.used(code, now);
            assert!(shard.queued() <= 36);
        }
        assert_eq!(shard.expire(&LIMITS, 9_999 + 99, 100).0, 0);
        assert_eq!(shard.expire(&LIMITS, 9_999 + 100, 100).0, 1);
        assert_eq!(shard.queued(), 0);
    }
}
