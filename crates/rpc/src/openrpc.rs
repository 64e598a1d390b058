//! The OpenRPC 1.4 document, generated from the registry, and the method that returns it.

use crate::access::Access;
use crate::caller::Caller;
use crate::entry::Entry;
use crate::method::NoParams;
use crate::method::{Example, Method, Positional};
use crate::registry::Documents;
use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_dialects::jsonrpc::{INTERNAL_ERROR, INVALID_PARAMS};
use fanfare_json::RawBuf;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// `rpc.discover`, the name OpenRPC gives it.
pub(crate) struct Discover(pub Arc<OnceLock<Documents>>);

/// The document's JSON.
#[derive(Serialize)]
pub(crate) struct Document(Option<RawBuf>);

impl JsonSchema for Document {
    fn schema_name() -> Cow<'static, str> {
        "OpenRpcDocument".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

impl Method for Discover {
    const NAME: &'static str = "rpc.discover";
    const SUMMARY: &'static str =
        "The OpenRPC document of this server: every method with its params and result";
    const ACCESS: Access = Access::OPEN;
    type Params<'a> = NoParams;
    type Result = Document;

    fn example() -> Example {
        Example::new(
            json!({}),
            json!({ "openrpc": "1.4.0", "info": { "title": "Fanfare", "version": "0.1.0" }, "methods": [] }),
        )
    }

    fn call(&self, _: &mut dyn Caller, _: NoParams) -> Result<Document, Refusal> {
        Ok(Document(self.0.get().map(|d| d.openrpc.clone())))
    }
}

/// Generates the document of these methods.
pub(crate) fn document(version: &str, entries: &[&Entry]) -> RawBuf {
    let document = json!({
        "openrpc": "1.4.0",
        "info": {
            "title": "Fanfare",
            "description": "Every method of Fanfare, on the WebSockets `/rpc` and `/ws` and by `POST /rpc`. Deliveries come as \
                notifications: `session.welcome`, `topic.event`, `feed.event`, `server.info`, `session.message`.",
            "version": version,
        },
        "methods": entries.iter().map(|e| method(e)).collect::<Vec<_>>(),
        "components": { "errors": errors() },
    });
    RawBuf::new(document.to_string()).unwrap_or_default()
}

fn method(entry: &Entry) -> Value {
    let empty = serde_json::Map::new();
    let properties = entry.params_schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required = entry.params_schema.get("required").and_then(Value::as_array);
    let params: Vec<Value> = properties
        .iter()
        .map(|(name, schema)| {
            let mut param = json!({
                "name": name,
                "required": required.is_some_and(|r| r.contains(&json!(name))),
                "schema": schema,
            });
            if let Some(text) = schema.get("description") {
                param["description"] = text.clone();
            }
            param
        })
        .collect();
    let structure = match entry.positional {
        Positional::InOrder => "either",
        Positional::Rest => "by-name",
    };
    let mut method = json!({
        "name": entry.name,
        "summary": entry.summary,
        "tags": [{ "name": entry.name.split('.').next().unwrap_or_default() }],
        "params": params,
        "paramStructure": structure,
        "result": { "name": "result", "schema": entry.result_schema },
        "examples": [example(entry)],
    });
    if entry.access.needs_connection() {
        method["x-needs-connection"] = json!(true);
    }
    method
}

fn example(entry: &Entry) -> Value {
    let params = entry.example.params.as_object().into_iter().flatten();
    json!({
        "name": entry.name,
        "params": params.map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>(),
        "result": { "name": "result", "value": entry.example.result },
    })
}

/// The documented errors by the name in their `data.code`.
fn errors() -> Value {
    let mut errors = serde_json::Map::new();
    for code in ErrorCode::ALL.iter().filter(|c| (-32099..=-32000).contains(&c.rpc_number())) {
        let error =
            json!({ "code": code.rpc_number(), "message": code.remedy(), "data": { "code": code.name() } });
        errors.insert(code.name().into(), error);
    }
    let data = json!({ "field": "field1", "constraint": "min=3", "value": "ab",
        "message": "field1 must be at least 3 characters" });
    errors.insert(
        "INVALID_PARAMS".into(),
        json!({ "code": INVALID_PARAMS, "message": "Invalid params", "data": data }),
    );
    let data = json!({ "code": "INTERNAL", "correlation_id": "00000000deadbeef" });
    errors.insert(
        "INTERNAL".into(),
        json!({ "code": INTERNAL_ERROR, "message": "Internal error", "data": data }),
    );
    errors.into()
}
