//! The documents of the API.

use super::Http;
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::{ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi};

/// Documents that do not change while the server runs.
#[derive(Debug)]
pub(crate) struct Documents {
    openapi: String,
    openrpc: String,
}

impl Documents {
    pub(super) fn new(mut openapi: OpenApi, openrpc: &str) -> Self {
        openapi.info = InfoBuilder::new()
            .title("Fanfare")
            .version(crate::VERSION)
            .description(Some("A real-time backend in one binary. Errors are RFC 9457 problem documents."))
            .license(Some(LicenseBuilder::new().name("Apache-2.0 OR MIT").build()))
            .contact(Some(ContactBuilder::new().name(Some("The Fanfare maintainers")).build()))
            .build();
        Self { openapi: openapi.to_json().unwrap_or_default(), openrpc: openrpc.to_owned() }
    }
}

pub(super) fn routes() -> Router<Http> {
    Router::new().route("/openapi.json", get(openapi)).route("/openrpc.json", get(openrpc))
}

async fn openapi(State(http): State<Http>) -> impl IntoResponse {
    (super::json_type(), http.documents.openapi.clone())
}

async fn openrpc(State(http): State<Http>) -> impl IntoResponse {
    (super::json_type(), http.documents.openrpc.clone())
}
