//! `GET /admin/audit`.

use super::{Http, Params, Problem, Sender, body, moment, unavailable};
use crate::http::Json;
use axum::extract::State;
use fanfare_core::time::rfc3339_ms;
use fanfare_json::RawBuf;
use fanfare_store::{AuditFilter, AuditRow, Store, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A row of the audit log.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditEntry {
    /// The node that wrote the row.
    node: String,
    /// Its number in the chain, from 1 without gaps.
    seq: i64,
    /// The time of the event.
    #[schema(example = "2026-11-21T11:21:00.000Z")]
    ts: String,
    /// The event's name.
    #[schema(example = "authn_login_fail")]
    event: String,
    /// `success`, `failure` or `denied`.
    outcome: String,
    /// `info`, `warning` or `alert`.
    severity: String,
    /// The id of the user concerned.
    user_id: Option<String>,
    /// The first 8 bytes of the SHA-256 of the session or login, in hexadecimal digits.
    session: Option<String>,
    /// The client's address.
    ip: Option<String>,
    /// The client's `User-Agent`.
    user_agent: Option<String>,
    /// The request's id.
    request_id: Option<String>,
    /// The page's origin.
    origin: Option<String>,
    /// The reason, as a code.
    reason: Option<String>,
    /// Further facts.
    #[schema(value_type = Object)]
    detail: RawBuf,
    /// The row's hash in the chain, in hexadecimal digits.
    hash: String,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        // A tampered row must not make the list unreadable.
        let text = serde_json::Value::from(row.detail.as_str()).to_string();
        let detail = RawBuf::new(row.detail).or_else(|_| RawBuf::new(text));
        Self {
            node: row.node,
            seq: row.seq,
            ts: row.ts,
            event: row.event,
            outcome: row.outcome,
            severity: row.severity,
            user_id: row.user_id,
            session: row.session,
            ip: row.ip,
            user_agent: row.user_agent,
            request_id: row.request_id,
            origin: row.origin,
            reason: row.reason,
            detail: detail.unwrap_or_default(),
            hash: row.hash.iter().map(|b| format!("{b:02x}")).collect(),
        }
    }
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditPage {
    /// Newest first.
    items: Vec<AuditEntry>,
    /// Pass it as `before` for the next page; null at the end.
    next: Option<i64>,
}

/// The requested rows.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Items of the page: 1 to 100, 50 by default; more is clamped.
    #[param(value_type = Option<u64>, minimum = 1)]
    limit: Option<String>,
    /// Only rows with a smaller number.
    #[param(value_type = Option<u64>)]
    before: Option<String>,
    /// Only this event.
    event: Option<String>,
    /// Only rows that concern this user: the name, or the id.
    user: Option<String>,
    /// Only rows from this time on: RFC 3339 in UTC, or milliseconds since 1970.
    #[param(value_type = Option<super::Moment>, inline)]
    since: Option<String>,
}

/// Lists the audit log, newest first.
#[utoipa::path(get, path = "/admin/audit", tag = "Admin", operation_id = "listAudit", params(AuditQuery),
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "A page", body = AuditPage)))]
pub(super) async fn list(
    State(http): State<Http>,
    sender: Sender,
    Params(query): Params<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    let admin = http.node.services.admin.enter(sender.actor())?;
    let limit = body::page_size(query.limit.as_deref())?;
    let before = body::offset("before", query.before.as_deref())?;
    let before = before.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    let since = moment("since", query.since.as_deref())?.map(rfc3339_ms);
    // The store keeps no such text, so no row has it.
    if [&query.event, &query.user].into_iter().flatten().any(|text| text.contains('\0')) {
        admin.did("list_audit", |event| event);
        return Ok(Json(AuditPage { items: Vec::new(), next: None }));
    }
    let store = &http.node.services.store;
    let user_id = match query.user {
        Some(user) => Some(id_of(store, user).await.map_err(unavailable)?),
        None => None,
    };
    let filter = AuditFilter { event: query.event, user_id, since };
    let mut rows = store.audit_tail(filter, before, limit as u32 + 1).await.map_err(unavailable)?;
    admin.did("list_audit", |event| event);
    let next = body::cut(&mut rows, limit, |row| row.seq);
    Ok(Json(AuditPage { items: rows.into_iter().map(AuditEntry::from).collect(), next }))
}

/// The id for a username; a text that is not a name is used as an id, which deleted users still have.
async fn id_of(store: &Store, user: String) -> Result<String, StoreError> {
    Ok(store.user_by_name(&user).await?.map_or(user, |found| found.id))
}
