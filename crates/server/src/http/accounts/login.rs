//! `POST /auth/login`: a password for tokens, a name for a challenge, a signed challenge for a token.

use super::super::body::Pairs;
use super::super::sender::Sender;
use super::super::{Http, Problem};
use super::fields::Fields;
use super::tokens::TokenAnswer;
use super::{answer, pass};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use fanfare_core::time::rfc3339_ms;
use fanfare_services::accounts::{Gate, Proof};
use fanfare_services::clock::unix_ms;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest challenge that is parsed.
const MAX_CHALLENGE_BYTES: usize = 1024;

/// A login. Without `password` the response is a challenge. Its signature goes to `POST /auth/login?verify=true` as
/// `signature` (Ed25519 over the challenge's text, base64url of 64 bytes), with `username` and `challenge`
/// (docs/auth.md).
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "the schema of a body that is parsed manually for its exact errors")]
pub(super) struct Login {
    /// In any case.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{2,31}$", example = "alice")]
    username: String,
    /// Not with `?verify=true`.
    password: Option<String>,
    /// With `?verify=true`: the text that was signed; without it your open challenges are tried.
    #[schema(ignore)]
    challenge: Option<String>,
    /// With `?verify=true`: Ed25519 over the challenge's text, base64url of 64 bytes.
    #[schema(ignore)]
    signature: Option<String>,
}

/// A challenge to sign.
#[derive(Serialize, ToSchema)]
pub(super) struct ChallengeAnswer {
    /// Sign these bytes unchanged, after checking that origin and name in it are yours.
    #[schema(example = "fanfare-login-v1|https://chat.example|alice|…|1795260060|…")]
    challenge: String,
    /// When the challenge expires.
    #[schema(example = "2026-11-21T11:22:00.000Z")]
    expires_at: String,
    /// The server's clock.
    #[schema(example = "2026-11-21T11:21:00.000Z")]
    server_time: String,
}

/// Tokens or a challenge.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "the schema of two responses under one status")]
pub(super) enum LoginAnswer {
    /// For a password or a signature.
    Tokens(TokenAnswer),
    /// For a name alone.
    Challenge(ChallengeAnswer),
}

/// Logs in by password, requests a challenge, or, with `?verify=true`, logs in by its signature.
#[utoipa::path(post, path = "/auth/login", tag = "Accounts", operation_id = "login", request_body = Login, responses(
    (status = 200, description = "Tokens, or a challenge for a name alone", body = LoginAnswer),
    (status = 401, description = "`invalid_credentials`: the same whatever is not right"),
    (status = 413, description = "The body is over 16 KiB"),
    (status = 429, description = "Too many logins from this address, or too many failures"),
    (status = 503, description = "Too many passwords at once, or the store does not respond")))]
pub(super) async fn login(
    State(http): State<Http>,
    sender: Sender,
    Pairs(query): Pairs,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let node = &http.node;
    pass(node, Gate::Login, &sender.origin)?;
    if verifies(&query)? {
        let (mut fields, _) =
            Fields::read(node, &headers, content, &["username", "challenge", "signature"]).await?;
        let (username, proof) = (fields.text("username")?, proof(&mut fields)?);
        let granted = node.services.accounts.prove(&username, proof, &sender.origin).await?;
        return Ok(answer(StatusCode::OK, &TokenAnswer::from(granted)));
    }
    let (mut fields, _) =
        Fields::read(node, &headers, content, &["username", "password", "signature"]).await?;
    let username = fields.text("username")?;
    if fields.optional("signature")?.is_some() {
        let why = "a signature is checked by POST /auth/login?verify=true";
        return Err(Problem::invalid("signature", why));
    }
    match fields.optional("password")? {
        Some(password) => {
            let granted = node.services.accounts.login(&username, password, &sender.origin).await?;
            Ok(answer(StatusCode::OK, &TokenAnswer::from(granted)))
        }
        None => {
            let challenge = node.services.accounts.challenge(&username, &sender.origin)?;
            let body = ChallengeAnswer {
                challenge: challenge.text,
                expires_at: rfc3339_ms(challenge.expires_at_ms),
                server_time: rfc3339_ms(unix_ms()),
            };
            Ok(answer(StatusCode::OK, &body))
        }
    }
}

/// Whether the query has `verify=true`; any other value, or a repeated parameter, is an error and not a challenge.
fn verifies(query: &[(String, String)]) -> Result<bool, Problem> {
    let mut values = query.iter().filter(|(name, _)| name == "verify").map(|(_, value)| value.as_str());
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some("true"), None) => Ok(true),
        _ => Err(Problem::invalid("verify", "verify is exactly `true` and comes once")),
    }
}

fn proof(fields: &mut Fields) -> Result<Proof, Problem> {
    let challenge = fields.optional("challenge")?;
    if challenge.as_ref().is_some_and(|text| text.len() > MAX_CHALLENGE_BYTES) {
        return Err(Problem::invalid("challenge", "challenge is the text that POST /auth/login returned"));
    }
    let signature = fields.bytes("signature")?;
    let signature = signature.ok_or_else(|| Problem::invalid("signature", "signature is missing"))?;
    Ok(Proof { challenge, signature })
}
