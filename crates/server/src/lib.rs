//! The server: configuration, listener, HTTP routes, shards of sockets, telemetry, shutdown, and the wiring of it all.

pub mod access;
pub mod accounts;
pub mod admission;
pub mod audit;
pub mod cli;
pub mod config;
pub mod connections_log;
mod credentials;
pub mod data_dir;
pub mod doctor;
pub mod encoders;
mod fatal;
pub mod feeds;
pub mod http;
pub mod identity;
pub mod listen;
pub mod methods;
pub mod node;
mod open_files;
pub mod serve;
pub mod shard;
pub mod storage;
pub mod telemetry;
pub mod tls;

/// The product's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
