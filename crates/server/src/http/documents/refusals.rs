//! The refusals of the OpenAPI document: one body for all, those that the layer returns for every route, and those that
//! follow from a route's declaration.

use fanfare_core::model::ErrorCode;
use serde_json::{Map, Value, json};

/// Codes used by HTTP only, beside the wire's in lower case (`http-api.md`).
pub(super) const OWN_CODES: [&str; 6] = [
    "not_found",
    "method_not_allowed",
    "unsupported_media_type",
    "upgrade_required",
    "conflict",
    "limit_exceeded",
];

/// A refusal that many routes share: status, its name under `components.responses`, one of its codes, a sentence, and
/// the declarations it follows from.
struct Shared {
    status: u16,
    name: &'static str,
    code: &'static str,
    what: &'static str,
    when: fn(&Facts<'_>) -> bool,
}

/// The part of a route's declaration from which refusals follow.
struct Facts<'a> {
    path: &'a str,
    method: &'a str,
    operation: &'a Value,
}

impl Facts<'_> {
    fn has_body(&self) -> bool {
        self.operation.get("requestBody").is_some()
    }

    /// Whether it changes something, so that pages of foreign origins may not call it.
    fn is_mutating(&self) -> bool {
        !matches!(self.method, "get" | "head" | "options" | "trace")
    }
}

/// Applies to any operation: the layer of all requests returns it.
fn always(_: &Facts<'_>) -> bool {
    true
}

const SHARED: [Shared; 11] = [
    Shared {
        status: 400,
        name: "BadRequest",
        code: "invalid_field",
        what: "A parameter, a header or the body is wrong; `errors` names what",
        when: always,
    },
    Shared {
        status: 401,
        name: "Unauthorized",
        code: "unauthorized",
        what: "A credential is missing, or one that was sent along is not valid",
        when: always,
    },
    Shared {
        status: 403,
        name: "Forbidden",
        code: "forbidden",
        what: "The caller may not do this: it is no administrator, or a page of an origin that is not allowed",
        when: |f| f.is_mutating() || f.path.starts_with("/admin/"),
    },
    Shared {
        status: 408,
        name: "RequestTimeout",
        code: "invalid_message",
        what: "The body did not arrive within server.body_timeout",
        when: |f| f.has_body(),
    },
    Shared {
        status: 413,
        name: "ContentTooLarge",
        code: "message_too_large",
        what: "The body is larger than the limit of this route",
        when: always,
    },
    Shared {
        status: 414,
        name: "UriTooLong",
        code: "invalid_field",
        what: "The request's target is longer than 8 KiB",
        when: always,
    },
    Shared {
        status: 415,
        name: "UnsupportedMediaType",
        code: "unsupported_media_type",
        what: "The body is of another type than the route takes, or has a Content-Encoding",
        when: |f| f.has_body(),
    },
    Shared {
        status: 429,
        name: "TooManyRequests",
        code: "rate_limited",
        what: "The caller or its address is over a limit; Retry-After says when to retry",
        when: always,
    },
    Shared {
        status: 431,
        name: "HeaderFieldsTooLarge",
        code: "invalid_field",
        what: "The request's head has too many fields or bytes",
        when: always,
    },
    Shared {
        status: 500,
        name: "Internal",
        code: "internal",
        what: "The server failed; its log has the details under the request's id",
        when: always,
    },
    Shared {
        status: 503,
        name: "Unavailable",
        code: "server_shutdown",
        what: "The server is full, shutting down, or lacks a component it needs; Retry-After says when to retry",
        when: always,
    },
];

/// `components.responses`.
pub(super) fn shared() -> Value {
    let one = |s: &Shared| {
        (s.name.to_owned(), json!({ "description": s.what, "content": content(s.status, s.code) }))
    };
    SHARED.iter().map(one).collect::<Map<_, _>>().into()
}

/// Adds the body to a route's own refusals, and those that follow from its declaration.
pub(super) fn complete(path: &str, method: &str, operation: &mut Value) {
    let facts = Facts { path, method, operation };
    let following: Vec<_> = SHARED.iter().filter(|s| (s.when)(&facts)).collect();
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, response) in responses.iter_mut() {
        let Some(status) = status.parse().ok().filter(|s| (400..600).contains(s)) else { continue };
        if response.get("$ref").is_none() {
            response["content"] = content(status, code_of(status));
        }
    }
    for shared in following {
        let to = format!("#/components/responses/{}", shared.name);
        responses.entry(shared.status.to_string()).or_insert_with(|| json!({ "$ref": to }));
    }
    responses.sort_keys();
}

/// A code of responses with this status.
fn code_of(status: u16) -> &'static str {
    match status {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        408 => "invalid_message",
        409 => "conflict",
        413 => "message_too_large",
        415 => "unsupported_media_type",
        426 => "upgrade_required",
        429 => "rate_limited",
        500 => "internal",
        503 => "unavailable",
        _ => "invalid_field",
    }
}

fn content(status: u16, code: &str) -> Value {
    let title = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
    let remedy = ErrorCode::ALL.iter().find(|c| c.name().eq_ignore_ascii_case(code)).map(|c| c.remedy());
    let example = json!({ "type": format!("/docs#{code}"), "title": title, "status": status,
        "detail": remedy.unwrap_or("What was wrong and what to do"), "code": code, "request_id": "1m7z92xkb0000vy28855" });
    json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" }, "example": example } })
}

/// Lists all codes in the schema of problems.
pub(super) fn name_all_codes(document: &mut Value) {
    let mut codes: Vec<String> = ErrorCode::ALL.iter().map(|code| code.name().to_ascii_lowercase()).collect();
    let own = OWN_CODES.iter().filter(|own| !codes.iter().any(|c| c == *own)).map(|own| (*own).to_owned());
    let own: Vec<_> = own.collect();
    codes.extend(own);
    if let Some(code) = document.pointer_mut("/components/schemas/Problem/properties/code") {
        code["enum"] = codes.into();
    }
}
