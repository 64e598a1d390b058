//! Who calls: the identities a credential can prove.

use crate::model::{ErrorCode, Refusal, Requester, UserRef, network};
use std::net::IpAddr;
use std::sync::Arc;

/// On whose behalf a command is carried out.
#[derive(Clone, Debug, Default)]
pub enum Caller {
    /// No known user.
    #[default]
    Anonymous,
    /// A user who is logged in.
    User(Arc<Principal>),
    /// The application's backend, by an API key.
    Server(Arc<AppKey>),
}

/// A user who is logged in, as one credential proves it.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user's id.
    pub user_id: Arc<str>,
    /// The user's name; `issuer:claim` for users of an issuer.
    pub username: Arc<str>,
    /// The user's role.
    pub role: Role,
    /// The login that the credential belongs to: a row of `auth_sessions`, or `issuer:claim` for an issuer's user.
    pub session_id: Arc<str>,
    /// The device that proved its key.
    pub device_id: Option<Arc<str>>,
    /// When the credential ends, in milliseconds since 1970.
    pub expires_at_ms: u64,
    /// The issuer that vouched for the user, when it was not this server.
    pub issuer: Option<IssuerIdentity>,
}

/// A user as an issuer knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerIdentity {
    /// The issuer's name in `auth.issuers`.
    pub name: Arc<str>,
    /// The claim that names the user there.
    pub claim: Arc<str>,
    /// When the token was made, in seconds since 1970, if it says so.
    pub issued_at_s: Option<u64>,
    /// The SHA-256 of the token's signed part: the name under which the token is ended.
    pub token: [u8; 32],
}

/// An API key that was presented.
#[derive(Debug)]
pub struct AppKey {
    /// Its name.
    pub name: Arc<str>,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// The role of a user on the whole server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Uses the server.
    User,
    /// May use the admin routes and all topics.
    Admin,
}

/// What an API key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Publish to topics.
    Publish,
    /// Make, delete and list topics.
    Topics,
    /// Send to sessions.
    Sessions,
    /// Everything.
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
}

impl Scope {
    /// The stored and public word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Topics => "topics",
            Self::Sessions => "sessions",
            Self::Admin => "admin",
        }
    }

    /// The scope of a stored or given word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Publish, Self::Topics, Self::Sessions, Self::Admin].into_iter().find(|s| s.as_str() == word)
    }
}

impl AppKey {
    /// Whether the key has a scope; `admin` includes all.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|s| *s == scope || *s == Scope::Admin)
    }
}

impl Caller {
    /// The name that rules with `{user}` are matched with.
    pub fn name(&self) -> Option<&str> {
        match self {
            Caller::User(principal) => Some(&principal.username),
            Caller::Anonymous | Caller::Server(_) => None,
        }
    }

    /// The same as topics know it; `address` stands for anonymous callers.
    pub fn requester(&self, address: IpAddr) -> Requester<'_> {
        match self {
            Caller::Anonymous => Requester::Anonymous(network(address)),
            Caller::User(principal) => {
                let user = UserRef { id: &principal.user_id, name: &principal.username };
                if principal.role == Role::Admin { Requester::Admin(user) } else { Requester::User(user) }
            }
            Caller::Server(_) => Requester::Backend,
        }
    }

    /// The user who is logged in.
    ///
    /// # Errors
    /// `UNAUTHORIZED` to the anonymous, `FORBIDDEN` to API keys.
    pub fn principal(&self) -> Result<&Arc<Principal>, Refusal> {
        match self {
            Caller::User(principal) => Ok(principal),
            Caller::Anonymous => {
                Err(Refusal::new(ErrorCode::Unauthorized, "log in first: this needs a user"))
            }
            Caller::Server(_) => {
                Err(Refusal::new(ErrorCode::Forbidden, "an API key has no account: this needs a user"))
            }
        }
    }

    /// Whether the caller is an admin, or a key with the scope `admin`.
    ///
    /// # Errors
    /// `UNAUTHORIZED` to the anonymous, else `FORBIDDEN`.
    pub fn admin(&self) -> Result<(), Refusal> {
        self.scope(Scope::Admin)
    }

    /// Whether the caller is an admin, or a key with this scope.
    ///
    /// # Errors
    /// As [`Caller::admin`].
    pub fn scope(&self, scope: Scope) -> Result<(), Refusal> {
        match self {
            Caller::Anonymous => {
                Err(Refusal::new(ErrorCode::Unauthorized, "this needs an API key or a login as admin"))
            }
            Caller::User(principal) if principal.role == Role::Admin => Ok(()),
            Caller::User(_) => Err(Refusal::new(ErrorCode::Forbidden, "this needs the role admin")),
            Caller::Server(key) if key.may(scope) => Ok(()),
            Caller::Server(key) => {
                let why = format!("the API key {:?} has not the scope this needs", key.name);
                Err(Refusal::new(ErrorCode::Forbidden, why))
            }
        }
    }

    /// The set that this caller's `Idempotency-Key`s belong to; `None` for the anonymous.
    pub fn key_scope(&self) -> Option<String> {
        match self {
            Caller::Anonymous => None,
            Caller::User(principal) => Some(format!("user {}", principal.user_id)),
            Caller::Server(key) => Some(format!("key {}", key.name)),
        }
    }
}
