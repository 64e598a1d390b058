//! The server's own access tokens: JWT (RFC 7519) signed with Ed25519, `typ` `at+jwt` (RFC 9068), one algorithm, one
//! key.
//!
//! A valid token names the user and the login; the caller still checks in the store whether that login is active, so
//! that a logout takes effect at once. There is no choice of algorithm to confuse: the header must be exactly the one
//! written here.

mod keys;

pub use keys::{Keys, KeysError, MIN_SECRET};

use crate::jws::{Jws, LEEWAY_S, MAX_TIME};
use fanfare_e2ee::b64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// `alg` of RFC 8037. RFC 9864's `Ed25519` means the same and is not used here.
const ALG: &str = "EdDSA";
const TYP: &str = "at+jwt";
/// `aud` of every token: this API.
pub const AUDIENCE: &str = "fanfare-api";

/// The claims of an access token. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user's id.
    pub sub: String,
    /// The login it belongs to.
    pub sid: String,
    /// The token's own id.
    pub jti: String,
    /// Issue time.
    pub iat: u64,
    /// Start of validity.
    pub nbf: u64,
    /// End of validity.
    pub exp: u64,
    /// The device, for a login by identity key.
    pub dev: Option<String>,
    /// The user's name.
    pub name: String,
    /// The user's role.
    pub role: String,
}

/// Why a token is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Any reason but expiry.
    #[error("not a valid access token")]
    Invalid,
    /// A token of this server that has expired.
    #[error("the access token has expired")]
    Expired,
}

/// The claims as they are written, in this order.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    iss: Cow<'a, str>,
    aud: Cow<'a, str>,
    sub: Cow<'a, str>,
    sid: Cow<'a, str>,
    jti: Cow<'a, str>,
    iat: u64,
    nbf: u64,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dev: Option<Cow<'a, str>>,
    name: Cow<'a, str>,
    role: Cow<'a, str>,
}

/// Signs and verifies the tokens of one server.
pub struct Tokens {
    keys: Keys,
    /// Base64url of the header, the same for all tokens.
    header: String,
    issuer: String,
    accepted: Vec<String>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, header: _, issuer, accepted } = self;
        f.debug_struct("Tokens")
            .field("keys", keys)
            .field("issuer", issuer)
            .field("accepted", accepted)
            .finish()
    }
}

impl Tokens {
    /// `issuer_origin` is the present public origin, written into each token; `accepted_issuers` are the previous
    /// public origins of this store.
    #[must_use]
    pub fn new(keys: Keys, issuer_origin: String, accepted_issuers: Vec<String>) -> Self {
        let header = format!(r#"{{"alg":"{ALG}","typ":"{TYP}","kid":"{}"}}"#, keys.kid());
        Self {
            header: b64::encode(header.as_bytes()),
            keys,
            issuer: issuer_origin,
            accepted: accepted_issuers,
        }
    }

    /// The keys, to publish the public one.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Signs a token.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        let Claims { sub, sid, jti, iat, nbf, exp, dev, name, role } = claims;
        let wire = Wire {
            iss: (&self.issuer).into(),
            aud: AUDIENCE.into(),
            sub: sub.into(),
            sid: sid.into(),
            jti: jti.into(),
            iat: *iat,
            nbf: *nbf,
            exp: *exp,
            dev: dev.as_deref().map(Cow::Borrowed),
            name: name.into(),
            role: role.into(),
        };
        // Serializing strings and numbers cannot fail.
        let payload = serde_json::to_vec(&wire).unwrap_or_default();
        let signed = format!("{}.{}", self.header, b64::encode(&payload));
        let signature = self.keys.sign(signed.as_bytes());
        format!("{signed}.{}", b64::encode(&signature))
    }

    /// Checks everything in the token itself; the caller checks whether its login is active.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(&self, token: &str, now_s: u64) -> Result<Claims, TokenError> {
        let wire = self.authentic(token).ok_or(TokenError::Invalid)?;
        let known = wire.iss == self.issuer || self.accepted.iter().any(|origin| *origin == wire.iss);
        let early = wire.nbf.max(wire.iat) > now_s.saturating_add(LEEWAY_S);
        if !known || wire.aud != AUDIENCE || wire.exp > MAX_TIME || early {
            return Err(TokenError::Invalid);
        }
        if [&wire.sub, &wire.sid, &wire.jti].iter().any(|id| id.is_empty()) {
            return Err(TokenError::Invalid);
        }
        if now_s >= wire.exp { Err(TokenError::Expired) } else { Ok(wire.into()) }
    }

    /// The claims of a token that this server signed.
    fn authentic(&self, token: &str) -> Option<Wire<'static>> {
        let jws = Jws::parse(token)?;
        if !self.is_ours(&jws.header()?) {
            return None;
        }
        let signature = jws.signature_bytes()?.try_into().ok()?;
        if !self.keys.verify(jws.signed.as_bytes(), &signature) {
            return None;
        }
        serde_json::from_value(Value::Object(jws.claims()?)).ok()
    }

    /// Whether the header is exactly the one written here, in any order of its members.
    fn is_ours(&self, header: &Map<String, Value>) -> bool {
        let expected = [("alg", ALG), ("typ", TYP), ("kid", self.keys.kid())];
        header.len() == expected.len()
            && expected.iter().all(|(name, value)| header.get(*name).and_then(Value::as_str) == Some(value))
    }
}

impl From<Wire<'_>> for Claims {
    fn from(wire: Wire<'_>) -> Self {
        let Wire { iss: _, aud: _, sub, sid, jti, iat, nbf, exp, dev, name, role } = wire;
        Self {
            sub: sub.into_owned(),
            sid: sid.into_owned(),
            jti: jti.into_owned(),
            iat,
            nbf,
            exp,
            dev: dev.map(Cow::into_owned),
            name: name.into_owned(),
            role: role.into_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
