//! Topics: who may use which one.

pub mod rules;
