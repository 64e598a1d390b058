//! Brokers: the order and history of topics.
//!
//! [`memory`] serves a single node and is always ready. Brokers over shared engines follow the same port,
//! `fanfare_core::ports::Broker`.

pub mod memory;
