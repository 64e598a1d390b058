//! From answers and events to text, appended to a buffer.

use super::parse::{Fault, FaultKind};
use crate::json::{write_str, write_u64};
use fanfare_core::model::{Body, ErrorCode, EventView, Refusal};
use fanfare_core::ports::Info;
use fanfare_core::time::write_rfc3339_ms;
use fanfare_json::Raw;
use std::io::Write as _;

/// No JSON.
pub const PARSE_ERROR: i32 = -32700;
/// No request object.
pub const INVALID_REQUEST: i32 = -32600;
/// No such method.
pub const METHOD_NOT_FOUND: i32 = -32601;
/// The params do not fit the method.
pub const INVALID_PARAMS: i32 = -32602;
/// A fault of the server.
pub const INTERNAL_ERROR: i32 = -32603;

/// The specification's sentence for one of its five codes.
fn standard_message(code: i32) -> Option<&'static str> {
    Some(match code {
        PARSE_ERROR => "Parse error",
        INVALID_REQUEST => "Invalid Request",
        METHOD_NOT_FOUND => "Method not found",
        INVALID_PARAMS => "Invalid params",
        INTERNAL_ERROR => "Internal error",
        _ => return None,
    })
}

/// Begins a response with a result: its JSON follows, then [`close_result`].
pub fn open_result(out: &mut Vec<u8>, id: Option<Raw<'_>>) {
    head(out, id);
    out.extend_from_slice(br#","result":"#);
}

/// Ends what [`open_result`] began.
pub fn close_result(out: &mut Vec<u8>) {
    out.push(b'}');
}

/// A response with one of the five errors of the specification; `data` is JSON.
pub fn error(out: &mut Vec<u8>, id: Option<Raw<'_>>, code: i32, data: Option<&str>) {
    open_error(out, id, code, standard_message(code).unwrap_or("Server error"));
    if let Some(data) = data {
        out.extend_from_slice(br#","data":"#);
        out.extend_from_slice(data.as_bytes());
    }
    out.extend_from_slice(b"}}");
}

/// A response to what is no request.
pub fn fault(out: &mut Vec<u8>, fault: Fault<'_>) {
    let code = match fault.kind {
        FaultKind::Parse => PARSE_ERROR,
        FaultKind::Invalid => INVALID_REQUEST,
    };
    error(out, fault.id, code, None);
}

/// A response with a documented server code: the number of [`ErrorCode::rpc_number`], in `data` the typed dialect's name and
/// what else the refusal says.
pub fn refusal(out: &mut Vec<u8>, id: Option<Raw<'_>>, refusal: &Refusal) {
    let code = refusal.code.rpc_number();
    open_error(out, id, code, standard_message(code).unwrap_or(&refusal.message));
    out.extend_from_slice(br#","data":{"code":"#);
    write_str(out, refusal.code.name());
    if let Some(field) = refusal.field {
        out.extend_from_slice(br#","field":"#);
        write_str(out, field);
    }
    if let Some(ms) = refusal.retry_after_ms {
        out.extend_from_slice(br#","retry_after_ms":"#);
        write_u64(out, ms);
    }
    out.extend_from_slice(b"}}}");
}

/// A notification; `params` writes the params' JSON.
pub fn notification(out: &mut Vec<u8>, method: &str, params: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","method":"#);
    write_str(out, method);
    out.extend_from_slice(br#","params":"#);
    params(out);
    out.push(b'}');
}

/// `topic.event`: an event of a topic.
pub fn topic_event(out: &mut Vec<u8>, event: &EventView<'_>) {
    out.reserve(200 + event.topic.len() + event.payload.len() + event.client_id.len());
    out.extend_from_slice(br#"{"jsonrpc":"2.0","method":"topic.event","params":{"topic":"#);
    write_str(out, event.topic);
    out.extend_from_slice(br#","id":""#);
    out.extend_from_slice(&event.meta.id.text());
    out.extend_from_slice(br#"","offset":"#);
    write_u64(out, event.meta.offset);
    out.extend_from_slice(br#","payload":"#);
    out.extend_from_slice(event.payload.as_bytes());
    if !event.client_id.is_empty() {
        out.extend_from_slice(br#","client_id":"#);
        write_str(out, event.client_id);
    }
    if let Some(user) = event.user {
        out.extend_from_slice(br#","user":"#);
        write_str(out, user);
    }
    timestamp(out, event.meta.at_ms);
    out.extend_from_slice(b"}}");
}

/// `<family>.<kind>`, as `feed.event`: an object whose members are written already.
pub fn body_event(out: &mut Vec<u8>, body: &Body<'_>) {
    out.reserve(body.members.len() + 64);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","method":""#);
    out.extend_from_slice(body.family.as_bytes());
    out.push(b'.');
    out.extend_from_slice(body.kind.as_bytes());
    out.extend_from_slice(br#"","params":{"#);
    out.extend_from_slice(body.members.as_bytes());
    out.extend_from_slice(b"}}");
}

/// `server.info`: a notice of the server.
pub fn server_info(out: &mut Vec<u8>, info: &Info<'_>, at_ms: u64) {
    notification(out, "server.info", |out| {
        out.extend_from_slice(br#"{"code":"#);
        write_str(out, info.code());
        crate::info::write_members(info, out);
        timestamp(out, at_ms);
        out.push(b'}');
    });
}

/// `server.error`: an error that answers no request, as before a close.
pub fn server_error(out: &mut Vec<u8>, refusal: &Refusal, at_ms: u64) {
    notification(out, "server.error", |out| {
        out.extend_from_slice(br#"{"code":"#);
        write_str(out, refusal.code.name());
        out.extend_from_slice(br#","message":"#);
        write_str(out, &refusal.message);
        timestamp(out, at_ms);
        out.push(b'}');
    });
}

/// `session.message`: what `POST /sessions/{code}/send` delivers; `payload` is JSON.
pub fn session_message(out: &mut Vec<u8>, payload: &str, at_ms: u64) {
    notification(out, "session.message", |out| {
        out.extend_from_slice(br#"{"payload":"#);
        out.extend_from_slice(payload.as_bytes());
        timestamp(out, at_ms);
        out.push(b'}');
    });
}

/// `,"timestamp":"…"`.
fn timestamp(out: &mut Vec<u8>, ms: u64) {
    out.extend_from_slice(br#","timestamp":""#);
    write_rfc3339_ms(out, ms);
    out.push(b'"');
}

fn head(out: &mut Vec<u8>, id: Option<Raw<'_>>) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.map_or("null", Raw::get).as_bytes());
}

fn open_error(out: &mut Vec<u8>, id: Option<Raw<'_>>, code: i32, message: &str) {
    head(out, id);
    let _ = write!(out, r#","error":{{"code":{code},"message":"#);
    write_str(out, message);
}

/// The number of a code in an answer; here so that the table in the core stays the only place that knows it.
const _: () = assert!(ErrorCode::Internal.rpc_number() == INTERNAL_ERROR);

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_core::model::{EventId, EventMeta};

    fn written(f: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = vec![];
        f(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{text}");
        text
    }

    fn raw(text: &str) -> Raw<'_> {
        Raw::new(text).unwrap()
    }

    #[test]
    fn responses() {
        let ok = written(|o| {
            open_result(o, Some(raw("1.0")));
            o.extend_from_slice(b"19");
            close_result(o);
        });
        assert_eq!(ok, r#"{"jsonrpc":"2.0","id":1.0,"result":19}"#);
        assert_eq!(
            written(|o| error(o, Some(raw("null")), METHOD_NOT_FOUND, None)),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"Method not found"}}"#
        );
        assert_eq!(
            written(|o| error(o, None, INVALID_PARAMS, Some(r#"{"field":"a"}"#))),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"Invalid params","data":{"field":"a"}}}"#
        );
        assert_eq!(
            written(|o| fault(o, Fault::PARSE)),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#
        );
    }

    #[test]
    fn refusals() {
        let r = Refusal::new(ErrorCode::RateLimited, "too \"fast\"").field("topic").retry_after(50);
        assert_eq!(
            written(|o| refusal(o, Some(raw(r#""a""#)), &r)),
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32021,"message":"too \"fast\"","data":{"code":"RATE_LIMITED","field":"topic","retry_after_ms":50}}}"#
        );
    }

    #[test]
    fn events() {
        let meta = EventMeta { id: EventId { time: 1, node: 1 }, offset: 18, at_ms: 1_700_000_000_123 };
        let event = EventView { topic: "n\"t", meta, payload: r#"{"b" :1.0}"#, client_id: "c", user: None };
        assert_eq!(
            written(|o| topic_event(o, &event)),
            r#"{"jsonrpc":"2.0","method":"topic.event","params":{"topic":"n\"t","id":"00000000000010000001","offset":18,"payload":{"b" :1.0},"client_id":"c","timestamp":"2023-11-14T22:13:20.123Z"}}"#
        );
        let anonymous = written(|o| topic_event(o, &EventView { client_id: "", ..event }));
        assert!(!anonymous.contains("client_id") && !anonymous.contains("user"));
        let by_user = written(|o| topic_event(o, &EventView { user: Some("za\"hra"), ..event }));
        assert!(by_user.contains(r#","client_id":"c","user":"za\"hra","timestamp":"#), "{by_user}");
    }

    #[test]
    fn records() {
        assert_eq!(
            written(|o| body_event(o, &Body::feed(r#""type":"x","data": 1"#))),
            r#"{"jsonrpc":"2.0","method":"feed.event","params":{"type":"x","data": 1}}"#
        );
    }

    #[test]
    fn notices() {
        assert_eq!(
            written(|o| server_info(o, &Info::MessagesDropped { count: 3, channel: None }, 0)),
            r#"{"jsonrpc":"2.0","method":"server.info","params":{"code":"MESSAGES_DROPPED","count":3,"message":"events were dropped because the client reads too slowly","timestamp":"1970-01-01T00:00:00.000Z"}}"#
        );
        let slow = Refusal::new(ErrorCode::SlowConsumer, "slow");
        assert_eq!(
            written(|o| server_error(o, &slow, 0)),
            r#"{"jsonrpc":"2.0","method":"server.error","params":{"code":"SLOW_CONSUMER","message":"slow","timestamp":"1970-01-01T00:00:00.000Z"}}"#
        );
        assert_eq!(
            written(|o| session_message(o, "[1]", 0)),
            r#"{"jsonrpc":"2.0","method":"session.message","params":{"payload":[1],"timestamp":"1970-01-01T00:00:00.000Z"}}"#
        );
    }
}
