//! `POST /rpc`: the same methods as on the sockets, one text a request.

use super::problem::Problem;
use super::sender::Sender;
use super::{Http, body, json_type};
use crate::methods::PostCaller;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fanfare_rpc::{Calls, Outcome};
use fanfare_services::credentials;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Time limit of a request's methods.
const DEADLINE: Duration = Duration::from_secs(30);
/// Media types of JSON-RPC over HTTP, from its drafts, that clients send instead of JSON's.
const MEDIA_TYPES: [&str; 2] = ["application/json-rpc", "application/jsonrequest"];
/// Methods of one batch that run concurrently.
const MAX_RUNNING: usize = 16;

/// Calls methods: one JSON-RPC 2.0 request, notification or batch.
#[utoipa::path(post, path = "/rpc", tag = "Sockets", operation_id = "rpc",
    request_body(content = Object, description = "A JSON-RPC 2.0 request or batch; /openrpc.json lists the methods", content_type = "application/json"), responses(
    (status = 200, description = "A JSON-RPC 2.0 response or batch of responses; errors too", body = Object, content_type = "application/json"),
    (status = 204, description = "Notifications only: no response"),
    (status = 429, description = "Too many messages, or earlier responses that the address has not read")))]
pub(super) async fn call(
    State(http): State<Http>,
    sender: Sender,
    request: Request,
) -> Result<Response, Problem> {
    let node = &http.node;
    let (parts, content) = request.into_parts();
    node.services.rates.take(&sender.actor())?;
    let max = node.config.limits.max_message_bytes.len();
    let bytes = body::json_bytes(node, &parts.headers, content, max, &MEDIA_TYPES).await?;
    // Bytes that are not UTF-8 are not JSON; neither is an empty text: -32700.
    let text = String::from_utf8(bytes).unwrap_or_default();
    let mut out = Vec::new();
    let calls = Calls::read(&node.registry, &text, node.config.limits.rpc_batch);
    let verified = credentials::verify(&node.services.identity, calls.tokens()).await;
    let max_answer = node.config.limits.rpc_answer_bytes.len();
    let room = http.answers.room(sender.origin.ip, max_answer).await?;
    let mut caller = PostCaller {
        by: &sender.caller,
        origin: &sender.origin,
        verified,
        rates: &node.services.rates,
        audit: &node.services.audit,
        must_authenticate: node.config.auth.require,
    };
    let outcome = calls.run(&mut caller, max_answer, &mut out);
    let answer = match outcome {
        Outcome::Answered => Some(out),
        Outcome::Silent => None,
        Outcome::Pending(pending) => pending.run(DEADLINE, &Semaphore::new(MAX_RUNNING)).await,
    };
    Ok(match answer {
        Some(text) => (json_type(), room.body(text)).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}
