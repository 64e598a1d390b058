//! Registration: by password, by keys, or both.

use super::keys::NewKeys;
use super::{AccountError, Accounts};
use crate::audit::{AuditEvent, Outcome};
use crate::clock::unix_ms;
use crate::repeats::RepeatKey;
use fanfare_auth::username::{self, NameError};
use fanfare_core::model::Origin;
use fanfare_store::{NewUser, Role};

/// Characters of a generated password: no two that look alike. 32 of them, so that five random bits choose evenly.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyzACDEFGH34";
/// Length of a generated password: 120 bits.
const GENERATED: usize = 24;

/// The data of a registration.
#[derive(Debug)]
pub struct Registration {
    /// As given; `Alice` becomes `alice`.
    pub username: String,
    /// The password in clear, if any.
    pub password: Option<String>,
    /// The keys, if any.
    pub keys: Option<NewKeys>,
}

/// A created account.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Its id.
    pub id: String,
    /// Its canonical name.
    pub username: String,
    /// The device of its keys.
    pub device_id: Option<String>,
}

impl Accounts {
    /// Creates an account; with a key, given with a hash of the body, a repeat gets the first outcome.
    ///
    /// # Errors
    /// As [`Accounts::register`]; `Conflict` for a key that was used with another body.
    pub async fn register_once(
        &self,
        key: Option<(&str, u64)>,
        new: Registration,
        from: &Origin,
    ) -> Result<Registered, AccountError> {
        // Anonymous: scoped to the address. A client that can repeat the exact body knows the password in it.
        let key = key.map(|(key, content)| RepeatKey { key: format!("{} {key}", from.ip), content });
        self.0.registered.once_awaited(key, unix_ms(), self.register(new, from)).await
    }

    /// Creates an account.
    ///
    /// # Errors
    /// A field that breaks a rule, a name or key that is taken, no hasher free.
    pub async fn register(&self, new: Registration, from: &Origin) -> Result<Registered, AccountError> {
        let now = unix_ms() as i64;
        let name = name_for_new(&new.username)?;
        if let Some(password) = &new.password {
            self.check_password("password", password, &name)?;
        }
        let keys = match new.keys {
            Some(keys) => Some(self.first_keys(&name, keys, now)?),
            None => None,
        };
        let password = match new.password {
            Some(password) => Some(self.0.hasher.hash(password).await?),
            None => None,
        };
        let device =
            keys.as_ref().map(|(device, _)| (device.device_id.clone(), device.key_binding.is_some()));
        let made = NewUser { username: name, password, role: Role::User, keys, created_at: now };
        let user = self.0.store.create_user(made).await?;
        let event = |name| AuditEvent::new(name, Outcome::Success).user(&user.id).by(from);
        self.0.audit.record(event("user_created").detail("username", user.username.as_str()));
        if device.as_ref().is_some_and(|(_, bound)| !bound) {
            self.0.audit.record(event("key_binding_missing"));
        }
        Ok(Registered { id: user.id, username: user.username, device_id: device.map(|(id, _)| id) })
    }

    /// Checks a new password.
    pub(super) fn check_password(
        &self,
        field: &'static str,
        password: &str,
        username: &str,
    ) -> Result<(), AccountError> {
        self.0.policy.check(password, username).map_err(|weak| AccountError::field(field, weak.to_string()))
    }
}

/// The canonical name for a new user.
///
/// # Errors
/// The name is malformed, or reserved.
pub fn name_for_new(given: &str) -> Result<String, AccountError> {
    username::parse(given).map_err(|e| {
        let why = match e {
            NameError::Malformed => {
                "username is 3 to 32 characters of a-z, 0-9, `_`, `.` and `-`, a letter or digit first"
            }
            NameError::Reserved => "this user name is reserved; choose another",
        };
        AccountError::field("username", why)
    })
}

/// Generates a password for a user who chose none.
///
/// # Errors
/// The system returns no random bytes.
pub fn generated_password() -> Result<String, getrandom::Error> {
    let mut bytes = [0; GENERATED];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|b| char::from(LETTERS[usize::from(b & 31)])).collect())
}
