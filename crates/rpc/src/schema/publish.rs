//! The published form of a schema: the same rules in standard JSON Schema keywords.
//!
//! Tools reject unknown formats and keywords, so the crate's own are converted to standard ones: a session code to a
//! pattern, a bound in bytes to one in characters (which is never stricter), Rust's small integer types to bounds.

use super::compile::bounds;
use super::{MAX_BYTES, OPAQUE, SESSION_CODE, STRICT};
use serde_json::{Map, Value, json};

/// `^[a-z]+-[a-z]+-\d{1,2}$` in any case, written without flags.
const SESSION_CODE_PATTERN: &str = "^[A-Za-z]+-[A-Za-z]+-[0-9]{1,2}$";
/// A larger bound is not a number that every JSON tool can hold.
const MAX_SAFE: i128 = 1 << 53;

/// The published form of an enforced schema.
pub(crate) fn published(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let mut out: Map<String, Value> =
                members.iter().map(|(k, v)| (k.clone(), published(v))).collect();
            standard_words(&mut out);
            spell_out_anything(&mut out);
            out.into()
        }
        Value::Array(several) => several.iter().map(published).collect(),
        other => other.clone(),
    }
}

/// `true`, the schema of any value, is valid but some tools do not support it: they get `{}`.
fn spell_out_anything(schema: &mut Map<String, Value>) {
    let spelled = |place: &mut Value| {
        if *place == Value::Bool(true) {
            *place = json!({});
        }
    };
    schema.get_mut("items").into_iter().for_each(spelled);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(spelled);
    }
}

fn standard_words(schema: &mut Map<String, Value>) {
    schema.remove(OPAQUE);
    schema.remove(STRICT);
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
    if let Some(bytes) = schema.get(MAX_BYTES).filter(|b| b.is_u64()).cloned() {
        schema.remove(MAX_BYTES);
        schema.entry("maxLength").or_insert(bytes);
    }
    let Some(format) = schema.get("format").and_then(Value::as_str).map(str::to_owned) else { return };
    schema.remove("format");
    if format == SESSION_CODE {
        schema.insert("pattern".into(), SESSION_CODE_PATTERN.into());
    }
    if let Some((low, high)) = bounds(&format).filter(|(_, high)| *high < MAX_SAFE) {
        schema.entry("minimum").or_insert(json!(low as i64));
        schema.entry("maximum").or_insert(json!(high as i64));
    }
}

#[cfg(test)]
mod tests {
    use super::published;
    use serde_json::json;

    #[test]
    fn own_keywords_become_standard_ones() {
        let ours = json!({ "type": "object", "x-strict": true, "properties": {
            "code": { "type": "string", "format": "session_code" },
            "topic": { "type": "string", "x-max-bytes": 255 },
            "small": { "type": "integer", "format": "int8", "minimum": 0 },
            "large": { "type": "integer", "format": "uint64", "minimum": 0 },
            "payload": { "x-opaque": true, "default": null },
            "list": { "type": "array", "items": true },
            "any": true,
        } });
        assert_eq!(
            published(&ours),
            json!({ "type": "object", "properties": {
            "code": { "type": "string", "pattern": "^[A-Za-z]+-[A-Za-z]+-[0-9]{1,2}$" },
            "topic": { "type": "string", "maxLength": 255 },
            "small": { "type": "integer", "minimum": 0, "maximum": 127 },
            "large": { "type": "integer", "minimum": 0 },
            "payload": {},
            "list": { "type": "array", "items": {} },
            "any": {},
        } })
        );
    }
}
