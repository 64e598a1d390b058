//! `POST /sessions/{code}/send`, `POST /sessions/broadcast`: an app's backend sends messages to sessions by their
//! codes.
//!
//! The payload's JSON reaches the session's connection byte for byte, in the connection's own dialect.

use super::problem::Problem;
use super::sender::Sender;
use super::{Http, body, json_type};
use crate::node::Node;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_dialects::scan::{self, MAX_PAYLOAD_DEPTH};
use fanfare_json::RawBuf;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A message.
#[derive(Deserialize, ToSchema)]
pub(super) struct Message {
    /// Any JSON; delivered byte for byte.
    #[schema(value_type = Value)]
    payload: RawBuf,
}

/// The result of a message.
#[derive(serde::Serialize, ToSchema)]
pub(super) struct Sent {
    /// The number of connections: of the session 1, or 0 while it has none; of a broadcast all open ones.
    delivered: u64,
}

/// Sends JSON to the connection of one session.
#[utoipa::path(post, path = "/sessions/{code}/send", tag = "Sessions", operation_id = "sendToSession", request_body = Message,
    params(("code" = String, Path, description = "The session's code, in any case", example = "happy-panda-42")), responses(
    (status = 200, description = "Sent; 0 when the session has no connection now", body = Sent),
    (status = 403, description = "Needs an API key with the scope `sessions`, or an admin"),
    (status = 404, description = "No such session"),
    (status = 413, description = "The body is larger than limits.max_message_bytes"),
    (status = 429, description = "Too many messages")))]
pub(super) async fn send(
    State(http): State<Http>,
    sender: Sender,
    code: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let payload = payload(&http.node, &sender, &headers, content).await?;
    let code = code.map(|Path(code)| code).unwrap_or_default();
    let delivered = http.node.services.sessions.send(&sender.actor(), &code, payload)?;
    Ok(sent(delivered.into()))
}

/// Sends JSON to every connection that has a session.
#[utoipa::path(post, path = "/sessions/broadcast", tag = "Sessions", operation_id = "broadcastToSessions", request_body = Message, responses(
    (status = 200, description = "Sent to this number of connections", body = Sent),
    (status = 403, description = "Needs an API key with the scope `sessions`, or an admin"),
    (status = 413, description = "The body is larger than limits.max_message_bytes"),
    (status = 429, description = "Too many messages")))]
pub(super) async fn broadcast(
    State(http): State<Http>,
    sender: Sender,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let node = &http.node;
    let payload = payload(node, &sender, &headers, content).await?;
    node.services.sessions.broadcast(&sender.actor(), payload)?;
    Ok(sent(node.admission.open() as u64))
}

fn sent(delivered: u64) -> Response {
    let body = serde_json::to_string(&Sent { delivered }).unwrap_or_default();
    (json_type(), body).into_response()
}

/// The payload of an authorised caller.
async fn payload(
    node: &Node,
    sender: &Sender,
    headers: &HeaderMap,
    content: Body,
) -> Result<Arc<str>, Problem> {
    node.services.sessions.may_send(&sender.actor())?;
    node.services.rates.take(&sender.actor())?;
    let text = body::json_text(node, headers, content, node.config.limits.max_message_bytes.len()).await?;
    let message = fanfare_json::from_str_keeping::<Message>(&text, &|name| name == "payload");
    let message = message.map_err(|error| match error {
        fanfare_json::Error::Data(_) => Problem::invalid("payload", "the body is an object with a payload"),
        fanfare_json::Error::Malformed => {
            Refusal::new(ErrorCode::InvalidJson, "the body is no valid JSON").into()
        }
    })?;
    let payload = message.payload.get();
    if scan::facts(payload).depth > MAX_PAYLOAD_DEPTH {
        return Err(Refusal::new(ErrorCode::InvalidJson, "payload nests deeper than 128 levels").into());
    }
    Ok(payload.into())
}
