//! A user's own account: password, profile, deletion; and the profile that others see.

use super::{AccountError, Accounts};
use crate::audit::{AuditEvent, Outcome};
use crate::clock::unix_ms;
use fanfare_core::model::Origin;
use fanfare_core::model::Principal;
use fanfare_store::{EndedLogin, ProfileChange, User};

/// Maximum length of a display name, in characters.
const MAX_DISPLAY_NAME: usize = 64;
/// Longest email address in bytes (RFC 5321 4.5.3.1.3, less the brackets).
const MAX_EMAIL: usize = 254;

/// A change of a profile (RFC 7396): outer `None` leaves a field, inner `None` removes it.
#[derive(Debug, Default)]
pub struct Patch {
    /// The display name.
    pub display_name: Option<Option<String>>,
    /// Never verified in this version.
    pub email: Option<Option<String>>,
}

/// A user's profile for a response.
#[derive(Debug)]
pub struct Profile {
    /// The row.
    pub user: User,
    /// Whether the fields for the user alone may be shown.
    pub whole: bool,
}

impl Accounts {
    /// Changes the caller's password; ends the user's other logins.
    ///
    /// # Errors
    /// A weak new password; `Unproven` for a wrong current one and for users without one.
    pub async fn change_password(
        &self,
        who: &Principal,
        current: String,
        new: String,
        from: &Origin,
    ) -> Result<Vec<EndedLogin>, AccountError> {
        self.check_password("new", &new, &who.username)?;
        let stored = self.confirm(who, current, from).await?;
        let hash = self.0.hasher.hash(new).await?;
        let proven = self.relies_on(who, Some(stored));
        let ended = self.0.store.change_password(&who.user_id, proven, hash, unix_ms() as i64).await?;
        let ended = ended.ok_or(AccountError::Outdated)?;
        self.0.audit.record(self.event("password_changed", who, from).detail("sessions_ended", ended.len()));
        Ok(ended)
    }

    /// Changes the caller's profile; returns the new one. A changed address needs proof, because its owner may later be
    /// taken for the account's owner.
    ///
    /// # Errors
    /// A field that breaks a rule; `Unproven`.
    pub async fn change_profile(
        &self,
        who: &Principal,
        patch: Patch,
        current: Option<String>,
        from: &Origin,
    ) -> Result<Profile, AccountError> {
        if let Some(Some(name)) = &patch.display_name {
            check_display_name(name)?;
        }
        if let Some(Some(email)) = &patch.email {
            check_email(email)?;
        }
        let moves = match &patch.email {
            Some(email) => *email != self.me(who).await?.email,
            None => false,
        };
        let proven = self.prove_change(who, current, moves, from).await?;
        if patch.display_name.is_some() || moves {
            let email = patch.email.filter(|_| moves);
            let change = ProfileChange { display_name: patch.display_name, email };
            if !self.0.store.change_profile(&who.user_id, proven, change).await? {
                return Err(AccountError::Outdated);
            }
            self.0.audit.record(self.event("user_updated", who, from).detail("email", moves));
        }
        Ok(Profile { user: self.me(who).await?, whole: true })
    }

    /// Deletes the caller's account: the name is never reused, messages stay.
    ///
    /// # Errors
    /// `Unproven`; the store.
    pub async fn delete_me(
        &self,
        who: &Principal,
        current: Option<String>,
        from: &Origin,
    ) -> Result<Vec<EndedLogin>, AccountError> {
        let proven = self.prove_change(who, current, true, from).await?;
        let ended = self.0.store.delete_user(&who.user_id, proven, unix_ms() as i64).await?;
        let ended = ended.ok_or(AccountError::Outdated)?;
        self.0.audit.record(self.event("user_deleted", who, from).detail("username", &*who.username));
        Ok(ended)
    }

    /// The part of a user's profile that `who` may see.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn profile(&self, who: &Principal, name: &str) -> Result<Profile, AccountError> {
        let user = self.find(name).await?;
        let whole = *user.id == *who.user_id || who.role == fanfare_store::Role::Admin;
        Ok(Profile { user, whole })
    }

    /// A user by name. Names of an issuer's users contain a `:` and keep their case.
    pub(super) async fn find(&self, name: &str) -> Result<User, AccountError> {
        let name = if name.contains(':') { name.to_owned() } else { name.to_ascii_lowercase() };
        let found = if name.contains('\0') { None } else { self.0.store.user_by_name(&name).await? };
        found.ok_or(AccountError::NotFound("there is no user of this name"))
    }

    /// The caller's row.
    pub(super) async fn me(&self, who: &Principal) -> Result<User, AccountError> {
        self.0.store.user(&who.user_id).await?.ok_or(AccountError::NotFound("this user is gone"))
    }

    pub(super) fn event(&self, name: &'static str, who: &Principal, from: &Origin) -> AuditEvent {
        AuditEvent::new(name, Outcome::Success).user(&who.user_id).session(&who.session_id).by(from)
    }
}

fn check_display_name(name: &str) -> Result<(), AccountError> {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let wrong = name.trim().is_empty()
        || name.chars().count() > MAX_DISPLAY_NAME
        || name.chars().any(|c| c.is_control() || turns(c));
    let why = "display_name is 1 to 64 characters without control characters; null removes it";
    if wrong { Err(AccountError::field("display_name", why)) } else { Ok(()) }
}

/// Checks only for typing errors: the address is never verified.
fn check_email(email: &str) -> Result<(), AccountError> {
    let halves = email.rsplit_once('@');
    let sound = halves.is_some_and(|(local, host)| !local.is_empty() && !host.is_empty());
    let wrong =
        !sound || email.len() > MAX_EMAIL || email.chars().any(|c| c.is_whitespace() || c.is_control());
    let why = "email is an address such as ann@example.org of at most 254 bytes; null removes it";
    if wrong { Err(AccountError::field("email", why)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_fields_are_printable() {
        for valid in ["Ann", "Ann É. 漢", &"a".repeat(64)] {
            assert!(check_display_name(valid).is_ok(), "{valid}");
        }
        for invalid in ["", "  ", "a\nb", "a\u{0}", "a\u{202e}b", &"a".repeat(65)] {
            assert!(check_display_name(invalid).is_err(), "{invalid:?}");
        }
        assert!(check_email("ann@example.org").is_ok() && check_email("\"a@b\"@c").is_ok());
        for invalid in
            ["", "ann", "@", "a@", "@b", "a b@c", "a@b\r\nBcc: c", &format!("{}@b", "a".repeat(253))]
        {
            assert!(check_email(invalid).is_err(), "{invalid:?}");
        }
    }
}
