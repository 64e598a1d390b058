//! Bodies of security routes, read strictly: one JSON object, no repeated key at any depth, no lone surrogates.
//!
//! Read without a derive, so that every error names its field and the rule.

use super::MAX_BODY_BYTES;
use crate::http::body;
use crate::http::problem::Problem;
use crate::node::Node;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_dialects::scan::{self, MAX_INTERPRETED_DEPTH};
use fanfare_e2ee::b64;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The members of a body.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a request's body; `known` are the members it may have.
    ///
    /// # Errors
    /// 413, 415, 408, 400.
    pub(super) async fn read(
        node: &Node,
        headers: &HeaderMap,
        content: Body,
        known: &[&'static str],
    ) -> Result<(Self, String), Problem> {
        let text = body::json_text(node, headers, content, MAX_BODY_BYTES).await?;
        Ok((Self::parse(&text, known)?, text))
    }

    /// The same where no body means an empty object.
    pub(super) async fn read_optional(
        node: &Node,
        headers: &HeaderMap,
        content: Body,
        known: &[&'static str],
    ) -> Result<Self, Problem> {
        let length = headers.get(header::CONTENT_LENGTH).map(|v| v.as_bytes() == b"0");
        if length.unwrap_or(!headers.contains_key(header::TRANSFER_ENCODING)) {
            return Ok(Self(Map::new()));
        }
        Ok(Self::read(node, headers, content, known).await?.0)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// 400: no JSON, or an invalid field.
    pub(super) fn parse(text: &str, known: &[&'static str]) -> Result<Self, Problem> {
        let malformed = |why: &'static str| Problem::from(Refusal::new(ErrorCode::InvalidJson, why));
        let parsed: Result<Unique, _> = serde_json::from_str(text);
        let value = match parsed {
            Ok(Unique(value)) => value,
            Err(error) if error.is_data() => return Err(twice(&error.to_string(), known)),
            Err(_) => {
                return Err(malformed(
                    "the body is no valid JSON, or nests too deep, or holds half a surrogate pair",
                ));
            }
        };
        let facts = scan::facts(text);
        if facts.depth > MAX_INTERPRETED_DEPTH {
            return Err(malformed("the body nests deeper than 32 levels"));
        }
        if facts.lone_surrogate {
            return Err(malformed("a string holds half a surrogate pair"));
        }
        let Value::Object(mut members) = value else {
            return Err(Problem::invalid("body", "the body is a JSON object"));
        };
        // Unknown members of a body are ignored (`chat-feeds-cluster.md`); members that only the server sets are never
        // applied.
        members.retain(|name, _| known.contains(&name.as_str()));
        Ok(Self(members))
    }

    /// Whether a member is present and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// A required string.
    pub(super) fn text(&mut self, name: &'static str) -> Result<String, Problem> {
        self.optional(name)?.ok_or_else(|| Problem::invalid(name, format!("{name} is missing")))
    }

    /// An optional string.
    pub(super) fn optional(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Problem::invalid(name, format!("{name} is a string"))),
        }
    }

    /// A member of a merge patch: `None` absent, `Some(None)` null.
    pub(super) fn patch(&mut self, name: &'static str) -> Result<Option<Option<String>>, Problem> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) => Ok(Some(Some(text))),
            Some(_) => Err(Problem::invalid(name, format!("{name} is a string or null"))),
        }
    }

    /// Optional `N` bytes in base64url.
    pub(super) fn bytes<const N: usize>(&mut self, name: &'static str) -> Result<Option<[u8; N]>, Problem> {
        let Some(text) = self.optional(name)? else { return Ok(None) };
        let wrong = || Problem::invalid(name, format!("{name} is {N} bytes in base64url"));
        b64::decode_array::<N>(&text).map(Some).map_err(|_| wrong())
    }
}

/// Converts serde's error for a repeated key to a problem.
fn twice(error: &str, known: &[&'static str]) -> Problem {
    let name = error.split('`').nth(1).unwrap_or_default();
    let field = known.iter().copied().find(|k| *k == name).unwrap_or("body");
    let mut problem =
        Problem::from(Refusal::new(ErrorCode::InvalidJson, "a member comes twice in one object"));
    problem.field = Some(field);
    problem
}

/// JSON in which no object has a key twice.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue).map(Unique)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Unique(item)) = from.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(de::Error::custom(format_args!("duplicate `{name}`")));
            }
            let Unique(value) = from.next_value()?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["username", "key"];

    fn refused(text: &str) -> (String, Option<&'static str>) {
        let problem = Fields::parse(text, KNOWN).unwrap_err();
        (problem.code.into_owned(), problem.field)
    }

    #[test]
    fn ambiguous_bodies_are_refused() {
        let invalid_json = |field| ("invalid_json".to_owned(), field);
        assert_eq!(refused(r#"{"username":"a","username":"b"}"#), invalid_json(Some("username")));
        assert_eq!(refused(r#"{"username":"a","\u0075sername":"b"}"#), invalid_json(Some("username")));
        assert_eq!(refused(r#"{"username":{"x":1,"x":2}}"#), invalid_json(Some("body")));
        assert_eq!(refused(r#"{"username":"\ud800"}"#), invalid_json(None));
        assert_eq!(refused(r#"{"username":"a"} {}"#), invalid_json(None));
        assert_eq!(
            refused(&format!("{{\"username\":{}{}}}", "[".repeat(40), "]".repeat(40))),
            invalid_json(None)
        );
        assert_eq!(refused(""), invalid_json(None));
        assert_eq!(refused("[]"), ("invalid_field".into(), Some("body")));
    }

    #[test]
    fn unknown_members_are_ignored() {
        let mut fields = Fields::parse(r#"{"username":"ann","id":7,"is_admin":true}"#, KNOWN).unwrap();
        assert!(!fields.has("id") && !fields.has("is_admin"));
        assert_eq!(fields.text("username").unwrap(), "ann");
    }

    #[test]
    fn members_are_read_by_their_kind() {
        let mut fields = Fields::parse(r#"{"username":"ann","key":"AAEC"}"#, KNOWN).unwrap();
        assert_eq!(fields.text("username").unwrap(), "ann");
        assert_eq!(fields.bytes::<3>("key").unwrap(), Some([0, 1, 2]));
        assert_eq!(fields.text("username").unwrap_err().field, Some("username"));
        let mut fields = Fields::parse(r#"{"username":null,"key":7}"#, KNOWN).unwrap();
        assert!(!fields.has("username") && fields.optional("username").unwrap().is_none());
        assert_eq!(fields.bytes::<3>("key").unwrap_err().field, Some("key"));
        let mut fields = Fields::parse(r#"{"username":null}"#, KNOWN).unwrap();
        assert_eq!((fields.patch("username").unwrap(), fields.patch("key").unwrap()), (Some(None), None));
    }
}
