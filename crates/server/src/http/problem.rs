//! Errors over HTTP: RFC 9457 `application/problem+json` with the wire's codes in lower_snake_case.
//!
//! A handler returns a [`Problem`]; the outermost layer writes its body, because only it knows the request's id.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fanfare_core::model::{ErrorCode, Refusal};
use serde::Serialize;
use std::borrow::Cow;

/// An error response before its body is written.
#[derive(Clone, Debug)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// lower_snake_case.
    pub code: Cow<'static, str>,
    /// What was wrong and what to do.
    pub detail: Cow<'static, str>,
    /// The invalid field.
    pub field: Option<&'static str>,
    /// Milliseconds until a retry can succeed.
    pub retry_after_ms: Option<u64>,
    /// Further headers of the response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body of a problem (RFC 9457).
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Identifies the kind of problem; a page of the documentation.
    #[serde(rename = "type")]
    #[schema(example = "/docs#topic_not_found")]
    kind: String,
    /// The status in words.
    #[schema(example = "Not Found")]
    title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// What was wrong and what to do.
    detail: String,
    /// One of the documented codes.
    #[schema(example = "topic_not_found")]
    code: String,
    /// The request's id, as in `X-Request-Id` and the log.
    request_id: String,
    /// The invalid fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
}

/// An invalid field.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct FieldProblem {
    /// Its name.
    field: String,
    /// The rule it breaks.
    constraint: String,
    /// What to do.
    message: String,
}

impl Problem {
    /// A problem with a code used by HTTP only.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            field: None,
            retry_after_ms: None,
            headers: Vec::new(),
        }
    }

    /// An invalid body, parameter or header.
    pub fn invalid(field: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Refusal::new(ErrorCode::InvalidField, detail).field(field).into()
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// Sets another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The body's text.
    pub(super) fn body(&self, request_id: &str) -> String {
        let code = self.code.to_string();
        let errors = self.field.map(|field| FieldProblem {
            field: field.to_owned(),
            constraint: code.clone(),
            message: self.detail.to_string(),
        });
        let body = ProblemBody {
            kind: format!("/docs#{code}"),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.to_string(),
            code,
            request_id: request_id.to_owned(),
            errors: errors.into_iter().collect(),
        };
        serde_json::to_string(&body).unwrap_or_default()
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status =
            StatusCode::from_u16(refusal.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut problem = Self::new(status, "", refusal.message);
        problem.code = refusal.code.name().to_ascii_lowercase().into();
        problem.field = refusal.field;
        problem.retry_after_ms = refusal.retry_after_ms;
        if status == StatusCode::UNAUTHORIZED {
            problem = problem.with(header::WWW_AUTHENTICATE, "Bearer");
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        if let Some(ms) = self.retry_after_ms {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// No such route.
pub(super) async fn not_found() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing under this path; /docs lists what there is",
    )
}

/// The route exists, the method does not. The router adds `Allow`.
pub(super) async fn method_not_allowed() -> Problem {
    no_such_method()
}

/// As [`method_not_allowed`], for a decision in the layer.
pub(super) fn no_such_method() -> Problem {
    let detail = "this path does not support this method; Allow lists those it supports";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
