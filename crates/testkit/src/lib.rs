//! Fanfare: testkit.

pub mod model;
