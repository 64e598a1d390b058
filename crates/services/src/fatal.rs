//! The exit of a process that cannot continue, and the supervision of its vital tasks.
//!
//! A node whose shard, accept loop or writer has died would serve some clients and block others. So every thread and
//! task that runs as long as the node is either contained per connection or request, or *vital*: its end is the end of
//! the process, with status [`FAILED`], and a supervisor restarts the whole node.

use futures_util::FutureExt;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;
use std::time::Duration;

/// The exit status of a process that failed internally (`EX_SOFTWARE`).
pub const FAILED: u8 = 70;
/// How long exit handlers of libraries and a blocked standard error may delay the exit.
const EXIT_WITHIN: Duration = Duration::from_secs(5);

/// The hook before an exit: it flushes the log.
static BEFORE_EXIT: OnceLock<fn()> = OnceLock::new();

/// Sets the hook before an exit. Only the first call counts.
pub fn before_exit(flush: fn()) {
    let _first = BEFORE_EXIT.set(flush);
}

/// Ends the process after an internal failure that was logged.
pub fn fail() -> ! {
    exit(FAILED)
}

/// Ends the process now, without an orderly stop. If that does not succeed in time, the process is aborted.
pub fn exit(status: u8) -> ! {
    let watchdog = std::thread::Builder::new().name("fanfare-exit".into());
    let _watched = watchdog.spawn(|| {
        std::thread::sleep(EXIT_WITHIN);
        std::process::abort()
    });
    if let Some(flush) = BEFORE_EXIT.get() {
        flush();
    }
    std::process::exit(i32::from(status))
}

/// Runs a vital thread's work. A panic, which the panic hook has logged, ends the process.
pub fn vital_thread(name: &str, run: impl FnOnce()) {
    if std::panic::catch_unwind(AssertUnwindSafe(run)).is_err() {
        tracing::error!(
            part = name,
            "a vital thread failed; the process ends so that its supervisor restarts it"
        );
        fail();
    }
}

/// Runs a vital task that ends when the server stops.
pub async fn vital(name: &'static str, task: impl Future<Output = ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        tracing::error!(
            part = name,
            "a vital task failed; the process ends so that its supervisor restarts it"
        );
        fail();
    }
}

/// Runs a vital task that never ends by itself.
pub async fn endless(name: &'static str, task: impl Future<Output = ()>) -> Infallible {
    vital(name, task).await;
    tracing::error!(part = name, "a vital task ended; the process ends so that its supervisor restarts it");
    fail()
}
