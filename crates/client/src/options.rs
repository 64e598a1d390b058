//! Options of a client and of its publishes.

use std::time::Duration;

use crate::trust::Trust;
use crate::wire::Position;

/// Settings of a [`Client`](crate::Client).
#[derive(Debug, Clone)]
pub struct Options {
    /// Sent as `Authorization: Bearer` on every upgrade.
    pub token: Option<String>,
    /// The servers to trust on `wss://`.
    pub trust: Trust,
    /// From the first TCP segment to the welcome.
    pub connect_timeout: Duration,
    /// From a request to its reply, including the wait for a lost connection.
    pub request_timeout: Duration,
    /// Maximum failed attempts in a row before the client gives up; `None` is unlimited.
    pub max_attempts: Option<u32>,
    /// Maximum notices that wait for their reader; beyond that the socket is not read. At least 1.
    pub notice_queue: usize,
    /// The largest message accepted from the server, in bytes.
    pub max_message_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token: None,
            trust: Trust::System,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_attempts: None,
            notice_queue: 1024,
            max_message_bytes: 16 << 20,
        }
    }
}

/// Where a subscription's events start (protocol.md 3.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// With the next event.
    #[default]
    Live,
    /// After this position.
    Since(Position),
    /// With the topic's newest events, at most this many: 1 to 100.
    Last(u32),
}

/// Settings of one publish (protocol.md 3.2 and 6).
#[derive(Debug, Clone, Default)]
pub struct PublishOptions {
    /// At most 128 bytes. With a key the client repeats the publish after a lost connection, because the server keeps
    /// only the first.
    pub idempotency_key: Option<String>,
    /// Whether the message is not delivered to this connection if it subscribes to the topic.
    pub exclude_self: bool,
}
