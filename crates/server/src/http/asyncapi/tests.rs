//! Checks that the document and the code have the same messages.

use super::message::{From, Message};
use super::{all, document};
use crate::node::Node;
use fanfare_core::model::{Command, ErrorCode};
use fanfare_dialects::typed;
use fanfare_rpc::Registry;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

fn registry() -> &'static Registry {
    static NODE: LazyLock<Arc<Node>> =
        LazyLock::new(|| crate::testing::node(|config| config.rpc.test_methods = true).0);
    &NODE.registry
}

fn messages() -> Vec<Message> {
    all(&serde_json::from_str(registry().openrpc_document()).unwrap())
}

fn names<'a>(of: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    of.into_iter().collect()
}

/// The message that documents a command. No wildcard: a new command does not compile until it is named here.
fn shown_by(command: &Command<'_>) -> &'static str {
    match command {
        Command::Subscribe(_) => "typed.subscribe.topic",
        Command::Unsubscribe(_) => "typed.unsubscribe.topic",
        Command::Publish(_) => "typed.publish",
        Command::SubscribeFeed(_) => "typed.subscribe.feed",
        Command::UnsubscribeFeed { .. } => "typed.unsubscribe.feed",
        Command::Authenticate { .. } => "typed.auth",
        Command::Server { .. } => "typed.server",
        Command::Ping => "typed.ping",
    }
}

#[test]
fn client_messages_are_what_the_decoder_accepts() {
    for message in
        messages().iter().filter(|m| m.key.starts_with("typed.") && matches!(m.from, From::Client(_)))
    {
        for (name, frame) in &message.examples {
            let text = frame.to_string();
            let command = typed::decode(&text).command.unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(shown_by(&command), message.key, "{text}");
        }
    }
}

fn takes_null(schema: &Value) -> bool {
    let options = |key: &str| schema[key].as_array().into_iter().flatten();
    schema.get("type").is_none_or(|_| options("type").any(|t| t == "null"))
        && (schema.get("oneOf").is_none() || options("oneOf").any(|o| o["type"] == "null"))
}

/// The optional members of an object's schema.
fn optional(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let is_required =
        move |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|r| r == name));
    let members = schema["properties"].as_object().into_iter().flatten();
    members.filter(move |(name, _)| !is_required(name))
}

/// `protocol.md` 3: `null` for any optional member means absent; a payload that is null is a value.
#[test]
fn null_for_an_optional_member_is_in_the_document_and_means_absent() {
    let mut judged = 0;
    let messages = messages();
    for message in
        messages.iter().filter(|m| m.key.starts_with("typed.") && matches!(m.from, From::Client(_)))
    {
        for (name, member) in optional(&message.schema).filter(|(_, member)| member.get("type").is_some()) {
            assert!(takes_null(member), "{}: {name} {member}", message.key);
            for (_, frame) in &message.examples {
                let (mut null, mut absent) = (frame.clone(), frame.clone());
                null[name] = Value::Null;
                absent.as_object_mut().unwrap().remove(name);
                let (null, absent) = (null.to_string(), absent.to_string());
                assert_eq!(typed::decode(&null).command, typed::decode(&absent).command, "{null}");
            }
            judged += 1;
        }
    }
    assert!(judged > 15, "{judged} members");
    for message in messages.iter().filter(|m| m.key.ends_with(".request")) {
        let params = &message.schema["properties"]["params"]["oneOf"][0];
        for (name, member) in optional(params) {
            assert!(takes_null(member), "{}: {name} {member}", message.key);
        }
    }
}

#[test]
fn a_type_the_decoder_accepts_is_in_the_document() {
    let refusal = typed::decode(r#"{"type":"no such"}"#).command.unwrap_err();
    let (_, listed) = refusal.message.split_once("one of ").unwrap();
    let taken = names(listed.split(", "));
    let messages = messages();
    let shown = messages.iter().filter(|m| matches!(m.from, From::Client(_)) && m.key.starts_with("typed."));
    assert_eq!(names(shown.map(|m| m.schema["properties"]["type"]["const"].as_str().unwrap())), taken);
}

#[test]
fn every_method_has_a_request_and_a_result() {
    let registry = registry();
    let of_registry = names(registry.names());
    let messages = messages();
    for suffix in [".request", ".result"] {
        let shown = messages.iter().filter_map(|m| m.key.strip_prefix("jsonrpc.")?.strip_suffix(suffix));
        assert_eq!(names(shown), of_registry, "{suffix}");
    }
}

#[test]
fn every_code_has_an_example_in_both_dialects() {
    let messages = messages();
    let of = |key: &str| messages.iter().find(|m| m.key == key).unwrap();
    for code in ErrorCode::ALL {
        let typed = of("typed.error").examples.iter().any(|(_, frame)| frame["code"] == code.name());
        let rpc = of("jsonrpc.error")
            .examples
            .iter()
            .any(|(_, frame)| frame["error"]["data"]["code"] == code.name());
        assert!(typed && rpc, "{}", code.name());
    }
}

/// Fails when an object has an unknown member, lacks a required one, or a literal differs.
fn judge(schema: &Value, value: &Value, at: &str) {
    if let Some(literal) = schema.get("const") {
        assert_eq!(value, literal, "{at}");
    }
    let (Some(object), Some(known)) = (value.as_object(), schema["properties"].as_object()) else { return };
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(object.contains_key(required.as_str().unwrap()), "{at} lacks {required}");
    }
    for (name, member) in object {
        let schema =
            known.get(name).unwrap_or_else(|| panic!("{at} has {name}, which the document does not know"));
        judge(schema, member, &format!("{at}.{name}"));
    }
}

#[test]
fn examples_match_their_schemas() {
    for message in messages() {
        assert!(!message.examples.is_empty(), "{} has no example", message.key);
        for (name, frame) in &message.examples {
            assert!(frame.is_object(), "{}, {name}: not written", message.key);
            judge(&message.schema, frame, &message.key);
        }
    }
}

#[test]
fn references_resolve_and_every_message_is_used() {
    let document = document(registry().openrpc_document());
    let (mut seen, mut todo) = (BTreeSet::new(), vec![&document]);
    while let Some(value) = todo.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
            seen.insert(reference.rsplit('/').next().unwrap().to_owned());
        }
        todo.extend(value.as_object().into_iter().flat_map(Map::values));
        todo.extend(value.as_array().into_iter().flatten());
    }
    for key in document["components"]["messages"].as_object().unwrap().keys() {
        assert!(seen.contains(key), "{key} is in no channel");
    }
    let operations: BTreeSet<_> = document["operations"].as_object().unwrap().keys().cloned().collect();
    for message in messages() {
        let of_its_own = operations.iter().any(|o| o.ends_with(&format!(".{}", message.key)));
        assert_eq!(of_its_own, message.from != From::Reply, "{}", message.key);
    }
}
