//! `GET /admin/config`.

use super::{Admin, Client, Http, Problem};
use crate::access::Caller;
use crate::config::print;
use crate::http::Json;
use axum::extract::State;

/// Shows the configuration in force, by section and key; secrets are masked as `***`.
#[utoipa::path(get, path = "/admin/config", tag = "Admin", operation_id = "showConfig",
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "Sections of keys; a key that is unset is null", body = Object)))]
pub(super) async fn show(
    State(http): State<Http>,
    caller: Caller,
    client: Client,
) -> Result<Json<serde_json::Value>, Problem> {
    let admin = Admin::enter(&http, &caller, &client)?;
    admin.did("show_config", |event| event);
    Ok(Json(print::json(&http.node.config)))
}
