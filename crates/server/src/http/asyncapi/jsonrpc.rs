//! Every message of the JSON-RPC dialect (`protocol.md` 4): the registry's methods with their responses, and the
//! notifications.

use super::message::{From, Member, Message, literal, may, must, object, one_of, string, time, written};
use super::samples::{self, AT};
use super::typed::{
    event_members, info_members, info_summary, record_body, record_members, session_members, welcome_members,
};
use fanfare_core::model::{Body, ErrorCode};
use fanfare_dialects::Dialect;
use fanfare_dialects::jsonrpc::{self, JsonRpc};
use fanfare_json::RawBuf;
use serde_json::{Map, Value, json};

/// The specification's own errors, by number and name.
const STANDARD: [(i32, &str); 5] = [
    (jsonrpc::PARSE_ERROR, "Parse error"),
    (jsonrpc::INVALID_REQUEST, "Invalid Request"),
    (jsonrpc::METHOD_NOT_FOUND, "Method not found"),
    (jsonrpc::INVALID_PARAMS, "Invalid params"),
    (jsonrpc::INTERNAL_ERROR, "Internal error"),
];

/// All messages; `openrpc` is the registry's document.
pub(super) fn messages(openrpc: &Value) -> Vec<Message> {
    let methods = openrpc["methods"].as_array();
    let mut all: Vec<_> =
        methods.into_iter().flatten().enumerate().flat_map(|(n, m)| method(n + 1, m)).collect();
    all.push(error());
    all.extend(unsolicited());
    all
}

/// The name of a method's messages in the document.
fn key(method: &str, what: &str) -> String {
    format!("jsonrpc.{method}.{what}")
}

/// A method's request and its response.
fn method(id: usize, method: &Value) -> [Message; 2] {
    let name = method["name"].as_str().unwrap_or_default();
    let summary = method["summary"].as_str().unwrap_or_default();
    let example = &method["examples"][0];
    let params: Map<String, Value> = example["params"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|p| Some((p["name"].as_str()?.to_owned(), p["value"].clone())))
        .collect();
    let mut call = json!({ "jsonrpc": "2.0", "id": id, "method": name });
    if !params.is_empty() {
        call["params"] = params.into();
    }
    let result = example["result"]["value"].to_string();
    let raw_id = RawBuf::new(id.to_string()).ok();
    let response = written(|out| {
        jsonrpc::open_result(out, raw_id.as_ref().map(RawBuf::as_raw));
        out.extend_from_slice(result.as_bytes());
        jsonrpc::close_result(out);
    });
    let request = Message::new(key(name, "request"), From::Client(&[]), "Methods")
        .says(name, summary)
        .schema(message([must("method", literal(name)), params_schema(method), may("id", id_schema())]))
        .example("a call", call);
    let answer = Message::new(key(name, "result"), From::Reply, "Results")
        .says(format!("result of {name}"), "The method was carried out")
        .schema(message([must("id", id_schema()), must("result", method["result"]["schema"].clone())]))
        .example("a result", response);
    [request, answer]
}

fn message(members: impl IntoIterator<Item = Member>) -> Value {
    object(std::iter::once(must("jsonrpc", literal("2.0"))).chain(members))
}

fn id_schema() -> Value {
    json!({ "type": ["string", "number", "null"], "description": "Returned unchanged; without it there is no response" })
}

/// Named params, or the same in order where the method accepts them by position.
fn params_schema(method: &Value) -> Member {
    let (mut properties, mut required, mut in_order) = (Map::new(), Vec::new(), Vec::new());
    for param in method["params"].as_array().into_iter().flatten() {
        let name = param["name"].as_str().unwrap_or_default();
        properties.insert(name.to_owned(), param["schema"].clone());
        in_order.push(param["schema"].clone());
        if param["required"] == true {
            required.push(name);
        }
    }
    let needed = required.len();
    let named = json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false });
    let schema = match (method["paramStructure"] == "by-name", in_order.is_empty()) {
        (true, _) => json!({ "oneOf": [named, { "type": "array" }] }),
        (false, true) => json!({ "oneOf": [named, { "type": "array", "maxItems": 0 }] }),
        (false, false) => {
            let most = in_order.len();
            json!({ "oneOf": [named, { "type": "array", "items": in_order, "minItems": needed, "maxItems": most }] })
        }
    };
    if needed == 0 { may("params", schema) } else { must("params", schema) }
}

/// One message for all errors: each has the same members.
fn error() -> Message {
    let names: Vec<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
    let data = object([
        may("code", one_of(&names, "The typed dialect's code")),
        may("field", string("The param at fault")),
        may("constraint", string("The rule it breaks")),
        may("value", json!({ "description": "What was sent" })),
        may("message", string("What to do, for people")),
        may("retry_after_ms", json!({ "type": "integer", "minimum": 0 })),
        may("correlation_id", string("Where the log has the details")),
    ]);
    let error = object([
        must(
            "code",
            json!({ "type": "integer", "description": "Of the specification, or -32099 to -32000" }),
        ),
        must("message", string("For people")),
        may("data", data),
    ]);
    let mut all = Message::new("jsonrpc.error", From::Reply, "Errors")
        .says("error", "A request was refused and nothing was changed")
        .schema(message([must("id", id_schema()), must("error", error)]));
    for (code, name) in STANDARD {
        let data = (code == jsonrpc::INVALID_PARAMS).then_some(
            r#"{"field":"field1","constraint":"min=3","value":"ab","message":"field1 must be at least 3 characters"}"#,
        );
        all = all.example(name, written(|out| jsonrpc::error(out, None, code, data)));
    }
    samples::refusals().fold(all, |all, refusal| {
        all.example(refusal.code.name(), written(|out| jsonrpc::refusal(out, None, &refusal)))
    })
}

/// A notification of the server.
fn notification(
    key: &str,
    method: &str,
    params: impl IntoIterator<Item = Member>,
    group: &'static str,
) -> Message {
    Message::new(format!("jsonrpc.{key}"), From::Server, group)
        .schema(message([must("method", literal(method)), must("params", object(params))]))
}

fn unsolicited() -> Vec<Message> {
    let names: Vec<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
    let slow = samples::refusals().filter(|r| r.code == ErrorCode::SlowConsumer);
    let error = [
        must("code", one_of(&names, "What was wrong")),
        must("message", string("For people")),
        must("timestamp", time()),
    ];
    let mut all = vec![
        samples::welcomes().iter().fold(
            notification("session.welcome", "session.welcome", welcome_members(), "Connection")
                .says("session.welcome", "The first message of a connection"),
            |message, (name, welcome)| {
                message.example(*name, written(|out| JsonRpc.welcome(welcome, AT, out)))
            },
        ),
        notification("topic.event", "topic.event", event_members(false), "Topics")
            .says("topic.event", "What was published to a topic")
            .example("an event", written(|out| JsonRpc.event(&samples::event(), out)))
            .example("of a user", written(|out| JsonRpc.event(&samples::users_event(), out))),
        samples::records().iter().fold(
            notification(
                "feed.event",
                "feed.event",
                record_members(string("The record's type, as configured")),
                "Feeds",
            )
            .says("feed.event", "A record of a feed"),
            |message, record| {
                message
                    .example(record.kind, written(|out| JsonRpc.body(&Body::feed(&record_body(record)), out)))
            },
        ),
        notification("session.message", "session.message", session_members(), "Connection")
            .says("session.message", "A message of the app's backend to this session or to all")
            .example("a payload", written(|out| JsonRpc.session_message(samples::PAYLOAD, AT, out))),
        slow.fold(
            notification("server.error", "server.error", error, "Errors")
                .says("server.error", "An error that belongs to no request, such as before a close"),
            |message, refusal| {
                message.example(refusal.code.name(), written(|out| JsonRpc.error(&refusal, AT, out)))
            },
        ),
    ];
    all.extend(samples::infos().map(|info| {
        let key = format!("server.info.{}", info.code().to_ascii_lowercase());
        notification(&key, "server.info", info_members(&info), "Notices")
            .says(format!("server.info {}", info.code()), info_summary(&info))
            .example(info.code(), written(|out| JsonRpc.info(&info, AT, out)))
    }));
    all
}
