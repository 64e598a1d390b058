//! The `pub`, `sub` and `bench` commands as clap arguments, for the `fanfare` binary to embed.

mod publish;
mod subscribe;
mod topics;

use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

pub use crate::bench::BenchArgs;
pub use publish::PubArgs;
pub use subscribe::SubArgs;

use crate::{Options, Pin, Trust};

/// The default server address.
const DEFAULT_URL: &str = "ws://localhost:8080/ws";

/// The server and the credential.
#[derive(Debug, Clone, clap::Args)]
struct ServerArgs {
    /// The server's WebSocket address.
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL)]
    url: String,
    /// An access token, sent as `Authorization: Bearer`.
    #[arg(long, value_name = "TOKEN", env = "FANFARE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
}

impl ServerArgs {
    /// The options of a client.
    fn options(&self) -> Options {
        Options { token: self.token.clone(), trust: self.trust.trust(), ..Options::default() }
    }
}

/// The trust for `wss://`; without either option, this machine's certificate authorities.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TrustArgs {
    /// PEM file of the trusted certificate authorities, or of the server's own certificate.
    #[arg(long, value_name = "FILE", conflicts_with = "pin")]
    pub(crate) ca: Option<PathBuf>,
    /// SHA-256 of the one trusted certificate, as `fanfare dev-cert` prints it.
    #[arg(long, value_name = "SHA256")]
    pub(crate) pin: Option<Pin>,
}

impl TrustArgs {
    /// The trust that the options select.
    pub(crate) fn trust(&self) -> Trust {
        match (self.pin, &self.ca) {
            (Some(pin), _) => Trust::Pinned(pin),
            (None, Some(file)) => Trust::Authorities(file.clone()),
            (None, None) => Trust::System,
        }
    }
}

/// Writes the reason of a failure to standard error; returns the exit code 1.
pub(crate) fn failed(reason: &impl Display) -> ExitCode {
    // Without standard error the reason cannot be reported.
    let _ = writeln!(std::io::stderr().lock(), "fanfare: {reason}");
    ExitCode::FAILURE
}
