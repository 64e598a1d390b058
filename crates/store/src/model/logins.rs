//! Logins and the results of operations on them.

use std::fmt;

use super::User;

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRow {
    /// The token's `sid`.
    pub id: String,
    /// The user's id.
    pub user_id: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub last_seen: i64,
    /// Expiry, milliseconds since 1970.
    pub expires_at: i64,
    /// Address of the login.
    pub ip: Option<String>,
    /// `User-Agent` of the login.
    pub user_agent: Option<String>,
    /// `password`, `key` or `issuer`.
    pub method: String,
}

/// A login to be stored.
#[derive(Clone)]
pub struct NewLogin {
    /// The token's `sid`.
    pub id: String,
    /// The user's id.
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
    /// SHA-256 of the first refresh token, and its expiry.
    pub refresh: Option<([u8; 32], i64)>,
}

/// The proof checked at a login. The login is stored only if it still holds in the same transaction.
#[derive(Clone)]
pub enum LoginProof {
    /// A password.
    Password {
        /// The hash that the password matched: it must still be the stored one.
        stored: String,
        /// The hash to store instead, of the same password.
        replacement: Option<String>,
    },
    /// A signature by this identity key: it must still be the device's.
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

/// The logins to end.
#[derive(Debug, Clone, Copy)]
pub enum EndLogins<'a> {
    /// One login, if it belongs to the given user.
    One {
        /// The login.
        id: &'a str,
        /// Only if it is this user's.
        user_id: Option<&'a str>,
    },
    /// All logins of a user.
    OfUser {
        /// The user's id.
        user_id: &'a str,
        /// Except this login.
        except: Option<&'a str>,
    },
}

/// A login that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedLogin {
    /// The login.
    pub id: String,
    /// The user's id.
    pub user_id: String,
    /// Milliseconds since 1970.
    pub ended_at: i64,
}

/// The result of using a refresh token.
#[expect(clippy::large_enum_variant, reason = "one per refresh, read at once; a box would be overhead")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// It was valid and is used up now; the new one is stored.
    Rotated(LoginRow, User),
    /// It was used before, a sign of theft. The login has been ended.
    Reused {
        /// The login.
        session_id: String,
        /// The user's id.
        user_id: String,
    },
    /// Unknown, expired, or of a login that is not live.
    Unknown,
}
