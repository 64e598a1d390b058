//! The description of one frame, and the helpers its schema is written with.

use serde_json::{Map, Value, json};

/// The direction of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The client sends it; the names of its possible replies.
    Client(&'static [&'static str]),
    /// The server sends it unsolicited.
    Server,
    /// The server's reply to a client's frame.
    Reply,
}

/// One message of the document.
#[derive(Debug)]
pub(super) struct Message {
    /// Its name in the document; begins with its dialect.
    pub(super) key: String,
    pub(super) from: From,
    /// The name that readers use: the frame's `type`, or the method.
    title: String,
    /// One sentence.
    summary: String,
    /// Its heading.
    group: &'static str,
    /// JSON Schema of the frame.
    pub(super) schema: Value,
    pub(super) examples: Vec<(String, Value)>,
}

impl Message {
    pub(super) fn new(key: impl Into<String>, from: From, group: &'static str) -> Self {
        let key = key.into();
        Self {
            title: key.clone(),
            summary: String::new(),
            schema: json!({}),
            examples: vec![],
            key,
            from,
            group,
        }
    }

    /// Sets title and summary.
    pub(super) fn says(mut self, title: impl Into<String>, summary: impl Into<String>) -> Self {
        (self.title, self.summary) = (title.into(), summary.into());
        self
    }

    pub(super) fn schema(mut self, schema: Value) -> Self {
        self.schema = schema;
        self
    }

    pub(super) fn example(mut self, name: impl Into<String>, frame: Value) -> Self {
        self.examples.push((name.into(), frame));
        self
    }

    pub(super) fn document(&self) -> Value {
        let examples: Vec<_> = self
            .examples
            .iter()
            .map(|(name, payload)| json!({ "name": name, "summary": name, "payload": payload }))
            .collect();
        json!({
            "name": self.title,
            "title": self.title,
            "summary": self.summary,
            "contentType": "application/json",
            "tags": [{ "name": self.group }],
            "payload": self.schema,
            "examples": examples,
        })
    }
}

/// Runs an encoder and reads its output, so that an example is exactly what clients receive.
pub(super) fn written(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    serde_json::from_slice(&out).unwrap_or_default()
}

/// A member of an object, and whether it is always there.
pub(super) struct Member(&'static str, Value, bool);

/// A required member.
pub(super) fn must(name: &'static str, schema: Value) -> Member {
    Member(name, schema, true)
}

/// An optional member.
pub(super) fn may(name: &'static str, schema: Value) -> Member {
    Member(name, schema, false)
}

/// An object with these members; further ones may come with a later version.
pub(super) fn object(members: impl IntoIterator<Item = Member>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for Member(name, schema, always) in members {
        properties.insert(name.into(), schema);
        if always {
            required.push(name);
        }
    }
    json!({ "type": "object", "required": required, "properties": properties })
}

/// The typed dialect's frame of a `type`.
pub(super) fn frame(kind: &str, members: impl IntoIterator<Item = Member>) -> Value {
    object(std::iter::once(must("type", literal(kind))).chain(members))
}

/// Exactly this string.
pub(super) fn literal(text: &str) -> Value {
    json!({ "type": "string", "const": text })
}

/// A string with its description.
pub(super) fn string(what: &str) -> Value {
    json!({ "type": "string", "description": what })
}

/// A non-empty string bounded in bytes of UTF-8, which JSON Schema cannot count: the bound in characters is never stricter.
pub(super) fn bounded(max_bytes: usize, what: &str) -> Value {
    let what = format!("{what}; at most {max_bytes} bytes");
    json!({ "type": "string", "minLength": 1, "maxLength": max_bytes, "description": what })
}

/// A number that counts.
pub(super) fn count(what: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": what })
}

pub(super) fn boolean(what: &str) -> Value {
    json!({ "type": "boolean", "description": what })
}

/// Any JSON value.
pub(super) fn anything(what: &str) -> Value {
    json!({ "description": what })
}

/// RFC 3339 in UTC with milliseconds.
pub(super) fn time() -> Value {
    json!({ "type": "string", "format": "date-time", "description": "RFC 3339, UTC, milliseconds" })
}

/// A topic's name.
pub(super) fn topic() -> Value {
    bounded(fanfare_core::model::MAX_TOPIC_BYTES, "The topic's name")
}

/// A topic's epoch.
pub(super) fn epoch() -> Value {
    string("The topic's epoch: offsets are comparable within one")
}

/// The client's request id, which the reply repeats.
pub(super) fn request_id() -> Member {
    may(
        "request_id",
        json!({ "type": ["string", "integer"], "maxLength": 128, "description": "Comes back in the reply as it was sent" }),
    )
}

/// One of the given names.
pub(super) fn one_of(names: &[&str], what: &str) -> Value {
    json!({ "type": "string", "enum": names, "description": what })
}
