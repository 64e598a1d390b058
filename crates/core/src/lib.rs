//! Fanfare's core: what the product does, without sockets, JSON, SQL or HTTP.
//!
//! Commands come in as [`model::Command`]s, events go out through the [`hub`] to subscribers. See
//! `ARCHITECTURE.md` for the rooms of the product and the one way of data through them.

pub mod feeds;
pub mod hub;
pub mod model;
pub mod ports;
pub mod session;
pub mod time;
pub mod topics;
