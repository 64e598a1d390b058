//! One schema for both the documents and the checks.
//!
//! `schemars` generates the JSON Schema of a type; [`Shape`] is that schema compiled. A keyword that the compiler does
//! not support is an error when the registry is built, so nothing is published that is not enforced. Checks run on raw
//! JSON text, which gives the exact value at fault; the typed value is created after.

mod check;
mod compile;
mod publish;
mod violation;

pub(crate) use check::{Scope, Seen, elements, members, push_member};
pub(crate) use compile::{Field, Kind, Shape};
pub(crate) use publish::published;
pub use violation::Violation;

use fanfare_core::session::SessionCode;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;

/// A type's schema cannot be enforced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {why}")]
pub struct SchemaError {
    /// The place in the schema.
    pub at: String,
    /// The error.
    pub why: String,
}

/// The schema of a type as it is read (params) or written (results), JSON Schema draft 7 with all definitions inline,
/// which OpenRPC tools understand.
pub(crate) fn schema_of<T: JsonSchema>(written: bool) -> Value {
    let settings = SchemaSettings::draft07().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let settings = if written { settings.for_serialize() } else { settings };
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    let mut schema = schema.to_value();
    if !written {
        allow_null_for_absent(&mut schema);
    }
    schema
}

/// Allows `null` for an absent optional member, at every depth (`protocol.md` 3), as the server reads what clients
/// send. Payloads, where `null` is a value, have no type and are unchanged.
pub fn allow_null_for_absent(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    let required = members.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| required.as_array().is_some_and(|all| all.iter().any(|r| r == name));
    for (name, property) in members.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten()
    {
        allow_null_for_absent(property);
        if !is_required(name) && property.get(OPAQUE).is_none() {
            add_null(property);
        }
    }
    for inner in ["items", "additionalProperties"] {
        members.get_mut(inner).into_iter().for_each(allow_null_for_absent);
    }
    for options in ["oneOf", "anyOf"] {
        members
            .get_mut(options)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .for_each(allow_null_for_absent);
    }
}

/// Makes a schema accept `null` too.
fn add_null(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    if let Some(only) = members.remove("const") {
        members.insert("enum".into(), Value::Array(vec![only]));
    }
    if let Some(Value::Array(choices)) = members.get_mut("enum")
        && !choices.contains(&Value::Null)
    {
        choices.push(Value::Null);
    }
    match members.get_mut("type") {
        Some(Value::Array(types)) if !types.iter().any(|t| t == "null") => types.push("null".into()),
        Some(one @ Value::String(_)) if one != "null" => *one = Value::Array(vec![one.take(), "null".into()]),
        _ => {}
    }
    for options in ["oneOf", "anyOf"] {
        let null = json!({ "type": "null" });
        if let Some(options) = members.get_mut(options).and_then(Value::as_array_mut)
            && !options.contains(&null)
        {
            options.push(null);
        }
    }
}

/// Marks a param whose JSON is passed on and not interpreted: topic payloads.
pub(crate) const OPAQUE: &str = "x-opaque";
/// Bounds a string in bytes instead of characters.
pub(crate) const MAX_BYTES: &str = "x-max-bytes";
/// Set on the params of a security method: a repeated member is refused instead of the last one counting.
pub(crate) const STRICT: &str = "x-strict";
/// The format of [`SessionCodeText`].
pub(crate) const SESSION_CODE: &str = "session_code";

/// A string of the form `adjective-animal-number` in any case: the seed's `session_code` validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionCodeText(String);

impl SessionCodeText {
    /// The text as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for SessionCodeText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if SessionCode::has_form(&text) {
            Ok(Self(text))
        } else {
            Err(serde::de::Error::custom("no session code"))
        }
    }
}

impl JsonSchema for SessionCodeText {
    fn schema_name() -> Cow<'static, str> {
        "SessionCode".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": SESSION_CODE })
    }
}
