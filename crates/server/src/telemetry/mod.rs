//! What an operator sees: metrics and logs.

pub mod exposition;
pub mod histogram;
pub mod logs;
pub mod metrics;
pub mod outcomes;
pub mod snapshots;
