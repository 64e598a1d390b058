//! Sessions and the logins behind them: resuming, ending, sending (`protocol.md` 6, `http-api.md` "Sessions").
//!
//! A *session* is a socket's, with a code and data; a *login* is a user's, a row of `auth_sessions` or a token of an
//! issuer. A login that ends ends the sessions and sockets that were opened with it. A connection may be on its way to
//! its shard at that moment, so ended logins and changed users are kept for a while and checked when a connection
//! arrives there.

pub mod snapshot;

use crate::audit::{Audit, AuditEvent, Outcome};
use crate::clock::unix_ms;
use crate::identity::{Identity, Users};
use crate::ports::{Refused, Sockets};
use fanfare_core::model::{Actor, End, ErrorCode, IssuerIdentity, Principal, Refusal, Scope};
use fanfare_core::session::{Resume, ResumeGuard, Resumed, SessionCode, SessionPort};
use fanfare_store::{ChangedUser, EndedLogin};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// How long an ended login or a changed user is kept for connections on their way, in milliseconds.
const REMEMBERED_MS: u64 = 60_000;

/// The session service; see the module's head.
pub struct SessionService {
    table: Box<dyn SessionPort>,
    guard: ResumeGuard,
    users: Arc<Users>,
    identity: Arc<Identity>,
    audit: Audit,
    sockets: Arc<dyn Sockets>,
    refused: Arc<dyn Refused>,
    /// The user of each session, for a resume without a credential.
    by_session: Mutex<HashMap<SessionCode, Arc<Principal>>>,
    /// Ended logins and issuers' tokens, and when they ended.
    ended: Mutex<HashMap<String, u64>>,
    /// Users whose role or lock changed, in their new state, and when that was noticed.
    changed: Mutex<HashMap<String, (ChangedUser, u64)>>,
}

/// The dependencies of a session service.
pub struct SessionParts {
    /// The session table.
    pub table: Box<dyn SessionPort>,
    /// The connected users.
    pub users: Arc<Users>,
    /// The identity service.
    pub identity: Arc<Identity>,
    /// The audit log.
    pub audit: Audit,
    /// The node's connections.
    pub sockets: Arc<dyn Sockets>,
    /// The counter of refusals.
    pub refused: Arc<dyn Refused>,
}

impl std::fmt::Debug for SessionService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionService").field("sessions", &self.table.count()).finish_non_exhaustive()
    }
}

impl SessionService {
    /// Creates the service from its dependencies.
    pub fn new(parts: SessionParts) -> Self {
        let SessionParts { table, users, identity, audit, sockets, refused } = parts;
        let guard = ResumeGuard::default();
        let (by_session, ended, changed) = Default::default();
        Self { table, guard, users, identity, audit, sockets, refused, by_session, ended, changed }
    }

    /// The session table.
    pub fn table(&self) -> &dyn SessionPort {
        &*self.table
    }

    /// Resumes a session for a client at `address`. Guesses are rate-limited; every reason to refuse returns the same
    /// error.
    ///
    /// # Errors
    /// `UNAUTHORIZED`, or `RATE_LIMITED` after too many guesses for a token that does not unseal.
    pub fn resume(
        &self,
        code: &str,
        token: &str,
        user: Option<&str>,
        address: IpAddr,
        now_ms: u64,
    ) -> Result<Resumed, Refusal> {
        self.table.resume(Resume { code, token, user }, now_ms).map_err(|refused| {
            // A token of this server is tried first: clients behind one address must not lock each other out.
            if !refused.unsealed
                && let Err(wait) = self.guard.check(address, now_ms)
            {
                self.refused.refused("resume");
                let why = "too many failed resumes from this address";
                return Refusal::new(ErrorCode::RateLimited, why).retry_after(wait);
            }
            if refused.counted {
                self.guard.failed(address, now_ms);
                self.audit.refused(address, || AuditEvent::new("resume_fail", Outcome::Failure).ip(address));
            }
            if let Some(addr) = refused.revoked {
                self.sockets.end(addr, End::SessionEnded);
            }
            not_resumed()
        })
    }

    /// Records the user of a session.
    pub fn remember(&self, code: SessionCode, principal: &Arc<Principal>) {
        self.by_session.lock().insert(code, principal.clone());
    }

    /// The user of a session when it was last used.
    pub fn remembered(&self, code: SessionCode) -> Option<Arc<Principal>> {
        self.by_session.lock().get(&code).cloned()
    }

    // --- ends of logins ---------------------------------------------------------------------------------------------

    /// Ends the connections and sessions of ended logins.
    pub fn end_logins(&self, ended: &[EndedLogin]) {
        for login in ended {
            self.ended.lock().insert(login.id.clone(), unix_ms());
            self.end_matching(&login.user_id, Some(&login.id));
        }
    }

    /// Ends all connections and sessions of a user, for any credential.
    pub fn end_user(&self, user_id: &str) {
        self.end_matching(user_id, None);
    }

    fn end_matching(&self, user_id: &str, login: Option<&str>) {
        let is = |p: &Principal| *p.user_id == *user_id && login.is_none_or(|id| *p.session_id == *id);
        self.identity.forget(is);
        self.by_session.lock().retain(|code, principal| {
            if is(principal) {
                self.table.end(*code);
                return false;
            }
            true
        });
        for addr in self.users.connections(user_id, login) {
            self.sockets.end(addr, End::SessionEnded);
        }
    }

    /// Ends a token of an issuer and, because its users have no logins here, all connections and sessions of the user.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store cannot be queried.
    pub async fn end_token(&self, who: &Principal, issuer: &IssuerIdentity) -> Result<(), Refusal> {
        self.identity.end_token(&issuer.token, who.expires_at_ms).await?;
        self.ended.lock().insert(fanfare_e2ee::b64::encode(&issuer.token), unix_ms());
        self.end_user(&who.user_id);
        Ok(())
    }

    /// Applies a change of a user's role or lock to open connections.
    pub fn user_changed(&self, user: ChangedUser) {
        let (id, role, disabled) = (user.id.clone(), user.role, user.disabled);
        self.changed.lock().insert(id.clone(), (user, unix_ms()));
        if disabled {
            self.end_user(&id);
            return;
        }
        self.identity.forget(|p| *p.user_id == *id);
        for addr in self.users.connections(&id, None) {
            self.sockets.change_role(addr, role);
        }
    }

    /// The principal with the user's present role, if that was changed recently.
    pub fn with_current_role(&self, principal: Arc<Principal>) -> Arc<Principal> {
        let changed = self.changed.lock();
        match changed.get(&*principal.user_id) {
            Some((user, _)) if user.role != principal.role && principal.issuer.is_none() => {
                Arc::new(Principal { role: user.role, ..(*principal).clone() })
            }
            _ => principal,
        }
    }

    /// Whether the credential of a principal ended recently: the login, the issuer's token, or the user.
    pub fn has_ended(&self, principal: &Principal) -> bool {
        let ended = self.ended.lock();
        let is_ended = match &principal.issuer {
            Some(issuer) => ended.contains_key(&fanfare_e2ee::b64::encode(&issuer.token)),
            None => ended.contains_key(&*principal.session_id),
        };
        drop(ended);
        is_ended || self.changed.lock().get(&*principal.user_id).is_some_and(|(user, _)| user.disabled)
    }

    /// Drops up to `limit` expired sessions, logins of sessions that no longer exist, and users who have disconnected.
    /// `now_ns` counts from the node's start.
    pub fn sweep(&self, now_ms: u64, now_ns: u64, limit: usize) {
        self.table.sweep(now_ms, limit);
        self.users.sweep(now_ms, now_ns);
        self.ended.lock().retain(|_, at| now_ms < *at + REMEMBERED_MS);
        self.changed.lock().retain(|_, (_, at)| now_ms < *at + REMEMBERED_MS);
        self.by_session.lock().retain(|code, _| self.table.info(*code, now_ms).is_some());
    }

    // --- messages of the application's backend ----------------------------------------------------------------------

    /// Whether an actor may send to sessions. A refusal is an `authz_fail` of the audit log.
    ///
    /// # Errors
    /// `UNAUTHORIZED` for anonymous callers, else `FORBIDDEN`.
    pub fn may_send(&self, actor: &Actor<'_>) -> Result<(), Refusal> {
        actor.caller.scope(Scope::Sessions).map_err(|refusal| self.audit.denied(actor, "no_scope", refusal))
    }

    /// Sends JSON to the connection of a session; returns whether it has one.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is no session of this code, and as [`SessionService::may_send`].
    pub fn send(&self, actor: &Actor<'_>, code: &str, payload: Arc<str>) -> Result<bool, Refusal> {
        self.may_send(actor)?;
        let known = SessionCode::parse(code).filter(|code| self.table.info(*code, unix_ms()).is_some());
        let Some(code) = known else {
            return Err(Refusal::new(ErrorCode::NotFound, "there is no session of this code"));
        };
        let Some(addr) = self.table.address(code) else { return Ok(false) };
        self.sockets.send(addr, payload);
        Ok(true)
    }

    /// Sends JSON to every connection that has a session.
    ///
    /// # Errors
    /// As [`SessionService::may_send`].
    pub fn broadcast(&self, actor: &Actor<'_>, payload: Arc<str>) -> Result<(), Refusal> {
        self.may_send(actor)?;
        self.sockets.send_to_all(payload);
        Ok(())
    }
}

/// The refusal of every failed resume, for any reason.
pub fn not_resumed() -> Refusal {
    let why =
        "this session cannot be resumed with this token; connect without session and resume for a new one";
    Refusal::new(ErrorCode::Unauthorized, why)
}
