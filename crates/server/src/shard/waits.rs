//! Commands that wait: for what they must not overtake, for their tokens to be verified, or for their outcome.
//!
//! ```text
//! text ─ decode ─ blocked? ──yes── held in the ledger ──┐ (runs when nothing blocks it)
//!                    no                                 │
//!                    ├─ tokens unknown: verified elsewhere, then on
//!                    └─ execute ─ Done: the reply leaves behind those before it
//!                               └ Later: posted, or from the hub ─ reply ─ what it blocked runs
//! ```
//!
//! While nothing waits there is no ledger, and a command costs nothing more.

use super::Driver;
use super::conn::Language;
use super::ledger::{HeldText, Ledger, Promise, Touches, Waiting};
use crate::posts::{ForConn, Posts, Resumed, Serial};
use fanfare_core::hub::{ConnAddr, Outcome, Ticket};
use fanfare_core::model::{Command, Either, ErrorCode, Refusal, Reply, Touch};
use fanfare_dialects::typed::RequestId;
use fanfare_services::credentials::{self, Verified, Wanted};
use tokio::sync::oneshot;

/// How far a command came.
pub(super) enum Step {
    /// The reply.
    Done(Reply<'static>),
    /// The reply comes by [`reply_to`]; in JSON-RPC, to this receiver.
    Later(Option<Receiver>),
    /// The hub has the reply later.
    Subscribing(Ticket),
}

/// Where the reply of a command goes that waits.
#[derive(Clone, Copy)]
pub(super) enum Via {
    /// To the frame with this serial.
    Frame(Serial),
    /// To a JSON-RPC call.
    Call,
}

pub(super) type Outgoing = Result<Reply<'static>, Refusal>;
pub(super) type Receiver = oneshot::Receiver<Outgoing>;
/// Takes the reply of a command; called once, on any thread.
pub(super) type ReplyTo = Box<dyn FnOnce(Outgoing) + Send>;

/// What the calls of a JSON-RPC text wait for.
#[derive(Debug, Default)]
pub(super) struct Waits {
    pub(super) touches: Touches,
    pub(super) promises: Vec<Promise>,
}

/// The refusal of commands that are read after the shutdown has begun.
pub(super) fn shutting_down() -> Refusal {
    Refusal::new(ErrorCode::ServerShutdown, "the server is shutting down; reconnect in a moment")
}

/// What takes the reply of a command that waits, and where a JSON-RPC call gets it from.
pub(super) fn reply_to(posts: &Posts, addr: ConnAddr, via: Via) -> (ReplyTo, Option<Receiver>) {
    match via {
        Via::Frame(serial) => {
            let posts = posts.clone();
            (Box::new(move |result| posts.post_for(addr, ForConn::Outcome(serial, result))), None)
        }
        Via::Call => {
            let (tell, told) = oneshot::channel();
            (Box::new(|result| drop(tell.send(result))), Some(told))
        }
    }
}

impl Driver {
    pub(super) fn new_serial(&mut self) -> Serial {
        self.serials += 1;
        Serial(self.serials)
    }

    pub(super) fn ledger(&mut self, slot: u32) -> Option<&mut Ledger> {
        self.conns[slot as usize].rare.as_mut()?.ledger.as_deref_mut()
    }

    /// Carries out a text in the connection's dialect: a new one, or the one that was held or verified under a serial.
    pub(super) fn carry_out(&mut self, slot: u32, text: &str, at: Option<Serial>) {
        match self.conns[slot as usize].language {
            Language::JsonRpc => self.on_rpc(slot, text, at),
            Language::Typed | Language::Undecided => self.on_typed(slot, text, at),
        }
    }

    // --- what holds a command up ------------------------------------------------------------------------------------

    /// Whether a new command has to wait for an earlier one.
    pub(super) fn is_blocked<'a, T: Iterator<Item = Touch<'a>>>(
        &self,
        slot: u32,
        touches: impl Fn() -> T,
    ) -> bool {
        self.conns[slot as usize].ledger().is_some_and(|ledger| ledger.blocks(touches))
    }

    /// Holds a command until nothing blocks it.
    pub(super) fn hold<'a>(&mut self, slot: u32, text: &str, touches: impl Iterator<Item = Touch<'a>>) {
        let serial = self.new_serial();
        let touches = touches.map(Touch::into_owned).collect();
        if let Some(ledger) = self.ledger(slot) {
            ledger.hold(serial, touches, HeldText::new(text));
        }
    }

    /// Has the tokens of a command verified whose outcomes are not known; returns whether there were any. The command is carried
    /// out after that.
    pub(super) fn set_aside<'a, T: Iterator<Item = Touch<'a>>>(
        &mut self,
        slot: u32,
        text: &str,
        mut wanted: Wanted,
        at: Option<Serial>,
        touches: impl Fn() -> T,
    ) -> bool {
        wanted.retain(|(token_use, token)| !self.verified.knows(*token_use, token));
        if wanted.is_empty() || (self.draining && at.is_none()) {
            return false;
        }
        let serial = at.unwrap_or_else(|| self.new_serial());
        let touches = touches().map(Touch::into_owned).collect();
        let rare = self.conns[slot as usize].rare();
        rare.ledger.get_or_insert_default().wait(serial, touches, Waiting::unstarted());
        let (node, addr, text) = (self.node.clone(), self.hub.addr(slot), text.to_owned());
        self.node.runtime.spawn(async move {
            let verified = credentials::verify(&node.services.identity, wanted).await;
            node.posts.post_for(addr, ForConn::Verified(Box::new(Resumed { serial, text, verified })));
        });
        true
    }

    /// The tokens of a command are verified: it is carried out.
    pub(super) fn run_verified(&mut self, addr: ConnAddr, serial: Serial, text: &str, verified: Verified) {
        let Some(slot) = self.begin_post(addr) else { return };
        if self.ledger(slot).and_then(|ledger| ledger.waiting(serial)).is_none() {
            return;
        }
        self.verified = verified;
        self.carry_out(slot, text, Some(serial));
        self.verified = Verified::default();
        self.send_out(slot);
        self.advance(slot);
    }

    // --- outcomes ---------------------------------------------------------------------------------------------------

    /// What a JSON-RPC call gets of a command, and a note of what its text waits for.
    pub(super) fn promise(&mut self, command: &Command<'_>, step: Step) -> Either<Reply<'static>> {
        let receiver = match step {
            Step::Done(reply) => return Either::Now(reply),
            Step::Later(receiver) => receiver,
            Step::Subscribing(ticket) => {
                let (tell, told) = oneshot::channel();
                self.waits.promises.push((ticket, Some(tell)));
                Some(told)
            }
        };
        self.waits.touches.push(command.touches().into_owned());
        let ended =
            || Refusal::new(ErrorCode::Unavailable, "the command ended without an outcome; try again");
        Either::Later(Box::pin(async move {
            match receiver {
                Some(receiver) => receiver.await.unwrap_or_else(|_| Err(ended())),
                None => Err(ended()),
            }
        }))
    }

    /// A typed command that waited has its outcome.
    pub(super) fn outcome(&mut self, addr: ConnAddr, serial: Serial, result: &Outgoing) {
        let Some(slot) = self.begin_post(addr) else { return };
        let Some(waiting) = self.ledger(slot).and_then(|ledger| ledger.waiting(serial)) else { return };
        let (id, kind, since) = (waiting.id.take(), waiting.kind, waiting.since);
        self.reply(slot, Some(serial), (id.as_deref().map(RequestId), kind, since), result);
        self.send_out(slot);
        self.advance(slot);
    }

    /// Takes the replies of subscriptions that the hub has by now.
    pub(super) fn take_outcomes(&mut self) {
        let outcomes: Vec<Outcome> = self.hub.take_outcomes().collect();
        for outcome in outcomes {
            self.contain(outcome.conn, |driver| driver.subscribed(outcome));
        }
        self.look_at_drained();
    }

    fn subscribed(&mut self, outcome: Outcome) {
        let Outcome { conn, ticket, reply } = outcome;
        let Some(slot) = self.begin_post(conn) else { return };
        let found = self.ledger(slot).and_then(|ledger| ledger.waits_for(ticket));
        let Some((serial, touches)) = found.map(|(serial, touches)| (serial, touches.to_vec())) else {
            return;
        };
        if reply.is_err() {
            self.forget_refused_grants(slot, &touches);
        }
        let waiting = self.ledger(slot).and_then(|ledger| ledger.waiting(serial));
        let promised = waiting.and_then(|w| w.promises.iter_mut().find(|(promised, _)| *promised == ticket));
        if let Some(tell) = promised.and_then(|(_, tell)| tell.take()) {
            // Its events follow when the call's answer has been sent.
            let _gone = tell.send(reply);
            return;
        }
        self.outcome(conn, serial, &reply);
        self.hub.proceed(conn, ticket);
    }

    /// No token keeps a subscription open that was refused.
    fn forget_refused_grants(&mut self, slot: u32, touches: &[Touch<'_>]) {
        for touch in touches {
            if let Touch::Topic(topic) = touch
                && !self.hub.is_subscribed(slot, topic)
            {
                self.forget_grant(slot, topic);
            }
        }
    }

    /// The slot of a connection that a post is for, if it is open; nothing of others is in the buffer of replies.
    pub(super) fn begin_post(&mut self, addr: ConnAddr) -> Option<u32> {
        let slot = self.hub.slot_of(addr).filter(|slot| self.conns[*slot as usize].is_open())?;
        self.out.clear();
        self.out_messages = 0;
        Some(slot)
    }

    /// Sends the replies so far, and the welcome behind the answer of a login.
    fn send_out(&mut self, slot: u32) {
        self.flush_out(slot);
        if let Some(session) = self.welcome_owed.take() {
            self.welcome(slot, &session);
        }
    }

    /// Carries out what an outcome has unblocked, and reads on if there is room again.
    pub(super) fn advance(&mut self, slot: u32) {
        while self.conns[slot as usize].is_open()
            && let Some((serial, text)) = self.ledger(slot).and_then(Ledger::next_runnable)
        {
            self.carry_out(slot, text.as_str(), Some(serial));
            self.send_out(slot);
        }
        if let Some(rare) = &mut self.conns[slot as usize].rare
            && rare.ledger.as_ref().is_some_and(|ledger| ledger.is_empty())
        {
            rare.ledger = None;
        }
        let reads = self.conns[slot as usize].interest & super::conn_interest::READ != 0;
        if !reads && !self.hub.is_paused(slot) {
            self.unpause(slot);
        }
    }
}
