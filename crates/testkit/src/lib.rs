//! Fanfare: testkit. What the tests of several crates share, and nothing that ships.
//!
//! [`model`] explores the schedules of the fan-out core; [`calls`] calls the methods of a registry. [`server`] starts the
//! real binary; [`client`] talks to it with a library nobody of the project wrote; [`raw`] and [`raw_http`] say on a
//! socket what no library would, over [`tls`] if asked. [`postgres`] has a database for a test; [`soak`] says how long a
//! test may take. Everything waits for conditions with a deadline, and fails by panicking: only tests call it.

use std::io::Write;

#[allow(clippy::expect_used, reason = "only tests call it, and they fail by panicking")]
pub mod calls;
#[allow(clippy::expect_used, reason = "only tests call it, and they fail by panicking")]
pub mod client;
pub mod model;
#[allow(clippy::expect_used, reason = "only tests call it, and they fail by panicking")]
pub mod postgres;
#[allow(clippy::expect_used, reason = "only tests call it, and they fail by panicking")]
pub mod raw;
#[allow(clippy::expect_used, reason = "only tests call it, and they fail by panicking")]
mod raw_frame;
#[allow(clippy::expect_used, reason = "only tests call it, and they fail by panicking")]
pub mod raw_http;
#[allow(clippy::expect_used, reason = "only tests call it, and they fail by panicking")]
mod raw_stream;
#[allow(clippy::expect_used, reason = "only tests call it, and they fail by panicking")]
pub mod server;
pub mod soak;
#[allow(clippy::expect_used, reason = "only tests call it, and they fail by panicking")]
pub mod tls;

/// Says what was not tried, straight to the terminal: the test harness keeps what passing tests print to itself.
///
/// # Panics
/// Where there is no standard error.
#[allow(clippy::expect_used, reason = "only tests call it, and they fail by panicking")]
pub fn left_out(what: &str) {
    let mut terminal = std::fs::OpenOptions::new().write(true).open("/dev/stderr").expect("standard error");
    writeln!(terminal, "LEFT OUT: {what}").expect("standard error");
}
