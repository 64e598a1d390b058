//! Rate limit for log lines: a maximum in each window; the rest is counted and reported with the next line.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// A limit for one kind of line.
#[derive(Debug)]
pub(crate) struct Throttle {
    most: u32,
    window: Duration,
    state: Mutex<(Option<Instant>, u32, u64)>,
}

impl Throttle {
    /// At most `most` lines in a window.
    pub(crate) const fn new(most: u32, window: Duration) -> Self {
        Self { most, window, state: Mutex::new((None, 0, 0)) }
    }

    /// `Some(lines held back since the last)` if this line may be written.
    pub(crate) fn allow(&self, now: Instant) -> Option<u64> {
        let (start, count, held) = &mut *self.state.lock();
        if start.is_none_or(|start| now.duration_since(start) >= self.window) {
            (*start, *count) = (Some(now), 0);
        }
        if *count >= self.most {
            *held += 1;
            return None;
        }
        *count += 1;
        Some(std::mem::take(held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_counted() {
        let throttle = Throttle::new(2, Duration::from_secs(10));
        let now = Instant::now();
        let got: Vec<_> =
            [0, 1, 2, 3, 10, 11, 12].map(|s| throttle.allow(now + Duration::from_secs(s))).into();
        assert_eq!(got, [Some(0), Some(0), None, None, Some(2), Some(0), None]);
    }
}
