//! The server: configuration, listener, HTTP routes, shards of sockets, telemetry, shutdown, and the wiring of it all.

pub mod admission;
pub mod cli;
mod connection_id;
pub mod doctor;
pub mod encoders;
pub mod feeds;
pub mod http;
pub mod listen;
mod methods;
pub mod node;
mod open_files;
pub mod posts;
pub mod serve;
pub mod shard;
pub mod storage;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod tls;

pub use fanfare_services::VERSION;
