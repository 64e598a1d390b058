//! The command line: the commands and their flags. The commands are implemented elsewhere.
//!
//! Bare `fanfare` is `fanfare serve`. Commands of other crates are further variants of [`Command`] with their own
//! argument types; every one of them takes [`Settings`]. An unknown command or flag is clap's usage error, status 2.
//!
//! Source: `configuration.md`, "Commands".

pub mod admin;
mod archive;
pub mod audit;
pub mod backup;
pub mod config;
pub mod feeds;
pub mod migrate;
pub mod restore;

use clap::{Args, Parser, Subcommand};
use fanfare_config::Sources;
use std::path::PathBuf;

/// Fanfare: a real-time backend in one binary. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "fanfare", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// The command; `serve` if none is given.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `serve`, for the bare call.
    #[command(flatten)]
    pub serve: ServeArgs,
}

impl Cli {
    /// The command, with bare `fanfare` as `serve`.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

/// The commands of the binary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server until it is stopped.
    Serve(ServeArgs),
    /// Check, show or explain the configuration.
    Config(config::ConfigArgs),
    /// Create accounts and API keys, also beside a running server.
    Admin(admin::AdminArgs),
    /// Verify or show the audit log.
    Audit(audit::AuditArgs),
    /// Show or apply the migrations of the store's tables.
    Migrate(migrate::MigrateArgs),
    /// Copy the store and the keys into a new folder; safe while the server runs.
    Backup(backup::BackupArgs),
    /// Restore a backup; the server must not run.
    Restore(restore::RestoreArgs),
    /// Try the mappings of Kafka topics on sample records.
    Feeds(feeds::FeedsArgs),
    /// Check for problems that keep a server from working; with --live, probe a running one.
    Doctor(DoctorArgs),
    /// Create a self-signed certificate for this machine, for development.
    DevCert(DevCertArgs),
    /// Publish a message to a topic of a running server.
    Pub(fanfare_client::commands::PubArgs),
    /// Subscribe to topics of a running server.
    Sub(fanfare_client::commands::SubArgs),
    /// Measure a server: idle memory, fan-out, maximum rate, requests, and the bare kernel beside them.
    Bench(fanfare_client::commands::BenchArgs),
}

/// The settings' flags, the same for every command.
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// Configuration file; without it, fanfare.toml of the current folder if there is one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one key, overriding the file and the environment; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Settings {
    /// These flags with the environment and current folder of this process.
    pub fn sources(self) -> Sources {
        Sources { file: self.config, set: self.set, ..Sources::of_process() }
    }
}

/// `fanfare serve`.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// The settings' flags.
    #[command(flatten)]
    pub settings: Settings,
    /// A proxy in front serves HTTPS: allow plain HTTP on a public address in production.
    #[arg(long)]
    pub insecure_behind_proxy: bool,
}

impl ServeArgs {
    /// The sources of the configuration.
    pub fn sources(self) -> Sources {
        Sources { behind_proxy: self.insecure_behind_proxy, ..self.settings.sources() }
    }
}

/// `fanfare doctor`.
#[derive(Args, Clone, Debug, Default)]
pub struct DoctorArgs {
    /// The settings' flags.
    #[command(flatten)]
    pub settings: Settings,
    /// Only probe whether the running server is alive; status 0 or 1.
    #[arg(long)]
    pub live: bool,
}

/// `fanfare dev-cert`.
#[derive(Args, Clone, Debug, Default)]
pub struct DevCertArgs {
    /// The settings' flags; `data_dir` determines the folder of the files.
    #[command(flatten)]
    pub settings: Settings,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(Cli::into_command)
    }

    #[test]
    fn the_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bare_fanfare_serves() {
        for line in ["fanfare", "fanfare serve"] {
            assert!(matches!(parse(line), Ok(Command::Serve(_))), "{line}");
        }
        for line in ["fanfare --set a=1 --set b=2 --config f", "fanfare serve --set a=1 --config f --set b=2"]
        {
            let Ok(Command::Serve(args)) = parse(line) else { panic!("{line}") };
            assert_eq!(args.settings.set, ["a=1", "b=2"]);
            assert_eq!(args.settings.config, Some("f".into()));
        }
        let Ok(Command::Serve(args)) = parse("fanfare --insecure-behind-proxy") else { panic!() };
        assert!(args.insecure_behind_proxy && args.sources().behind_proxy);
    }

    #[test]
    fn a_value_may_be_negative_or_hold_signs() {
        let Ok(Command::Serve(args)) = parse("fanfare serve --set limits.queue_messages=-1 --set x=a=b")
        else {
            panic!()
        };
        assert_eq!(args.settings.set, ["limits.queue_messages=-1", "x=a=b"]);
    }

    #[test]
    fn unknown_commands_and_flags_are_usage_errors_with_status_2() {
        for (line, kind) in [
            ("fanfare no-such-command", ErrorKind::InvalidSubcommand),
            ("fanfare serve --no-such-flag", ErrorKind::UnknownArgument),
            ("fanfare config nothing", ErrorKind::InvalidSubcommand),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{line}");
        }
    }

    #[test]
    fn doctor_accepts_its_flags() {
        let Ok(Command::Doctor(args)) = parse("fanfare doctor --live --set server.port=1") else { panic!() };
        assert!(args.live);
        assert_eq!(args.settings.set, ["server.port=1"]);
    }
}
