//! `POST /auth/ws-ticket`.

use super::super::sender::Sender;
use super::super::{Http, Problem};
use super::fields::Fields;
use super::{answer, pass};
use crate::http::origin;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use fanfare_core::time::rfc3339_ms;
use fanfare_services::accounts::Gate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The request for a ticket. An empty body suffices.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "the schema of a body that is parsed manually for its exact errors")]
pub(super) struct TicketFor {
    /// The origin of the page that will use it, which must be allowed to connect; the request's own by default.
    origin: Option<String>,
}

/// A ticket.
#[derive(Serialize, ToSchema)]
pub(super) struct TicketAnswer {
    /// For `?ticket=` of one upgrade.
    ticket: String,
    /// When the ticket expires.
    #[schema(example = "2026-11-21T11:21:30.000Z")]
    expires_at: String,
}

/// Creates a ticket for one socket: valid once, for 30 seconds, from one origin.
#[utoipa::path(post, path = "/auth/ws-ticket", tag = "Accounts", operation_id = "makeTicket", request_body = Option<TicketFor>, params(
    ("Idempotency-Key" = Option<String>, Header, description = "A repeat gets the first answer", min_length = 1, max_length = 128)), responses(
    (status = 201, description = "Made", body = TicketAnswer),
    (status = 400, description = "A field is wrong, or the origin may not connect"),
    (status = 403, description = "An API key opens no socket"),
    (status = 409, description = "The Idempotency-Key was used with another body"),
    (status = 413, description = "The body is over 16 KiB"),
    (status = 429, description = "Too many tickets from this address")))]
pub(super) async fn ticket(
    State(http): State<Http>,
    sender: Sender,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let node = &http.node;
    let who = sender.caller.principal()?;
    pass(node, Gate::Ticket, &sender.origin)?;
    let mut fields = Fields::read_optional(node, &headers, content, &["origin"]).await?;
    let asked = fields.optional("origin")?;
    if asked.as_deref().is_some_and(|origin| !origin::may_connect(node, &headers, origin)) {
        let why = "origin is that of a page that may connect here: list it in server.cors_origins";
        return Err(Problem::invalid("origin", why));
    }
    let origin = asked.as_deref().or(sender.origin.page.as_deref()).map(origin::normal);
    let origin = origin.as_deref();
    let key = http.repeat_key(&headers, origin.unwrap_or_default())?;
    let (ticket, expires_at_ms) = node.services.accounts.ticket_once(key, who, origin, &sender.origin)?;
    let body = TicketAnswer { ticket, expires_at: rfc3339_ms(expires_at_ms) };
    Ok(answer(StatusCode::CREATED, &body))
}
