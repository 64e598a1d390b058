//! What other threads have for a shard to do, and the way there.

use crate::admission::Permit;
use fanfare_core::hub::{ConnAddr, Inbox, Post};
use fanfare_core::model::{Actor, Caller, End, Publish, Refusal, Reply, Role};
use fanfare_core::ports::{Encoders, Info};
use fanfare_core::session::{Generation, SessionCode};
use fanfare_core::topics::Published;
use fanfare_services::clock::unix_ms;
use fanfare_services::credentials::Verified;
use fanfare_services::identity::Login;
use fanfare_services::ports::Sockets;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A post for a shard's driver.
#[derive(Debug)]
pub enum ToShard {
    /// A socket whose upgrade was answered with 101.
    Open(Box<NewConn>),
    /// Work for one connection, if it is still there: a panic ends that connection.
    For(ConnAddr, ForConn),
    /// Work for all connections: a panic ends the process.
    ForAll(ForAll),
    /// The server is shutting down: notify every connection; reply when every batch of this shard is posted.
    Drain(oneshot::Sender<()>),
    /// All shards have posted: flush, close everyone with 1001, then end the thread.
    Finish,
}

/// Work for one connection.
#[derive(Debug)]
pub enum ForConn {
    /// End it in order.
    End(End),
    /// A typed command that waited has its outcome.
    Outcome(Serial, Result<Reply<'static>, Refusal>),
    /// JSON-RPC calls that ran elsewhere have ended, with this text to send unless all were notifications.
    Answered(Serial, Option<Vec<u8>>),
    /// The tokens of a frame are verified.
    Verified(Box<Resumed>),
    /// A replay of a feed has something to take.
    FeedReady,
    /// A subscription to a feed cannot be served: it ends.
    LeaveFeed(Box<str>),
    /// Its user has another role.
    Role(Role),
    /// Send JSON as a session message.
    Push(Arc<str>),
    /// Publish in this shard's turn; the connection does not get the event.
    PublishBeside(Box<PublishBeside>),
    /// Answer once everything posted before is done.
    Reached(oneshot::Sender<()>),
    /// A fault for tests.
    #[cfg(test)]
    Panic,
}

/// Work for all connections.
#[derive(Debug)]
pub enum ForAll {
    /// Send JSON as a session message to those that have a session.
    Push(Arc<str>),
    /// Send to those on `/ws/system` the frame of their variant.
    System(Arc<[Vec<u8>]>),
    /// The first `limit` that were opened after a serial, in order of their serials.
    List {
        /// The serial; from the first without it.
        after: Option<u64>,
        /// The number of connections at most.
        limit: usize,
        /// Gets the answer.
        tell: oneshot::Sender<Vec<ConnectionInfo>>,
    },
    /// End the one with this serial; answers whether there is one.
    End(u64, End, oneshot::Sender<bool>),
    /// A fault for tests.
    #[cfg(test)]
    Panic,
}

/// Names a command among those of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Serial(pub(crate) u64);

/// A frame whose tokens were verified, with the outcomes.
#[derive(Debug)]
pub struct Resumed {
    /// Its place in the ledger.
    pub serial: Serial,
    /// The frame's text.
    pub text: String,
    /// The outcomes.
    pub verified: Verified,
}

/// A publish on behalf of a caller without a connection.
#[derive(Debug)]
pub struct PublishBeside {
    /// The topic, which was checked.
    pub topic: String,
    /// The payload's JSON.
    pub payload: String,
    /// Stands for the publisher in the event.
    pub client_id: String,
    /// Repeats of the same publisher answer the first outcome.
    pub idempotency_key: Option<String>,
    /// Who publishes.
    pub by: Caller,
    /// From where.
    pub ip: IpAddr,
    /// Gets the outcome.
    pub tell: oneshot::Sender<Result<Published, Refusal>>,
}

/// An open connection, for administrators.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Its place in the order of opening.
    pub serial: u64,
    /// Name of the user who is logged in on it.
    pub user: Option<Arc<str>>,
    /// The code of its session; none before it has authenticated where that is asked for.
    pub session_code: Option<String>,
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// `User-Agent` of the handshake.
    pub user_agent: Option<Arc<str>>,
    /// `typed`, `jsonrpc`, or `undecided` before the first frame.
    pub dialect: &'static str,
    /// Topics it is subscribed to.
    pub topics: usize,
    /// Messages that wait for it to read.
    pub queued: usize,
    /// Milliseconds since 1970.
    pub connected_at: u64,
}

/// Which dialect a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// The typed dialect, by subprotocol.
    Typed,
    /// JSON-RPC, by path or subprotocol.
    JsonRpc,
    /// Typed unless the first frame is JSON-RPC.
    Undecided,
}

/// The session of a new connection.
#[derive(Debug)]
pub struct NewSession {
    /// Its code.
    pub code: SessionCode,
    /// To attach with.
    pub generation: Generation,
    /// Shown in the welcome.
    pub token: String,
    /// It was there before.
    pub resumed: bool,
}

/// An upgraded socket on its way to a shard.
#[derive(Debug)]
pub struct NewConn {
    /// The socket, non-blocking.
    pub stream: TcpStream,
    /// The TLS session on it, if it has one; nothing decrypted is left inside.
    pub tls: Option<Box<rustls::ServerConnection>>,
    /// Bytes that came with the upgrade request.
    pub early: Vec<u8>,
    /// Its dialect.
    pub speaks: Speaks,
    /// It gets the infos of `/ws/system`, and takes `ping` only.
    pub system: bool,
    /// permessage-deflate was negotiated.
    pub deflate: bool,
    /// Events may be sent compressed with the common window.
    pub compress: bool,
    /// Its session; `None` until it has authenticated where `auth.require` asks for that.
    pub session: Option<NewSession>,
    /// The user who is logged in on it.
    pub login: Option<Box<Login>>,
    /// The client's `User-Agent`.
    pub agent: Option<Arc<str>>,
    /// Its place among the connections.
    pub permit: Permit,
}

/// The inboxes of all shards, for other threads. Cheap to clone.
#[derive(Clone)]
pub struct Posts {
    inboxes: Arc<[Inbox<ToShard>]>,
    encoders: Encoders,
}

impl std::fmt::Debug for Posts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Posts").field("shards", &self.inboxes.len()).finish_non_exhaustive()
    }
}

impl Posts {
    /// Into these inboxes; infos are encoded by `encoders`, one for each variant.
    pub fn new(inboxes: Arc<[Inbox<ToShard>]>, encoders: Encoders) -> Self {
        Self { inboxes, encoders }
    }

    /// Shards there are.
    pub fn shards(&self) -> usize {
        self.inboxes.len()
    }

    /// Posts to a shard.
    pub fn post(&self, shard: usize, post: ToShard) {
        self.inboxes[shard].push(Post::Driver(post), false);
    }

    /// Posts to the shard of a connection.
    pub fn post_for(&self, addr: ConnAddr, what: ForConn) {
        self.post(usize::from(addr.shard()), ToShard::For(addr, what));
    }

    /// Posts to every shard.
    pub fn post_to_all(&self, what: impl Fn() -> ForAll) {
        (0..self.shards()).for_each(|shard| self.post(shard, ToShard::ForAll(what())));
    }

    /// Asks every shard. One that has ended does not answer.
    pub fn ask_all<T>(&self, ask: impl Fn(oneshot::Sender<T>) -> ForAll) -> Vec<oneshot::Receiver<T>> {
        let one = |shard| {
            let (tell, told) = oneshot::channel();
            self.post(shard, ToShard::ForAll(ask(tell)));
            told
        };
        (0..self.shards()).map(one).collect()
    }
}

impl Sockets for Posts {
    fn end(&self, addr: ConnAddr, why: End) {
        self.post_for(addr, ForConn::End(why));
    }

    fn change_role(&self, addr: ConnAddr, role: Role) {
        self.post_for(addr, ForConn::Role(role));
    }

    fn send(&self, addr: ConnAddr, payload: Arc<str>) {
        self.post_for(addr, ForConn::Push(payload));
    }

    fn send_to_all(&self, payload: Arc<str>) {
        self.post_to_all(|| ForAll::Push(payload.clone()));
    }

    fn publish_beside(
        &self,
        addr: ConnAddr,
        publish: &Publish<'_>,
        client_id: &str,
        actor: &Actor<'_>,
    ) -> oneshot::Receiver<Result<Published, Refusal>> {
        let (tell, told) = oneshot::channel();
        let posted = PublishBeside {
            topic: publish.topic.as_str().to_owned(),
            payload: publish.payload.to_owned(),
            client_id: client_id.to_owned(),
            idempotency_key: publish.idempotency_key.as_deref().map(str::to_owned),
            by: actor.caller.clone(),
            ip: actor.origin.ip,
            tell,
        };
        self.post_for(addr, ForConn::PublishBeside(Box::new(posted)));
        told
    }

    fn notify_system(&self, info: &Info<'_>) {
        let now = unix_ms();
        let frames = self.encoders.iter().map(|encoder| {
            let mut frame = Vec::new();
            encoder.info(info, now, &mut frame);
            frame
        });
        let frames: Arc<[Vec<u8>]> = frames.collect();
        self.post_to_all(|| ForAll::System(frames.clone()));
    }
}
