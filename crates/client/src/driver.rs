//! The task that owns a session's socket.
//!
//! Data flow: [`Command`]s arrive from the handles, each numbered and kept in `pending` until its reply; frames are
//! sent through `outbox`; received frames become replies (by request id) or [`Notice`]s (`waiting`, then the user's
//! queue).
//!
//! Invariants: at most [`MAX_OUTSTANDING`] requests wait for a reply (protocol.md 3); while a notice waits for room the
//! socket is not read, so nothing grows; every request gets exactly one result; a request that may have been executed
//! is sent again only if executing it twice has the same effect as once.

mod inbound;
mod outbox;
mod requests;

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::Message;

use self::outbox::{CLOSE_TIMEOUT, Outbox};
pub(crate) use self::requests::Command;
use self::requests::{Pending, answer};
use crate::backoff::Backoff;
use crate::client::Notice;
use crate::close::{CloseReason, Retry};
use crate::error::Error;
use crate::options::Options;
use crate::socket::{self, Refusal, Socket, close_reason};
use crate::subscriptions::Subscriptions;
use crate::target::{SessionKeys, Target};
use crate::wire::Welcome;

/// Maximum requests that wait for a reply: the server reads no more of them (protocol.md 3).
pub(crate) const MAX_OUTSTANDING: usize = 64;
/// How much later than the server's heartbeat a frame may arrive before the connection counts as dead.
const HEARTBEAT_GRACE: Duration = Duration::from_secs(15);
/// A connection that lasted this long resets the backoff.
const STABLE_AFTER: Duration = Duration::from_secs(5);
/// Why a connection ended.
enum End {
    /// The user closed the client.
    Finished,
    /// The server asked the client to move to another node.
    Moved,
    /// The connection broke, or the server closed it.
    Lost(CloseReason),
}

/// State of a session across all its connections.
pub(crate) struct Driver {
    target: Target,
    options: Options,
    session: SessionKeys,
    commands: mpsc::Receiver<Command>,
    notices: mpsc::Sender<Notice>,
    welcome: watch::Sender<Welcome>,
    closed: watch::Sender<Option<CloseReason>>,
    subscriptions: Subscriptions,
    pending: BTreeMap<u64, Pending>,
    next_id: u64,
    outbox: Outbox,
    waiting: VecDeque<Notice>,
    /// When to leave this connection for another, after `MOVE`.
    move_at: Option<Instant>,
}

impl Driver {
    pub(crate) fn new(
        target: Target,
        options: Options,
        commands: mpsc::Receiver<Command>,
        notices: mpsc::Sender<Notice>,
        welcome: watch::Sender<Welcome>,
        closed: watch::Sender<Option<CloseReason>>,
    ) -> Self {
        let session = keys(&welcome.borrow());
        Self {
            target,
            options,
            session,
            commands,
            notices,
            welcome,
            closed,
            subscriptions: Subscriptions::default(),
            pending: BTreeMap::new(),
            next_id: 1,
            outbox: Outbox::default(),
            waiting: VecDeque::new(),
            move_at: None,
        }
    }

    /// Serves connection after connection until the user or the server ends the session.
    pub(crate) async fn run(mut self, mut socket: Socket) {
        let mut backoff = Backoff::default();
        let reason = loop {
            let since = Instant::now();
            let end = self.serve(socket).await;
            if since.elapsed() >= STABLE_AFTER {
                backoff.reset();
            }
            let (retry, why) = match end {
                End::Finished => break finished(),
                End::Moved => (None, CloseReason { code: None, reason: "moving to another node".into() }),
                End::Lost(why) => match why.retry() {
                    Retry::Never => break why,
                    retry => (Some(retry), why),
                },
            };
            self.waiting.push_back(Notice::Disconnected(why));
            self.outbox.clear();
            self.fail_uncertain();
            match self.reconnect(&mut backoff, retry).await {
                Ok(fresh) => socket = fresh,
                Err(reason) => break reason,
            }
        };
        self.finish(reason).await;
    }

    /// Retries until a connection is established. `first` is the wait before the first attempt, `None` for none.
    async fn reconnect(
        &mut self,
        backoff: &mut Backoff,
        first: Option<Retry>,
    ) -> Result<Socket, CloseReason> {
        let mut session = Some(self.session.clone());
        let mut retry = first;
        loop {
            let delay = retry.map_or(Duration::ZERO, |retry| backoff.next(retry));
            if self.idle_for(delay).await.is_break() {
                return Err(finished());
            }
            let refusal = match self.open(session.clone()).await? {
                Ok((socket, welcome)) => {
                    self.session = keys(&welcome);
                    self.waiting.push_back(Notice::Reconnected { resumed: welcome.resumed });
                    self.welcome.send_replace(welcome);
                    self.move_at = None;
                    self.queue_again();
                    return Ok(socket);
                }
                Err(refusal) => refusal,
            };
            let exhausted = self.options.max_attempts.is_some_and(|max| backoff.attempts() >= max);
            if refusal.retry == Retry::Never || exhausted {
                return Err(match refusal.error {
                    Error::Closed(reason) => reason,
                    error => CloseReason { code: None, reason: error.to_string() },
                });
            }
            if refusal.session_gone {
                session = None;
            }
            retry = Some(refusal.retry);
        }
    }

    /// One attempt, which ends early when the user closes the client.
    async fn open(
        &mut self,
        session: Option<SessionKeys>,
    ) -> Result<Result<(Socket, Welcome), Refusal>, CloseReason> {
        let (target, options) = (self.target.clone(), self.options.clone());
        let attempt = socket::open(&target, session.as_ref(), &options);
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                outcome = &mut attempt => return Ok(outcome),
                command = self.commands.recv(), if self.pending.len() < MAX_OUTSTANDING => match command {
                    None | Some(Command::Close) => return Err(finished()),
                    Some(command) => self.accept(command),
                },
            }
        }
    }

    /// Waits without a connection: delivers notices and queues commands. Returns only when all notices are delivered,
    /// so that the client does not reconnect indefinitely for a user who reads nothing.
    async fn idle_for(&mut self, delay: Duration) -> ControlFlow<()> {
        let until = Instant::now() + delay;
        loop {
            tokio::select! {
                () = hand_over(&self.notices, &mut self.waiting), if !self.waiting.is_empty() => {}
                command = self.commands.recv(), if self.pending.len() < MAX_OUTSTANDING => match command {
                    None | Some(Command::Close) => return ControlFlow::Break(()),
                    Some(command) => self.accept(command),
                },
                () = sleep_until(until), if self.waiting.is_empty() => return ControlFlow::Continue(()),
            }
        }
    }

    /// Serves one connection until it ends.
    async fn serve(&mut self, socket: Socket) -> End {
        let (mut sink, mut stream) = socket.split();
        let silence =
            Duration::from_millis(self.welcome.borrow().heartbeat_ms).saturating_add(HEARTBEAT_GRACE);
        let mut deadline = Instant::now() + silence;
        self.queue_unsent();
        loop {
            let move_at = self.move_at.unwrap_or(deadline);
            tokio::select! {
                flushed = poll_fn(|cx| self.outbox.poll_write(&mut sink, cx)), if !self.outbox.is_done() => {
                    if let Err(e) = flushed {
                        return End::Lost(self.last_words(&mut stream, &e).await);
                    }
                }
                () = hand_over(&self.notices, &mut self.waiting), if !self.waiting.is_empty() => {
                    // While the user prevented reads from the socket, silence does not mean that the server is dead.
                    deadline = Instant::now() + silence;
                }
                message = stream.next(), if self.waiting.is_empty() => {
                    deadline = Instant::now() + silence;
                    match message {
                        Some(Ok(Message::Text(text))) => self.receive(text.as_str()),
                        Some(Ok(Message::Close(frame))) => return End::Lost(close_reason(frame)),
                        Some(Ok(_)) => {}
                        Some(Err(e)) => return End::Lost(broken(&e)),
                        None => return End::Lost(CloseReason { code: None, reason: "connection lost".into() }),
                    }
                }
                command = self.commands.recv(), if self.pending.len() < MAX_OUTSTANDING => match command {
                    None | Some(Command::Close) => {
                        self.outbox.farewell(sink, stream).await;
                        return End::Finished;
                    }
                    Some(command) => {
                        self.accept(command);
                        self.queue_unsent();
                    }
                },
                () = sleep_until(move_at), if self.move_at.is_some() => {
                    self.outbox.farewell(sink, stream).await;
                    return End::Moved;
                }
                () = sleep_until(deadline), if self.waiting.is_empty() => {
                    return End::Lost(CloseReason { code: None, reason: "the server sent nothing in time".into() });
                }
            }
        }
    }

    /// A failed write often follows an unread close frame with the reason.
    async fn last_words(&self, stream: &mut SplitStream<Socket>, error: &WsError) -> CloseReason {
        let close = async {
            while let Some(Ok(message)) = stream.next().await {
                if let Message::Close(frame) = message {
                    return Some(close_reason(frame));
                }
            }
            None
        };
        timeout(CLOSE_TIMEOUT, close).await.ok().flatten().unwrap_or_else(|| broken(error))
    }

    /// Ends all waiting requests and the stream of notices with the reason.
    async fn finish(mut self, reason: CloseReason) {
        self.closed.send_replace(Some(reason.clone()));
        self.commands.close();
        for (_, pending) in std::mem::take(&mut self.pending) {
            answer(pending.reply, Err(Error::Closed(reason.clone())));
        }
        // Requests still in the queue are dropped with it; their handles read the reason from `closed`.
        drop(self.commands);
        for notice in self.waiting.into_iter().chain([Notice::Closed(reason)]) {
            if self.notices.send(notice).await.is_err() {
                return;
            }
        }
    }
}

fn keys(welcome: &Welcome) -> SessionKeys {
    SessionKeys { code: welcome.session_code.clone(), resume_token: welcome.resume_token.clone() }
}

fn finished() -> CloseReason {
    CloseReason { code: Some(1000), reason: "closed by the client".into() }
}

fn broken(error: &WsError) -> CloseReason {
    CloseReason { code: None, reason: error.to_string() }
}

/// Moves one notice to the user's queue once that has room. If the user dropped the stream, notices are discarded.
/// Cancel-safe.
async fn hand_over(notices: &mpsc::Sender<Notice>, waiting: &mut VecDeque<Notice>) {
    match notices.reserve().await {
        Ok(permit) => {
            if let Some(notice) = waiting.pop_front() {
                permit.send(notice);
            }
        }
        Err(_) => waiting.clear(),
    }
}
