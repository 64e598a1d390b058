//! Latencies in a log-linear histogram: 64 buckets for each power of two, so a quantile is at most 1/64 (1.6 %) too high.

/// Buckets for each power of two.
const STEPS: u64 = 64;
/// log2 of [`STEPS`].
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Values below 2^40 ns (18 minutes) have buckets of their own; larger ones share the last.
const POWERS: usize = 40 - STEP_BITS as usize + 1;

/// Counts of values in nanoseconds.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; POWERS * STEPS as usize], total: 0, max: 0 }
    }

    pub(super) fn record(&mut self, ns: u64) {
        let bucket = bucket(ns).min(self.counts.len() - 1);
        self.counts[bucket] += 1;
        self.total += 1;
        self.max = self.max.max(ns);
    }

    /// The value that a share `q` (0 to 1) of all values does not exceed, in microseconds; 0 without values.
    pub(super) fn quantile_us(&self, q: f64) -> f64 {
        let rank = ((self.total as f64 * q).ceil() as u64).max(1);
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return upper_edge(bucket).min(self.max) as f64 / 1e3;
            }
        }
        self.max_us()
    }

    /// The largest value, in microseconds.
    pub(super) fn max_us(&self) -> f64 {
        self.max as f64 / 1e3
    }
}

/// Values below [`STEPS`] have a bucket each; above, the top bits after the leading one choose the step.
fn bucket(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    let shift = ns.ilog2() - STEP_BITS;
    (u64::from(shift + 1) * STEPS + ((ns >> shift) - STEPS)) as usize
}

/// The largest value of a bucket.
fn upper_edge(bucket: usize) -> u64 {
    let (power, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    if power == 0 { step } else { ((STEPS + step + 1) << (power - 1)) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        for ns in (0..5000).chain([65_535, 65_536, 1_000_000, 123_456_789, (1 << 40) - 1]) {
            let upper = upper_edge(bucket(ns));
            assert!(upper >= ns, "{ns}: {upper}");
            assert!((upper - ns) * STEPS <= ns.max(STEPS), "{ns}: {upper}");
            assert!(ns == 0 || bucket(ns - 1) <= bucket(ns));
        }
    }

    #[test]
    fn quantiles_and_maximum() {
        let mut h = Histogram::new();
        assert_eq!((h.quantile_us(0.5), h.max_us()), (0.0, 0.0));
        for us in 1..=1000u64 {
            h.record(us * 1000);
        }
        h.record(1 << 50);
        let near = |q: f64, us: f64| (h.quantile_us(q) / us - 1.0).abs() < 0.02;
        assert!(near(0.5, 501.0) && near(0.99, 991.0), "{} {}", h.quantile_us(0.5), h.quantile_us(0.99));
        assert_eq!(h.max_us(), (1u64 << 50) as f64 / 1e3);
    }
}
