//! The `pub`, `sub` and `bench` commands as clap arguments, for the `fanfare` binary to embed.

mod publish;
mod subscribe;
mod topics;

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

pub use crate::bench::BenchArgs;
pub use publish::PubArgs;
pub use subscribe::SubArgs;

/// Where a server listens unless told otherwise.
const DEFAULT_URL: &str = "ws://localhost:8080/ws";

/// Which server, and as whom.
#[derive(Debug, Clone, clap::Args)]
struct ServerArgs {
    /// The server's WebSocket address.
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL)]
    url: String,
    /// An access token, sent as `Authorization: Bearer`.
    #[arg(long, value_name = "TOKEN", env = "FANFARE_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Writes the reason of a failure to standard error; the exit code is 1.
pub(crate) fn failed(reason: &impl Display) -> ExitCode {
    // With standard error gone there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "fanfare: {reason}");
    ExitCode::FAILURE
}
