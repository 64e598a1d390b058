//! Logins and what becomes of them.

use std::fmt;

use super::User;

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

/// What was checked when a user logged in. The login is stored only if it still holds in the same transaction.
#[derive(Clone)]
pub enum LoginProof {
    /// A password.
    Password {
        /// The hash it fits: it must be the stored one.
        stored: String,
        /// The hash to store in its place, of the same password.
        replacement: Option<String>,
    },
    /// A signature by this identity key: it must be the device's.
    Key {
        /// The device.
        device_id: String,
        /// The identity key.
        ik: [u8; 32],
    },
}

impl fmt::Debug for LoginProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password",
            Self::Key { .. } => "Key",
        })
    }
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
