//! Violations of a params schema, worded as in the seed.

use fanfare_json::RawBuf;
use serde::Serialize;

/// The `data` of an Invalid params error (`protocol.md` 4, seed 000 "Error Response Format").
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// The param at fault; `a.b` and `a[0]` for nested values.
    pub field: String,
    /// `required`, `unknown`, `type=<t>`, `min=…`, `max=…`, `oneof=a b` or `session_code`.
    pub constraint: String,
    /// The value as it was sent; null when there is none.
    pub value: Option<RawBuf>,
    /// One sentence.
    pub message: String,
}

impl Violation {
    /// The violation of a missing required param.
    pub fn required(field: &str) -> Self {
        Self::new(field.into(), "required", None, "is required")
    }

    /// The violation of a method's own rule; the message is the field's name and then `rest`: `"must come before
    /// until"`.
    pub fn rule(field: &str, constraint: &str, value: Option<RawBuf>, rest: &str) -> Self {
        Self { value, ..Self::new(field.into(), constraint, None, rest) }
    }

    /// `value` is JSON.
    pub(crate) fn new(field: String, constraint: impl Into<String>, value: Option<&str>, rest: &str) -> Self {
        let message = format!("{field} {rest}");
        let value = value.and_then(|v| RawBuf::new(v).ok());
        Self { field, constraint: constraint.into(), value, message }
    }

    /// The object of the four members.
    pub(crate) fn json(&self) -> String {
        fanfare_json::to_string(self).unwrap_or_default()
    }
}
