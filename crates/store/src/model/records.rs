//! Records about the server itself and about past events.

use std::fmt;

/// An API key, without the key.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// Unique.
    pub name: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// Space-separated.
    pub scopes: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl fmt::Debug for ApiKeyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyRow")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// A topic created explicitly. Numbers are stored in an `i64` with the same bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTopic {
    /// The topic.
    pub name: String,
    /// `disconnect` or `drop_oldest`; none: the configured default.
    pub backpressure: Option<String>,
    /// Whether its log is in the store; none: as configured.
    pub durable: Option<bool>,
    /// Events; none: as configured.
    pub history_size: Option<u64>,
    /// Milliseconds; none: as configured.
    pub history_ttl_ms: Option<u64>,
    /// Bytes of events; none: as configured.
    pub history_topic_bytes: Option<u64>,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// A row of the audit log, complete with its position in the node's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// The node that wrote the chain.
    pub node: String,
    /// From 1, dense per node.
    pub seq: i64,
    /// RFC 3339 with milliseconds, UTC.
    pub ts: String,
    /// The event's name.
    pub event: String,
    /// The outcome.
    pub outcome: String,
    /// The severity.
    pub severity: String,
    /// The user who acted.
    pub user_id: Option<String>,
    /// The session code.
    pub session: Option<String>,
    /// The client's address.
    pub ip: Option<String>,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
    /// The page's origin.
    pub origin: Option<String>,
    /// The reason.
    pub reason: Option<String>,
    /// A JSON object.
    pub detail: String,
    /// Hash over this row and the previous hash.
    pub hash: [u8; 32],
}

/// A filter of audit log rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only this event.
    pub event: Option<String>,
    /// Only of this user.
    pub user_id: Option<String>,
    /// Only with `ts` from this time on (RFC 3339, milliseconds, UTC).
    pub since: Option<String>,
}

/// A signed head of a node's audit chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The node that wrote the chain.
    pub node: String,
    /// The row it signs.
    pub seq: i64,
    /// That row's hash.
    pub hash: [u8; 32],
    /// RFC 3339 with milliseconds, UTC.
    pub time: String,
    /// Ed25519 signature.
    pub sig: [u8; 64],
}

/// The end of a node's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEnd {
    /// The newest row's number; 0 of an empty chain.
    pub last: i64,
    /// The newest checkpoint.
    pub sealed: Option<Checkpoint>,
}

impl AuditEnd {
    /// The numbers alone.
    pub fn place(&self) -> AuditPlace {
        AuditPlace { last: self.last, sealed: self.sealed.as_ref().map(|c| c.seq) }
    }
}

/// The expected end of a chain, checked by an append.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditPlace {
    /// The newest row's number; 0 of an empty chain.
    pub last: i64,
    /// The newest checkpoint's number.
    pub sealed: Option<i64>,
}

/// A value of a metric at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRow {
    /// Milliseconds since 1970.
    pub at: i64,
    /// The node's id.
    pub node: String,
    /// Name with labels.
    pub name: String,
    /// The value.
    pub value: f64,
}

/// A query of stored metrics: the newest first, then by node and name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricQuery {
    /// A metric's name, with labels for one series or without for all of them.
    pub name: Option<String>,
    /// Only from this time on, milliseconds since 1970.
    pub since: Option<i64>,
    /// Only rows after this position.
    pub before: Option<MetricPlace>,
    /// Maximum rows.
    pub limit: u32,
}

/// The position of a row in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricPlace {
    /// Milliseconds since 1970.
    pub at: i64,
    /// The node's id.
    pub node: String,
    /// Name with labels.
    pub name: String,
}

/// A connection record: a connection of an authenticated user, written when it has closed (table `sessions`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRow {
    /// The user's id.
    pub user_id: String,
    /// Code of its session.
    pub session_code: String,
    /// Milliseconds since 1970.
    pub connected_at: i64,
    /// Milliseconds since 1970.
    pub disconnected_at: i64,
    /// Messages from the server to the client.
    pub messages_sent: i64,
    /// Messages from the client to the server.
    pub messages_received: i64,
    /// The client's address.
    pub ip_address: Option<String>,
    /// `User-Agent` of the handshake.
    pub user_agent: Option<String>,
    /// WebSocket close code.
    pub close_code: Option<i64>,
}
