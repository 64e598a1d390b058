//! `PATCH /users/me`, `DELETE /users/me`.

use super::super::sender::Sender;
use super::super::{Http, Problem};
use super::directory::UserCard;
use super::fields::Fields;
use super::{answer, done, pass_user};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use fanfare_services::accounts::{Patch, UserGate};
use serde::Deserialize;
use utoipa::ToSchema;

/// A merge patch (RFC 7396): omitted fields stay, null removes.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "the schema of a body that is parsed manually for its exact errors")]
pub(super) struct ProfilePatch {
    /// The display name: 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64, example = "Alice")]
    display_name: Option<String>,
    /// Shown to yourself and to admins; never verified in this version.
    #[schema(format = "email", max_length = 254, example = "alice@example.org")]
    email: Option<String>,
    /// Your password. Without it, another `email` needs a login of the last 60 s.
    current: Option<String>,
}

/// Changes your profile.
#[utoipa::path(patch, path = "/users/me", tag = "Accounts", operation_id = "changeProfile", request_body = ProfilePatch, responses(
    (status = 200, description = "Your profile now", body = UserCard),
    (status = 403, description = "Nothing proves that it is you: `current` is wrong, or missing and the login is old; or an API key has no profile"),
    (status = 413, description = "The body is over 16 KiB"),
    (status = 429, description = "More than 30 changes a minute, or too many failures")))]
pub(super) async fn change(
    State(http): State<Http>,
    sender: Sender,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let who = sender.caller.principal()?;
    pass_user(&http.node, UserGate::Change, who, &sender.origin)?;
    let members = ["display_name", "email", "current"];
    let (mut fields, _) = Fields::read(&http.node, &headers, content, &members).await?;
    let patch = Patch { display_name: fields.patch("display_name")?, email: fields.patch("email")? };
    let current = fields.optional("current")?;
    let profile = http.node.services.accounts.change_profile(who, patch, current, &sender.origin).await?;
    Ok(answer(StatusCode::OK, &UserCard::from(profile)))
}

/// The confirmation of a deletion. An empty body suffices within 60 s after a login.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "the schema of a body that is parsed manually for its exact errors")]
pub(super) struct Confirmation {
    /// Your password; a wrong one deletes nothing.
    current: Option<String>,
}

/// Deletes your account: logins end, sockets close, the name is never reused.
#[utoipa::path(delete, path = "/users/me", tag = "Accounts", operation_id = "deleteMe", request_body = Option<Confirmation>, responses(
    (status = 204, description = "Gone"),
    (status = 403, description = "Nothing proves that it is you: `current` is wrong, or missing and the login is old; or an API key has no account"),
    (status = 429, description = "Too many failures")))]
pub(super) async fn delete(
    State(http): State<Http>,
    sender: Sender,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let who = sender.caller.principal()?;
    let mut fields = Fields::read_optional(&http.node, &headers, content, &["current"]).await?;
    let current = fields.optional("current")?;
    let ended = http.node.services.accounts.delete_me(who, current, &sender.origin).await?;
    super::end(&http.node, who, &ended);
    Ok(done())
}
