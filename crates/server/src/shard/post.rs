//! What other threads have for a shard to do.

use super::Driver;
use crate::admission::Permit;
use crate::identity::Login;
use fanfare_core::hub::ConnAddr;
use fanfare_core::session::{Generation, SessionCode};
use std::net::TcpStream;
use std::sync::Arc;

/// A post for a shard's driver.
pub enum ToShard {
    /// A socket whose upgrade was answered with 101.
    Open(Box<NewConn>),
    /// Close a connection with this code, if it is still there.
    Close(ConnAddr, u16, &'static str),
    /// Runs on the shard's thread, between turns, for a connection: a panic ends that connection.
    For(ConnAddr, Box<dyn FnOnce(&mut Driver) + Send>),
    /// Runs on the shard's thread, between turns, for all connections: a panic ends the process.
    Task(Box<dyn FnOnce(&mut Driver) + Send>),
    /// The server is shutting down: tell everyone; answer when every batch of this shard is posted.
    Drain(tokio::sync::oneshot::Sender<()>),
    /// All shards have posted: flush, close everyone with 1001, then end the thread.
    Finish,
}

impl std::fmt::Debug for ToShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ToShard::Open(_) => "Open",
            ToShard::Close(..) => "Close",
            ToShard::For(..) => "For",
            ToShard::Task(_) => "Task",
            ToShard::Drain(_) => "Drain",
            ToShard::Finish => "Finish",
        })
    }
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
    /// It hears what `/ws/system` tells, and takes `ping` only.
    pub system: bool,
    /// permessage-deflate was negotiated.
    pub deflate: bool,
    /// Events may be sent compressed with the common window.
    pub compress: bool,
    /// Its session; `None` until it has authenticated where `auth.require` asks for that.
    pub session: Option<NewSession>,
    /// Who is logged in on it.
    pub(crate) login: Option<Box<Login>>,
    /// The client's `User-Agent`.
    pub agent: Option<Arc<str>>,
    /// Its place among the connections.
    pub permit: Permit,
}
