//! Logins and their tokens: created, renewed, listed, ended.
//!
//! A login by password lasts as long as its refresh token is renewed, [`REFRESH_DAYS`] days each time; one by key lasts
//! as long as its access token, because signing another challenge costs nothing. An access token is valid only while
//! its login is active.

use super::{AccountError, Accounts, UserGate};
use crate::audit::{AuditEvent, Outcome, Severity};
use crate::clock::unix_ms;
use fanfare_auth::refresh;
use fanfare_auth::token::{Claims, TokenError};
use fanfare_core::model::Origin;
use fanfare_core::model::Principal;
use fanfare_store::{EndLogins, EndedLogin, LoginProof, LoginRow, NewLogin, Refreshed, StoreError, User};

/// Lifetime of a refresh token in days.
const REFRESH_DAYS: i64 = 30;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Maximum characters stored of a user agent.
const MAX_AGENT: usize = 256;

/// The tokens of a login.
#[derive(Debug)]
pub struct Granted {
    /// JWT for `Authorization: Bearer`.
    pub access_token: String,
    /// Lifetime of the access token in seconds.
    pub expires_in: u64,
    /// The refresh token, valid once; for logins by password only.
    pub refresh_token: Option<String>,
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub username: String,
}

/// A login as shown to its user.
#[derive(Debug)]
pub struct OwnLogin {
    /// The login.
    pub login: LoginRow,
    /// Whether it is the caller's own.
    pub current: bool,
}

impl Accounts {
    /// Stores a login and creates its tokens; `None` when the proof no longer holds.
    pub(super) async fn grant(
        &self,
        user: User,
        proof: LoginProof,
        from: &Origin,
    ) -> Result<Option<Granted>, AccountError> {
        let now = unix_ms() as i64;
        let life = self.0.access_ttl.as_millis() as i64;
        let (word, device, refresh, ends) = match &proof {
            LoginProof::Password { .. } => {
                let (text, hash) = refresh::new();
                let ends = now + REFRESH_DAYS * DAY_MS;
                ("password", None, Some((text, (hash, ends))), ends)
            }
            LoginProof::Key { device_id, .. } => ("key", Some(device_id.clone()), None, now + life),
        };
        let id = random_id()?;
        let (refresh_token, refresh) = refresh.unzip();
        let row = NewLogin {
            id: id.clone(),
            user_id: user.id.clone(),
            created_at: now,
            expires_at: ends,
            ip: Some(from.ip.to_string()),
            user_agent: from.user_agent.as_ref().map(shown),
            method: word.into(),
            refresh,
        };
        if !self.0.store.add_login(row, proof).await? {
            return Ok(None);
        }
        self.0.outcomes.count("success");
        let event = |name| AuditEvent::new(name, Outcome::Success).user(&user.id).session(&id).by(from);
        self.0.audit.record(event("authn_login_success").detail("method", word));
        self.0.audit.record(event("session_created"));
        Ok(Some(self.token_for(user, id, device, refresh_token, ends, now)))
    }

    fn token_for(
        &self,
        user: User,
        session: String,
        dev: Option<String>,
        refresh_token: Option<String>,
        ends: i64,
        now: i64,
    ) -> Granted {
        let now_s = now / 1000;
        let exp = (now_s + self.0.access_ttl.as_secs() as i64).min(ends / 1000).max(now_s + 1);
        let claims = Claims {
            sub: user.id.clone(),
            sid: session,
            jti: token_id(),
            iat: now_s as u64,
            nbf: now_s as u64,
            exp: exp as u64,
            dev,
            name: user.username.clone(),
            role: user.role.as_str().to_owned(),
        };
        Granted {
            access_token: self.0.tokens.sign(&claims),
            expires_in: (exp - now_s) as u64,
            refresh_token,
            user_id: user.id,
            username: user.username,
        }
    }

    /// Renews a login's tokens. A refresh token that was used before ends its login, because another client has it.
    ///
    /// # Errors
    /// `Credentials` with the logins that were ended for it; `TooOften`, and then the token is not used.
    pub async fn refresh(
        &self,
        token: &str,
        from: &Origin,
    ) -> Result<Granted, (AccountError, Vec<EndedLogin>)> {
        let fail = |error: AccountError| (error, Vec::new());
        let now = unix_ms() as i64;
        let Some(old) = refresh::hash(token) else { return Err(fail(AccountError::Credentials)) };
        if let Some(owner) = self.0.store.refresh_owner(old).await.map_err(|e| fail(e.into()))? {
            self.bound(UserGate::Refresh, &owner).map_err(fail)?;
        }
        let (text, new) = refresh::new();
        let ends = now + REFRESH_DAYS * DAY_MS;
        match self.0.store.rotate_refresh(old, new, now, ends).await.map_err(|e| fail(e.into()))? {
            Refreshed::Rotated(session, user) => {
                let event =
                    AuditEvent::new("session_renewed", Outcome::Success).user(&user.id).session(&session.id);
                self.0.audit.record(event.by(from));
                Ok(self.token_for(user, session.id, None, Some(text), ends, now))
            }
            Refreshed::Reused { session_id, user_id } => {
                // A client with an old token may send it again and again.
                self.0.audit.activity(&session_id, || {
                    let event =
                        AuditEvent::new("authn_token_reuse", Outcome::Denied).severity(Severity::Alert);
                    event.user(&user_id).session(&session_id).by(from)
                });
                let ended = EndedLogin { id: session_id, user_id, ended_at: now };
                Err((AccountError::Credentials, vec![ended]))
            }
            Refreshed::Unknown => Err(fail(AccountError::Credentials)),
        }
    }

    /// Resolves one of our access tokens to its user if the claims are valid and the login is active.
    ///
    /// # Errors
    /// Of the store. `Ok(Err(_))`: the token is invalid, or no longer valid.
    pub async fn principal_of(
        &self,
        token: &str,
        now_ms: u64,
    ) -> Result<Result<Principal, TokenError>, StoreError> {
        let claims = match self.0.tokens.verify(token, now_ms / 1000) {
            Ok(claims) => claims,
            Err(error) => return Ok(Err(error)),
        };
        let live = self.0.store.login(&claims.sid).await?.filter(|(_, user)| user.id == claims.sub);
        let Some((session, user)) = live else { return Ok(Err(TokenError::Invalid)) };
        Ok(Ok(Principal {
            user_id: user.id.into(),
            username: user.username.into(),
            role: user.role,
            session_id: session.id.into(),
            device_id: claims.dev.map(Into::into),
            expires_at_ms: claims.exp * 1000,
            issuer: None,
        }))
    }

    /// Ends the caller's own login. An issuer's user has no login here: the token itself is ended
    /// (`Identity::end_token`).
    ///
    /// # Errors
    /// Of the store.
    pub async fn logout(&self, who: &Principal, from: &Origin) -> Result<Vec<EndedLogin>, AccountError> {
        let which = EndLogins::One { id: &who.session_id, user_id: Some(&who.user_id) };
        let ended = self.0.store.end_logins(which, "logout", unix_ms() as i64).await?;
        let event =
            AuditEvent::new("session_logout", Outcome::Success).user(&who.user_id).session(&who.session_id);
        self.0.audit.record(event.by(from));
        Ok(ended)
    }

    /// The caller's active logins, newest first.
    ///
    /// # Errors
    /// Of the store.
    pub async fn logins(&self, who: &Principal) -> Result<Vec<OwnLogin>, AccountError> {
        let all = self.0.store.logins(&who.user_id).await?;
        Ok(all.into_iter().map(|login| OwnLogin { current: *login.id == *who.session_id, login }).collect())
    }

    /// Ends one of the caller's logins.
    ///
    /// # Errors
    /// `NotFound` when it is not one of the caller's, or has ended.
    pub async fn end_login(
        &self,
        who: &Principal,
        id: &str,
        from: &Origin,
    ) -> Result<Vec<EndedLogin>, AccountError> {
        let which = EndLogins::One { id, user_id: Some(&who.user_id) };
        let ended = self.0.store.end_logins(which, "revoked", unix_ms() as i64).await?;
        if ended.is_empty() {
            return Err(AccountError::NotFound("you have no such login"));
        }
        let event = AuditEvent::new("authn_token_revoked", Outcome::Success).user(&who.user_id).session(id);
        self.0.audit.record(event.by(from));
        Ok(ended)
    }
}

/// 128 random bits: another login's id cannot be guessed, and no two tokens are equal.
fn random_id() -> Result<String, AccountError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| AccountError::Busy)?;
    Ok(fanfare_e2ee::b64::encode(&bytes))
}

fn token_id() -> String {
    random_id().unwrap_or_else(|_| unix_ms().to_string())
}

/// A user agent in a form that may be stored and shown: without control and direction characters.
fn shown(agent: &std::sync::Arc<str>) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    agent.chars().filter(|c| !c.is_control() && !turns(*c)).take(MAX_AGENT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_agent_is_harmless_and_short() {
        let hostile: std::sync::Arc<str> = "a\r\nb\u{1b}[31m\u{202e}c".into();
        assert_eq!(shown(&hostile), "ab[31mc");
        assert_eq!(shown(&"é".repeat(1000).into()).chars().count(), MAX_AGENT);
    }
}
