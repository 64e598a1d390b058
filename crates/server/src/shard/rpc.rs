//! JSON-RPC on a connection: calls run on its shard; those that wait run elsewhere and return as a post.
//!
//! Texts that wait are in the connection's ledger ([`super::ledger`]); their answers may overtake each other.

use super::Driver;
use super::ledger::Waiting;
use super::waits::{Via, Waits, shutting_down};
use crate::posts::{ForConn, Serial};
use fanfare_core::hub::ConnAddr;
use fanfare_core::model::{Actor, Command, Either, End, ErrorCode, Origin, Refusal, Reply};
use fanfare_core::session::{Attach, Opened, SessionCode};
use fanfare_dialects::jsonrpc::{self, Incoming};
use fanfare_rpc::{Caller, Calls, Connection, Outcome, Pending, SessionGrant};
use fanfare_services::ports::Sockets;
use fanfare_services::sessions::not_resumed;
use fanfare_ws::{OpCode, encode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Handlers of a connection that run at a time.
const MAX_RUNNING: usize = 16;
/// What the buffer of answers keeps of its size from one text to the next.
const KEPT_BYTES: usize = 64 * 1024;
/// How long a handler may take.
const HANDLER_DEADLINE: Duration = Duration::from_secs(30);

/// The calls of a connection that run elsewhere. Dropped with it, which ends them.
#[derive(Debug)]
pub(super) struct Tasks {
    running: JoinSet<()>,
    gate: Arc<Semaphore>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { running: JoinSet::new(), gate: Arc::new(Semaphore::new(MAX_RUNNING)) }
    }
}

impl Driver {
    /// Carries out a text: a new one, or the one that was held or verified under a serial.
    pub(super) fn on_rpc(&mut self, slot: u32, text: &str, at: Option<Serial>) {
        if self.draining && at.is_none() {
            self.refuse_rpc(slot, text, &shutting_down());
            return;
        }
        let node = self.node.clone();
        let calls = Calls::read(&node.registry, text, node.config.limits.rpc_batch);
        if at.is_none() && self.is_blocked(slot, || calls.touches()) {
            self.hold(slot, text, calls.touches());
            return;
        }
        if self.set_aside(slot, text, calls.tokens(), at, || calls.touches()) {
            return;
        }
        self.waits = Waits::default();
        let mut answer = std::mem::take(&mut self.answer);
        let mut caller = SocketCaller::new(self, slot);
        let outcome = calls.run(&mut caller, node.config.limits.rpc_answer_bytes.len(), &mut answer);
        let limited = caller.limited;
        match outcome {
            Outcome::Pending(pending) => self.wait_for(slot, pending, at),
            outcome => {
                if let Outcome::Answered = outcome {
                    self.put_answer(&answer);
                }
                self.forget_call(slot, at);
            }
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

    /// Runs calls elsewhere; their answer is posted to this shard.
    fn wait_for(&mut self, slot: u32, pending: Pending, at: Option<Serial>) {
        let (node, addr) = (self.node.clone(), self.hub.addr(slot));
        let serial = at.unwrap_or_else(|| self.new_serial());
        let Waits { touches, promises } = std::mem::take(&mut self.waits);
        let waiting = Waiting { promises, started: true, ..Waiting::unstarted() };
        let rare = self.conns[slot as usize].rare();
        rare.ledger.get_or_insert_default().wait(serial, touches, waiting);
        let tasks = rare.tasks.get_or_insert_default();
        while tasks.running.try_join_next().is_some() {}
        let gate = tasks.gate.clone();
        let runtime = node.runtime.clone();
        let work = async move {
            let answer = pending.run(HANDLER_DEADLINE, &gate).await;
            node.posts.post_for(addr, ForConn::Answered(serial, answer));
        };
        tasks.running.spawn_on(work, &runtime);
    }

    /// Calls that ran elsewhere have ended. Subscriptions among them are sent their events after the answer.
    pub(super) fn answered(&mut self, addr: ConnAddr, serial: Serial, answer: Option<&[u8]>) {
        let Some(slot) = self.begin_post(addr) else { return };
        let Some(waiting) = self.forget_call(slot, Some(serial)) else { return };
        if let Some(text) = answer {
            self.put_answer(text);
        }
        self.flush_out(slot);
        for (ticket, _) in waiting.promises {
            self.hub.proceed(addr, ticket);
        }
        self.advance(slot);
    }

    /// Takes a text out of the ledger.
    fn forget_call(&mut self, slot: u32, serial: Option<Serial>) -> Option<Waiting> {
        let ledger = self.conns[slot as usize].rare.as_mut()?.ledger.as_mut()?;
        ledger.remove(serial?)
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
    fn execute(&mut self, command: Command<'_>) -> Result<Either<Reply<'static>>, Refusal> {
        let step = self.driver.execute(self.slot, &command, Via::Call)?;
        Ok(self.driver.promise(&command, step))
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
