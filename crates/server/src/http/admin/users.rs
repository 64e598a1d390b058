//! `GET /admin/users`, `POST /admin/users/{name}/disable|enable`.

use super::{Http, Params, PathText, Problem, Sender, body, unavailable};
use crate::http::Json;
use axum::extract::State;
use fanfare_core::model::Refusal;
use fanfare_core::time::rfc3339_ms;
use fanfare_store::User;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A user, for administrators.
#[derive(Serialize, ToSchema)]
pub(super) struct AdminUser {
    /// The user's id.
    id: String,
    /// The user's name; of an issuer's user `issuer:claim`.
    username: String,
    /// `user` or `admin`.
    #[schema(example = "user")]
    role: &'static str,
    /// Shown instead of the username.
    display_name: Option<String>,
    /// Never verified.
    email: Option<String>,
    /// Whether the user is locked out.
    disabled: bool,
    /// The issuer of the user, if it is not a local one.
    issuer: Option<String>,
    /// When the account was created.
    #[schema(example = "2026-11-21T11:21:00.000Z")]
    created_at: String,
}

impl From<User> for AdminUser {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username,
            role: user.role.as_str(),
            display_name: user.display_name,
            email: user.email,
            disabled: user.disabled,
            issuer: user.issuer,
            created_at: rfc3339_ms(user.created_at.max(0) as u64),
        }
    }
}

/// A page of users.
#[derive(Serialize, ToSchema)]
pub(super) struct UserPage {
    /// Ordered by name.
    items: Vec<AdminUser>,
    /// Pass it as `after` for the next page; null at the end.
    next: Option<String>,
}

/// The requested page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UserQuery {
    /// Items of the page: 1 to 100, 50 by default; more is clamped.
    #[param(value_type = Option<u64>, minimum = 1)]
    limit: Option<String>,
    /// Only names after this one.
    after: Option<String>,
    /// Only names that contain this text. A page may then be short and still have a `next`.
    q: Option<String>,
}

/// Lists users by name.
#[utoipa::path(get, path = "/admin/users", tag = "Admin", operation_id = "listUsers", params(UserQuery),
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "A page", body = UserPage)))]
pub(super) async fn list(
    State(http): State<Http>,
    sender: Sender,
    Params(query): Params<UserQuery>,
) -> Result<Json<UserPage>, Problem> {
    let admin = http.node.services.admin.enter(sender.actor())?;
    let limit = body::page_size(query.limit.as_deref())?;
    let wanted = query.q.unwrap_or_default().to_lowercase();
    let (users, next) = admin.users(query.after, &wanted, limit).await.map_err(unavailable)?;
    admin.did("list_users", |event| event);
    Ok(Json(UserPage { items: users.into_iter().map(AdminUser::from).collect(), next }))
}

/// Locks a user out: ends every login and closes the sockets within a second.
#[utoipa::path(post, path = "/admin/users/{name}/disable", tag = "Admin", operation_id = "disableUser",
    params(("name" = String, Path, description = "The user's name", min_length = 1, max_length = 255)),
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "The user, locked out", body = AdminUser),
    (status = 400, description = "The name is no text"),
    (status = 404, description = "No such user"),
    (status = 409, description = "The last administrator cannot be locked out")))]
pub(super) async fn disable(
    State(http): State<Http>,
    sender: Sender,
    PathText(name): PathText,
) -> Result<Json<AdminUser>, Problem> {
    let admin = http.node.services.admin.enter(sender.actor())?;
    Ok(Json(admin.set_disabled("disable_user", &name, true).await.map_err(Refusal::from)?.into()))
}

/// Unlocks a user.
#[utoipa::path(post, path = "/admin/users/{name}/enable", tag = "Admin", operation_id = "enableUser",
    params(("name" = String, Path, description = "The user's name", min_length = 1, max_length = 255)),
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "The user, who may log in again", body = AdminUser),
    (status = 400, description = "The name is no text"),
    (status = 404, description = "No such user")))]
pub(super) async fn enable(
    State(http): State<Http>,
    sender: Sender,
    PathText(name): PathText,
) -> Result<Json<AdminUser>, Problem> {
    let admin = http.node.services.admin.enter(sender.actor())?;
    Ok(Json(admin.set_disabled("enable_user", &name, false).await.map_err(Refusal::from)?.into()))
}
