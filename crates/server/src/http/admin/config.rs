//! `GET /admin/config`.

use super::{Http, Problem, Sender};
use crate::http::Json;
use axum::extract::State;
use fanfare_config::print;

/// Shows the configuration in force, by section and key; secrets are masked as `***`.
#[utoipa::path(get, path = "/admin/config", tag = "Admin", operation_id = "showConfig",
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "Sections of keys; a key that is unset is null", body = Object)))]
pub(super) async fn show(
    State(http): State<Http>,
    sender: Sender,
) -> Result<Json<serde_json::Value>, Problem> {
    let admin = http.node.services.admin.enter(sender.actor())?;
    admin.did("show_config", |event| event);
    Ok(Json(print::json(&http.node.config)))
}
