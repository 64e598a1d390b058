//! Examples of bodies: the declaration's own if it has one, else generated from the schema and the examples of its
//! members.

use super::resolved;
use serde_json::{Map, Value, json};

/// Maximum nesting: a schema may refer to itself.
const MAX_DEPTH: usize = 8;

/// Adds an example to each body of an operation.
pub(super) fn complete(operation: &mut Value, root: &Value) {
    if let Some(body) = operation.get_mut("requestBody") {
        fill(body, root, true);
    }
    for response in operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        fill(response, root, false);
    }
}

fn fill(body: &mut Value, root: &Value, sent: bool) {
    for (kind, media) in body.get_mut("content").and_then(Value::as_object_mut).into_iter().flatten() {
        let has_one = media.get("example").is_some() || media.get("examples").is_some();
        if has_one || !kind.ends_with("json") {
            continue;
        }
        let example = sample("", &media["schema"], root, sent, 0);
        media["example"] = example;
    }
}

/// A value that matches the schema. A request has only required members and those with an example of their own; a
/// response has every member.
fn sample(name: &str, schema: &Value, root: &Value, sent: bool, depth: usize) -> Value {
    let schema = resolved(schema, root);
    let first = |key: &str| schema.get(key).and_then(|list| list.get(0));
    let own = schema.get("example").or_else(|| first("examples")).or_else(|| schema.get("const"));
    if let Some(value) = own.or_else(|| first("enum")) {
        return value.clone();
    }
    let deeper = |name: &str, schema: &Value| sample(name, schema, root, sent, depth + 1);
    if depth >= MAX_DEPTH {
        return Value::Null;
    }
    for key in ["oneOf", "anyOf"] {
        let one = schema[key].as_array().into_iter().flatten().find(|one| one["type"] != "null");
        if let Some(one) = one {
            return deeper(name, one);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let members = parts.iter().filter_map(|part| deeper(name, part).as_object().cloned());
        return members.flatten().collect::<Map<_, _>>().into();
    }
    match kind(schema) {
        Some("string") => text(name, schema).into(),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => true.into(),
        Some("array") => json!([deeper(name, &schema["items"])]),
        Some("object") => object(schema, sent, deeper),
        _ => json!({ "text": "hello" }),
    }
}

/// The schema's type other than null.
fn kind(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        one => one.as_str(),
    }
}

fn object(schema: &Value, sent: bool, deeper: impl Fn(&str, &Value) -> Value) -> Value {
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let shown = |name: &str, member: &Value| {
        !sent
            || required.contains(&name)
            || member.get("example").is_some()
            || member.get("examples").is_some()
    };
    let mut members: Map<String, Value> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, member)| shown(name, member))
        .map(|(name, member)| (name.clone(), deeper(name, member)))
        .collect();
    if let (true, Some(others)) =
        (members.is_empty(), schema.get("additionalProperties").filter(|a| a.is_object()))
    {
        members.insert("lobby".into(), deeper("lobby", others));
    }
    members.into()
}

/// A plausible string for a member's name; the schema's own example takes precedence.
fn text(name: &str, schema: &Value) -> String {
    let by_format = match schema["format"].as_str() {
        Some("date-time") => Some("2026-11-21T11:21:00.123Z"),
        Some("uuid") => Some("019aa5f0-7c3d-7a51-9d0e-3f6f6f0d2b11"),
        Some("email") => Some("alice@example.org"),
        _ => None,
    };
    let by_name = match name {
        "timestamp" | "created_at" | "last_seen" | "at" => "2026-11-21T11:21:00.123Z",
        "id" | "request_id" => "1m7z92xkb0000vy28855",
        "epoch" => "6b1e0c2f9a3d4e57",
        "topic" | "name" => "lobby",
        "channel" => "dashboard",
        "username" | "user" | "client_id" => "alice",
        "next" => "lobby",
        "kind" => "memory",
        _ => "text",
    };
    if let Some(choice) = schema["pattern"].as_str().and_then(first_choice) {
        return choice.to_owned();
    }
    let least = schema["minLength"].as_u64().unwrap_or(0) as usize;
    let said = by_format.unwrap_or(by_name);
    format!("{said}{}", "x".repeat(least.saturating_sub(said.len())))
}

/// The first choice of a pattern that is only a choice of words: `^(one|other)$`.
fn first_choice(pattern: &str) -> Option<&str> {
    let words = pattern.strip_prefix("^(")?.strip_suffix(")$")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '|');
    words.split('|').next().filter(|_| words.chars().all(plain))
}
