//! `/asyncapi.json`: the sockets and every frame of both dialects as an AsyncAPI 3 document.
//!
//! ```text
//! samples ─ encoders of the dialects ─┐
//! registry ─ openrpc document ────────┼─ messages ─ channels, operations ─ document
//! frames clients send ─ (decoded in a test)
//! ```
//!
//! Invariants: each frame the server writes or reads is one [`message::Message`], its example is what the encoder
//! writes or the decoder accepts, and each socket of `/openapi.json` is a channel. `tests.rs` checks this against the
//! code, the integration tests against a running server.

mod jsonrpc;
mod message;
mod samples;
mod typed;

use message::{From, Message};
use serde_json::{Map, Value, json};

/// A socket: the name of its channel, its path, its description, and its messages.
type Socket = (&'static str, &'static str, &'static str, fn(&Message) -> bool);

const SOCKETS: [Socket; 3] = [
    ("ws", "/ws", "The main socket: the typed dialect, or JSON-RPC by subprotocol or first frame", |m| {
        !is_notice(m)
    }),
    ("rpc", "/rpc", "JSON-RPC 2.0 only", |m| m.key.starts_with("jsonrpc.") && !is_notice(m)),
    ("system", "/ws/system", "Account-wide notices for logged-in users; it accepts only ping", is_system),
];

/// Notices of admins and alerts of feeds are sent on the system socket only.
fn is_notice(message: &Message) -> bool {
    message.key.ends_with(".info.notice") || message.key.ends_with(".info.feed_lag")
}

fn is_system(message: &Message) -> bool {
    const ASKED: [&str; 4] = ["typed.ping", "typed.pong", "typed.error", "jsonrpc.error"];
    const UNASKED: [&str; 4] =
        ["typed.welcome", "typed.session_message", "jsonrpc.session.", "jsonrpc.server."];
    let key = message.key.as_str();
    match message.from {
        From::Server => UNASKED.iter().any(|k| key.starts_with(k)) || key.starts_with("typed.info."),
        _ => ASKED.contains(&key),
    }
}

/// Creates the document; `openrpc` is the registry's.
pub(super) fn document(openrpc: &str) -> Value {
    let openrpc: Value = serde_json::from_str(openrpc).unwrap_or_default();
    let messages = all(&openrpc);
    let (mut channels, mut operations, mut components) = (Map::new(), Map::new(), Map::new());
    for (channel, path, what, goes) in SOCKETS {
        let spoken: Vec<_> = messages.iter().filter(|m| goes(m)).collect();
        channels.insert(channel.into(), socket(path, what, &spoken));
        operations.extend(spoken.iter().filter_map(|m| operation(channel, m)));
    }
    for message in &messages {
        components.insert(message.key.clone(), message.document());
    }
    json!({
        "asyncapi": "3.0.0",
        "id": "urn:fanfare",
        "info": info(),
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": components, "securitySchemes": security() },
    })
}

fn all(openrpc: &Value) -> Vec<Message> {
    let mut all = typed::messages();
    all.extend(jsonrpc::messages(openrpc));
    all
}

fn info() -> Value {
    json!({
        "title": "Fanfare",
        "version": crate::VERSION,
        "description": "The WebSockets of Fanfare: every frame of the typed dialect and of JSON-RPC 2.0. Every client frame \
            gets exactly one reply. The HTTP routes are in /openapi.json, the methods alone in /openrpc.json.",
        "license": { "name": "Apache-2.0 OR MIT" },
        "tags": [{ "name": "WebSocket" }],
    })
}

/// The credentials of a connection; anonymous sockets are allowed unless `auth.require` is on.
fn security() -> Value {
    json!({
        "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
        "ticket": { "type": "httpApiKey", "in": "query", "name": "ticket", "description": "Good once, for 30 s" },
        "token": { "type": "httpApiKey", "in": "query", "name": "token", "description": "A JWT, where auth.allow_query_token is on" },
    })
}

fn socket(path: &str, what: &str, spoken: &[&Message]) -> Value {
    let messages: Map<String, Value> = spoken
        .iter()
        .map(|m| (m.key.clone(), json!({ "$ref": format!("#/components/messages/{}", m.key) })))
        .collect();
    let text = |what: &str| json!({ "type": "string", "description": what });
    let query = json!({ "type": "object", "properties": {
        "session": text("Code of the session to resume"),
        "resume": text("Its resume token"),
        "ticket": text("A one-time ticket"),
        "token": text("A JWT access token"),
    } });
    json!({
        "address": path,
        "description": what,
        "messages": messages,
        "bindings": { "ws": { "method": "GET", "query": query, "bindingVersion": "0.1.0" } },
    })
}

/// The operation of a message on a channel. A reply has none of its own: it belongs to its request.
fn operation(channel: &str, message: &Message) -> Option<(String, Value)> {
    let at = json!({ "$ref": format!("#/channels/{channel}") });
    let place = |key: &str| json!({ "$ref": format!("#/channels/{channel}/messages/{key}") });
    let key = &message.key;
    let operation = match message.from {
        From::Reply => return None,
        From::Server => json!({ "action": "send", "channel": at, "messages": [place(key)] }),
        From::Client(replies) => {
            let (dialect, _) = key.split_once('.')?;
            let result = key.strip_suffix(".request").map(|method| format!("{method}.result"));
            let mut replies: Vec<Value> =
                replies.iter().copied().chain(result.as_deref()).map(place).collect();
            replies.push(place(&format!("{dialect}.error")));
            let reply = json!({ "channel": at, "messages": replies });
            json!({ "action": "receive", "channel": at, "messages": [place(key)], "reply": reply })
        }
    };
    Some((format!("{channel}.{key}"), operation))
}

#[cfg(test)]
mod tests;
