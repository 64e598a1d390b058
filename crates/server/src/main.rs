//! The `fanfare` binary: reads the command line and calls the library.

use clap::Parser;
use fanfare_config::{Config, ConfigError};
use fanfare_server::cli::{Cli, Command};
use fanfare_server::{doctor, serve, tls};
use std::io::Write;
use std::process::ExitCode;

/// The static build's allocator; the usual one is glibc's, which the figures were measured with.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A start that cannot proceed (`configuration.md`).
const MISCONFIGURED: u8 = 2;

fn main() -> ExitCode {
    run(Cli::parse().into_command()).unwrap_or_else(|error| {
        // With standard error gone there is nobody to tell.
        let _best_effort = writeln!(std::io::stderr().lock(), "fanfare: {error}");
        ExitCode::from(MISCONFIGURED)
    })
}

fn run(command: Command) -> Result<ExitCode, ConfigError> {
    match command {
        Command::Serve(args) => serve::serve(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Config(args) => {
            let text = args.run()?;
            let _best_effort = std::io::stdout().lock().write_all(text.as_bytes());
            Ok(ExitCode::SUCCESS)
        }
        Command::Admin(args) => working(args.run()),
        Command::Audit(args) => working(args.run()),
        Command::Migrate(args) => working(args.run()),
        Command::Backup(args) => working(args.run()),
        Command::Restore(args) => working(args.run()),
        Command::DevCert(args) => tls::dev_cert(&Config::load(&args.settings.sources())?.config),
        Command::Feeds(args) => args.run(),
        Command::Pub(args) => Ok(client(Box::pin(args.run()))),
        Command::Sub(args) => Ok(client(Box::pin(args.run()))),
        Command::Bench(args) => Ok(client(Box::pin(args.run()))),
    }
}

/// Runs a command on what the server keeps, on a small runtime of its own.
fn working(command: impl Future<Output = Result<ExitCode, ConfigError>>) -> Result<ExitCode, ConfigError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|e| ConfigError::key("data_dir", format!("the runtime cannot start: {e}")))?;
    runtime.block_on(Box::pin(command))
}

/// Runs a client's command on a small runtime of its own.
fn client(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => {
            let _best_effort =
                writeln!(std::io::stderr().lock(), "fanfare: the runtime cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}
