//! Completes the routes' declarations to a whole document: general facts, credentials, refusals and examples.
//!
//! A route declares its parameters, its body, its responses, and of the refusals only its own, by status and sentence:
//! `(status = 404, description = "No such topic")`. The body of every refusal, the refusals that follow from the rest
//! of the declaration, and examples where the schema's own do not suffice are added here, for all routes alike.

use super::super::layer;
use super::{examples, refusals};
use serde_json::{Map, Value, json};

/// Headings, in the order they are shown.
const TAGS: [(&str, &str); 14] = [
    (
        "Topics",
        "Publish, subscribe and history over REST: the same topics, checks and codes as on the sockets.",
    ),
    (
        "Feeds",
        "Records from Kafka, fanned out to channels: what is read, how far behind, and the last of each.",
    ),
    (
        "Sockets",
        "Where WebSockets begin, and JSON-RPC over HTTP. /asyncapi.json has every frame, /openrpc.json every method.",
    ),
    ("Sessions", "Messages from the app's backend to its sessions."),
    ("Accounts", "Registration, login and what belongs to a login."),
    ("Directory", "Users and their public keys."),
    ("Direct messages", "End-to-end encrypted messages between users."),
    ("Channels", "Chat channels."),
    ("Files", "Uploads and downloads."),
    ("Sketches", "Shared drawings."),
    ("Admin", "For operators: connections, users, the audit log, notices."),
    ("Liveness", "Whether the node runs, accepts connections and is healthy."),
    ("Observability", "Figures of the node."),
    ("Documents", "The interfaces for machines. /docs shows them to people."),
];

/// Members of a path item that are operations.
pub(super) const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Completes the routes' declarations.
pub(super) fn finish(mut document: Value) -> Value {
    document["info"] = json!({
        "title": "Fanfare",
        "version": crate::VERSION,
        "description": "A real-time backend in one binary. Errors are RFC 9457 problem documents whose `code` is one of those \
            listed under Problem. Every response has `X-Request-Id`. The pages under / and /docs are not part of it.",
        "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        "contact": { "name": "The Fanfare maintainers" },
    });
    document["components"]["securitySchemes"] = credentials();
    refusals::name_all_codes(&mut document);
    document["components"]["responses"] = refusals::shared();
    let mut paths = document["paths"].take();
    for (path, method, operation) in operations(&mut paths) {
        if operation.get("security").is_none() {
            operation["security"] = usual(path, method);
        }
        plain_integers(operation);
        no_null_body(operation);
        refusals::complete(path, method, operation);
        examples::complete(operation, &document);
    }
    document["tags"] = used_tags(&mut paths);
    document["paths"] = paths;
    document
}

/// Every operation with its path and method.
pub(super) fn operations(paths: &mut Value) -> impl Iterator<Item = (&str, &str, &mut Value)> {
    let items = paths.as_object_mut().into_iter().flatten();
    items.flat_map(|(path, item)| {
        let operations = item.as_object_mut().into_iter().flatten();
        operations
            .filter(|(method, _)| METHODS.contains(&method.as_str()))
            .map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

fn used_tags(paths: &mut Value) -> Value {
    let used: Vec<String> = operations(paths)
        .flat_map(|(.., op)| op["tags"].as_array().into_iter().flatten())
        .filter_map(|tag| tag.as_str().map(str::to_owned))
        .collect();
    let shown = TAGS.iter().filter(|(name, _)| used.iter().any(|u| u == name));
    shown.map(|(name, what)| json!({ "name": name, "description": what })).collect()
}

/// The credentials of callers; routes name them in their `security`.
fn credentials() -> Value {
    let key = |place: &str, name: &str, what: &str| json!({ "type": "apiKey", "in": place, "name": name, "description": what });
    json!({
        "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token of POST /auth/login, or of an issuer of auth.issuers" },
        "apiKey": key("header", "X-API-Key", "A key of `fanfare admin create-api-key`, for an app's own backend"),
        "ticket": key("query", "ticket", "Sockets: valid once, for 30 s"),
        "token": key("query", "token", "Sockets: an access token, where auth.allow_query_token is on"),
    })
}

/// Credentials of a route that declares none of its own: of a user if it is about users, else any.
fn usual(path: &str, method: &str) -> Value {
    match (path, method) {
        ("/ws/system", "get") => json!([{ "bearer": [] }, { "ticket": [] }, { "token": [] }]),
        ("/ws" | "/rpc", "get") => json!([{}, { "bearer": [] }, { "ticket": [] }, { "token": [] }]),
        _ if layer::is_public(path) || layer::is_login(path) => json!([]),
        _ if ["/auth/", "/users/", "/messages"].iter().any(|p| path.starts_with(p)) => {
            json!([{ "bearer": [] }])
        }
        _ if path.starts_with("/sessions/") => json!([{ "bearer": [] }, { "apiKey": [] }]),
        _ => json!([{}, { "bearer": [] }, { "apiKey": [] }]),
    }
}

/// Removes the machine word's bounds from a number in the query: a too large one is clamped.
fn plain_integers(operation: &mut Value) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(schema) = parameter["schema"].as_object_mut() {
            schema.remove("format");
            not_null(schema);
        }
    }
}

/// An optional body is present or absent, never null.
fn no_null_body(operation: &mut Value) {
    let media = operation.pointer_mut("/requestBody/content").and_then(Value::as_object_mut);
    for media in media.into_iter().flat_map(|content| content.values_mut()) {
        let given = media["schema"]
            .get("oneOf")
            .and_then(Value::as_array)
            .map(|all| all.iter().filter(|one| one["type"] != "null"));
        if let Some(one) = given.and_then(|mut given| given.next()).cloned() {
            media["schema"] = one;
        }
    }
}

/// A parameter is present or absent; a query has no null.
fn not_null(schema: &mut Map<String, Value>) {
    let one = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().find(|k| *k != "null").cloned(),
        _ => None,
    };
    if let Some(kind) = one {
        schema.insert("type".into(), kind);
    }
}
