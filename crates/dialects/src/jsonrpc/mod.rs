//! The JSON-RPC 2.0 dialect (`protocol.md` 4, seed 000; the specification of 2013-01-04).
//!
//! ```text
//! text ── parse ── Incoming ─ (the method registry runs it) ─ encode ── text
//!                             EventView, Refusal, Info ────── encode ── text
//! ```
//!
//! Nothing here knows which methods there are. What must always hold: ids, params and payloads keep the bytes they were
//! sent with; whatever is no valid request gets exactly the answer the specification gives it.

mod encode;
mod envelope;
mod parse;

pub use crate::scan::{Facts, MAX_INTERPRETED_DEPTH, MAX_PAYLOAD_DEPTH, facts, is_flat_and_plain};
pub use encode::{
    INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, body_event, close_result,
    error, fault, notification, open_result, refusal, server_error, server_info, session_message,
    topic_event,
};
pub use parse::{Fault, FaultKind, Incoming, Request, parse};

use crate::{Dialect, Welcome};
use fanfare_core::model::{Body, EventView, Refusal};
use fanfare_core::ports;

/// The JSON-RPC dialect: what the server says unasked is a notification.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonRpc;

impl Dialect for JsonRpc {
    fn event(&self, event: &EventView<'_>, out: &mut Vec<u8>) {
        topic_event(out, event);
    }

    fn body(&self, body: &Body<'_>, out: &mut Vec<u8>) {
        body_event(out, body);
    }

    fn info(&self, info: &ports::Info<'_>, now_ms: u64, out: &mut Vec<u8>) {
        server_info(out, info, now_ms);
    }

    fn error(&self, refusal: &Refusal, now_ms: u64, out: &mut Vec<u8>) {
        server_error(out, refusal, now_ms);
    }

    fn session_message(&self, payload: &str, now_ms: u64, out: &mut Vec<u8>) {
        session_message(out, payload, now_ms);
    }

    fn welcome(&self, welcome: &Welcome<'_>, now_ms: u64, out: &mut Vec<u8>) {
        notification(out, "session.welcome", |out| {
            out.push(b'{');
            welcome.write_members(now_ms, out);
            out.push(b'}');
        });
    }
}
