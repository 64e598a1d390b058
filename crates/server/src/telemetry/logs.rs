//! Log lines on standard output: text in development, JSON in production.
//!
//! Lines go through a bounded queue to one writer thread ([`writer`]), so a standard output that is full, closed or
//! slow never delays or fails the code that logs: lines that cannot be written are lost and counted. A panic's message
//! goes the same way, because the default hook would block, or fail, on a standard error that is not read.
//!
//! Below warnings only the product's own lines are logged: libraries may log data that must not be logged.

mod writer;

use fanfare_config::{Log, LogFormat};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use writer::Lines;

/// The process's log, once it is started.
static LINES: OnceLock<Lines> = OnceLock::new();
/// How long the exit of the process waits for queued lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Starts logging for the process. Later calls change nothing.
pub fn start(log: &Log) {
    let Ok(output) = std::io::stdout().as_fd().try_clone_to_owned() else { return };
    let Ok(lines) = Lines::start(output.into()) else { return };
    if LINES.set(lines.clone()).is_err() {
        return;
    }
    fanfare_services::fatal::before_exit(flush);
    let level = log.level.as_str();
    let others = if level == "error" { "error" } else { "warn" };
    // The target is a prefix: all crates of the workspace begin with it.
    let filter = format!("{others},fanfare={level}");
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_target(false)
        .with_writer(lines)
        // It would report on standard error what the writer counts, and panic if that is closed.
        .log_internal_errors(false);
    // Only a second start fails, in tests; the first one continues to work.
    let _started = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Pretty => builder.with_ansi(std::io::stdout().is_terminal()).try_init(),
    };
    std::panic::set_hook(Box::new(log_panic));
}

/// Prints a plain line among the log's lines, independent of their format.
pub fn print(line: &str) {
    if let Some(lines) = LINES.get() {
        lines.push(format!("{line}\n").as_bytes());
    }
}

/// Lines that could not be written since the start (`fanfare_log_lines_lost_total`).
pub fn lost() -> u64 {
    LINES.get().map_or(0, Lines::lost)
}

/// Writes the queued lines; gives up after a second.
pub fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(LAST_LINES);
    }
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    // RUST_BACKTRACE=1 enables the stack, as usual.
    let stack = Backtrace::capture();
    match stack.status() {
        BacktraceStatus::Captured => tracing::error!(thread, place, %stack, "panic: {message}"),
        _ => tracing::error!(thread, place, "panic: {message}"),
    }
}
