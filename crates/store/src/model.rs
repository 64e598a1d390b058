//! What is stored, as the rest of the program sees it.
//!
//! Ids are text, times are milliseconds since 1970, hashes and keys are byte arrays of their length. Secrets (password
//! hashes, token hashes) are redacted in `Debug`.

use std::fmt;

use crate::error::{Result, StoreError};

/// What a user may do on the whole server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Uses it.
    User,
    /// May use the admin routes and all topics.
    Admin,
}

impl Role {
    /// The stored and public word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }

    /// The role of a stored or given word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "user" => Some(Self::User),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    pub(crate) fn stored(word: &str) -> Result<Self> {
        Self::parse(word).ok_or_else(|| StoreError::unreadable(&format!("users.role is `{word}`")))
    }
}

/// A user who is not deleted.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// UUIDv7, as text.
    pub id: String,
    /// Lower case; of an issuer's user `issuer:claim`.
    pub username: String,
    /// What the user may do.
    pub role: Role,
    /// PHC string of the password's hash; none for accounts with keys only and for issuers' users.
    pub password: Option<String>,
    /// Shown instead of the name.
    pub display_name: Option<String>,
    /// Never verified.
    pub email: Option<String>,
    /// Locked out by an admin.
    pub disabled: bool,
    /// Name of the issuer whose user this is.
    pub issuer: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, username, role, password, disabled, issuer, created_at, .. } = self;
        f.debug_struct("User")
            .field("id", id)
            .field("username", username)
            .field("role", role)
            .field("password", &password.as_ref().map(|_| "…"))
            .field("disabled", disabled)
            .field("issuer", issuer)
            .field("created_at", created_at)
            .finish_non_exhaustive()
    }
}

/// A user to be made; its id is made by the store.
#[derive(Clone)]
pub struct NewUser {
    /// Lower case, already checked.
    pub username: String,
    /// PHC string.
    pub password: Option<String>,
    /// What the user may do.
    pub role: Role,
    /// First keys with the first entry (`n` = 1) of the key log.
    pub keys: Option<(DeviceKeys, KeyLogEntry)>,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUser")
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("role", &self.role)
            .field("keys", &self.keys)
            .field("created_at", &self.created_at)
            .finish()
    }
}

/// What changes in a user; `None` leaves a field as it is, `Some(None)` empties it.
#[derive(Clone, Default)]
pub struct UserChange {
    /// New PHC string.
    pub password: Option<String>,
    /// New display name.
    pub display_name: Option<Option<String>>,
    /// New address.
    pub email: Option<Option<String>>,
    /// New role.
    pub role: Option<Role>,
    /// Locked out or not.
    pub disabled: Option<bool>,
}

/// The public keys of a user's device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceKeys {
    /// `[a-z0-9-]{1,64}`, `main` by default.
    pub device_id: String,
    /// Ed25519 identity key.
    pub ik: [u8; 32],
    /// X25519 encryption key.
    pub ek: [u8; 32],
    /// The identity key's signature over both.
    pub key_binding: Option<[u8; 64]>,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// An entry of a user's key log: append-only, each names the hash of the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLogEntry {
    /// From 1, dense per user.
    pub n: i64,
    /// `add`, `rotate`, `replace` or `rebind`.
    pub action: String,
    /// Whose keys.
    pub device_id: String,
    /// Ed25519 identity key.
    pub ik: [u8; 32],
    /// X25519 encryption key.
    pub ek: [u8; 32],
    /// The identity key's signature over both.
    pub binding: Option<[u8; 64]>,
    /// Hash of the entry before; zeros for the first.
    pub prev_hash: [u8; 32],
    /// The former identity key's signature over this entry.
    pub rotation: Option<[u8; 64]>,
    /// Milliseconds since 1970.
    pub at: i64,
}

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSession {
    /// The token's `sid`.
    pub id: String,
    /// Whose.
    pub user_id: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub last_seen: i64,
    /// Milliseconds since 1970; from then on it is not live.
    pub expires_at: i64,
    /// Address of the login.
    pub ip: Option<String>,
    /// `User-Agent` of the login.
    pub user_agent: Option<String>,
    /// `password`, `key` or `issuer`.
    pub method: String,
}

/// A login to be kept.
#[derive(Clone)]
pub struct NewAuthSession {
    /// The token's `sid`.
    pub id: String,
    /// Whose.
    pub user_id: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub expires_at: i64,
    /// Address of the login.
    pub ip: Option<String>,
    /// `User-Agent` of the login.
    pub user_agent: Option<String>,
    /// `password`, `key` or `issuer`.
    pub method: String,
    /// SHA-256 of the first refresh token, and when that ends.
    pub refresh: Option<([u8; 32], i64)>,
}

/// Which logins end.
#[derive(Debug, Clone, Copy)]
pub enum EndSessions<'a> {
    /// This one, if it belongs to the user given.
    One {
        /// The login.
        id: &'a str,
        /// Only when it is this user's.
        user_id: Option<&'a str>,
    },
    /// All of a user.
    OfUser {
        /// Whose.
        user_id: &'a str,
        /// But this one.
        except: Option<&'a str>,
    },
}

/// A login that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSession {
    /// The login.
    pub id: String,
    /// Whose it was.
    pub user_id: String,
    /// Milliseconds since 1970.
    pub ended_at: i64,
}

/// What became of a refresh token.
#[expect(
    clippy::large_enum_variant,
    reason = "one per refresh, read at once; a box would only be in the way"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// It is used now, the new one is kept.
    Rotated(AuthSession, User),
    /// It was used before: theft. The login has been ended.
    Reused {
        /// The login.
        session_id: String,
        /// Whose it was.
        user_id: String,
    },
    /// Never seen, expired, or of a login that is not live.
    Unknown,
}

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
