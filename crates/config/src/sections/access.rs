//! Access: logins, API keys, issuers of tokens, direct messages.

use crate::Feature;
use crate::error::Fault;
use crate::group::{settings, table_setting};
use crate::node::Node;
use crate::secret::{KeyHash, Secret};
use crate::table::{Form, Setting};
use fanfare_core::model::Scope;
use std::borrow::Cow;
use std::time::Duration;

settings! {
    /// Who may come in, and with which credential.
    pub struct Auth in "auth", cx: {
        /// Refuses everything to the anonymous but liveness, metrics, documents, the start page and logging in.
        require: bool = false,
        /// Takes a token from the query (`?token=`) of an upgrade, where proxies may log it.
        allow_query_token: bool = cx.pick(true, false); varies "true in development, false in production",
        /// How long an access token is good.
        access_ttl: Duration = Duration::from_secs(15 * 60); positive; with Feature::Accounts,
        /// Fewest characters of a password.
        min_password_length: PasswordLength = PasswordLength(8); unit "characters"; with Feature::Accounts,
        /// Refuses users whose encryption key is not signed by their identity key.
        require_key_binding: bool = false; with Feature::Accounts,
        /// Seeds the key that signs access tokens; the same on every node of a cluster.
        jwt_secret: Option<Secret> = None; env "JWT_SECRET"; secret; with Feature::Accounts; varies "a key file made at the first start",
        /// Keys of the application's own backend, made by `fanfare admin create-api-key`.
        api_keys: Vec<ApiKey> = Vec::new(); with Feature::Accounts,
        /// Login services of the application, whose tokens are accepted. Each has one of `jwks_url`, `public_key` and `hmac_secret`.
        issuers: Vec<Issuer> = Vec::new(); with Feature::Accounts,
    }
}

/// Fewest characters of a password: 1 to 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordLength(pub u16);

impl Setting for PasswordLength {
    const FORM: Form = Form::Plain;

    fn shape() -> Cow<'static, str> {
        "whole number".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let length = u16::read(node)?;
        let fits = (1..=128).contains(&length);
        fits.then_some(Self(length)).ok_or_else(|| Fault::new(format!("{length} is not from 1 to 128")))
    }

    fn show(&self) -> Option<Node> {
        Some(Node::int(self.0))
    }
}

settings! {
    /// One key of `auth.api_keys`.
    pub struct ApiKey in "", cx: {
        /// Name in logs and the audit trail; no two alike.
        name: String,
        /// SHA-256 of the key, 64 hexadecimal digits.
        hash: KeyHash; secret,
        /// What it may do: `publish`, `topics`, `sessions`, or all with `admin`.
        scopes: Vec<Scope>,
    }
}
table_setting!(ApiKey, "table");

impl ApiKey {
    fn checked(self) -> Result<Self, Fault> {
        if self.scopes.is_empty() {
            return Err(Fault::new("must name one of `publish`, `topics`, `sessions`, `admin`")
                .inside(".scopes", None));
        }
        Ok(self)
    }
}

settings! {
    /// One login service of `auth.issuers`.
    pub struct Issuer in "", cx: {
        /// Short name: its users are called `name:claim`.
        name: IssuerName,
        /// The `iss` of its tokens, exactly.
        issuer: String,
        /// The `aud` its tokens must have.
        audience: String,
        /// Where its keys are published (RFC 7517); `http:` in development only.
        jwks_url: Option<WebUrl> = None,
        /// Its public key, PEM: Ed25519, P-256 or RSA of 2048 bits and more.
        public_key: Option<Pem> = None,
        /// The secret it shares with this server, for HS256.
        hmac_secret: Option<Secret> = None; secret,
        /// The claim that holds the user's name.
        user_claim: String = "sub".into(),
    }
}
table_setting!(Issuer, "table");

impl Issuer {
    fn checked(self) -> Result<Self, Fault> {
        let keys = [self.jwks_url.is_some(), self.public_key.is_some(), self.hmac_secret.is_some()];
        match keys.into_iter().filter(|set| *set).count() {
            1 => Ok(self),
            _ => Err(Fault::new("must have exactly one of `jwks_url`, `public_key` and `hmac_secret`")),
        }
    }
}

/// Declares a text with a rule of its own.
macro_rules! ruled_text {
    ($(#[$doc:meta])* $Name:ident, $shape:literal, $what:literal, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $Name(pub String);

        impl Setting for $Name {
            const FORM: Form = Form::Text;

            fn shape() -> Cow<'static, str> {
                $shape.into()
            }

            fn read(node: &Node) -> Result<Self, Fault> {
                let text = crate::basic::text_of(node, $shape)?;
                let rule: fn(&str) -> bool = $rule;
                if rule(text) { Ok(Self(text.to_owned())) } else { Err(Fault::new($what)) }
            }

            fn show(&self) -> Option<Node> {
                Some(Node::text(&self.0))
            }
        }
    };
}

ruled_text!(
    /// An issuer's name: no `:`, which parts it from its users' names.
    IssuerName, "short name", "must be 1 to 32 characters of `a-z`, `0-9`, `_`, `.` and `-`",
    |text| (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b))
);

ruled_text!(
    /// An `http:` or `https:` URL without user name.
    WebUrl, "URL", "must be a URL that starts with `https://` (in development, `http://` too)",
    |text| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let clean = !text.chars().any(|c| c.is_whitespace() || c.is_control());
        clean && !host.contains('@') && crate::origin::Origin::parse(&format!("https://{host}")).is_ok()
    }
);

ruled_text!(
    /// A public key in PEM.
    Pem, "PEM text", "must be a public key in PEM: `-----BEGIN PUBLIC KEY-----` and so on",
    |text| {
        let text = text.trim();
        text.starts_with("-----BEGIN PUBLIC KEY-----") && text.ends_with("-----END PUBLIC KEY-----")
    }
);

settings! {
    /// Direct messages, encrypted end to end.
    pub struct Direct in "direct", cx: {
        /// Takes messages of seed-only clients, unsigned; they are shown as not verified.
        accept_legacy: bool = false; with Feature::Direct,
    }
}
