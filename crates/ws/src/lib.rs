//! The server side of the WebSocket protocol (RFC 6455) and of permessage-deflate (RFC 7692), without any I/O.
//!
//! Data flows through it like this:
//!
//! 1. [`handshake::check`] judges the upgrade request's headers and gives what the 101 answer has to say;
//! 2. the driver reads into a buffer it shares between connections and calls [`Decoder::next`] on it until no
//!    [`Event`] comes any more;
//! 3. answers and broadcasts are framed once by [`encode`] (or [`deflate::frame_into`]) and may then be sent to any
//!    number of connections, because a server's frames carry no mask.
//!
//! What must always hold:
//!
//! - between two messages a connection costs one null pointer: nothing is buffered, no window is kept;
//! - how the network splits the input never changes the events or the error that come out of it;
//! - a violation is reported at the first byte that proves it, before anything is allocated for what was announced;
//! - no input makes it panic, and what one connection may hold is bounded by its [`Limits`].

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
