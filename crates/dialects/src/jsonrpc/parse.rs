//! From a text to requests.
//!
//! Where the specification leaves something open: an id that can be read is echoed in every error; a member of the request
//! object that is there twice makes it invalid; unknown members are passed over; in params the registry decides.

use super::envelope;
use crate::scan;
use fanfare_json::Raw;
use std::borrow::Cow;

/// One text of a client.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// A single request, or what is wrong with it; also for a batch that is refused as a whole.
    One(Result<Request<'a>, Fault<'a>>),
    /// The elements of a batch in order; never empty.
    Batch(Vec<Result<Request<'a>, Fault<'a>>>),
}

/// A request object whose form is right. Nothing is known of its method yet, and `params` may still nest too deep or
/// hold halves of surrogate pairs (see [`scan::facts`]).
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The id as it was sent: a string, a number or null. None makes the request a notification.
    pub id: Option<Raw<'a>>,
    /// The method's name.
    pub method: Cow<'a, str>,
    /// An array or an object, if there are any.
    pub params: Option<Raw<'a>>,
}

/// What is no request.
#[derive(Clone, Copy, Debug)]
pub struct Fault<'a> {
    /// Which error it is.
    pub kind: FaultKind,
    /// The id, where one could be read.
    pub id: Option<Raw<'a>>,
}

/// The two errors before a method is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// -32700: no JSON.
    Parse,
    /// -32600: JSON, but no request object.
    Invalid,
}

impl<'a> Fault<'a> {
    /// -32700, which has no id.
    pub const PARSE: Fault<'static> = Fault { kind: FaultKind::Parse, id: None };

    fn invalid(id: Option<Raw<'a>>) -> Self {
        Self { kind: FaultKind::Invalid, id }
    }
}

/// Reads a text. A batch longer than `max_batch` is one invalid request.
pub fn parse(text: &str, max_batch: usize) -> Incoming<'_> {
    match text.trim_start_matches([' ', '\t', '\n', '\r']).as_bytes().first() {
        Some(b'{') => Incoming::One(request(text)),
        Some(b'[') => batch(text, max_batch),
        _ => Incoming::One(Err(match fanfare_json::value(text) {
            Ok(_) => Fault::invalid(None),
            Err(_) => Fault::PARSE,
        })),
    }
}

fn batch(text: &str, max: usize) -> Incoming<'_> {
    match envelope::array(text, max) {
        Err(_) => Incoming::One(Err(Fault::PARSE)),
        Ok((_, count)) if count == 0 || count > max => Incoming::One(Err(Fault::invalid(None))),
        Ok((elements, _)) => Incoming::Batch(elements.into_iter().map(element).collect()),
    }
}

fn element(text: &str) -> Result<Request<'_>, Fault<'_>> {
    if text.starts_with('{') { request(text) } else { Err(Fault::invalid(None)) }
}

fn request(text: &str) -> Result<Request<'_>, Fault<'_>> {
    let found = envelope::object(text).map_err(|_| Fault::PARSE)?;
    if found.twice {
        return Err(Fault::invalid(None));
    }
    if let Some(id) = found.id
        && !is_scalar_id(id)?
    {
        return Err(Fault::invalid(None));
    }
    let invalid = Fault::invalid(found.id);
    let version = found.jsonrpc.ok_or(invalid)?;
    if version.get() != r#""2.0""# && string(version)?.as_deref() != Some("2.0") {
        return Err(invalid);
    }
    let method = string(found.method.ok_or(invalid)?)?.ok_or(invalid)?;
    match found.params {
        Some(params) if !params.get().starts_with(['[', '{']) => Err(invalid),
        params => Ok(Request { id: found.id, method, params }),
    }
}

/// Whether an id is of a kind that ids have; a string must also be Unicode.
fn is_scalar_id(id: Raw<'_>) -> Result<bool, Fault<'static>> {
    match id.get().as_bytes().first() {
        Some(b'"') if scan::facts(id.get()).lone_surrogate => Err(Fault::PARSE),
        Some(b'"' | b'-' | b'0'..=b'9' | b'n') => Ok(true),
        _ => Ok(false),
    }
}

/// The value when it is a string; one that stands for no characters is no JSON to us.
fn string(raw: Raw<'_>) -> Result<Option<Cow<'_, str>>, Fault<'static>> {
    fanfare_json::string(raw.get()).map_err(|_| Fault::PARSE)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
