//! One row of `auth.issuers`, and the checks between rows.

use std::fmt;

/// Maximum characters of an issuer's name; with its colon and a claim of 200 it is a username.
const MAX_NAME: usize = 32;

/// A login service that the operator trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerConfig {
    /// The issuer's name in this configuration: the part of its users' names before the colon.
    pub name: String,
    /// Its `iss` claim, compared exactly.
    pub issuer: String,
    /// The `aud` claim of its tokens for this server, compared exactly.
    pub audience: String,
    /// The claim that names the user (`sub`).
    pub user_claim: String,
    /// Its signing key.
    pub key: IssuerKey,
}

impl IssuerConfig {
    /// Whether its keys are fetched over plain HTTP, which is for development only.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        matches!(&self.key, IssuerKey::Jwks(url) if !url.trim_start().to_ascii_lowercase().starts_with("https:"))
    }
}

/// The key of an issuer; it decides the algorithm.
#[derive(Clone, PartialEq, Eq)]
pub enum IssuerKey {
    /// A shared secret of at least 32 bytes: HS256.
    Hmac(String),
    /// A public key in PEM: Ed25519 (`EdDSA`), P-256 (`ES256`) or RSA of at least 2048 bits (`RS256`).
    Pem(String),
    /// The URL of a JWK set (RFC 7517) with such public keys.
    Jwks(String),
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hmac(_) => f.write_str("Hmac(…)"),
            Self::Pem(_) => f.write_str("Pem(…)"),
            Self::Jwks(url) => f.debug_tuple("Jwks").field(url).finish(),
        }
    }
}

/// Checks names, and that no two rows match the same token or user.
pub(super) fn check(rows: &[IssuerConfig]) -> Result<(), String> {
    for (at, row) in rows.iter().enumerate() {
        let wrong = |why: &str| Err(format!("issuer {:?}: {why}", row.name));
        let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
        if row.name.is_empty() || row.name.len() > MAX_NAME || !row.name.bytes().all(valid) {
            return wrong("its name is 1 to 32 of a-z, 0-9, `_`, `.` and `-`");
        }
        for (key, value) in
            [("issuer", &row.issuer), ("audience", &row.audience), ("user_claim", &row.user_claim)]
        {
            if value.is_empty() {
                return wrong(&format!("`{key}` is empty"));
            }
        }
        if rows[..at].iter().any(|other| other.name == row.name) {
            return wrong("two have this name");
        }
        if rows[..at].iter().any(|other| other.issuer == row.issuer) {
            return wrong("another has the same `issuer`");
        }
    }
    Ok(())
}
