//! `GET /admin/config`.

use super::{Admin, Client, Http, Problem};
use crate::access::Caller;
use crate::config::print;
use crate::http::{Json, ProblemBody};
use axum::extract::State;

/// Shows the configuration in force, by section and key; secrets are masked as `***`.
#[utoipa::path(get, path = "/admin/config", tag = "Admin", operation_id = "showConfig",
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "Sections of keys; a key that is unset is null", body = Object),
    (status = 401, description = "No credential, or a bad one", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Not an administrator", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn show(
    State(http): State<Http>,
    caller: Caller,
    client: Client,
) -> Result<Json<serde_json::Value>, Problem> {
    let admin = Admin::enter(&http, &caller, &client)?;
    admin.did("show_config", |event| event);
    Ok(Json(print::json(&http.node.config)))
}
