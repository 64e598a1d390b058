//! The clocks of a node.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// The time since a node started, which token buckets count in.
#[derive(Clone, Copy, Debug)]
pub struct Uptime(Instant);

impl Uptime {
    /// From now on.
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// When it began.
    pub fn started(&self) -> Instant {
        self.0
    }

    /// How long ago that is.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// The same in nanoseconds.
    pub fn ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}
