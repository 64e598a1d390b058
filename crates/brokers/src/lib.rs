//! Brokers: what gives topics their order and history.
//!
//! [`memory`] serves a single node and is always ready. Brokers over shared engines follow the same port,
//! `fanfare_core::ports::Broker`.

pub mod memory;
