//! What the server keeps of itself, of what happened, and of messages.

use std::fmt;

use crate::error::{Result, StoreError};

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

/// A topic made by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTopic {
    /// The topic.
    pub name: String,
    /// `disconnect` or `drop_oldest`; none: as configured.
    pub backpressure: Option<String>,
    /// Events; none: as configured.
    pub history_size: Option<i64>,
    /// Milliseconds; none: as configured.
    pub history_ttl_ms: Option<i64>,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// A row of the audit log, complete with its place in the node's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Whose chain.
    pub node: String,
    /// From 1, dense per node.
    pub seq: i64,
    /// RFC 3339 with milliseconds, UTC.
    pub ts: String,
    /// What happened.
    pub event: String,
    /// How it ended.
    pub outcome: String,
    /// How much it matters.
    pub severity: String,
    /// Who did it.
    pub user_id: Option<String>,
    /// In which session.
    pub session: Option<String>,
    /// From where.
    pub ip: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
    /// On which page.
    pub origin: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// A JSON object.
    pub detail: String,
    /// Of this row and the hash before.
    pub hash: [u8; 32],
}

/// Which rows of the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only this event.
    pub event: Option<String>,
    /// Only this user's.
    pub user_id: Option<String>,
    /// Only with `ts` from this on (RFC 3339, milliseconds, UTC).
    pub since: Option<String>,
}

/// A signed head of a node's audit chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose chain.
    pub node: String,
    /// The row it signs.
    pub seq: i64,
    /// That row's hash.
    pub hash: [u8; 32],
    /// RFC 3339 with milliseconds, UTC.
    pub time: String,
    /// Ed25519.
    pub sig: [u8; 64],
}

/// Where a node's chain ends.
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

/// What an append expects to find at the end of a chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditPlace {
    /// The newest row's number; 0 of an empty chain.
    pub last: i64,
    /// The newest checkpoint's number.
    pub sealed: Option<i64>,
}

/// A value of a metric at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRow {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Of which node.
    pub node: String,
    /// Name with labels.
    pub name: String,
    /// The value.
    pub value: f64,
}

/// Which kept metrics: the newest first, then by node and name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricQuery {
    /// A metric's name, with labels for one series or without for all of them.
    pub name: Option<String>,
    /// Only from this time on, milliseconds since 1970.
    pub since: Option<i64>,
    /// Only what comes after this place.
    pub before: Option<MetricPlace>,
    /// Rows at most.
    pub limit: u32,
}

/// The place of a row in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricPlace {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Of which node.
    pub node: String,
    /// Name with labels.
    pub name: String,
}

/// A connection of an authenticated user, written when it has closed (table `sessions`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRow {
    /// Whose.
    pub user_id: String,
    /// Code of its session.
    pub session_code: String,
    /// Milliseconds since 1970.
    pub connected_at: i64,
    /// Milliseconds since 1970.
    pub disconnected_at: i64,
    /// From the server to the client.
    pub messages_sent: i64,
    /// From the client to the server.
    pub messages_received: i64,
    /// The client's address.
    pub ip_address: Option<String>,
    /// `User-Agent` of the handshake.
    pub user_agent: Option<String>,
    /// WebSocket close code.
    pub close_code: Option<i64>,
}

/// A direct message; all texts as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// UUIDv7 made by the sender.
    pub id: String,
    /// Username.
    pub from_user: String,
    /// Username.
    pub to_user: String,
    /// Ciphertext.
    pub content: String,
    /// Of the content's key.
    pub encrypted_key: Option<String>,
    /// Of the content.
    pub encryption_nonce: Option<String>,
    /// The sender's.
    pub signature: Option<String>,
    /// `sent`, `delivered`, `read`.
    pub status: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The sender's own number.
    pub seq: Option<i64>,
    /// The whole envelope: decides whether the same id means the same message.
    pub envelope: String,
}

impl NewMessage {
    /// Refuses what a text of PostgreSQL cannot hold, before it is in a batch with others.
    pub(crate) fn check(&self) -> Result<()> {
        let optional = [&self.encrypted_key, &self.encryption_nonce, &self.signature].into_iter().flatten();
        let texts = [&self.id, &self.from_user, &self.to_user, &self.content, &self.status, &self.envelope];
        let bad = texts.into_iter().chain(optional).any(|text| text.contains('\0'));
        if bad { Err(StoreError::Invalid("a text holds U+0000")) } else { Ok(()) }
    }

    /// What it weighs in a batch, bytes.
    pub(crate) fn weight(&self) -> usize {
        128 + self.id.len() + self.content.len() + self.envelope.len()
    }
}

/// A kept direct message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Place in the store: rises in the order of commits on SQLite, nearly so on PostgreSQL.
    pub position: i64,
    /// What was appended.
    pub message: NewMessage,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is kept.
    New {
        /// Its place in the store.
        seq: i64,
    },
    /// The same message was kept before.
    Duplicate {
        /// Its place in the store.
        seq: i64,
    },
    /// Another message has this id.
    IdConflict,
}
