//! Accounts and the directory over REST (`http-api.md`, `accounts-and-messages.md`).
//!
//! A handler checks its rate limit, reads its body with [`fields`], calls one method of
//! [`fanfare_services::accounts::Accounts`] and writes the response. No response may be cached: each has `no-store`.

mod directory;
mod fields;
mod keys;
mod login;
mod me;
mod password;
mod problem;
mod register;
mod sessions;
mod ticket;
mod tokens;

use super::{Http, Problem};
use crate::node::Node;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use fanfare_core::model::Principal;
use fanfare_core::model::{ErrorCode, Origin, Refusal};
use fanfare_services::accounts::{Gate, UserGate};
use fanfare_services::audit::{AuditEvent, Outcome};
use fanfare_store::EndedLogin;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The largest body these routes read (`accounts-and-messages.md`).
const MAX_BODY_BYTES: usize = 16 * 1024;

/// The routes of this family.
pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(login::login))
        .routes(routes!(tokens::refresh))
        .routes(routes!(tokens::logout))
        .routes(routes!(tokens::me))
        .routes(routes!(ticket::ticket))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(password::change))
        .routes(routes!(me::change, me::delete))
        .routes(routes!(directory::show))
        .routes(routes!(directory::keys))
        .routes(routes!(keys::put))
}

/// A JSON response with `no-store`.
fn answer<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => answer_text(status, text),
        Err(error) => {
            tracing::error!(%error, "a response cannot be written");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the response cannot be written")
                .into_response()
        }
    }
}

fn answer_text(status: StatusCode, text: String) -> Response {
    (status, super::json_type(), no_store(), text).into_response()
}

/// A response without a body.
fn done() -> Response {
    (StatusCode::NO_CONTENT, no_store()).into_response()
}

fn no_store() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}

/// Closes the sockets of ended logins. An issuer's user has no login here, so all sockets of such a user close.
fn end(node: &Node, who: &Principal, ended: &[EndedLogin]) {
    node.services.sessions.end_logins(ended);
    if who.issuer.is_some() {
        node.services.sessions.end_user(&who.user_id);
    }
}

/// Applies a user's rate limit to a request.
///
/// # Errors
/// 429 with `Retry-After`.
fn pass_user(node: &Node, gate: UserGate, who: &Principal, origin: &Origin) -> Result<(), Problem> {
    let passed = node.services.accounts.bound(gate, &who.user_id);
    passed.inspect_err(|_| refused_user(node, gate, origin)).map_err(Problem::from)
}

/// Counts a request of a user that exceeded the rate limit.
fn refused_user(node: &Node, gate: UserGate, origin: &Origin) {
    node.metrics.refused_by(gate.name());
    node.services.audit.refused(origin.ip, || {
        let event = AuditEvent::new("excess_rate_limit_exceeded", Outcome::Denied).by(origin);
        event.detail("limit", gate.name())
    });
}

/// Applies the rate limit of a route to a request.
///
/// # Errors
/// 429 with `Retry-After`.
fn pass(node: &Node, gate: Gate, origin: &Origin) -> Result<(), Problem> {
    node.services.accounts.limits().pass(gate, origin.ip).map_err(|ms| {
        node.metrics.refused_by(gate.name());
        node.services.audit.refused(origin.ip, || {
            let event = AuditEvent::new("excess_rate_limit_exceeded", Outcome::Denied).by(origin);
            event.detail("limit", gate.name())
        });
        let why = match gate {
            Gate::Login => "more logins from this address than limits.login_per_minute allows",
            Gate::Register => "more registrations from this address than limits.register_per_minute allows",
            Gate::Ticket => "more tickets from this address than limits.tickets_per_minute allows",
        };
        Refusal::new(ErrorCode::RateLimited, why).retry_after(ms).into()
    })
}
