//! `GET /auth/sessions`, `DELETE /auth/sessions/{id}`.

use super::super::body::{Params, cut, page_size};
use super::super::sender::Sender;
use super::super::{Http, Problem};
use super::{answer, done};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use fanfare_core::time::rfc3339_ms;
use fanfare_services::accounts::OwnLogin;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A login.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// Its id.
    id: String,
    /// When it was created.
    #[schema(example = "2026-11-21T11:21:00.000Z")]
    created_at: String,
    /// When it was last used, to about a minute.
    #[schema(example = "2026-11-21T11:21:00.000Z")]
    last_seen: String,
    /// The client's address at login.
    ip: Option<String>,
    /// The client's `User-Agent` at login.
    user_agent: Option<String>,
    /// Whether it is the login of this request.
    current: bool,
}

impl From<OwnLogin> for Session {
    fn from(row: OwnLogin) -> Self {
        let time = |ms: i64| rfc3339_ms(ms.max(0) as u64);
        Self {
            id: row.login.id,
            created_at: time(row.login.created_at),
            last_seen: time(row.login.last_seen),
            ip: row.login.ip,
            user_agent: row.login.user_agent,
            current: row.current,
        }
    }
}

/// A page of logins.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionPage {
    /// Newest first.
    items: Vec<Session>,
    /// Pass it as `before` for the next page; null at the end.
    next: Option<String>,
}

/// The requested page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// Items of the page: 1 to 100, 50 by default; more is clamped.
    #[param(value_type = Option<u64>, minimum = 1)]
    limit: Option<String>,
    /// Only logins older than this cursor: the `next` of the previous page. It stays valid when that login ends.
    #[param(pattern = "^[0-9]{1,15}[.][A-Za-z0-9_-]{1,64}$")]
    before: Option<String>,
}

/// Lists your active logins.
#[utoipa::path(get, path = "/auth/sessions", tag = "Accounts", operation_id = "listSessions", params(PageParams), responses(
    (status = 200, description = "A page", body = SessionPage),
    (status = 403, description = "An API key has no logins")))]
pub(super) async fn list(
    State(http): State<Http>,
    sender: Sender,
    Params(params): Params<PageParams>,
) -> Result<Response, Problem> {
    let who = sender.caller.principal()?;
    let limit = page_size(params.limit.as_deref())?;
    let mut rows = http.node.services.accounts.logins(who).await?;
    if let Some(before) = &params.before {
        let place =
            place(before).ok_or_else(|| Problem::invalid("before", "before is the `next` of a page"))?;
        rows.retain(|row| (row.login.created_at, row.login.id.as_str()) < place);
    }
    let next = cut(&mut rows, limit, |row| format!("{}.{}", row.login.created_at, row.login.id));
    let page = SessionPage { items: rows.into_iter().map(Session::from).collect(), next };
    Ok(answer(StatusCode::OK, &page))
}

/// A login's position in the list: creation time and id.
fn place(cursor: &str) -> Option<(i64, &str)> {
    let (at, id) = cursor.split_once('.')?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let sound =
        (1..=64).contains(&id.len()) && id.bytes().all(plain) && at.bytes().all(|b| b.is_ascii_digit());
    Some((at.parse().ok().filter(|_| sound)?, id))
}

/// Ends one of your logins; its sockets close with 4401.
#[utoipa::path(delete, path = "/auth/sessions/{id}", tag = "Accounts", operation_id = "endSession",
    params(("id" = String, Path, description = "The login's id")), responses(
    (status = 204, description = "Ended"),
    (status = 403, description = "An API key has no logins"),
    (status = 404, description = "You have no such login")))]
pub(super) async fn end(
    State(http): State<Http>,
    sender: Sender,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let who = sender.caller.principal()?;
    // An id that cannot be decoded, or that no store accepts, belongs to no login.
    let id = id.map(|Path(id)| id).unwrap_or_default().replace('\0', "");
    let ended = http.node.services.accounts.end_login(who, &id, &sender.origin).await?;
    http.node.services.sessions.end_logins(&ended);
    Ok(done())
}
