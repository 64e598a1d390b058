//! One-time tickets for sockets of web pages: a browser cannot send a header with an upgrade.
//!
//! A sealed ticket carries its user and the one origin it is valid for. Spending burns it in the store before anything
//! else is checked; its login must still be active then, or the issuer's token it was fetched with (`Identity::ticket`
//! checks that).

use super::{AccountError, Accounts};
use crate::audit::{AuditEvent, Outcome};
use crate::clock::unix_ms;
use crate::repeats::RepeatKey;
use fanfare_auth::ticket::Grant;
use fanfare_core::model::Origin;
use fanfare_core::model::{IssuerIdentity, Principal};
use fanfare_store::StoreError;
use serde::{Deserialize, Serialize};

/// Lifetime of a ticket (`protocol.md` 1).
const LIFE_MS: u64 = 30_000;

/// Why a ticket is rejected.
#[derive(Debug)]
pub enum TicketRefused {
    /// Not from this server, expired, used, for another origin, or its login has ended: not distinguished.
    Invalid,
    /// The store does not respond.
    Store(StoreError),
}

/// The sealed content of a ticket. Short names, because it is sent in a URL.
#[derive(Debug, Serialize, Deserialize)]
struct Subject {
    u: String,
    n: String,
    s: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<String>,
    e: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    i: Option<Issued>,
}

/// The issuer's name, its claim, and the hash under which the token can be ended.
type Issued = (String, String, [u8; 32]);

impl Accounts {
    /// Creates a ticket; with a key, given with a hash of the request, a repeat gets the first one.
    ///
    /// # Errors
    /// As [`Accounts::ticket`]; `Conflict` for a key that was used with another request.
    pub fn ticket_once(
        &self,
        key: Option<(&str, u64)>,
        who: &Principal,
        origin: Option<&str>,
        from: &Origin,
    ) -> Result<(String, u64), AccountError> {
        let key = key.map(|(key, content)| RepeatKey { key: format!("{} {key}", who.user_id), content });
        self.0.tickets_made.once(key, unix_ms(), || self.ticket(who, origin, from))
    }

    /// Creates a ticket for sockets from `origin`, or without one for sockets that have none; returns it with its
    /// expiry.
    ///
    /// # Errors
    /// The identity is too long for a URL.
    pub fn ticket(
        &self,
        who: &Principal,
        origin: Option<&str>,
        from: &Origin,
    ) -> Result<(String, u64), AccountError> {
        let subject = Subject {
            u: who.user_id.to_string(),
            n: who.username.to_string(),
            s: who.session_id.to_string(),
            d: who.device_id.as_deref().map(str::to_owned),
            e: who.expires_at_ms,
            i: who.issuer.as_ref().map(|i| (i.name.to_string(), i.claim.to_string(), i.token)),
        };
        let subject = serde_json::to_string(&subject).unwrap_or_default();
        let expires_at_ms = unix_ms() + LIFE_MS;
        let ticket = self.0.tickets.make(Grant { subject, origin: origin.map(str::to_owned), expires_at_ms });
        let event = AuditEvent::new("authn_token_created", Outcome::Success).user(&who.user_id);
        self.0.audit.record(event.session(&who.session_id).by(from).detail("kind", "ticket"));
        Ok((ticket, expires_at_ms))
    }

    /// Spends a ticket and returns its user. It is used from here on, whatever the result.
    ///
    /// # Errors
    /// See [`TicketRefused`].
    pub async fn spend_ticket(
        &self,
        ticket: &str,
        origin: Option<&str>,
        now_ms: u64,
    ) -> Result<Principal, TicketRefused> {
        let opened = self.0.tickets.open(ticket, now_ms).map_err(|_| TicketRefused::Invalid)?;
        let keep_until = (opened.grant.expires_at_ms + LIFE_MS) as i64;
        let fresh = self.0.store.use_once("ticket", &opened.id, now_ms as i64, keep_until).await;
        if !fresh.map_err(TicketRefused::Store)? || opened.grant.origin.as_deref() != origin {
            return Err(TicketRefused::Invalid);
        }
        let subject: Subject =
            serde_json::from_str(&opened.grant.subject).map_err(|_| TicketRefused::Invalid)?;
        if subject.e <= now_ms {
            return Err(TicketRefused::Invalid);
        }
        let user = match subject.i {
            // An issuer's token has no login here.
            Some(_) => self.0.store.user(&subject.u).await.map_err(TicketRefused::Store)?,
            None => {
                let live = self.0.store.login(&subject.s).await.map_err(TicketRefused::Store)?;
                live.map(|(_, user)| user)
            }
        };
        let user =
            user.filter(|user| user.id == subject.u && !user.disabled).ok_or(TicketRefused::Invalid)?;
        Ok(Principal {
            user_id: subject.u.into(),
            username: subject.n.into(),
            role: user.role,
            session_id: subject.s.into(),
            device_id: subject.d.map(Into::into),
            expires_at_ms: subject.e,
            issuer: subject.i.map(|(name, claim, token)| IssuerIdentity {
                name: name.into(),
                claim: claim.into(),
                // A ticket opens sockets only, where the age of a token is not checked.
                issued_at_s: None,
                token,
            }),
        })
    }
}
