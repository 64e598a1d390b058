//! Verification keys of issuers: each key has one kind, and each kind is one algorithm.
//!
//! `jsonwebtoken` (over aws-lc-rs) reads the keys and checks the signatures. Checked here is what it would accept: the
//! curve of a PEM key, the size of an RSA key, weak Ed25519 keys, and symmetric keys in a public set.

use crate::jws::Jws;
use fanfare_e2ee::{IdentityKey, b64};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Map, Value};

/// Minimum bytes of a shared secret (RFC 7518 3.2: as long as the hash).
const MIN_SECRET: usize = 32;
/// Minimum bits of an RSA modulus; the library rejects more than 8192.
const MIN_RSA_BITS: usize = 2048;
/// An uncompressed point of P-256 (SEC 1 section 2.3.3).
const P256_POINT: usize = 65;

/// The members of a JWK that are the key (RFC 7518 section 6, RFC 8037 section 2).
const PARAMETERS: [&str; 6] = ["kty", "crv", "x", "y", "n", "e"];

/// Whether a member is present but empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hs256,
    EdDsa,
    Es256,
    Rs256,
}

impl Kind {
    /// The kind for the header's `alg`. `Ed25519` is RFC 9864's name of the one curve supported.
    pub(super) fn of(alg: &str) -> Option<Self> {
        match alg {
            "HS256" => Some(Self::Hs256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::EdDsa => Algorithm::EdDSA,
            Self::Es256 => Algorithm::ES256,
            Self::Rs256 => Algorithm::RS256,
        }
    }
}

/// A checked key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    kind: Kind,
    key: DecodingKey,
}

impl Key {
    pub(super) fn hmac(secret: &str) -> Result<Self, String> {
        if secret.len() < MIN_SECRET {
            return Err(format!("`hmac_secret` is shorter than {MIN_SECRET} bytes"));
        }
        Ok(Self { kind: Kind::Hs256, key: DecodingKey::from_secret(secret.as_bytes()) })
    }

    pub(super) fn pem(pem: &str) -> Result<Self, String> {
        if pem.contains("PRIVATE KEY") {
            return Err("`public_key` is a private key; give the public one".into());
        }
        Self::from_pem(pem.trim().as_bytes())
            .ok_or_else(|| "`public_key` is no Ed25519, P-256 or RSA (2048 bits or more) key in PEM".into())
    }

    fn from_pem(pem: &[u8]) -> Option<Self> {
        if let Ok(key) = DecodingKey::from_ed_pem(pem) {
            return Self::ed25519(key);
        }
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            return Self::p256(key);
        }
        let key = DecodingKey::from_rsa_pem(pem).ok()?;
        let parts = crypto::aws_lc::DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
        let (modulus, _) = parts(key.try_get_as_bytes().ok()?).ok()?;
        Self::rsa(key, &modulus)
    }

    /// A member of a JWK set with its `kid`, or the name of the property for which it is skipped: the key is not for
    /// verifying, or not supported.
    ///
    /// Empty optional members (`null`, `""`, `[]`) count as absent, and those for certificates and other uses are
    /// ignored (RFC 7517 section 4).
    pub(super) fn jwk(member: &Map<String, Value>) -> Result<(Option<String>, Self), &'static str> {
        let member_of = |name| member.get(name).filter(|value| !is_empty(value));
        let ops = member_of("key_ops")
            .map(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")));
        if ops == Some(false) {
            return Err("key_ops");
        }
        if member_of("use").is_some_and(|for_what| for_what != "sig") {
            return Err("use");
        }
        let key = Self::of_parameters(member).ok_or("key")?;
        if member_of("alg").is_some_and(|alg| alg.as_str().and_then(Kind::of) != Some(key.kind)) {
            return Err("alg");
        }
        Ok((member_of("kid").and_then(Value::as_str).map(str::to_owned), key))
    }

    /// The key that a JWK's members describe.
    fn of_parameters(member: &Map<String, Value>) -> Option<Self> {
        let own = PARAMETERS.iter().filter_map(|name| Some(((*name).to_owned(), member.get(*name)?.clone())));
        let jwk: Jwk = serde_json::from_value(Value::Object(own.collect())).ok()?;
        let decoded = DecodingKey::from_jwk(&jwk).ok()?;
        match &jwk.algorithm {
            AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
                Self::ed25519(decoded)
            }
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Self::p256(decoded),
            AlgorithmParameters::RSA(rsa) => Self::rsa(decoded, &b64::decode(&rsa.n).ok()?),
            _ => None,
        }
    }

    fn ed25519(key: DecodingKey) -> Option<Self> {
        IdentityKey::new(key.try_get_as_bytes().ok()?.try_into().ok()?).ok()?;
        Some(Self { kind: Kind::EdDsa, key })
    }

    fn p256(key: DecodingKey) -> Option<Self> {
        let point = key.try_get_as_bytes().ok()?;
        (point.len() == P256_POINT && point[0] == 4).then(|| Self { kind: Kind::Es256, key })
    }

    fn rsa(key: DecodingKey, modulus: &[u8]) -> Option<Self> {
        let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
        let top = modulus.get(zeros)?;
        let bits = (modulus.len() - zeros) * 8 - top.leading_zeros() as usize;
        (bits >= MIN_RSA_BITS).then_some(Self { kind: Kind::Rs256, key })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the token, whose header names `kind`, is signed by this key.
    pub(super) fn verify(&self, kind: Kind, jws: &Jws<'_>) -> bool {
        self.kind == kind
            && crypto::verify(jws.signature, jws.signed.as_bytes(), &self.key, kind.algorithm())
                .unwrap_or(false)
    }
}
