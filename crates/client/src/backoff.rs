//! Waiting times between connection attempts: exponential backoff with full jitter.
//!
//! Full jitter (a uniform draw between zero and the bound) spreads the clients of a lost node over the whole interval,
//! so that a restart is not met by all of them at once.

use std::time::Duration;

use crate::close::Retry;

/// The first bound; doubled with every failed attempt.
const BASE: Duration = Duration::from_millis(250);
/// The largest bound: a client reconnects at most this long after the server is available again.
const CAP: Duration = Duration::from_secs(20);
/// The minimum wait for [`Retry::Later`] (1013, 4429, HTTP 429 and 503), because the server asked for relief.
const LATER: Duration = Duration::from_secs(1);

/// Counts failed attempts in a row and draws the wait before the next one.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The wait before the next attempt.
    pub(crate) fn next(&mut self, retry: Retry) -> Duration {
        let bound = BASE.saturating_mul(2u32.saturating_pow(self.attempts.min(16))).min(CAP);
        self.attempts += 1;
        let jittered = bound.mul_f64(fastrand::f64());
        if retry == Retry::Later { LATER + jittered } else { jittered }
    }

    /// Failed attempts since the last [`Backoff::reset`].
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Called once a connection has proved stable.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_under_a_doubling_bound_and_the_cap() {
        let mut backoff = Backoff::default();
        for attempt in 0..40u32 {
            let bound = (BASE * 2u32.pow(attempt.min(10))).min(CAP);
            assert!(backoff.next(Retry::Now) <= bound, "attempt {attempt}");
        }
        backoff.reset();
        assert!(backoff.next(Retry::Now) <= BASE);
    }

    #[test]
    fn later_is_never_at_once() {
        assert!(Backoff::default().next(Retry::Later) >= LATER);
    }
}
