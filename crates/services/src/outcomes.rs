//! Counts by outcome, kept by whoever knows it and read by the metrics.

use parking_lot::Mutex;
use std::collections::BTreeMap;

/// How often each outcome came.
#[derive(Debug, Default)]
pub struct Outcomes(Mutex<BTreeMap<&'static str, u64>>);

impl Outcomes {
    /// Counts one.
    pub fn count(&self, outcome: &'static str) {
        *self.0.lock().entry(outcome).or_default() += 1;
    }

    /// All that ever came.
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().iter().map(|(outcome, n)| (*outcome, *n)).collect()
    }
}
