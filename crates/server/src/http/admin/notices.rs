//! `POST /admin/notices`.

use super::{Http, Problem, Sender};
use crate::http::{Json, body};
use axum::extract::{Request, State};
use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_services::notices;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Maximum bytes of the body: every character escaped, and the rest.
const MAX_BYTES: usize = 32 * 1024;

/// A notice to all users.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the schema of a body that is parsed manually for its exact errors")]
pub(super) struct NewNotice {
    /// The text.
    #[schema(min_length = 1, max_length = 2000, example = "Maintenance at noon")]
    message: String,
    /// `info`, `warning` or `critical`; `info` by default.
    #[schema(pattern = "^(info|warning|critical)$", example = "warning")]
    severity: Option<String>,
}

/// A notice that was sent.
#[derive(Serialize, ToSchema)]
pub(super) struct Notice {
    /// The text.
    message: String,
    /// `info`, `warning` or `critical`.
    severity: &'static str,
}

/// Sends a notice to all users: an `info` frame with the code `NOTICE` on `/ws/system`.
#[utoipa::path(post, path = "/admin/notices", tag = "Admin", operation_id = "sendNotice", request_body = NewNotice,
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "It is on its way", body = Notice),
    (status = 413, description = "The body is too large")))]
pub(super) async fn send(
    State(http): State<Http>,
    sender: Sender,
    request: Request,
) -> Result<Json<Notice>, Problem> {
    let admin = http.node.services.admin.enter(sender.actor())?;
    let (parts, content) = request.into_parts();
    let text = body::json_text(&http.node, &parts.headers, content, MAX_BYTES).await?;
    let sent = parse(&text)?;
    notices::send(&admin, &*http.node.services.sockets, &sent);
    Ok(Json(Notice { message: sent.message, severity: sent.severity }))
}

fn parse(text: &str) -> Result<notices::Notice, Problem> {
    let json: Value = serde_json::from_str(text)
        .map_err(|_| Refusal::new(ErrorCode::InvalidJson, "the body is no valid JSON"))?;
    let Value::Object(object) = json else {
        return Err(Problem::invalid("body", "the body is a JSON object with a message"));
    };
    let severity = match object.get("severity") {
        None | Some(Value::Null) => None,
        Some(word) => Some(word.as_str().unwrap_or_default()),
    };
    Ok(notices::Notice::new(object.get("message").and_then(Value::as_str), severity)?)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_notice_has_a_text_and_one_of_three_severities() {
        let ok = parse(r#"{"message":"noon","severity":"critical"}"#).unwrap();
        assert_eq!((ok.message.as_str(), ok.severity), ("noon", "critical"));
        assert_eq!(parse(r#"{"message":"noon"}"#).unwrap().severity, "info");
        assert!(parse(&format!(r#"{{"message":"{}"}}"#, "ü".repeat(2000))).is_ok());
        let long = format!(r#"{{"message":"{}"}}"#, "ü".repeat(2001));
        for (invalid, field) in [
            ("{}", "message"),
            (r#"{"message":""}"#, "message"),
            (r#"{"message":"  "}"#, "message"),
            (r#"{"message":5}"#, "message"),
            (&*long, "message"),
            (r#"{"message":"a","severity":"loud"}"#, "severity"),
            (r#"{"message":"a","severity":1}"#, "severity"),
            ("[]", "body"),
        ] {
            assert_eq!(parse(invalid).err().unwrap().field, Some(field), "{invalid}");
        }
        assert_eq!(parse("{").err().unwrap().code, "invalid_json");
    }
}
