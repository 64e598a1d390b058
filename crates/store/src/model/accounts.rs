//! Users and their keys.

use std::fmt;

use fanfare_core::model::Role;

use crate::error::{Result, StoreError};

/// The role for a stored word.
pub(crate) fn stored_role(word: &str) -> Result<Role> {
    Role::parse(word).ok_or_else(|| StoreError::unreadable(&format!("users.role is `{word}`")))
}

/// A user that is not deleted.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// UUIDv7, as text.
    pub id: String,
    /// Lower case; of an issuer's user `issuer:claim`.
    pub username: String,
    /// The user's role.
    pub role: Role,
    /// PHC string of the password's hash; none for accounts with keys only and for issuers' users.
    pub password: Option<String>,
    /// Shown instead of the username.
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

/// A user to be created; the store generates its id.
#[derive(Clone)]
pub struct NewUser {
    /// Lower case, already checked.
    pub username: String,
    /// PHC string.
    pub password: Option<String>,
    /// The user's role.
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

/// A change of a user's profile; `None` leaves a field unchanged, `Some(None)` clears it.
#[derive(Debug, Clone, Default)]
pub struct ProfileChange {
    /// New display name.
    pub display_name: Option<Option<String>>,
    /// New email address.
    pub email: Option<Option<String>>,
}

/// The conditions of a user's change of the own account: checked again in the transaction of the change. The user must
/// also be neither locked out nor deleted.
#[derive(Clone, Default)]
pub struct Proven {
    /// This login of the user must be live; none for an issuer's user.
    pub session_id: Option<String>,
    /// This must be the stored hash: the given password matched it.
    pub password: Option<String>,
}

impl fmt::Debug for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "…");
        f.debug_struct("Proven").field("session_id", &self.session_id).field("password", &password).finish()
    }
}

/// The outcome of a change of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysPut {
    /// The keys are stored; these logins have ended.
    Done(Vec<super::EndedLogin>),
    /// The conditions of the change no longer hold. Nothing was changed.
    Unproven,
    /// The user has made as many changes within an hour as are allowed. Nothing was changed.
    TooOften {
        /// When the next one is allowed, milliseconds since 1970.
        again_at: i64,
    },
}

/// A user whose role or lock was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedUser {
    /// The user's id.
    pub id: String,
    /// The new role.
    pub role: Role,
    /// Locked out or deleted.
    pub disabled: bool,
    /// Time of the change, milliseconds since 1970.
    pub changed_at: i64,
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
    /// The device of the keys.
    pub device_id: String,
    /// Ed25519 identity key.
    pub ik: [u8; 32],
    /// X25519 encryption key.
    pub ek: [u8; 32],
    /// The identity key's signature over both.
    pub binding: Option<[u8; 64]>,
    /// Hash of the previous entry; zeros for the first.
    pub prev_hash: [u8; 32],
    /// The former identity key's signature over this entry.
    pub rotation: Option<[u8; 64]>,
    /// Milliseconds since 1970.
    pub at: i64,
}
