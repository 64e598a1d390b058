//! Administration: permissions, and operations on users (`http-api.md` "Admin", `fanfare admin`).
//!
//! The rules are here for all callers: a route, a method or a command beside the server. At least one enabled
//! administrator must remain: the store rejects a change that would leave none.

use crate::audit::{Audit, AuditEvent, Outcome};
use crate::clock::unix_ms;
use crate::sessions::SessionService;
use fanfare_core::model::{Actor, ErrorCode, Refusal, Role};
use fanfare_store::{ChangedUser, EndedLogin, Store, StoreError, User};
use std::sync::Arc;

/// Users read from the store at a time if not all of them are shown.
const SCAN: u32 = 500;
/// Maximum users examined for one page of a search; `next` continues after them.
const MAX_SCANNED: usize = 10_000;

/// Why an operation on a user failed.
#[derive(Debug)]
pub enum AdminError {
    /// The user does not exist.
    NoSuchUser,
    /// No other enabled administrator would be left.
    LastAdmin,
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict("last_admin") => Self::LastAdmin,
            error => Self::Store(error),
        }
    }
}

impl AdminError {
    /// The refusal of the last administrator's demotion, lock or deletion.
    pub const LAST_ADMIN: &'static str =
        "this is the last administrator who is not disabled; make another one first";

    /// The reason's code in the audit log.
    fn reason(&self) -> &'static str {
        match self {
            Self::NoSuchUser => "not_found",
            Self::LastAdmin => "last_admin",
            Self::Store(_) => "store",
        }
    }
}

/// Sets a user's role, in a running server or beside it.
///
/// # Errors
/// See [`AdminError`].
pub async fn set_role(store: &Store, name: &str, role: Role) -> Result<User, AdminError> {
    let mut user = find(store, name).await?;
    if !store.set_role(&user.id, role, unix_ms() as i64).await? {
        return Err(AdminError::NoSuchUser);
    }
    user.role = role;
    Ok(user)
}

/// A user by name. Local names are lower case; an issuer's claim keeps its case.
async fn find(store: &Store, name: &str) -> Result<User, AdminError> {
    let name = if name.contains(':') { name.to_owned() } else { name.to_ascii_lowercase() };
    store.user_by_name(&name).await?.ok_or(AdminError::NoSuchUser)
}

/// The administration service of a running server.
#[derive(Debug)]
pub struct AdminService {
    store: Store,
    audit: Audit,
    sessions: Arc<SessionService>,
}

/// An authorised administrator, in whose name operations are recorded.
#[derive(Clone, Copy, Debug)]
pub struct Administrator<'a> {
    service: &'a AdminService,
    actor: Actor<'a>,
}

impl AdminService {
    /// Creates the service over the store; users who are locked out lose their sessions.
    pub fn new(store: Store, audit: Audit, sessions: Arc<SessionService>) -> Self {
        Self { store, audit, sessions }
    }

    /// Authorises an administrator, a user or an API key.
    ///
    /// # Errors
    /// `UNAUTHORIZED` for anonymous callers, else `FORBIDDEN`, which is an `authz_fail` of the audit log.
    pub fn enter<'a>(&'a self, actor: Actor<'a>) -> Result<Administrator<'a>, Refusal> {
        let admitted = actor.caller.admin();
        admitted.map_err(|refusal| self.audit.denied(&actor, "not_admin", refusal))?;
        Ok(Administrator { service: self, actor })
    }
}

impl Administrator<'_> {
    /// Records an operation.
    pub fn did(&self, action: &'static str, with: impl FnOnce(AuditEvent) -> AuditEvent) {
        self.service.audit.record(with(self.event(action, Outcome::Success)));
    }

    /// Records a failed operation.
    pub fn failed(
        &self,
        action: &'static str,
        reason: &'static str,
        with: impl FnOnce(AuditEvent) -> AuditEvent,
    ) {
        self.service.audit.record(with(self.event(action, Outcome::Failure).reason(reason)));
    }

    fn event(&self, action: &'static str, outcome: Outcome) -> AuditEvent {
        AuditEvent::new("admin_action", outcome)
            .by(self.actor.origin)
            .caller(self.actor.caller)
            .detail("action", action)
    }

    /// Users ordered by name whose name contains `wanted`, at most `limit` of them, and the name to continue after, if
    /// there may be more.
    ///
    /// # Errors
    /// Of the store.
    pub async fn users(
        &self,
        mut after: Option<String>,
        wanted: &str,
        limit: usize,
    ) -> Result<(Vec<User>, Option<String>), StoreError> {
        let (mut items, mut scanned) = (Vec::new(), 0);
        loop {
            let size = if wanted.is_empty() { limit as u32 + 1 } else { SCAN };
            let page = self.service.store.users(after.as_deref(), size).await?;
            let ended = page.len() < size as usize;
            for user in page {
                if items.len() == limit {
                    return Ok((items, after));
                }
                scanned += 1;
                after = Some(user.username.clone());
                if user.username.contains(wanted) {
                    items.push(user);
                }
            }
            if ended {
                return Ok((items, None));
            }
            if scanned >= MAX_SCANNED {
                return Ok((items, after));
            }
        }
    }

    /// Locks a user out, which ends every login and closes the sockets, or unlocks the user.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn set_disabled(
        &self,
        action: &'static str,
        name: &str,
        disabled: bool,
    ) -> Result<User, AdminError> {
        let switched = self.switch(name, disabled).await;
        match &switched {
            Ok(user) => self.did(action, |event| event.detail("target", user.id.as_str())),
            Err(error) => self.failed(action, error.reason(), |event| event.detail("target_name", name)),
        }
        switched
    }

    async fn switch(&self, name: &str, disabled: bool) -> Result<User, AdminError> {
        let AdminService { store, sessions, .. } = self.service;
        let now = unix_ms() as i64;
        let mut user = find(store, name).await?;
        let ended: Vec<EndedLogin> =
            store.set_disabled(&user.id, disabled, now).await?.ok_or(AdminError::NoSuchUser)?;
        user.disabled = disabled;
        sessions.end_logins(&ended);
        // Users of an issuer have no logins in the store; their connections end with the user's lock.
        let (id, role) = (user.id.clone(), user.role);
        sessions.user_changed(ChangedUser { id, role, disabled, changed_at: now });
        Ok(user)
    }
}

impl From<AdminError> for Refusal {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::NoSuchUser => Self::new(ErrorCode::NotFound, "there is no such user"),
            AdminError::LastAdmin => Self::new(ErrorCode::Conflict, AdminError::LAST_ADMIN),
            AdminError::Store(StoreError::Invalid(why)) => {
                Self::new(ErrorCode::InvalidField, why).field("query")
            }
            AdminError::Store(error) => {
                tracing::warn!(%error, "the store failed for an administrator's request");
                Self::new(ErrorCode::Unavailable, "the store cannot be reached now; try again later")
            }
        }
    }
}
