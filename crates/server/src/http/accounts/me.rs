//! `PATCH /users/me`, `DELETE /users/me`.

use super::super::{Http, Problem};
use super::directory::UserCard;
use super::fields::Fields;
use super::{answer, done};
use crate::access::Caller;
use crate::accounts::Patch;
use crate::http::client::Client;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

/// A merge patch (RFC 7396): what is left out stays, null removes.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "the schema of a body that is read by hand for its exact errors")]
pub(super) struct ProfilePatch {
    /// The name to show: 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64, example = "Alice")]
    display_name: Option<String>,
    /// Shown to yourself and to admins; never verified in this version.
    #[schema(format = "email", max_length = 254, example = "alice@example.org")]
    email: Option<String>,
}

/// Changes your profile.
#[utoipa::path(patch, path = "/users/me", tag = "Accounts", operation_id = "changeProfile", request_body = ProfilePatch, responses(
    (status = 200, description = "Your profile now", body = UserCard),
    (status = 403, description = "An API key has no profile"),
    (status = 413, description = "The body is over 16 KiB")))]
pub(super) async fn change(
    State(http): State<Http>,
    client: Client,
    caller: Caller,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let who = caller.principal()?;
    let (mut fields, _) = Fields::read(&http.node, &headers, content, &["display_name", "email"]).await?;
    let patch = Patch { display_name: fields.patch("display_name")?, email: fields.patch("email")? };
    let profile = http.node.accounts.change_profile(who, patch, &client).await?;
    Ok(answer(StatusCode::OK, &UserCard::from(profile)))
}

/// What confirms a deletion. An empty body will do: the token says who asks.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "the schema of a body that is read by hand for its exact errors")]
pub(super) struct Confirmation {
    /// Your password; a wrong one deletes nothing.
    current: Option<String>,
}

/// Deletes your account: logins end, sockets close, the name is never given again.
#[utoipa::path(delete, path = "/users/me", tag = "Accounts", operation_id = "deleteMe", request_body = Option<Confirmation>, responses(
    (status = 204, description = "Gone"),
    (status = 403, description = "current is not your password, or an API key has no account"),
    (status = 429, description = "Too many failures")))]
pub(super) async fn delete(
    State(http): State<Http>,
    client: Client,
    caller: Caller,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let who = caller.principal()?;
    let mut fields = Fields::read_optional(&http.node, &headers, content, &["current"]).await?;
    if let Some(current) = fields.optional("current")? {
        http.node.accounts.confirm(who, current, &client).await?;
    }
    let ended = http.node.accounts.delete_me(who, &client).await?;
    super::end(&http.node, who, &ended);
    Ok(done())
}
