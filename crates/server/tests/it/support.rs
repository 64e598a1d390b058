//! What several themes need.

use fanfare_testkit::server::Server;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_fanfare");

/// A server with these settings.
#[track_caller]
pub(crate) fn start(settings: &[(&str, &str)]) -> Server {
    Server::start(BINARY, settings)
}

/// Checks that `check` fails, as the twin of a test of a fault must.
#[track_caller]
pub(crate) fn must_fail<T>(what: &str, check: impl FnOnce() -> T + std::panic::UnwindSafe) {
    assert!(std::panic::catch_unwind(check).is_err(), "{what}: the check sees nothing");
}
