//! Telemetry for operators: metrics and logs.

pub mod exposition;
pub mod histogram;
pub mod logs;
pub mod metrics;
pub(crate) mod repeated;
mod series;
pub mod snapshots;
