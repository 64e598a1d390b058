//! `PUT /users/me/password`.

use super::super::sender::Sender;
use super::super::{Http, Problem};
use super::fields::Fields;
use super::{done, pass_user};
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use fanfare_services::accounts::UserGate;
use serde::Deserialize;
use utoipa::ToSchema;

/// A change of password.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "the schema of a body that is parsed manually for its exact errors")]
pub(super) struct PasswordChange {
    /// The present password.
    current: String,
    /// At least `auth.min_password_length` characters; common ones are refused.
    #[schema(min_length = 8, max_length = 128)]
    new: String,
}

/// Changes your password; ends your other logins and closes their sockets.
#[utoipa::path(put, path = "/users/me/password", tag = "Accounts", operation_id = "changePassword", request_body = PasswordChange, responses(
    (status = 204, description = "Changed"),
    (status = 400, description = "A field is wrong, or the new password is weak"),
    (status = 403, description = "The present password is wrong, or there is none here"),
    (status = 413, description = "The body is over 16 KiB"),
    (status = 429, description = "More than 30 changes a minute, or too many failures"),
    (status = 503, description = "Too many passwords at once, or the store does not respond")))]
pub(super) async fn change(
    State(http): State<Http>,
    sender: Sender,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let who = sender.caller.principal()?;
    pass_user(&http.node, UserGate::Change, who, &sender.origin)?;
    let (mut fields, _) = Fields::read(&http.node, &headers, content, &["current", "new"]).await?;
    let (current, new) = (fields.text("current")?, fields.text("new")?);
    let ended = http.node.services.accounts.change_password(who, current, new, &sender.origin).await?;
    http.node.services.sessions.end_logins(&ended);
    Ok(done())
}
