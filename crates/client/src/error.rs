//! Errors of requests and connections.

use std::fmt;

use serde::Deserialize;

use crate::close::CloseReason;

/// An `error` frame of the server (protocol.md 3.2).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServerError {
    /// The wire code, such as `TOPIC_NOT_FOUND`.
    pub code: String,
    /// The server's message.
    #[serde(default)]
    pub message: String,
    /// The invalid field of the frame, if there is one.
    #[serde(default)]
    pub field: Option<String>,
    /// Milliseconds to wait before the next try, if the server sent it.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        match &self.field {
            Some(field) => write!(f, " (field {field})"),
            None => Ok(()),
        }
    }
}

/// Errors between this client and its server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is not one this client can open.
    #[error("invalid url: {0}")]
    Url(String),
    /// No connection, or no welcome on it.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The server rejected the upgrade with this HTTP status.
    #[error("the server refused the connection with http status {0}")]
    Refused(u16),
    /// The server returned an error for the request.
    #[error("{0}")]
    Server(ServerError),
    /// The connection broke after a request was sent that is not safe to repeat: it may or may not have been executed.
    #[error("connection lost before the reply; the outcome is unknown")]
    ConnectionLost,
    /// The client has ended: closed by its user, by the server permanently, or out of attempts.
    #[error("client closed: {0}")]
    Closed(CloseReason),
    /// No reply within [`Options::request_timeout`](crate::Options::request_timeout); the outcome is unknown.
    #[error("no reply in time")]
    Timeout,
    /// The server sent a frame that the protocol does not allow here.
    #[error("unexpected frame: {0}")]
    Protocol(String),
}
