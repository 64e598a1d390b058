//! Counts by outcome, updated by the code that knows it and read by the metrics.

use parking_lot::Mutex;
use std::collections::BTreeMap;

/// The number of times of each outcome.
#[derive(Debug, Default)]
pub struct Outcomes(Mutex<BTreeMap<&'static str, u64>>);

impl Outcomes {
    /// Counts one outcome.
    pub fn count(&self, outcome: &'static str) {
        *self.0.lock().entry(outcome).or_default() += 1;
    }

    /// All outcomes counted so far.
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().iter().map(|(outcome, n)| (*outcome, *n)).collect()
    }
}
