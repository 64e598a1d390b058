//! Any text from a client, to both dialects: no panic, and what they make of it is held against `serde_json`.
//!
//! What is not JSON is `INVALID_JSON` or a parse error; what is borrowed is a piece of the input; what is written back is
//! JSON that says what was read. Tests beside the decoders name the exact answers; here it is any text.
//! dictionary: json
#![no_main]

use fanfare_core::model::{Command, ErrorCode, EventId, EventMeta, EventView, Publish, Refusal, Reply};
use fanfare_dialects::Dialect;
use fanfare_dialects::jsonrpc::{
    self, Fault, FaultKind, Incoming, JsonRpc, MAX_INTERPRETED_DEPTH, MAX_PAYLOAD_DEPTH,
};
use fanfare_dialects::typed::{self, RequestId, Typed};
use fanfare_json::Raw;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::collections::HashMap;

/// Small, so that the fuzzer reaches it.
const MAX_BATCH: usize = 4;
/// `protocol.md` 3 and 6.
const MAX_ID_BYTES: usize = 128;
const MAX_KEY_BYTES: usize = 128;
const MAX_CLIENT_ID_BYTES: usize = 255;

/// The members of an object of raw values, the last of each name.
type Object<'a> = HashMap<Cow<'a, str>, Raw<'a>>;

fuzz_target!(|data: &[u8]| {
    // The codec hands on UTF-8 only.
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert_eq!(fanfare_json::value(text).is_ok(), is_json(text), "{text:?}");
    typed_frame(text);
    publish_body(text);
    requests(text);
    first_frame(text);
});

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn object(text: &str) -> Option<Object<'_>> {
    let mut members = Object::new();
    let all = fanfare_json::members(text, |name, value| {
        members.insert(name, Raw::new(value)?);
        Ok::<(), fanfare_json::Malformed>(())
    });
    // The scanner's judge is another parser.
    assert_eq!(all.is_ok(), serde_json::from_str::<HashMap<String, IgnoredAny>>(text).is_ok(), "{text:?}");
    all.ok()?.expect("a member's value is JSON by itself");
    Some(members)
}

fn assert_inside(whole: &str, part: &str) {
    let (whole, part) = (whole.as_bytes().as_ptr_range(), part.as_bytes().as_ptr_range());
    assert!(whole.start <= part.start && part.end <= whole.end, "copied instead of borrowed");
}

fn typed_frame(text: &str) {
    let request = typed::decode(text);
    if let Some(id) = request.id {
        assert_inside(text, id.0);
        // What the client reads as an id is one; its own member says the same.
        assert_eq!(object(text).expect("an id was found in it")["request_id"].get(), id.0);
        let as_text = serde_json::from_str::<String>(id.0);
        // `5.0` and `1e1` are integers; one of many digits rounds to a float without a fraction.
        let is_integer = serde_json::from_str::<f64>(id.0).is_ok_and(|n| n.fract() == 0.0);
        let digits = id.0.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
        assert!(as_text.is_ok_and(|s| s.len() <= MAX_ID_BYTES) || is_integer || digits, "{text:?}");
    }
    match &request.command {
        Err(refusal) => refused(text, refusal, request.id),
        Ok(command) => {
            assert!(is_json(text));
            if let Command::Publish(publish) = command {
                published(text, publish);
            }
        }
    }
    let mut out = Vec::new();
    typed::write_reply(&Reply::Pong, request.id, 0, &mut out);
    echoes(&out, request.id);
}

fn is_auth(text: &str) -> bool {
    let kind = object(text).and_then(|members| serde_json::from_str::<String>(members.get("type")?.get()).ok());
    kind.as_deref() == Some("auth")
}

fn refused(text: &str, refusal: &Refusal, id: Option<RequestId<'_>>) {
    if is_json(text) {
        // Of valid JSON only what stands for no characters or nests too deep is none to us, and a double member of `auth`.
        let facts = jsonrpc::facts(text);
        let strange = facts.lone_surrogate || facts.depth > MAX_INTERPRETED_DEPTH || is_auth(text);
        assert!(strange || refusal.code != ErrorCode::InvalidJson, "{refusal}: {text:?}");
    } else {
        assert_eq!((refusal.code, id), (ErrorCode::InvalidJson, None), "{text:?}");
    }
    let mut out = Vec::new();
    typed::write_error(refusal, id, 0, &mut out);
    echoes(&out, id);
}

/// A frame of ours is JSON and has the id as the client wrote it.
fn echoes(frame: &[u8], id: Option<RequestId<'_>>) {
    let frame = std::str::from_utf8(frame).expect("a frame is UTF-8");
    let members = object(frame).expect("a frame is an object");
    assert_eq!(members.get("request_id").map(|raw| raw.get()), id.map(|id| id.0));
}

fn published(text: &str, publish: &Publish<'_>) {
    assert_inside(text, publish.payload);
    assert!(is_json(publish.payload));
    assert!(jsonrpc::facts(publish.payload).depth <= MAX_PAYLOAD_DEPTH);
    assert!((1..=255).contains(&publish.topic.as_str().len()));
    assert!(publish.client_id.as_ref().is_none_or(|id| (1..=MAX_CLIENT_ID_BYTES).contains(&id.len())));
    assert!(publish.idempotency_key.as_ref().is_none_or(|key| (1..=MAX_KEY_BYTES).contains(&key.len())));
    let members = object(text).expect("a publish is an object");
    let sent = members.get("payload").or(members.get("message")).expect("a publish has a payload");
    assert_eq!(sent.get(), publish.payload);
    delivered(publish);
}

/// What subscribers of either dialect get is JSON with the publisher's own bytes in it.
fn delivered(publish: &Publish<'_>) {
    let meta = EventMeta { id: EventId { time: 1, node: 2 }, offset: 3, at_ms: 4 };
    let (topic, client_id) = (publish.topic.as_str(), publish.client_id.as_deref().unwrap_or("c"));
    let event = EventView { topic, meta, payload: publish.payload, client_id, user: publish.token.as_deref() };
    let mut out = Vec::new();
    Typed.event(&event, &mut out);
    is_event(&String::from_utf8(out).expect("a frame is UTF-8"), &event);
    let mut out = Vec::new();
    JsonRpc.event(&event, &mut out);
    let notification = String::from_utf8(out).expect("a text is UTF-8");
    is_event(object(&notification).expect("a notification is an object")["params"].get(), &event);
}

fn is_event(json: &str, event: &EventView<'_>) {
    let members = object(json).expect("an event is an object");
    let text = |name: &str| serde_json::from_str::<String>(members[name].get()).expect("a string");
    assert_eq!(members["payload"].get(), event.payload);
    assert_eq!((text("topic").as_str(), text("client_id").as_str()), (event.topic, event.client_id));
    assert_eq!(members.contains_key("user").then(|| text("user")).as_deref(), event.user);
}

fn publish_body(text: &str) {
    match typed::decode_publish(text) {
        Ok(body) => published(text, &body.publish),
        Err(refusal) if !is_json(text) => {
            assert_eq!(refusal.code, ErrorCode::InvalidJson, "{text:?}");
        }
        Err(_) => {}
    }
}

fn requests(text: &str) {
    let strange = jsonrpc::facts(text).lone_surrogate;
    match jsonrpc::parse(text, MAX_BATCH) {
        Incoming::One(Err(fault)) => {
            match fault.kind {
                FaultKind::Parse => assert!(!is_json(text) || strange, "{text:?}"),
                FaultKind::Invalid => assert!(is_json(text), "{text:?}"),
            }
            answers(text, fault);
        }
        Incoming::One(Ok(request)) => runs(text, &request),
        Incoming::Batch(elements) => {
            assert!(is_json(text) && (1..=MAX_BATCH).contains(&elements.len()), "{text:?}");
            for element in &elements {
                match element {
                    Ok(request) => runs(text, request),
                    Err(fault) => answers(text, *fault),
                }
            }
        }
    }
}

fn answers(text: &str, fault: Fault<'_>) {
    if let Some(id) = fault.id {
        assert_inside(text, id.get());
    }
    let mut out = Vec::new();
    jsonrpc::fault(&mut out, fault);
    responds(&out, fault.id);
}

fn responds(response: &[u8], id: Option<Raw<'_>>) {
    let response = std::str::from_utf8(response).expect("a text is UTF-8");
    let members = object(response).expect("a response is an object");
    assert_eq!(members["id"].get(), id.map_or("null", Raw::get));
}

/// A request that was accepted says the same when it is written anew from its parts.
fn runs(text: &str, request: &jsonrpc::Request<'_>) {
    let mut again = format!("{{\"jsonrpc\":\"2.0\",\"method\":{}", serde_json::json!(request.method));
    for (name, part) in [("params", request.params), ("id", request.id)] {
        if let Some(part) = part {
            assert_inside(text, part.get());
            again += &format!(",\"{name}\":{}", part.get());
        }
    }
    again.push('}');
    let Incoming::One(Ok(twin)) = jsonrpc::parse(&again, MAX_BATCH) else { panic!("{again:?}") };
    let raw = |part: Option<Raw<'_>>| part.map(|p| p.get().to_owned());
    assert_eq!(
        (&twin.method, raw(twin.params), raw(twin.id)),
        (&request.method, raw(request.params), raw(request.id))
    );
    let mut out = Vec::new();
    jsonrpc::open_result(&mut out, request.id);
    out.extend_from_slice(b"null");
    jsonrpc::close_result(&mut out);
    responds(&out, request.id);
}

/// Which dialect a first frame chooses, judged by a plain reading of the rule.
fn first_frame(text: &str) {
    if !is_json(text) {
        return; // answered as what it is in either dialect
    }
    let has_member = |text: &str| object(text).is_some_and(|members| members.contains_key("jsonrpc"));
    let mut first = None;
    let _ = fanfare_json::elements(text, |element| {
        first = first.or(Some(element));
        Ok::<(), ()>(())
    });
    assert_eq!(typed::is_jsonrpc(text), has_member(first.unwrap_or(text)), "{text:?}");
}
