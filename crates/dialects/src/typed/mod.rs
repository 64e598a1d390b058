//! The typed dialect: JSON objects with a `type` (`protocol.md` 3, seed 004).

mod decode;
mod encode;

pub use decode::{Request, RequestId, decode, is_jsonrpc};
pub use encode::{Typed, write_error, write_reply};
