//! A histogram that costs two relaxed additions an observation, for the hot path.

use std::sync::atomic::{AtomicU64, Ordering};

/// Fixed upper bounds, counts by bucket, and a sum.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// Upper bounds of latencies in nanoseconds: 1 µs to 10 s.
pub const LATENCY_NS: &[u64] = &[
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    10_000_000_000,
];

/// Upper bounds of sizes in bytes: 64 B to 1 MiB.
pub const SIZE_BYTES: &[u64] =
    &[64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 262_144, 1_048_576];

impl Histogram {
    /// An empty histogram; `bounds` rise.
    pub fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts one value, in the unit of the bounds.
    pub fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// As [`observe`](Self::observe) if only one thread ever observes: without locked instructions.
    pub fn observe_alone(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        add_alone(&self.counts[bucket], 1);
        add_alone(&self.sum, value);
    }

    /// Adds this histogram to (sum, counts by bucket).
    pub fn add_to(&self, sum: &mut u64, counts: &mut Vec<u64>) {
        counts.resize(self.counts.len(), 0);
        for (total, count) in counts.iter_mut().zip(&self.counts) {
            *total += count.load(Ordering::Relaxed);
        }
        *sum += self.sum.load(Ordering::Relaxed);
    }

    /// Whether no value was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|n| n.load(Ordering::Relaxed) == 0)
    }

    /// The upper bounds.
    pub fn bounds(&self) -> &'static [u64] {
        self.bounds
    }
}

/// Adds to a counter that only one thread writes.
pub fn add_alone(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::{Histogram, SIZE_BYTES};

    #[test]
    fn a_value_falls_in_the_bucket_of_its_bound() {
        let h = Histogram::new(SIZE_BYTES);
        for value in [0, 64, 65, 2 << 20] {
            h.observe(value);
        }
        h.observe_alone(64);
        let (mut sum, mut counts) = (0, Vec::new());
        h.add_to(&mut sum, &mut counts);
        assert_eq!((counts[0], counts[1], counts[SIZE_BYTES.len()]), (3, 1, 1));
        assert_eq!(sum, 64 + 64 + 65 + (2 << 20));
    }
}
