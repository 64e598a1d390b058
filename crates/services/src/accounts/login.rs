//! Login: by password, or by signing a challenge.
//!
//! The error and its timing are the same for unknown, disabled and keyless users and for wrong proofs: a password is
//! verified against a constant hash, a signature against a constant key. A challenge is burnt in the store before the
//! signature is checked: one attempt each, also across restarts.

use super::logins::Granted;
use super::{AccountError, Accounts};
use crate::audit::{AuditEvent, Outcome, Severity};
use crate::clock::unix_ms;
use fanfare_auth::challenge::{Challenge, ChallengeError};
use fanfare_auth::username::{self, NameError};
use fanfare_core::model::Origin;
use fanfare_e2ee::IdentityKey;
use fanfare_store::LoginProof;

/// The response to a challenge.
#[derive(Debug)]
pub struct Proof {
    /// The text that was signed; without it the open ones of this name and network are tried.
    pub challenge: Option<String>,
    /// Ed25519 over the challenge's text.
    pub signature: [u8; 64],
}

/// How often a password is checked in one login. It is checked again when the stored hash changed before the login was
/// stored: by another login that replaced a hash of old parameters, or by a change of the password.
const ATTEMPTS: usize = 3;

/// The key used for unknown users: the base point of Ed25519 (RFC 8032 5.1). A valid signature for it gains nothing,
/// because without an account nothing is granted; verifying takes as long as with any key.
const UNKNOWN_USER_KEY: [u8; 32] = {
    let mut key = [0x66; 32];
    key[0] = 0x58;
    key
};

/// The canonical name of a user who logs in. Reserved names count as unknown.
fn name_of(given: &str) -> Result<String, AccountError> {
    match username::parse(given) {
        Ok(name) => Ok(name),
        Err(NameError::Reserved) => Ok(given.to_ascii_lowercase()),
        Err(NameError::Malformed) => {
            let why = "username is 3 to 32 characters of a-z, 0-9, `_`, `.` and `-`, a letter or digit first";
            Err(AccountError::field("username", why))
        }
    }
}

impl Accounts {
    /// Logs in with a password.
    ///
    /// # Errors
    /// `Credentials` for every invalid input; too many failures; no hasher free.
    pub async fn login(
        &self,
        username: &str,
        password: String,
        from: &Origin,
    ) -> Result<Granted, AccountError> {
        let name = name_of(username)?;
        self.let_try(&name, from)?;
        for _ in 0..ATTEMPTS {
            let user = self.0.store.user_by_name(&name).await?;
            let hash = user.as_ref().and_then(|user| user.password.clone());
            let verified = self.0.hasher.verify(password.clone(), hash.clone()).await?;
            let Some((user, stored)) = user.zip(hash).filter(|(user, _)| verified.ok && !user.disabled)
            else {
                return Err(self.failed(&name, "password", from));
            };
            let replacement = match verified.rehash {
                true => Some(self.0.hasher.hash(password.clone()).await?),
                false => None,
            };
            let proof = LoginProof::Password { stored, replacement };
            if let Some(granted) = self.grant(user, proof, from).await? {
                self.succeeded(&name, from);
                return Ok(granted);
            }
        }
        Err(AccountError::Busy)
    }

    /// Creates a challenge for any well-formed name, whether the account exists or not.
    ///
    /// # Errors
    /// The name is malformed.
    pub fn challenge(&self, username: &str, from: &Origin) -> Result<Challenge, AccountError> {
        let name = name_of(username)?;
        let now = unix_ms();
        let challenge = self.0.challenges.make(&name, now);
        self.0.open.add(&name, from.ip, &challenge.text, challenge.expires_at_ms, now);
        Ok(challenge)
    }

    /// Logs in with a signed challenge.
    ///
    /// # Errors
    /// As [`Accounts::login`]; a text that is not a challenge is an invalid field.
    pub async fn prove(&self, username: &str, proof: Proof, from: &Origin) -> Result<Granted, AccountError> {
        let name = name_of(username)?;
        let now = unix_ms();
        let asked = proof.challenge.is_some();
        if let Some(text) = &proof.challenge
            && matches!(self.0.challenges.check(text, &name, now), Err(ChallengeError::Malformed))
        {
            return Err(AccountError::field(
                "challenge",
                "challenge is the text that POST /auth/login returned",
            ));
        }
        self.let_try(&name, from)?;
        let tried = match proof.challenge {
            Some(text) => vec![text],
            None => self.0.open.take(&name, from.ip),
        };
        let user = self.0.store.user_by_name(&name).await?;
        let id = user.as_ref().map_or("", |user| user.id.as_str());
        let device = self.0.store.device_keys(id).await?.into_iter().next();
        let key = IdentityKey::new(device.as_ref().map_or(UNKNOWN_USER_KEY, |device| device.ik)).ok();
        let mut proven = false;
        for text in tried {
            let Some(key) = &key else { break };
            // Every one that was tried is burnt, also those after a matching one.
            proven |= self.burn(&text, &name, now).await?
                && fanfare_e2ee::verify(key, text.as_bytes(), &proof.signature);
        }
        match (user, device) {
            (Some(user), Some(device)) if proven && !user.disabled => {
                let proof = LoginProof::Key { device_id: device.device_id, ik: device.ik };
                let granted = self.grant(user, proof, from).await?;
                // The key was replaced meanwhile; its challenge is burnt.
                let granted = granted.ok_or_else(|| self.failed(&name, "signature", from))?;
                self.succeeded(&name, from);
                Ok(granted)
            }
            _ => Err(self.failed(&name, if asked { "signature" } else { "no_challenge_or_signature" }, from)),
        }
    }

    /// Whether a challenge is from this server, for this name, not expired and unused. It is used from here on.
    async fn burn(&self, text: &str, name: &str, now: u64) -> Result<bool, AccountError> {
        let Ok(nonce) = self.0.challenges.check(text, name, now) else { return Ok(false) };
        let keep_until = now + 2 * fanfare_auth::challenge::LIFETIME_S * 1000;
        Ok(self.0.store.use_once("challenge", &nonce, now as i64, keep_until as i64).await?)
    }

    /// Whether a login for this name may be tried from here now; known and unknown names alike.
    pub(super) fn let_try(&self, name: &str, from: &Origin) -> Result<(), AccountError> {
        self.0.guard.check(name, from.ip, unix_ms()).map_err(|ms| {
            self.0.outcomes.count("delayed");
            self.0.audit.refused(from.ip, || {
                let event = AuditEvent::new("authn_login_lock", Outcome::Denied).by(from);
                event.severity(Severity::Warning).detail("username", name).detail("retry_after_ms", ms)
            });
            AccountError::TooOften("too many failed logins; wait before the next", ms)
        })
    }

    pub(super) fn failed(&self, name: &str, reason: &str, from: &Origin) -> AccountError {
        self.0.guard.failed(name, from.ip, unix_ms());
        self.0.outcomes.count("failure");
        let event = AuditEvent::new("authn_login_fail", Outcome::Failure).by(from).reason(reason);
        self.0.audit.record(event.detail("username", name));
        AccountError::Credentials
    }

    pub(super) fn succeeded(&self, name: &str, from: &Origin) {
        self.0.guard.succeeded(name, from.ip, unix_ms());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_unknown_users_is_valid() {
        assert!(IdentityKey::new(UNKNOWN_USER_KEY).is_ok());
    }

    #[test]
    fn reserved_names_are_unknown() {
        assert_eq!(name_of("ADMIN").unwrap(), "admin");
        assert_eq!(name_of("Alice").unwrap(), "alice");
        for invalid in ["", "ab", ".abc", "a b c", "shop:zoe", "ä-ä-ä", &"a".repeat(33)] {
            assert!(name_of(invalid).is_err(), "{invalid}");
        }
    }
}
