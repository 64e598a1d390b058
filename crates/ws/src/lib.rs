//! The server side of the WebSocket protocol (RFC 6455) and of permessage-deflate (RFC 7692), without any I/O.
//!
//! Data flows through it like this:
//!
//! 1. [`handshake::check`] checks the upgrade request's headers and returns the values for the 101 response;
//! 2. the driver reads into a buffer shared between connections and calls [`Decoder::next`] on it until it returns no
//!    more [`Event`]s;
//! 3. replies and broadcasts are framed once by [`encode`] (or [`deflate::frame_into`]) and can then be sent to any
//!    number of connections, because a server's frames carry no mask.
//!
//! Invariants:
//!
//! - between two messages a connection costs one null pointer: nothing is buffered, no window is kept;
//! - how the network splits the input never changes the resulting events or error;
//! - a violation is reported at the first byte that proves it, before memory is allocated for an announced length;
//! - no input causes a panic, and the memory of one connection is bounded by its [`Limits`].

pub mod close;
mod decode;
pub mod deflate;
pub mod encode;
mod error;
pub mod handshake;
mod mask;
mod opcode;

pub use close::CloseCode;
pub use decode::{Decoder, Event, Limits, Step};
pub use error::ProtocolError;
pub use opcode::OpCode;
