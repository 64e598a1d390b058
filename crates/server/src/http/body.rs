//! Request bodies and parameters: bounded in size and time, JSON only.

use super::problem::Problem;
use crate::node::Node;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use fanfare_core::model::{ErrorCode, MAX_PAGE_ITEMS, Refusal, TopicRef, page_items};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

/// Reads a JSON body as text within `max` bytes and `server.body_timeout`.
pub(super) async fn json_text(
    node: &Node,
    headers: &HeaderMap,
    body: Body,
    max: usize,
) -> Result<String, Problem> {
    let bytes = json_bytes(node, headers, body, max, &[]).await?;
    String::from_utf8(bytes).map_err(|_| Refusal::new(ErrorCode::InvalidJson, "the body is no UTF-8").into())
}

/// As [`json_text`], but returns the bytes unchanged, and accepts the media types `also` besides JSON's own.
pub(super) async fn json_bytes(
    node: &Node,
    headers: &HeaderMap,
    body: Body,
    max: usize,
    also: &[&str],
) -> Result<Vec<u8>, Problem> {
    if !is_json(headers) && !also.iter().any(|kind| has_media_type(headers, kind)) {
        let detail = "send the body as application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "send the body without Content-Encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|n| n > max) {
        return Err(too_large(max));
    }
    let read = tokio::time::timeout(node.config.server.body_timeout, Limited::new(body, max).collect()).await;
    match read {
        Err(_) => {
            let detail = "the body did not arrive within server.body_timeout";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "invalid_message", detail))
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(max)),
        Ok(Err(_)) => Err(Problem::invalid("body", "the body ended early")),
        Ok(Ok(collected)) => Ok(collected.to_bytes().into()),
    }
}

fn too_large(max: usize) -> Problem {
    Refusal::new(ErrorCode::MessageTooLarge, format!("the body is larger than {max} bytes")).into()
}

/// The media type of a body, in lower case and without parameters, because neither case nor parameters change the type
/// (RFC 9110 section 8.3.1).
fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next()?.trim().to_ascii_lowercase())
}

fn has_media_type(headers: &HeaderMap, kind: &str) -> bool {
    media_type(headers).as_deref() == Some(kind)
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|kind| {
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    })
}

/// Query parameters; an invalid query is a problem like any other.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + IntoParams> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        refuse_other_cursor::<T>(parts.uri.query().unwrap_or_default())?;
        read_query(parts, state).await.map(Self)
    }
}

/// Query parameters as pairs, for a route that reports invalid ones itself.
pub(super) struct Pairs(pub(super) Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Pairs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        read_query(parts, state).await.map(Self)
    }
}

async fn read_query<S: Send + Sync, T: DeserializeOwned>(parts: &mut Parts, state: &S) -> Result<T, Problem> {
    match Query::<T>::from_request_parts(parts, state).await {
        Ok(Query(params)) => Ok(params),
        Err(error) => Err(Problem::invalid("query", error.body_text())),
    }
}

/// Rejects the cursor of the direction that a list does not support. If it were ignored, every request would return the
/// first page.
fn refuse_other_cursor<T: IntoParams>(query: &str) -> Result<(), Problem> {
    for cursor in ["before", "after"] {
        let is_given = query.split('&').any(|pair| pair.split('=').next() == Some(cursor));
        if is_given && !T::into_params(|| None).iter().any(|param| param.name == cursor) {
            return Err(Problem::invalid(
                cursor,
                format!("this list has no {cursor}: its `next` has the next page"),
            ));
        }
    }
    Ok(())
}

/// The one parameter of a path, as text.
pub(super) struct PathText(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::invalid("path", "the path is no percent-encoded UTF-8"))?;
        Ok(Self(text))
    }
}

/// A topic's name in the path, checked.
pub(super) struct TopicName(pub(super) TopicRef<'static>);

impl<S: Send + Sync> FromRequestParts<S> for TopicName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(TopicRef::parse(name)?)),
            Err(_) => Err(Refusal::new(ErrorCode::InvalidTopic, "the name is no percent-encoded UTF-8")
                .field("name")
                .into()),
        }
    }
}

/// Reads `?limit=`: digits from 1 on; more than a page's maximum is clamped.
pub(super) fn page_size(limit: Option<&str>) -> Result<usize, Problem> {
    let Some(text) = limit else { return Ok(page_items(None)) };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<usize>() {
        Ok(0) => Err(Problem::invalid("limit", "limit is a number from 1 on")),
        Ok(n) => Ok(page_items(Some(n))),
        Err(_) if digits => Ok(MAX_PAGE_ITEMS),
        Err(_) => Err(Problem::invalid("limit", "limit is a number from 1 on")),
    }
}

/// Cuts rows to a page of `limit`, of which one more was queried; returns the cursor of the next page, if there is one.
pub(super) fn cut<T, C>(rows: &mut Vec<T>, limit: usize, cursor: impl FnOnce(&T) -> C) -> Option<C> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    if more { rows.last().map(cursor) } else { None }
}

/// Reads an offset parameter: digits; a number beyond the largest offset counts as the largest.
pub(super) fn offset(name: &'static str, text: Option<&str>) -> Result<Option<u64>, Problem> {
    match text {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(n) => Ok(Some(n)),
            Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(u64::MAX)),
            Err(_) => Err(Problem::invalid(name, format!("{name} is an offset, an unsigned integer"))),
        },
    }
}
