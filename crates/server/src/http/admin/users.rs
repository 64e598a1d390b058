//! `GET /admin/users`, `POST /admin/users/{name}/disable|enable`.

use super::{Admin, Client, Http, Params, PathText, Problem, body, unavailable};
use crate::access::Caller;
use crate::http::Json;
use crate::node::unix_ms;
use axum::extract::State;
use axum::http::StatusCode;
use fanfare_dialects::time::rfc3339_ms;
use fanfare_store::{ChangedUser, Role, Store, StoreError, User};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Users read from the store at a time where not all of them are shown.
const SCAN: u32 = 500;
/// Users looked at for one page of a search; `next` goes on behind them.
const MAX_SCANNED: usize = 10_000;

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
    /// Shown instead of the name.
    display_name: Option<String>,
    /// Never verified.
    email: Option<String>,
    /// Locked out.
    disabled: bool,
    /// Whose user this is, when not our own.
    issuer: Option<String>,
    /// When the account was made.
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
    /// In the order of their names.
    items: Vec<AdminUser>,
    /// Pass it as `after` for the next page; null at the end.
    next: Option<String>,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UserQuery {
    /// Items of the page: 1 to 100, 50 unless given; more is clamped.
    #[param(value_type = Option<u64>, minimum = 1)]
    limit: Option<String>,
    /// Only names after this one.
    after: Option<String>,
    /// Only names that hold this text. A page may then be short and still have a `next`.
    q: Option<String>,
}

/// Lists users by name.
#[utoipa::path(get, path = "/admin/users", tag = "Admin", operation_id = "listUsers", params(UserQuery),
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "A page", body = UserPage)))]
pub(super) async fn list(
    State(http): State<Http>,
    caller: Caller,
    client: Client,
    Params(query): Params<UserQuery>,
) -> Result<Json<UserPage>, Problem> {
    let admin = Admin::enter(&http, &caller, &client)?;
    let limit = body::page_size(query.limit.as_deref())?;
    let wanted = query.q.unwrap_or_default().to_lowercase();
    let page = search(&http.node.store, query.after, &wanted, limit).await.map_err(unavailable)?;
    admin.did("list_users", |event| event);
    Ok(Json(page))
}

async fn search(
    store: &Store,
    mut after: Option<String>,
    wanted: &str,
    limit: usize,
) -> Result<UserPage, StoreError> {
    let (mut items, mut scanned) = (Vec::new(), 0);
    loop {
        let size = if wanted.is_empty() { limit as u32 + 1 } else { SCAN };
        let page = store.users(after.as_deref(), size).await?;
        let ended = page.len() < size as usize;
        for user in page {
            if items.len() == limit {
                return Ok(UserPage { items, next: after });
            }
            scanned += 1;
            after = Some(user.username.clone());
            if user.username.contains(wanted) {
                items.push(AdminUser::from(user));
            }
        }
        if ended {
            return Ok(UserPage { items, next: None });
        }
        if scanned >= MAX_SCANNED {
            return Ok(UserPage { items, next: after });
        }
    }
}

/// Locks a user out: ends every login and closes the sockets within a second.
#[utoipa::path(post, path = "/admin/users/{name}/disable", tag = "Admin", operation_id = "disableUser",
    params(("name" = String, Path, description = "The user's name", min_length = 1, max_length = 255)),
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "The user, locked out", body = AdminUser),
    (status = 400, description = "The name is no text"),
    (status = 404, description = "No such user"),
    (status = 409, description = "The last administrator cannot lock himself out")))]
pub(super) async fn disable(
    State(http): State<Http>,
    caller: Caller,
    client: Client,
    PathText(name): PathText,
) -> Result<Json<AdminUser>, Problem> {
    let admin = Admin::enter(&http, &caller, &client)?;
    let store = &http.node.store;
    let user = find(&admin, "disable_user", &name).await?;
    let himself = matches!(&caller, Caller::User(me) if *me.user_id == *user.id);
    if himself && !another_admin(store, &user.id).await.map_err(unavailable)? {
        admin.failed("disable_user", "last_admin", |event| event.detail("target", user.id.as_str()));
        let why = "you are the last administrator who is not disabled; make another one first";
        return Err(Problem::new(StatusCode::CONFLICT, "conflict", why));
    }
    let user = switch(&admin, "disable_user", user, true).await?;
    Ok(Json(user.into()))
}

/// Lets a user in again.
#[utoipa::path(post, path = "/admin/users/{name}/enable", tag = "Admin", operation_id = "enableUser",
    params(("name" = String, Path, description = "The user's name", min_length = 1, max_length = 255)),
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "The user, who may log in again", body = AdminUser),
    (status = 400, description = "The name is no text"),
    (status = 404, description = "No such user")))]
pub(super) async fn enable(
    State(http): State<Http>,
    caller: Caller,
    client: Client,
    PathText(name): PathText,
) -> Result<Json<AdminUser>, Problem> {
    let admin = Admin::enter(&http, &caller, &client)?;
    let user = find(&admin, "enable_user", &name).await?;
    Ok(Json(switch(&admin, "enable_user", user, false).await?.into()))
}

async fn find(admin: &Admin<'_>, action: &'static str, name: &str) -> Result<User, Problem> {
    // Our own names are lower case; an issuer's claim is as the issuer wrote it.
    let name = if name.contains(':') { name.to_owned() } else { name.to_ascii_lowercase() };
    let found = admin.http.node.store.user_by_name(&name).await.map_err(unavailable)?;
    found.ok_or_else(|| {
        admin.failed(action, "not_found", |event| event.detail("target_name", name.as_str()));
        no_such_user()
    })
}

fn no_such_user() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such user")
}

async fn switch(
    admin: &Admin<'_>,
    action: &'static str,
    mut user: User,
    disabled: bool,
) -> Result<User, Problem> {
    let (node, now) = (&admin.http.node, unix_ms() as i64);
    let Some(ended) = node.store.set_disabled(&user.id, disabled, now).await.map_err(unavailable)? else {
        admin.failed(action, "not_found", |event| event.detail("target", user.id.as_str()));
        return Err(no_such_user());
    };
    admin.did(action, |event| event.detail("target", user.id.as_str()));
    user.disabled = disabled;
    node.end_sessions(&ended);
    // Users of an issuer have no logins in the store; their connections end with the user's lock.
    let (id, role) = (user.id.clone(), user.role);
    node.user_changed(ChangedUser { id, role, disabled, changed_at: now });
    Ok(user)
}

/// Whether somebody else is an administrator and may log in.
async fn another_admin(store: &Store, id: &str) -> Result<bool, StoreError> {
    let mut after: Option<String> = None;
    loop {
        let page = store.users(after.as_deref(), SCAN).await?;
        if page.iter().any(|u| u.role == Role::Admin && !u.disabled && u.id != id) {
            return Ok(true);
        }
        match page.last() {
            Some(last) if page.len() == SCAN as usize => after = Some(last.username.clone()),
            _ => return Ok(false),
        }
    }
}
