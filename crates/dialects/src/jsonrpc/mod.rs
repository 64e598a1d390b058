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
mod scan;
mod welcome;

pub use encode::{
    INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, Info, METHOD_NOT_FOUND, PARSE_ERROR, close_result,
    error, fault, notification, numbered_refusal, open_result, refusal, server_info, session_message,
    topic_event,
};
pub use parse::{Fault, FaultKind, Incoming, Request, parse};
pub use scan::{Facts, MAX_INTERPRETED_DEPTH, MAX_PAYLOAD_DEPTH, facts, is_flat_and_plain};
pub use welcome::{Welcome, WelcomeLimits, WelcomeServer, WelcomeUser, welcome, write_welcome_members};
