//! `POST /auth/refresh`, `POST /auth/logout`, `GET /auth/me`.

use super::super::sender::Sender;
use super::super::{Http, Problem};
use super::fields::Fields;
use super::{answer, done, refused_user};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use fanfare_services::accounts::{AccountError, Granted, UserGate};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The tokens of a login.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenAnswer {
    /// For `Authorization: Bearer`.
    access_token: String,
    /// The authorization scheme.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Lifetime of the access token in seconds.
    #[schema(example = 900)]
    expires_in: u64,
    /// Renews the login once, at `POST /auth/refresh`; logins by password only.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// The logged-in user.
    user: UserRef,
}

/// A user by id and name.
#[derive(Serialize, ToSchema)]
pub(super) struct UserRef {
    /// The id.
    id: String,
    /// The name.
    #[schema(example = "alice")]
    username: String,
}

impl From<Granted> for TokenAnswer {
    fn from(granted: Granted) -> Self {
        Self {
            access_token: granted.access_token,
            token_type: "Bearer",
            expires_in: granted.expires_in,
            refresh_token: granted.refresh_token,
            user: UserRef { id: granted.user_id, username: granted.username },
        }
    }
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "the schema of a body that is parsed manually for its exact errors")]
pub(super) struct Refresh {
    /// The refresh token of the last login or refresh.
    refresh_token: String,
}

/// Renews a login. The refresh token is used up: the response has the next one. Using one twice ends the login.
#[utoipa::path(post, path = "/auth/refresh", tag = "Accounts", operation_id = "refresh", request_body = Refresh, responses(
    (status = 200, description = "New tokens", body = TokenAnswer),
    (status = 401, description = "`invalid_credentials`: unknown, expired or used"),
    (status = 413, description = "The body is over 16 KiB"),
    (status = 429, description = "More than 60 refreshes of this user a minute; the token was not used")))]
pub(super) async fn refresh(
    State(http): State<Http>,
    sender: Sender,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let node = &http.node;
    let (mut fields, _) = Fields::read(node, &headers, content, &["refresh_token"]).await?;
    let token = fields.text("refresh_token")?;
    match node.services.accounts.refresh(&token, &sender.origin).await {
        Ok(granted) => Ok(answer(StatusCode::OK, &TokenAnswer::from(granted))),
        Err((error, ended)) => {
            if matches!(error, AccountError::TooOften(..)) {
                refused_user(node, UserGate::Refresh, &sender.origin);
            }
            node.services.sessions.end_logins(&ended);
            Err(error.into())
        }
    }
}

/// Ends the login of this request's token; its sockets close with 4401.
#[utoipa::path(post, path = "/auth/logout", tag = "Accounts", operation_id = "logout", responses(
    (status = 204, description = "Ended"),
    (status = 403, description = "An API key has no login")))]
pub(super) async fn logout(State(http): State<Http>, sender: Sender) -> Result<Response, Problem> {
    let who = sender.caller.principal()?;
    if let Some(issuer) = &who.issuer {
        http.node.services.sessions.end_token(who, issuer).await?;
    }
    let ended = http.node.services.accounts.logout(who, &sender.origin).await?;
    http.node.services.sessions.end_logins(&ended);
    Ok(done())
}

/// The user of a token.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    /// The user's id.
    id: String,
    /// The user's name.
    #[schema(example = "alice")]
    username: String,
    /// The user's role.
    #[schema(pattern = "^(user|admin)$")]
    role: &'static str,
    /// The device that logged in by its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
    /// The login.
    session_id: String,
}

/// Returns the user of the token.
#[utoipa::path(get, path = "/auth/me", tag = "Accounts", operation_id = "whoAmI", responses(
    (status = 200, description = "You", body = Me),
    (status = 403, description = "An API key has no user")))]
pub(super) async fn me(sender: Sender) -> Result<Response, Problem> {
    let who = sender.caller.principal()?;
    let body = Me {
        id: who.user_id.to_string(),
        username: who.username.to_string(),
        role: who.role.as_str(),
        device_id: who.device_id.as_deref().map(str::to_owned),
        session_id: who.session_id.to_string(),
    };
    Ok(answer(StatusCode::OK, &body))
}
