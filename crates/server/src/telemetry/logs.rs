//! Log lines on standard output: for people in development, JSON for machines in production.
//!
//! Only the product's own lines are taken below warnings: libraries may write what we promised not to.

use crate::config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging for the process. Later calls change nothing.
pub fn start(log: &Log) {
    let level = log.level.as_str();
    let others = if level == "error" { "error" } else { "warn" };
    let own = ["fanfare", "fanfare_server", "fanfare_core", "fanfare_brokers", "fanfare_rpc", "fanfare_ws"];
    let filter = own.iter().fold(others.to_owned(), |filter, name| format!("{filter},{name}={level}"));
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_target(false);
    // Only a second start fails, in tests; the first one's lines go on.
    let _started = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Pretty => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stdout());
            builder.with_ansi(colours).try_init()
        }
    };
}
