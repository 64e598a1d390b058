//! Identity: resolves credentials to users and API keys, and tracks connected users.
//!
//! A token, a ticket or an API key is resolved to a [`Principal`] or an [`AppKey`], or to a refusal that reveals
//! nothing. A valid signature never suffices: for each result a live row of the store was also read at most [`FRESH`]
//! ago, so that a logout, a ban or a new role takes effect within a second, also if another process made it. Logins
//! that this process ends are dropped from the cache at once.

mod cache;
mod users;
mod watch;

pub use users::{Bucket, Facts, Login, UserState, Users};
pub use watch::watch;

use crate::accounts::{Accounts, TicketRefused};
use crate::clock::unix_ms;
use cache::Cache;
use fanfare_auth::issuers::{IssuerConfig, IssuerError, IssuerKey, Issuers};
use fanfare_auth::token::TokenError;
use fanfare_config::{Config, ConfigError, Issuer};
use fanfare_core::model::{AppKey, ErrorCode, IssuerIdentity, Principal, Refusal, Role, Scope, TopicGrant};
use fanfare_store::{Store, StoreError};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a result of the store is trusted.
pub const FRESH: Duration = Duration::from_secs(1);
/// Maximum logins whose last use waits to be written.
const MAX_SEEN: usize = 100_000;

/// The identity service; see the module's head.
pub struct Identity {
    store: Store,
    accounts: Accounts,
    issuers: Issuers,
    /// Keys of `auth.api_keys` by the SHA-256 of the key.
    configured: HashMap<[u8; 32], Arc<AppKey>>,
    principals: Cache<Arc<Principal>>,
    keys: Cache<Arc<AppKey>>,
    seen: Mutex<HashMap<Arc<str>, i64>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// The kind of one-time key that marks an issuer's token whose bearer has logged out.
const ENDED: &str = "issuer_token";

/// The identity of a token: the hash of its signed part. Signatures of one text may be encoded in several ways.
fn mark(token: &str) -> [u8; 32] {
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    Sha256::digest(signed.as_bytes()).into()
}

impl Identity {
    /// Creates the service over the store and the accounts, with the issuers of the configuration.
    ///
    /// # Errors
    /// One line that names `auth.issuers`.
    pub fn new(config: &Config, store: Store, accounts: Accounts) -> Result<Self, ConfigError> {
        let issuers = Issuers::new(config.auth.issuers.iter().map(issuer_of).collect())
            .map_err(|what| ConfigError::key("auth.issuers", what))?;
        let configured = config.auth.api_keys.iter().map(|key| {
            let known = AppKey { name: key.name.as_str().into(), scopes: key.scopes.clone() };
            (key.hash.0, Arc::new(known))
        });
        Ok(Self {
            store,
            accounts,
            issuers,
            configured: configured.collect(),
            principals: Cache::default(),
            keys: Cache::default(),
            seen: Mutex::default(),
        })
    }

    /// Resolves an access token, of this server or an issuer.
    ///
    /// # Errors
    /// `UNAUTHORIZED` for every reason alike; `UNAVAILABLE` when the store or an issuer's keys cannot be queried.
    pub async fn bearer(&self, token: &str) -> Result<Arc<Principal>, Refusal> {
        let now = unix_ms();
        if let Some(known) = self.principals.get(token).filter(|p| p.expires_at_ms > now) {
            return Ok(known);
        }
        let principal = if self.issuers.knows(token) {
            self.issuers_user(token, now).await?
        } else {
            let known = self.accounts.principal_of(token, now).await.map_err(|e| unavailable(&e))?;
            Arc::new(known.map_err(|error| match error {
                TokenError::Expired => unauthorized("the token has expired: refresh it or log in again"),
                TokenError::Invalid => {
                    tracing::debug!(
                        check = "iss",
                        "a token is neither from this server nor from a known issuer"
                    );
                    unauthorized("the token is not valid here")
                }
            })?)
        };
        self.note_seen(&principal, now);
        self.principals.put(token, principal.clone());
        Ok(principal)
    }

    async fn issuers_user(&self, token: &str, now: u64) -> Result<Arc<Principal>, Refusal> {
        let login = self.issuers.login(token, now / 1000).await.map_err(issuer_refusal)?;
        let identity = IssuerIdentity {
            name: login.issuer.as_str().into(),
            claim: login.claim.as_str().into(),
            issued_at_s: login.iat,
            token: mark(token),
        };
        self.refuse_ended(&identity, now).await?;
        let made = self.store.ensure_issuer_user(&login.username, now as i64).await;
        let user = made.map_err(|error| match error {
            // Deleted here: the name is not reused.
            StoreError::Conflict(_) => ended(),
            error => unavailable(&error),
        })?;
        if user.disabled {
            return Err(ended());
        }
        Ok(Arc::new(Principal {
            user_id: user.id.into(),
            username: user.username.into(),
            role: Role::User,
            // An issuer's user has no login here; all tokens of one user count as one.
            session_id: format!("{}:{}", login.issuer, login.claim).into(),
            device_id: None,
            expires_at_ms: login.exp.saturating_mul(1000),
            issuer: Some(identity),
        }))
    }

    /// Ends a token of an issuer permanently: it and the tickets fetched with it are refused until its own expiry, also
    /// after a restart.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store cannot be queried.
    pub async fn end_token(&self, token: &[u8; 32], expires_at_ms: u64) -> Result<(), Refusal> {
        let (now, ends) = (unix_ms() as i64, i64::try_from(expires_at_ms).unwrap_or(i64::MAX));
        self.store.use_once(ENDED, token, now, ends).await.map_err(|e| unavailable(&e))?;
        Ok(())
    }

    /// Refuses an issuer's token that was ended.
    async fn refuse_ended(&self, issuer: &IssuerIdentity, now: u64) -> Result<(), Refusal> {
        let is_ended = self.store.is_used(ENDED, &issuer.token, now as i64).await;
        if is_ended.map_err(|e| unavailable(&e))? { Err(ended()) } else { Ok(()) }
    }

    /// Resolves a one-time ticket, which is used afterwards.
    ///
    /// # Errors
    /// As [`Identity::bearer`].
    pub async fn ticket(&self, ticket: &str, origin: Option<&str>) -> Result<Arc<Principal>, Refusal> {
        let now = unix_ms();
        let spent = self.accounts.spend_ticket(ticket, origin, now).await;
        let principal = spent.map_err(|refused| match refused {
            TicketRefused::Store(error) => unavailable(&error),
            TicketRefused::Invalid => {
                unauthorized("the ticket is not valid: it is valid once, for 30 s, and for one origin")
            }
        })?;
        if let Some(issuer) = &principal.issuer {
            self.refuse_ended(issuer, now).await?;
        }
        Ok(Arc::new(principal))
    }

    /// Resolves an API key.
    ///
    /// # Errors
    /// `UNAUTHORIZED`, or `UNAVAILABLE` when the store cannot be queried.
    pub async fn api_key(&self, key: &str) -> Result<Arc<AppKey>, Refusal> {
        let hash = fanfare_auth::api_key::hash(key);
        if let Some(known) = self.configured.get(&hash) {
            return Ok(known.clone());
        }
        if let Some(known) = self.keys.get(key) {
            return Ok(known);
        }
        let row = self.store.api_key(hash).await.map_err(|e| unavailable(&e))?;
        let row = row.ok_or_else(|| unauthorized("the API key is not valid here"))?;
        let scopes = row.scopes.split([',', ' ']).filter_map(Scope::parse).collect();
        let known = Arc::new(AppKey { name: row.name.into(), scopes });
        self.keys.put(key, known.clone());
        Ok(known)
    }

    /// Resolves a subscription token to its grant.
    ///
    /// # Errors
    /// `INVALID_TOKEN`, or `UNAVAILABLE` when the issuer's keys are not available.
    pub async fn subscription(&self, token: &str) -> Result<TopicGrant, Refusal> {
        let found = self.issuers.subscription(token, unix_ms() / 1000).await;
        let open = found.map_err(|error| match error {
            IssuerError::Unavailable => issuer_refusal(IssuerError::Unavailable),
            _ => {
                let why = "the subscription token is not valid: fetch a new one for this topic and user";
                Refusal::new(ErrorCode::InvalidToken, why).field("token")
            }
        })?;
        Ok(TopicGrant {
            issuer: open.issuer,
            sub: open.sub,
            topic: open.topic,
            subscribe: open.actions.subscribe,
            history: open.actions.history,
            publish: open.actions.publish,
            expires_at_ms: open.exp.saturating_mul(1000),
        })
    }

    /// Whether an earlier login is still active: for a session that is resumed without a credential.
    ///
    /// # Errors
    /// `UNAUTHORIZED` when it has ended.
    pub async fn recheck(&self, principal: &Principal) -> Result<Arc<Principal>, Refusal> {
        let user = match &principal.issuer {
            Some(issuer) => {
                self.refuse_ended(issuer, unix_ms()).await?;
                self.store.user(&principal.user_id).await.map_err(|e| unavailable(&e))?
            }
            None => {
                let live = self.store.login(&principal.session_id).await;
                live.map_err(|e| unavailable(&e))?.map(|(_, user)| user)
            }
        };
        let user = user.filter(|user| *user.id == *principal.user_id && !user.disabled).ok_or_else(ended)?;
        if principal.expires_at_ms <= unix_ms() {
            return Err(ended());
        }
        Ok(Arc::new(Principal { role: user.role, ..principal.clone() }))
    }

    /// Drops a login, or all logins of a user, from the cache.
    pub fn forget(&self, is: impl Fn(&Principal) -> bool) {
        self.principals.retain(|principal| !is(principal));
    }

    fn note_seen(&self, principal: &Principal, now: u64) {
        if principal.issuer.is_some() {
            return;
        }
        let mut seen = self.seen.lock();
        if seen.len() < MAX_SEEN {
            seen.insert(principal.session_id.clone(), now as i64);
        }
    }

    /// Writes when logins were last used.
    pub async fn write_seen(&self) {
        let seen: Vec<(String, i64)> =
            std::mem::take(&mut *self.seen.lock()).into_iter().map(|(id, at)| (id.to_string(), at)).collect();
        if seen.is_empty() {
            return;
        }
        if let Err(error) = self.store.touch_logins(seen).await {
            tracing::warn!(%error, "when logins were last used cannot be written");
        }
    }
}

fn issuer_of(row: &Issuer) -> IssuerConfig {
    let key = match (&row.jwks_url, &row.public_key, &row.hmac_secret) {
        (Some(url), _, _) => IssuerKey::Jwks(url.0.clone()),
        (_, Some(pem), _) => IssuerKey::Pem(pem.0.clone()),
        (_, _, secret) => IssuerKey::Hmac(secret.as_ref().map(|s| s.expose().to_owned()).unwrap_or_default()),
    };
    IssuerConfig {
        name: row.name.0.clone(),
        issuer: row.issuer.clone(),
        audience: row.audience.clone(),
        user_claim: row.user_claim.clone(),
        key,
    }
}

fn ended() -> Refusal {
    unauthorized("this login has ended: log in again")
}

fn unauthorized(why: &'static str) -> Refusal {
    Refusal::new(ErrorCode::Unauthorized, why)
}

fn issuer_refusal(error: IssuerError) -> Refusal {
    match error {
        IssuerError::Invalid => unauthorized("the token is not valid here"),
        IssuerError::Expired => unauthorized("the token has expired: fetch a new one from its issuer"),
        IssuerError::Unavailable => {
            let why = "the keys of this token's issuer cannot be had at the moment";
            Refusal::new(ErrorCode::Unavailable, why).retry_after(5000)
        }
    }
}

/// The refusal sent to a client when the store failed: the log has the details.
pub fn unavailable(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "the store did not respond");
    Refusal::new(ErrorCode::Unavailable, "the store does not respond at the moment").retry_after(1000)
}
