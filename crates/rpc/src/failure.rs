//! Why a call has no result.

use crate::schema::Violation;
use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_dialects::jsonrpc::{self, Fault, INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, PARSE_ERROR};
use fanfare_json::Raw;
use std::fmt::Write as _;

/// The error number for a response that is too long (`protocol.md` 6).
const TOO_LONG: i32 = -32000;

/// Why a call has no result.
#[derive(Clone, Debug)]
pub enum Failure {
    /// Nests too deep, holds half a surrogate pair, or repeats a member in a security method.
    Parse,
    /// There is no such method.
    UnknownMethod,
    /// The params do not match the schema.
    Params(Box<Violation>),
    /// The method or a service refused.
    Refused(Refusal),
    /// Only a connection can call it.
    NeedsConnection,
    /// The response has reached its maximum length.
    TooLong,
    /// A server error; the log has the details under this id.
    Internal {
        /// Sixteen hexadecimal digits.
        correlation_id: String,
    },
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Violation> for Failure {
    fn from(violation: Violation) -> Self {
        Self::Params(Box::new(violation))
    }
}

impl Failure {
    /// The JSON-RPC error number.
    pub fn number(&self) -> i32 {
        match self {
            Self::Parse => PARSE_ERROR,
            Self::UnknownMethod => METHOD_NOT_FOUND,
            Self::Params(_) => INVALID_PARAMS,
            Self::Refused(refusal) => refusal.code.rpc_number(),
            Self::NeedsConnection => ErrorCode::Forbidden.rpc_number(),
            Self::TooLong => TOO_LONG,
            Self::Internal { .. } => INTERNAL_ERROR,
        }
    }

    /// Appends the response object.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, id: Option<Raw<'_>>) {
        match self {
            Self::Parse => jsonrpc::fault(out, Fault::PARSE),
            Self::UnknownMethod => jsonrpc::error(out, id, METHOD_NOT_FOUND, None),
            Self::Params(violation) => jsonrpc::error(out, id, INVALID_PARAMS, Some(&violation.json())),
            Self::Refused(refusal) => jsonrpc::refusal(out, id, refusal),
            Self::NeedsConnection => jsonrpc::refusal(out, id, &self.to_refusal()),
            Self::TooLong => jsonrpc::error(out, id, TOO_LONG, Some(r#"{"code":"LIMIT_EXCEEDED"}"#)),
            Self::Internal { correlation_id } => {
                let mut data = String::from(r#"{"code":"INTERNAL","correlation_id":""#);
                let _ = write!(data, "{correlation_id}\"}}");
                jsonrpc::error(out, id, INTERNAL_ERROR, Some(&data));
            }
        }
    }

    /// The same error for a dialect with names instead of numbers.
    pub fn to_refusal(&self) -> Refusal {
        match self {
            Self::Parse => {
                Refusal::new(ErrorCode::InvalidJson, "the params nest too deep or hold half a character")
            }
            Self::UnknownMethod => Refusal::new(ErrorCode::UnknownCommand, "there is no such command"),
            Self::Params(violation) => Refusal::new(ErrorCode::InvalidMessage, violation.message.clone()),
            Self::Refused(refusal) => refusal.clone(),
            Self::NeedsConnection => {
                Refusal::new(ErrorCode::Forbidden, "this method needs a connection: use a WebSocket")
            }
            Self::TooLong => {
                let why = "the answer would be longer than limits.rpc_answer_bytes; ask for less at a time";
                Refusal::new(ErrorCode::LimitExceeded, why)
            }
            Self::Internal { correlation_id } => {
                Refusal::new(ErrorCode::Internal, format!("internal error, correlation id {correlation_id}"))
            }
        }
    }
}

/// Creates a server error and logs `what` under its id.
pub(crate) fn internal(
    method: &str,
    what: &dyn std::fmt::Display,
    stack: Option<&dyn std::fmt::Display>,
) -> Failure {
    let id = getrandom::u64().unwrap_or_default();
    let correlation_id = format!("{id:016x}");
    match stack {
        Some(stack) => tracing::error!(%correlation_id, method, %stack, "{what}"),
        None => tracing::error!(%correlation_id, method, "{what}"),
    }
    Failure::Internal { correlation_id }
}
