//! `GET /admin/connections`, `DELETE /admin/connections/{id}`.

use super::{Http, Params, Problem, Sender, body};
use crate::connection_id::serial_in;
use crate::http::Json;
use crate::posts::ConnectionInfo;
use axum::extract::State;
use axum::http::StatusCode;
use fanfare_core::model::End;
use fanfare_core::time::rfc3339_ms;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// An open connection.
#[derive(Serialize, ToSchema)]
pub(super) struct Connection {
    /// Its id, as in its welcome.
    id: String,
    /// The name of the logged-in user.
    #[schema(example = "alice")]
    user: Option<String>,
    /// The code of its session; null before it has authenticated where that is required.
    #[schema(example = "happy-panda-42")]
    session_code: Option<String>,
    /// The client's address.
    #[schema(example = "127.0.0.1")]
    ip: Option<String>,
    /// `User-Agent` of its handshake.
    user_agent: Option<String>,
    /// `typed`, `jsonrpc`, or `undecided` before its first frame.
    #[schema(example = "typed")]
    dialect: &'static str,
    /// The number of topics it is subscribed to.
    topics: u64,
    /// The number of chat channels it is in.
    channels: u64,
    /// The number of messages queued for it.
    queued: u64,
    /// When it was opened.
    #[schema(example = "2026-11-21T11:21:00.000Z")]
    connected_at: String,
}

/// A page of connections.
#[derive(Serialize, ToSchema)]
pub(super) struct ConnectionPage {
    /// In the order in which they were opened.
    items: Vec<Connection>,
    /// Pass it as `after` for the next page; null at the end.
    next: Option<String>,
}

/// The requested page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConnectionQuery {
    /// Items of the page: 1 to 100, 50 by default; more is clamped.
    #[param(value_type = Option<u64>, minimum = 1)]
    limit: Option<String>,
    /// Only connections opened after this one: an id, also of a closed connection.
    #[param(pattern = "^[0-9a-hjkmnp-tv-z]{20}$")]
    after: Option<String>,
}

/// Lists the open connections of this node.
#[utoipa::path(get, path = "/admin/connections", tag = "Admin", operation_id = "listConnections", params(ConnectionQuery),
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "A page", body = ConnectionPage)))]
pub(super) async fn list(
    State(http): State<Http>,
    sender: Sender,
    Params(query): Params<ConnectionQuery>,
) -> Result<Json<ConnectionPage>, Problem> {
    let admin = http.node.services.admin.enter(sender.actor())?;
    let limit = body::page_size(query.limit.as_deref())?;
    let after = match query.after.as_deref() {
        None => None,
        Some(id) => {
            let wrong = || Problem::invalid("after", "after is the id of a connection");
            Some(serial_in(id).ok_or_else(wrong)?)
        }
    };
    let (found, more) = http.node.connections(after, limit).await;
    admin.did("list_connections", |event| event);
    let next = more.then(|| found.last().map(|c| http.node.client_id(c.serial))).flatten();
    Ok(Json(ConnectionPage { items: found.into_iter().map(|c| shown(&http, c)).collect(), next }))
}

fn shown(http: &Http, c: ConnectionInfo) -> Connection {
    Connection {
        id: http.node.client_id(c.serial),
        user: c.user.map(|name| name.as_ref().to_owned()),
        session_code: c.session_code,
        ip: c.ip.map(|ip| ip.to_string()),
        user_agent: c.user_agent.map(|agent| agent.as_ref().to_owned()),
        dialect: c.dialect,
        topics: c.topics as u64,
        channels: 0,
        queued: c.queued as u64,
        connected_at: rfc3339_ms(c.connected_at),
    }
}

/// Closes a connection with 4403.
#[utoipa::path(delete, path = "/admin/connections/{id}", tag = "Admin", operation_id = "closeConnection",
    params(("id" = String, Path, description = "The connection's id", min_length = 1, max_length = 64)),
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 204, description = "It is closed"),
    (status = 400, description = "The id is no text"),
    (status = 404, description = "No such connection")))]
pub(super) async fn close(
    State(http): State<Http>,
    sender: Sender,
    super::PathText(id): super::PathText,
) -> Result<StatusCode, Problem> {
    let admin = http.node.services.admin.enter(sender.actor())?;
    if http.node.end_connection(&id, End::Kicked).await {
        admin.did("close_connection", |event| event.detail("connection", id.as_str()));
        return Ok(StatusCode::NO_CONTENT);
    }
    admin.failed("close_connection", "not_found", |event| event.detail("connection", id.as_str()));
    Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such connection on this node"))
}
