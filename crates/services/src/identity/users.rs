//! Connected users: their connections, their rate limits, and whether they are online.
//!
//! A user comes online with the first connection and goes offline `presence.grace` after the last one closed, so that a
//! reload is not visible. Buckets belong to the user and not to a connection: more sockets do not allow more messages.

use crate::rates::Rate;
use fanfare_core::hub::ConnAddr;
use fanfare_core::model::{Caller, Principal};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// All users who are online or were a moment ago, and those whose buckets are not full.
#[derive(Debug)]
pub struct Users {
    known: Mutex<Known>,
    grace_ms: u64,
    max_connections: usize,
    messages: Option<Rate>,
    commands: Option<Rate>,
}

#[derive(Debug, Default)]
struct Known {
    online: HashMap<Arc<str>, Arc<UserState>>,
    /// Offline users whose rate-limit buckets are not full again yet.
    apart: HashMap<Arc<str>, Arc<UserState>>,
}

/// The state of a user who is or was connected.
#[derive(Debug)]
pub struct UserState {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Connections, including those on their way to a shard.
    count: usize,
    placed: Vec<(ConnAddr, Arc<str>)>,
    /// When the last connection closed.
    left_at_ms: u64,
    messages: u64,
    commands: u64,
}

impl Inner {
    fn is_online(&self, now_ms: u64, grace_ms: u64) -> bool {
        self.count > 0 || now_ms < self.left_at_ms + grace_ms
    }

    fn is_full(&self, now_ns: u64) -> bool {
        self.messages.max(self.commands) <= now_ns
    }
}

/// The buckets of a user.
#[derive(Clone, Copy, Debug)]
pub enum Bucket {
    /// A message, on a socket or by REST.
    Message,
    /// A server command (`accounts-and-messages.md`).
    Command,
}

/// A user's connection; it is no longer counted when dropped.
#[derive(Debug)]
pub struct Login {
    caller: Caller,
    principal: Arc<Principal>,
    /// The user's buckets and connections.
    pub state: Arc<UserState>,
    users: Arc<Users>,
    addr: Option<ConnAddr>,
    /// Whether the client was notified that its token expires.
    pub warned: bool,
    /// Data for the connection record, written when the connection closes.
    pub facts: Facts,
}

/// Data about a connection of a user.
#[derive(Debug, Default)]
pub struct Facts {
    /// When it was opened, or logged in, in milliseconds since 1970.
    pub connected_at_ms: u64,
    /// The client's `User-Agent`.
    pub user_agent: Option<Arc<str>>,
    /// The number of texts received from the client.
    pub received: u64,
}

impl Users {
    /// Creates an empty set. A cap of 0 is unlimited.
    pub fn new(
        grace_ms: u64,
        max_connections: usize,
        messages: Option<Rate>,
        commands: Option<Rate>,
    ) -> Arc<Self> {
        Arc::new(Self { known: Mutex::default(), grace_ms, max_connections, messages, commands })
    }

    /// Counts a new connection of a user; `None` when the user has reached `limits.max_connections_per_user`.
    pub fn enter(self: &Arc<Self>, principal: Arc<Principal>) -> Option<Box<Login>> {
        let mut known = self.known.lock();
        let Known { online, apart } = &mut *known;
        let id = &principal.user_id;
        let fresh = || apart.remove(id).unwrap_or_else(UserState::new);
        let state = online.entry(id.clone()).or_insert_with(fresh).clone();
        let mut inner = state.inner.lock();
        if self.max_connections > 0 && inner.count >= self.max_connections {
            return None;
        }
        inner.count += 1;
        drop(inner);
        drop(known);
        let (users, facts) = (self.clone(), Facts::default());
        let caller = Caller::User(principal.clone());
        Some(Box::new(Login { caller, principal, state, users, addr: None, warned: false, facts }))
    }

    /// The number of distinct users online, including those within their grace.
    pub fn online(&self) -> u64 {
        self.known.lock().online.len() as u64
    }

    /// The connections of a user's login, or of all of them.
    pub fn connections(&self, user_id: &str, session_id: Option<&str>) -> Vec<ConnAddr> {
        let Some(state) = self.known.lock().online.get(user_id).cloned() else { return Vec::new() };
        let inner = state.inner.lock();
        let wanted = inner.placed.iter().filter(|(_, sid)| session_id.is_none_or(|wanted| **sid == *wanted));
        wanted.map(|(addr, _)| *addr).collect()
    }

    /// Sets users offline whose grace is over, and drops those whose buckets are full again.
    pub fn sweep(&self, now_ms: u64, now_ns: u64) {
        let mut known = self.known.lock();
        let Known { online, apart } = &mut *known;
        apart.extend(online.extract_if(|_, state| !state.inner.lock().is_online(now_ms, self.grace_ms)));
        apart.retain(|_, state| !state.inner.lock().is_full(now_ns));
    }

    /// Takes one unit out of a user's bucket.
    ///
    /// # Errors
    /// Milliseconds until there is one.
    pub fn take(&self, what: Bucket, user: &UserState, now_ns: u64) -> Result<(), u64> {
        let Some(rate) = self.rate(what) else { return Ok(()) };
        let mut inner = user.inner.lock();
        let bucket = match what {
            Bucket::Message => &mut inner.messages,
            Bucket::Command => &mut inner.commands,
        };
        rate.take(bucket, 1, now_ns)
    }

    /// The same for a caller without a connection: the bucket is that of the user's sockets.
    ///
    /// # Errors
    /// Milliseconds until there is one.
    pub fn take_apart(&self, what: Bucket, user_id: &Arc<str>, now_ns: u64) -> Result<(), u64> {
        if self.rate(what).is_none() {
            return Ok(());
        }
        let mut known = self.known.lock();
        let state = match known.online.get(user_id) {
            Some(state) => state.clone(),
            None => known.apart.entry(user_id.clone()).or_insert_with(UserState::new).clone(),
        };
        drop(known);
        self.take(what, &state, now_ns)
    }

    const fn rate(&self, what: Bucket) -> Option<Rate> {
        match what {
            Bucket::Message => self.messages,
            Bucket::Command => self.commands,
        }
    }
}

impl UserState {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default() })
    }
}

impl Login {
    /// Records the address of the connection.
    pub fn place(&mut self, addr: ConnAddr) {
        self.addr = Some(addr);
        self.state.inner.lock().placed.push((addr, self.principal.session_id.clone()));
    }

    /// The user, by the newest credential.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// The same as a caller.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Updates the user's data: the role.
    pub fn set_principal(&mut self, principal: Arc<Principal>) {
        self.caller = Caller::User(principal.clone());
        self.principal = principal;
    }

    /// Applies a newer token of the same login.
    pub fn refresh(&mut self, principal: Arc<Principal>) {
        self.set_principal(principal);
        self.warned = false;
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        // The common lock is taken first, as for new connections, so that no connection enters a user being dropped.
        let known = self.users.known.lock();
        let mut inner = self.state.inner.lock();
        inner.count = inner.count.saturating_sub(1);
        if let Some(addr) = self.addr {
            inner.placed.retain(|(placed, _)| *placed != addr);
        }
        inner.left_at_ms = crate::clock::unix_ms();
        drop(inner);
        drop(known);
    }
}
