//! The real binary against an independent WebSocket library and raw sockets, by theme.
//!
//! Every test starts its own server on a free port in a folder of its own. Nothing waits for a time to pass: conditions
//! have deadlines. A test of a fault has a twin in which the fault is worse than the contract allows and that must fail,
//! so that a check which sees nothing is noticed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod access;
mod accounts;
mod admin;
mod audit;
mod backpressure;
mod backup;
mod certificate;
mod codes;
mod compression;
mod connections;
mod crash;
mod documents;
mod durable;
mod durable_options;
mod feeds;
mod frames;
mod handshake;
mod http;
mod issuers;
mod jwks;
mod keys;
mod limits;
mod liveness;
mod login;
mod logs;
mod members;
mod memory;
mod newest;
mod ops;
mod pair;
mod people;
mod postgres;
mod process;
mod publishers;
mod restart;
mod routes;
mod shutdown;
mod step_up;
mod store;
mod strangers;
mod support;
mod tls;
mod users;
mod waiting;
