//! The run's clock (nanoseconds since its start, as stamped into payloads) and a timer for an epoll set.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

const ZERO: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// The longest wait, so that a signal is handled in time.
const LONGEST_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The clock of a run. Cheap to copy; all copies have the same start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start; they last 584 years.
    pub(super) fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// A command line's seconds in nanoseconds.
pub(super) fn nanos(seconds: f64) -> u64 {
    Duration::try_from_secs_f64(seconds).map_or(u64::MAX / 2, |duration| duration.as_nanos() as u64)
}

/// Wakes an epoll set at a time given in nanoseconds, because epoll's own timeout is in milliseconds.
#[derive(Debug)]
pub(super) struct Timer {
    descriptor: OwnedFd,
    armed_for: u64,
}

impl Timer {
    pub(super) fn new() -> rustix::io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self { descriptor: timerfd_create(TimerfdClockId::Monotonic, flags)?, armed_for: 0 })
    }

    /// Sets the timer for `until` and returns the timeout to wait with. Setting it also clears an expiry that was not
    /// read.
    pub(super) fn arm(&mut self, now: u64, until: u64) -> rustix::io::Result<Timespec> {
        if until <= now {
            return Ok(ZERO);
        }
        if until != self.armed_for {
            let left = until - now;
            let it_value =
                Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as i64 };
            let once = Itimerspec { it_interval: ZERO, it_value };
            timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once)?;
            self.armed_for = until;
        }
        Ok(LONGEST_WAIT)
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
