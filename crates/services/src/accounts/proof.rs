//! Proofs that a change of the own account needs beyond its access token, which may be stolen
//! (`accounts-and-messages.md` "Keys").
//!
//! Proof is the password as `current`, or a login of the last minute: a refresh creates no login, so a stolen token
//! cannot produce one. The proof is passed on as [`Proven`] and checked again in the transaction that stores the
//! change.

use super::{AccountError, Accounts};
use crate::clock::unix_ms;
use fanfare_core::model::Origin;
use fanfare_core::model::Principal;
use fanfare_store::Proven;

/// How long a login is a proof by itself.
const FRESH_MS: i64 = 60_000;
/// How far the clock of another machine may be ahead.
const AHEAD_MS: i64 = 5_000;

impl Accounts {
    /// Checks the proof of a change. A given `current` must be right, even after a recent login; without one, a change
    /// that `needs_proof` accepts a recent login.
    ///
    /// # Errors
    /// `Unproven`, `TooOften` after failures.
    pub(super) async fn prove_change(
        &self,
        who: &Principal,
        current: Option<String>,
        needs_proof: bool,
        from: &Origin,
    ) -> Result<Proven, AccountError> {
        let password = match current {
            Some(current) => Some(self.confirm(who, current, from).await?),
            None => None,
        };
        if needs_proof && password.is_none() && !self.is_fresh(who).await? {
            return Err(AccountError::Unproven(
                "send your password as current, or log in again and repeat this within 60 s",
            ));
        }
        Ok(self.relies_on(who, password))
    }

    /// The conditions of a change: the caller's login and, if it was checked, the password's hash.
    pub(super) fn relies_on(&self, who: &Principal, password: Option<String>) -> Proven {
        let session_id = who.issuer.is_none().then(|| who.session_id.to_string());
        Proven { session_id, password }
    }

    /// Checks the caller's password; returns the stored hash that it matched.
    ///
    /// # Errors
    /// `Unproven` for a wrong one, and if the user has none; `TooOften` after failures.
    pub(super) async fn confirm(
        &self,
        who: &Principal,
        current: String,
        from: &Origin,
    ) -> Result<String, AccountError> {
        if who.issuer.is_some() {
            return Err(AccountError::Unproven("this user logs in elsewhere and has no password here"));
        }
        self.let_try(&who.username, from)?;
        let Some(stored) = self.me(who).await?.password else {
            return Err(AccountError::Unproven("this user logs in by key and has no password"));
        };
        if !self.0.hasher.verify(current, Some(stored.clone())).await?.ok {
            self.failed(&who.username, "current_password", from);
            return Err(AccountError::Unproven("current is not your password"));
        }
        self.succeeded(&who.username, from);
        Ok(stored)
    }

    /// Whether the caller logged in within the last minute: here, or for an issuer's user, at the issuer.
    async fn is_fresh(&self, who: &Principal) -> Result<bool, AccountError> {
        let at = match &who.issuer {
            Some(issuer) => {
                issuer.issued_at_s.map(|s| i64::try_from(s.saturating_mul(1000)).unwrap_or(i64::MAX))
            }
            None => self.0.store.login(&who.session_id).await?.map(|(session, _)| session.created_at),
        };
        Ok(at.is_some_and(|at| is_recent(at, unix_ms() as i64)))
    }
}

fn is_recent(at: i64, now: i64) -> bool {
    (-AHEAD_MS..=FRESH_MS).contains(&now.saturating_sub(at))
}

#[cfg(test)]
mod tests {
    use super::is_recent;

    #[test]
    fn a_login_is_a_proof_for_a_minute() {
        let now = 1_700_000_000_000;
        for (at, fresh) in [
            (now, true),
            (now - 60_000, true),
            (now - 60_001, false),
            (now + 5_000, true),
            (now + 5_001, false),
            (0, false),
            (i64::MAX, false),
        ] {
            assert_eq!(is_recent(at, now), fresh, "{at}");
        }
    }
}
