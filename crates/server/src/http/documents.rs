//! The documents of the API: `/openapi.json`, `/asyncapi.json`, `/openrpc.json`.
//!
//! Each is generated once, from declarations in the code: the routes' own ([`openapi`]), the dialects' encoders
//! ([`super::asyncapi`]), the method registry. None is written separately, so none can differ from the server.

mod examples;
mod openapi;
mod refusals;

use super::Http;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::IntoResponse;
use serde_json::Value;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Documents that do not change while the server runs: one copy for all readers.
#[derive(Debug)]
pub(crate) struct Documents {
    openapi: Bytes,
    asyncapi: Bytes,
    openrpc: Bytes,
}

impl Documents {
    /// Creates them from the routes' declarations and the registry's document.
    pub(super) fn new(mut declared: OpenApi, openrpc: &str) -> Self {
        declared.merge(<Refused as utoipa::OpenApi>::openapi());
        let declared = serde_json::to_value(&declared).unwrap_or_default();
        Self {
            openapi: openapi::finish(declared).to_string().into(),
            asyncapi: super::asyncapi::document(openrpc).to_string().into(),
            openrpc: openrpc.to_owned().into(),
        }
    }
}

/// The body of every refusal.
#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(super::ProblemBody)))]
struct Refused;

pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new().routes(routes!(openapi)).routes(routes!(asyncapi)).routes(routes!(openrpc))
}

/// This document: every route with its parameters, bodies, responses and refusals.
#[utoipa::path(get, path = "/openapi.json", tag = "Documents", operation_id = "openapi", responses(
    (status = 200, description = "An OpenAPI 3.1 document", body = Object, content_type = "application/json")))]
async fn openapi(State(http): State<Http>) -> impl IntoResponse {
    (super::json_type(), http.documents.openapi.clone())
}

/// The WebSockets: every frame of both dialects with its schema and examples.
#[utoipa::path(get, path = "/asyncapi.json", tag = "Documents", operation_id = "asyncapi", responses(
    (status = 200, description = "An AsyncAPI 3.0 document", body = Object, content_type = "application/json")))]
async fn asyncapi(State(http): State<Http>) -> impl IntoResponse {
    (super::json_type(), http.documents.asyncapi.clone())
}

/// The methods of the JSON-RPC dialect; `rpc.discover` returns the same.
#[utoipa::path(get, path = "/openrpc.json", tag = "Documents", operation_id = "openrpc", responses(
    (status = 200, description = "An OpenRPC 1.4 document", body = Object, content_type = "application/json")))]
async fn openrpc(State(http): State<Http>) -> impl IntoResponse {
    (super::json_type(), http.documents.openrpc.clone())
}

/// Follows `$ref` within a document.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let target =
        schema.get("$ref").and_then(Value::as_str).and_then(|to| root.pointer(to.strip_prefix('#')?));
    target.unwrap_or(schema)
}
