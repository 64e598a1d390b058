//! Helpers shared by several test files.

use fanfare_testkit::raw::Stream;
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server};
use std::time::{Duration, Instant};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_fanfare");

/// A server with these settings.
#[track_caller]
pub(crate) fn start(settings: &[(&str, &str)]) -> Server {
    Server::start(BINARY, settings)
}

/// A request that the server has begun to answer and of which the last byte is missing; that byte.
#[track_caller]
pub(crate) fn half_a_request(server: &Server, request: &Request) -> (Stream, Vec<u8>) {
    let bytes = request.clone().header("Expect", "100-continue").bytes();
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let mut stream = Stream::connect(server.addr());
    stream.write(&bytes[..head]);
    // Logged when the body is first read: the request is in progress.
    assert_eq!(stream.read_head_within(PATIENCE).unwrap().status, 100);
    stream.write(&bytes[head..bytes.len() - 1]);
    (stream, bytes[bytes.len() - 1..].to_vec())
}

/// The pace of a slow client: so many steps spread over a time. A step that is late is not held up, so that a busy machine
/// makes no pause longer than it is itself.
pub(crate) struct Pace {
    begun: Instant,
    step: Duration,
}

impl Pace {
    /// `steps` steps from now on that take `span` in all.
    pub(crate) fn over(span: Duration, steps: u32) -> Self {
        Self { begun: Instant::now(), step: span / steps }
    }

    /// Sleeps until step `n` is due.
    pub(crate) fn keep(&self, n: u32) {
        std::thread::sleep((self.step * n).saturating_sub(self.begun.elapsed()));
    }
}

/// Checks that `check` fails, as the twin of a test of a fault must.
#[track_caller]
pub(crate) fn must_fail<T>(what: &str, check: impl FnOnce() -> T + std::panic::UnwindSafe) {
    assert!(std::panic::catch_unwind(check).is_err(), "{what}: the check sees nothing");
}
