//! Users of an app's own login service: JWTs of issuers that the operator trusts (`http-api.md` "Issuers").
//!
//! A token names its issuer; the issuer's row says which audience, which claim is the user, and which key signs. The
//! key decides the algorithm, never the token. Cheap checks run first, so that a token that cannot be valid causes no
//! fetch of keys; expiry is reported only for a genuine token.
//!
//! A login token makes the user `name:claim`. A subscription token carries `topic`, opens that topic to its `sub`, and
//! cannot be used to log in.

mod claims;
mod config;
mod fetch;
mod key;
mod source;

pub use claims::{Actions, Login, Subscription};
pub use config::{IssuerConfig, IssuerKey};

use crate::jws::{Jws, text};
use claims::ClaimRules;
use key::{Key, Kind};
use serde_json::{Map, Value};
use source::Source;

/// Why an issuer's token is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// Any reason but expiry.
    #[error("not a valid token of an issuer")]
    Invalid,
    /// A genuine token that has expired.
    #[error("the token has expired")]
    Expired,
    /// The issuer's keys are not available at the moment, so the token cannot be checked.
    #[error("the issuer's keys cannot be fetched")]
    Unavailable,
}

/// A rejection with the name of the failed check: for the log only, not for the sender of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused {
    error: IssuerError,
    check: &'static str,
}

impl Refused {
    /// An invalid token.
    fn by(check: &'static str) -> Self {
        Self { error: IssuerError::Invalid, check }
    }
}

/// The trusted issuers. Not cheap to clone: share it.
#[derive(Debug, Default)]
pub struct Issuers(Vec<Issuer>);

#[derive(Debug)]
struct Issuer {
    judge: ClaimRules,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    One(Key),
    Set(Source),
}

impl Issuers {
    /// Checks the rows; nothing is fetched yet.
    ///
    /// # Errors
    /// One line that says which row is wrong and why.
    pub fn new(rows: Vec<IssuerConfig>) -> Result<Self, String> {
        config::check(&rows)?;
        let issuers = rows.into_iter().map(|row| {
            let name = row.name.clone();
            Issuer::new(row).map_err(|why| format!("issuer {name:?}: {why}"))
        });
        issuers.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the token's `iss` is one of these issuers. Nothing is verified.
    #[must_use]
    pub fn knows(&self, token: &str) -> bool {
        Jws::parse(token).and_then(|jws| jws.claims()).is_some_and(|claims| self.of(&claims).is_some())
    }

    /// Checks a login token.
    ///
    /// # Errors
    /// See [`IssuerError`].
    pub async fn login(&self, token: &str, now_s: u64) -> Result<Login, IssuerError> {
        self.check(token, |judge, claims| judge.login(claims, now_s)).await
    }

    /// Checks a subscription token.
    ///
    /// # Errors
    /// See [`IssuerError`].
    pub async fn subscription(&self, token: &str, now_s: u64) -> Result<Subscription, IssuerError> {
        self.check(token, |judge, claims| judge.subscription(claims, now_s)).await
    }

    fn of(&self, claims: &Map<String, Value>) -> Option<&Issuer> {
        let iss = text(claims, "iss")?;
        self.0.iter().find(|issuer| issuer.judge.issuer == iss)
    }

    async fn check<T>(
        &self,
        token: &str,
        judge: impl FnOnce(&ClaimRules, &Map<String, Value>) -> Result<T, Refused>,
    ) -> Result<T, IssuerError> {
        self.judged(token, judge).await.map_err(|Refused { error, check }| {
            tracing::debug!(check, "an issuer's token is rejected");
            error
        })
    }

    async fn judged<T>(
        &self,
        token: &str,
        judge: impl FnOnce(&ClaimRules, &Map<String, Value>) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let jws = Jws::parse(token).ok_or(Refused::by("form"))?;
        let header = Header::read(&jws)?;
        let claims = jws.claims().ok_or(Refused::by("claims"))?;
        let issuer = self.of(&claims).ok_or(Refused::by("iss"))?;
        let judged = judge(&issuer.judge, &claims);
        if let Err(refused @ Refused { error: IssuerError::Invalid, .. }) = judged {
            return Err(refused);
        }
        issuer.signed(&jws, &header).await?;
        judged
    }
}

impl Issuer {
    fn new(row: IssuerConfig) -> Result<Self, String> {
        let keys = match row.key {
            IssuerKey::Hmac(secret) => Keys::One(Key::hmac(&secret)?),
            IssuerKey::Pem(pem) => Keys::One(Key::pem(&pem)?),
            IssuerKey::Jwks(url) => Keys::Set(Source::new(fetch::fetcher(&url)?)),
        };
        let judge = ClaimRules {
            name: row.name,
            issuer: row.issuer,
            audience: row.audience,
            user_claim: row.user_claim,
        };
        Ok(Self { judge, keys })
    }

    async fn signed(&self, jws: &Jws<'_>, header: &Header) -> Result<(), Refused> {
        let valid = match &self.keys {
            Keys::One(key) if key.kind() != header.kind => return Err(Refused::by("algorithm")),
            Keys::One(key) => key.verify(header.kind, jws),
            Keys::Set(source) => {
                let found = source.find(header.kid.as_deref(), header.kind).await;
                let keys = found.map_err(|error| Refused { error, check: "keys" })?;
                if keys.is_empty() {
                    return Err(Refused::by("kid"));
                }
                keys.iter().any(|key| key.verify(header.kind, jws))
            }
        };
        valid.then_some(()).ok_or(Refused::by("signature"))
    }
}

/// The fields used from a token's header.
struct Header {
    kind: Kind,
    kid: Option<String>,
}

impl Header {
    /// Rejects unsupported algorithms (`none` is one), headers that [`Jws::header`] rejects, and tokens of another
    /// declared type, such as a logout token (RFC 8725 3.11).
    fn read(jws: &Jws<'_>) -> Result<Self, Refused> {
        let header = jws.header().ok_or(Refused::by("header"))?;
        let kind = text(&header, "alg").and_then(Kind::of).ok_or(Refused::by("algorithm"))?;
        let kid = match header.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().ok_or(Refused::by("kid"))?.to_owned()),
        };
        let typ = match header.get("typ") {
            None => "JWT",
            Some(typ) => typ.as_str().ok_or(Refused::by("typ"))?,
        };
        let typ = typ.to_ascii_lowercase();
        let typ = typ.strip_prefix("application/").unwrap_or(&typ);
        matches!(typ, "jwt" | "at+jwt").then_some(Self { kind, kid }).ok_or(Refused::by("typ"))
    }
}

#[cfg(test)]
mod tests;
