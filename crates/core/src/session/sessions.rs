//! The session manager.

use super::data::Totals;
use super::draw::Draw;
use super::shard::{Kind, Session, Shard};
use super::token::{Claims, Generation, MAX_USER_BYTES, Sealer};
use super::types::{
    Attach, ConnAddr, Opened, Resume, ResumeRefused, Resumed, SessionInfo, SessionLimits, SessionState,
};
use super::{NoRandomness, SessionCode};
use crate::model::{ErrorCode, Refusal};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How long the tokens before the newest stay good, in milliseconds: a reply can get lost (`protocol.md` 6).
const GRACE_MS: u64 = 30_000;
/// How long a token is good at most, in milliseconds: 30 days. A session without use ends long before
/// (`session.ttl`); this only sees to it that no token is good for ever, and is long because a socket that stays open
/// gets no new one.
const TOKEN_MS: u64 = 30 * 24 * 3600 * 1000;
/// Locks that sessions are spread over.
const SHARDS: usize = 64;
/// Draws of a free code before giving up; with a full million the chance of one collision is under 1 %.
const DRAWS: usize = 32;
/// Queue entries one sweep looks at under one lock.
const SWEEP_STEP: usize = 256;

/// All sessions of this node.
pub struct Sessions {
    pub(super) limits: SessionLimits,
    sealer: Sealer,
    shards: Box<[Mutex<Shard>]>,
    len: AtomicUsize,
    sweep_at: AtomicUsize,
    pub(super) totals: Arc<Totals>,
}

impl Sessions {
    /// None yet. `key` seals the tokens; keep it over restarts, so that a restart locks nobody out.
    pub fn new(limits: SessionLimits, key: &[u8; 32]) -> Self {
        Self {
            limits,
            sealer: Sealer::new(key),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            len: AtomicUsize::new(0),
            sweep_at: AtomicUsize::new(0),
            totals: Arc::default(),
        }
    }

    /// Opens a session under a code of the server's choice, for a user if the handshake proved one.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` when there are `session.max` and all have a socket; `UNAVAILABLE` without random bytes.
    pub fn open(&self, user: Option<&str>, now: u64) -> Result<Opened, Refusal> {
        let user = user.map(checked_user).transpose()?;
        self.reserve()?;
        let mut draw = Draw::default();
        let life = draw.bits().map_err(no_randomness);
        let placed = life.and_then(|life| self.place(Session::new(life, user, now), &mut draw, now));
        if placed.is_err() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        placed
    }

    /// Resumes a session: a new token and generation; the socket is attached later. The token used stays good for
    /// 30 s. A token older than that ends the session: another client has it.
    ///
    /// # Errors
    /// One kind for wrong, unknown, expired and stale, so that they answer alike.
    pub fn resume(&self, ask: Resume<'_>, now: u64) -> Result<Resumed, ResumeRefused> {
        const GUESS: ResumeRefused = ResumeRefused { counted: true, unsealed: true, revoked: None };
        const GONE: ResumeRefused = ResumeRefused { counted: false, ..GUESS };
        let mut buffer = Vec::new();
        let claims =
            self.sealer.open(ask.token, &mut buffer).ok_or(ResumeRefused { unsealed: false, ..GUESS })?;
        if SessionCode::parse(ask.code) != Some(claims.code) {
            return Err(GUESS);
        }
        let code = claims.code;
        let mut shard = self.shard(code);
        let session = shard.get(code, &self.limits, now).ok_or(GONE)?;
        if session.life != claims.generation.life {
            return Err(GONE);
        }
        let owner = session.user.as_deref();
        let other_user = ask.user.is_some() && owner.is_some() && owner != ask.user;
        if owner.unwrap_or("") != claims.user || other_user || now >= claims.expires {
            return Err(GUESS);
        }
        let presented = claims.generation.count;
        let newest = presented == session.count;
        let lost_reply = (session.confirmed..session.count).contains(&presented) && now < session.grace_until;
        let next = session.count.checked_add(1).filter(|_| newest || lost_reply);
        let Some(next) = next else {
            let revoked = session.conn;
            shard.remove(code);
            self.len.fetch_sub(1, Ordering::Relaxed);
            return Err(ResumeRefused { revoked, ..GUESS });
        };
        session.confirmed = presented;
        session.count = next;
        session.grace_until = now + GRACE_MS;
        let resumed = Resumed {
            code,
            generation: Generation { life: session.life, count: next },
            token: self.token(code, session, now),
            user: session.user.clone(),
            previous: session.conn,
        };
        shard.used(code, now);
        Ok(resumed)
    }

    /// Gives the session its socket, once that is placed. The newest generation wins.
    pub fn attach(&self, code: SessionCode, generation: Generation, addr: ConnAddr, now: u64) -> Attach {
        let mut shard = self.shard(code);
        let Some(session) = shard.get(code, &self.limits, now).filter(|s| s.life == generation.life) else {
            return Attach::Gone;
        };
        if generation.count != session.count {
            return Attach::Superseded;
        }
        let replaced = session.conn.replace(addr).filter(|old| *old != addr);
        session.seen = now;
        Attach::Attached { replaced }
    }

    /// Takes the socket away, unless another has taken its place; answers whether it was this one's.
    pub fn detach(&self, code: SessionCode, addr: ConnAddr, now: u64) -> bool {
        let mut shard = self.shard(code);
        let Some(session) = shard.get(code, &self.limits, now).filter(|s| s.conn == Some(addr)) else {
            return false;
        };
        session.conn = None;
        shard.used(code, now);
        true
    }

    /// Moves a session to a new code and token and gives it a user, at a login; data and socket go along. The old code and
    /// its tokens are those of a session that is gone. Only the session's own connection may call this.
    ///
    /// # Errors
    /// `NOT_FOUND` when the session has ended; `UNAVAILABLE` without random bytes.
    pub fn renew(&self, code: SessionCode, user: &str, now: u64) -> Result<Opened, Refusal> {
        let user = checked_user(user)?;
        let mut draw = Draw::default();
        let life = draw.bits().map_err(no_randomness)?;
        let mut session = {
            let mut shard = self.shard(code);
            shard.get(code, &self.limits, now).ok_or_else(ended)?;
            shard.remove(code).ok_or_else(ended)?
        };
        (session.life, session.count, session.confirmed, session.grace_until) = (life, 0, 0, 0);
        session.user = Some(user);
        if let Some(data) = &mut session.data {
            data.own();
        }
        let placed = self.place(session, &mut draw, now);
        if placed.is_err() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        placed
    }

    /// The newest token once more, for the session's own connection: nothing is rotated.
    pub fn reissue(&self, code: SessionCode, now: u64) -> Option<String> {
        let mut shard = self.shard(code);
        let session = shard.get(code, &self.limits, now)?;
        Some(self.token(code, session, now))
    }

    /// Ends a session at once; answers the socket it had, to be closed with 4401.
    pub fn end(&self, code: SessionCode) -> Option<ConnAddr> {
        let session = self.shard(code).remove(code)?;
        self.len.fetch_sub(1, Ordering::Relaxed);
        session.conn
    }

    /// Whether there is a session of this code, and its socket.
    pub fn state(&self, code: SessionCode, now: u64) -> SessionState {
        match self.shard(code).get(code, &self.limits, now).map(|s| s.conn) {
            None => SessionState::Unknown,
            Some(None) => SessionState::Detached,
            Some(Some(addr)) => SessionState::At(addr),
        }
    }

    /// The session's socket, if it has one.
    pub fn address(&self, code: SessionCode) -> Option<ConnAddr> {
        self.shard(code).peek(code)?.conn
    }

    /// Name and times.
    pub fn info(&self, code: SessionCode, now: u64) -> Option<SessionInfo> {
        let mut shard = self.shard(code);
        let session = shard.get(code, &self.limits, now)?;
        Some(SessionInfo { code, created_at: session.created, last_seen: session.seen })
    }

    /// Notes that the client did something.
    pub fn touch(&self, code: SessionCode, now: u64) {
        let mut shard = self.shard(code);
        if shard.get(code, &self.limits, now).is_some() {
            shard.used(code, now);
        }
    }

    /// Removes sessions that have expired: call it every second or so. One call looks at no more than `budget` entries and
    /// continues where the last one ended; returns the number of removed sessions.
    pub fn sweep(&self, now: u64, budget: usize) -> usize {
        let (mut left, mut removed) = (budget, 0);
        for _ in 0..SHARDS {
            let shard = &self.shards[self.sweep_at.load(Ordering::Relaxed) % SHARDS];
            loop {
                let step = left.min(SWEEP_STEP);
                let (gone, looked) = shard.lock().expire(&self.limits, now, step);
                removed += gone;
                left -= looked;
                if looked < step || left == 0 {
                    break;
                }
            }
            if left == 0 {
                break;
            }
            self.sweep_at.fetch_add(1, Ordering::Relaxed);
        }
        self.len.fetch_sub(removed, Ordering::Relaxed);
        removed
    }

    /// How many there are, expired ones not yet swept included.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn each_shard(&self) -> impl Iterator<Item = &Mutex<Shard>> {
        self.shards.iter()
    }

    /// Counts a session that was placed.
    pub(super) fn count_in(&self) {
        self.len.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn shard(&self, code: SessionCode) -> MutexGuard<'_, Shard> {
        self.shards[code.index() as usize % SHARDS].lock()
    }

    /// Counts a session in before it is placed, and makes room for it.
    fn reserve(&self) -> Result<(), Refusal> {
        if self.len.fetch_add(1, Ordering::Relaxed) < self.limits.max || self.evict_oldest() {
            return Ok(());
        }
        self.len.fetch_sub(1, Ordering::Relaxed);
        Err(Refusal::new(ErrorCode::LimitExceeded, "there are as many sessions as `session.max` allows"))
    }

    /// Removes the session without a socket that was used longest ago; false when there is none.
    fn evict_oldest(&self) -> bool {
        loop {
            let heads = self.shards.iter().filter_map(|shard| shard.lock().oldest());
            let Some((seen, code)) = heads.min() else { return false };
            let mut shard = self.shard(code);
            // Between the two looks it may have been used or removed: then look again, since others made progress.
            if shard.oldest() == Some((seen, code)) {
                shard.remove(code);
                self.len.fetch_sub(1, Ordering::Relaxed);
                return true;
            }
        }
    }

    /// Frees `bytes` of data for a session with or without a user (`configuration.md`): first goes the data of strangers
    /// without a socket, those used longest ago first. For a user, then that of strangers with one, and last that of users
    /// without. False when nothing is left that may go.
    pub(super) fn free_data(&self, bytes: usize, for_user: bool) -> bool {
        if self.take_oldest_data(Kind::Data) {
            return true;
        }
        if for_user && self.totals.strangers() > 0 {
            // Much at once, so that the next search is far off.
            let (goal, mut freed) = (bytes.max(self.limits.data_total_bytes / 8), 0);
            for shard in &self.shards {
                freed += shard.lock().take_strangers(goal - freed.min(goal));
            }
            return freed > 0 || self.take_oldest_data(Kind::UserData);
        }
        for_user && self.take_oldest_data(Kind::UserData)
    }

    fn take_oldest_data(&self, kind: Kind) -> bool {
        loop {
            let heads = self.shards.iter().filter_map(|shard| shard.lock().oldest_of(kind));
            let Some((seen, code)) = heads.min() else { return false };
            let mut shard = self.shard(code);
            // As in `evict_oldest`.
            if shard.oldest_of(kind) == Some((seen, code)) {
                shard.take_data(code);
                return true;
            }
        }
    }

    /// Puts a session under a code nobody has.
    fn place(&self, mut session: Session, draw: &mut Draw, now: u64) -> Result<Opened, Refusal> {
        for _ in 0..DRAWS {
            let code = SessionCode::draw(draw).map_err(no_randomness)?;
            let generation = Generation { life: session.life, count: session.count };
            let token = self.token(code, &session, now);
            match self.shard(code).insert(code, session, now) {
                Ok(()) => return Ok(Opened { code, generation, token }),
                Err(back) => session = back,
            }
        }
        Err(Refusal::new(ErrorCode::Unavailable, "no free session code was found"))
    }

    fn token(&self, code: SessionCode, session: &Session, now: u64) -> String {
        self.sealer.seal(&Claims {
            code,
            generation: Generation { life: session.life, count: session.count },
            expires: now + TOKEN_MS,
            user: session.user.as_deref().unwrap_or(""),
        })
    }

    /// Puts a session under a given code, as a later draw would.
    #[cfg(test)]
    pub(super) fn insert_for_test(&self, code: SessionCode, session: Session, now: u64) -> bool {
        self.len.fetch_add(1, Ordering::Relaxed);
        self.shard(code).insert(code, session, now).is_ok()
    }
}

pub(super) fn ended() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "the session has ended")
}

fn no_randomness(_: NoRandomness) -> Refusal {
    Refusal::new(ErrorCode::Unavailable, "the operating system gave no random bytes")
}

/// A user's id as a token can carry it.
fn checked_user(user: &str) -> Result<Box<str>, Refusal> {
    if user.is_empty() || user.len() > MAX_USER_BYTES {
        return Err(Refusal::new(ErrorCode::Internal, "a user's id must have 1 to 255 bytes"));
    }
    Ok(user.into())
}
