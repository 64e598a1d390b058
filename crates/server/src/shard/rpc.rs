//! JSON-RPC on a connection: calls run on its shard; those that wait run elsewhere and come back as a post.
//!
//! At most [`MAX_OUTSTANDING`] calls of a connection wait at a time; beyond that its socket is not read.

use super::Driver;
use super::conn::Rare;
use crate::posts::ForConn;
use fanfare_core::hub::ConnAddr;
use fanfare_core::model::{
    Actor, Command, End, ErrorCode, FeedSubscribed, Origin, Refusal, Reply, SubscribeFeed,
};
use fanfare_core::session::{Attach, Opened, SessionCode};
use fanfare_dialects::jsonrpc::{self, Incoming};
use fanfare_rpc::{Caller, Calls, Connection, Either, Outcome, Pending, SessionGrant};
use fanfare_services::ports::Sockets;
use fanfare_services::sessions::not_resumed;
use fanfare_ws::{OpCode, encode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Commands of a connection that may wait for their answer (`protocol.md` 3).
pub(super) const MAX_OUTSTANDING: usize = 64;
/// Handlers of a connection that run at a time.
const MAX_RUNNING: usize = 16;
/// What the buffer of answers keeps of its size from one text to the next.
const KEPT_BYTES: usize = 64 * 1024;
/// How long a handler may take.
const HANDLER_DEADLINE: Duration = Duration::from_secs(30);

/// The calls of a connection that wait. Dropped with it, which ends them.
#[derive(Debug)]
pub(super) struct Waiting {
    tasks: JoinSet<()>,
    gate: Arc<Semaphore>,
    pub(super) count: usize,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), gate: Arc::new(Semaphore::new(MAX_RUNNING)), count: 0 }
    }
}

impl Rare {
    /// Whether so many calls wait that no more are taken.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.as_ref().is_some_and(|w| w.count >= MAX_OUTSTANDING)
    }
}

impl Driver {
    pub(super) fn on_rpc(&mut self, slot: u32, text: &str) {
        if self.draining {
            let why = "the server is shutting down; reconnect in a moment";
            self.refuse_rpc(slot, text, &Refusal::new(ErrorCode::ServerShutdown, why));
            return;
        }
        let node = self.node.clone();
        let calls = Calls::read(&node.registry, text, node.config.limits.rpc_batch);
        if self.set_aside(slot, text, calls.tokens()) {
            return;
        }
        let mut answer = std::mem::take(&mut self.answer);
        let mut caller = SocketCaller::new(self, slot);
        let outcome = calls.run(&mut caller, node.config.limits.rpc_answer_bytes.len(), &mut answer);
        let limited = caller.limited;
        match outcome {
            Outcome::Answered => self.put_answer(&answer),
            Outcome::Silent => {}
            Outcome::Pending(pending) => self.wait_for(slot, pending),
        }
        answer.clear();
        answer.shrink_to(KEPT_BYTES);
        self.answer = answer;
        if limited {
            // However many calls of a batch were refused, it is one message.
            self.bear_refusal(slot);
        }
    }

    fn put_answer(&mut self, text: &[u8]) {
        encode::frame_into(&mut self.out, OpCode::Text, text);
        self.out_messages += 1;
    }

    /// Refuses whatever the text asks, before it is carried out.
    pub(super) fn refuse_rpc(&mut self, slot: u32, text: &str, refusal: &Refusal) {
        self.metrics.error(refusal.code);
        let mut answer = Vec::new();
        match jsonrpc::parse(text, self.node.config.limits.rpc_batch) {
            Incoming::One(Ok(request)) if request.id.is_none() => return,
            Incoming::One(Ok(request)) => jsonrpc::refusal(&mut answer, request.id, refusal),
            Incoming::One(Err(fault)) => jsonrpc::refusal(&mut answer, fault.id, refusal),
            Incoming::Batch(_) => jsonrpc::refusal(&mut answer, None, refusal),
        }
        debug_assert!(self.conns[slot as usize].is_open());
        self.put_answer(&answer);
    }

    /// Lets a call run elsewhere; its answer comes back to this shard.
    fn wait_for(&mut self, slot: u32, pending: Pending) {
        let (node, addr) = (self.node.clone(), self.hub.addr(slot));
        let waiting = self.conns[slot as usize].rare().waiting.get_or_insert_with(Box::default);
        waiting.count += 1;
        while waiting.tasks.try_join_next().is_some() {}
        let gate = waiting.gate.clone();
        let runtime = node.runtime.clone();
        let work = async move {
            let answer = pending.run(HANDLER_DEADLINE, &gate).await;
            node.posts.post_for(addr, ForConn::Answered(answer));
        };
        waiting.tasks.spawn_on(work, &runtime);
    }

    pub(super) fn answered(&mut self, addr: ConnAddr, answer: Option<&[u8]>) {
        let Some(slot) = self.hub.slot_of(addr) else { return };
        let was_full = self.conns[slot as usize].is_busy();
        if let Some(waiting) = self.conns[slot as usize].rare().waiting.as_mut() {
            waiting.count -= 1;
        }
        self.out.clear();
        self.out_messages = 0;
        if let Some(text) = answer {
            self.put_answer(text);
        }
        self.flush_out(slot);
        if was_full && !self.hub.is_paused(slot) {
            self.unpause(slot);
        }
    }
}

/// A connection as its methods see it.
pub(super) struct SocketCaller<'a> {
    driver: &'a mut Driver,
    slot: u32,
    origin: Origin,
    /// A call of the batch was refused for the rate.
    limited: bool,
}

impl<'a> SocketCaller<'a> {
    pub(super) fn new(driver: &'a mut Driver, slot: u32) -> Self {
        let origin = driver.conns[slot as usize].origin();
        Self { driver, slot, origin, limited: false }
    }
}

impl Caller for SocketCaller<'_> {
    fn actor(&self) -> Actor<'_> {
        let caller = self.driver.conns[self.slot as usize].caller();
        Actor { caller, origin: &self.origin, grants: &self.driver.verified.grants }
    }

    fn connection(&mut self) -> Option<&mut dyn Connection> {
        Some(self)
    }

    fn must_authenticate(&self) -> bool {
        self.driver.conns[self.slot as usize].session.is_none()
    }

    fn admit(&mut self) -> Result<(), Refusal> {
        self.driver.take_message(self.slot).map_err(|wait| {
            self.limited = true;
            self.driver.rate_refusal(wait)
        })
    }

    fn begin(&mut self, method: &'static str) -> Result<(), Refusal> {
        if method.starts_with("server.") { self.driver.admit_command(self.slot) } else { Ok(()) }
    }

    fn ended(&mut self, method: &'static str, succeeded: bool) {
        if let Some(command) = method.strip_prefix("server.") {
            self.driver.note_command(self.slot, command, succeeded);
        }
    }
}

impl Connection for SocketCaller<'_> {
    fn execute(&mut self, command: Command<'_>) -> Result<Reply<'static>, Refusal> {
        self.driver.execute(self.slot, &command)
    }

    fn subscribe_feed(&mut self, order: SubscribeFeed<'_>) -> Result<Either<FeedSubscribed>, Refusal> {
        self.driver.subscribe_feed_rpc(self.slot, order)
    }

    fn authenticate(&mut self, token: &str) -> Result<SessionGrant, Refusal> {
        let done = self.driver.authenticate(self.slot, token)?;
        let user = (done.principal.user_id.to_string(), done.principal.username.to_string());
        Ok(SessionGrant { code: done.session_code, token: done.resume_token, user: Some(user) })
    }

    fn resume_session(&mut self, code: &str, token: &str) -> Result<SessionGrant, Refusal> {
        self.driver.resume_in_band(self.slot, code, token)
    }

    fn session(&self) -> Option<SessionCode> {
        self.driver.conns[self.slot as usize].session
    }
}

impl Driver {
    /// `session.resume`: this connection takes over another session; its own ends if nothing is in it.
    fn resume_in_band(&mut self, slot: u32, code: &str, token: &str) -> Result<SessionGrant, Refusal> {
        let now = self.now.ms;
        let node = self.node.clone();
        let sessions = node.services.sessions.table();
        let address = self.conns[slot as usize].address();
        let user = self.conns[slot as usize].login.as_ref().map(|l| l.principal().user_id.clone());
        let resumed = node.services.sessions.resume(code, token, user.as_deref(), address, now)?;
        if resumed.user.is_some() && user.is_none() {
            // Whether its login still holds is for the store to say: that is what the handshake asks.
            return Err(not_resumed());
        }
        let mut taken = Opened { code: resumed.code, generation: resumed.generation, token: resumed.token };
        if let Some(user) = user.as_deref().filter(|_| resumed.user.is_none()) {
            taken = sessions.renew(taken.code, user, now)?;
        }
        let addr = self.hub.addr(slot);
        let before = self.conns[slot as usize].session;
        if let Some(before) = before.filter(|before| *before != taken.code) {
            sessions.detach(before, addr, now);
        }
        match sessions.attach(taken.code, taken.generation, addr, now) {
            Attach::Attached { replaced } => {
                if let Some(old) = replaced.filter(|old| *old != addr) {
                    node.posts.end(old, End::ResumedElsewhere);
                }
                self.conns[slot as usize].session = Some(taken.code);
                let principal = self.conns[slot as usize].login.as_ref().map(|l| l.principal().clone());
                if let Some(principal) = &principal {
                    node.services.sessions.remember(taken.code, principal);
                }
                let user = principal.map(|p| (p.user_id.to_string(), p.username.to_string()));
                Ok(SessionGrant { code: taken.code.to_string(), token: taken.token, user })
            }
            Attach::Superseded | Attach::Gone => {
                Err(Refusal::new(ErrorCode::Unauthorized, "the session was resumed elsewhere meanwhile"))
            }
        }
    }
}
