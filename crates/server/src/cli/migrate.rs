//! `fanfare migrate`: shows the state of the store's tables and migrates them.

use super::Settings;
use crate::storage;
use clap::{Args, Subcommand};
use fanfare_config::{Config, ConfigError};
use fanfare_core::time::rfc3339_ms;
use fanfare_store::migrate::{self, MigrationState};
use std::io::Write;
use std::process::ExitCode;

/// `fanfare migrate`.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    /// The action.
    #[command(subcommand)]
    pub action: Action,
}

/// The actions on the store's tables.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Print every step and when it was applied.
    Status(StatusArgs),
    /// Apply the pending steps; an existing SQLite file is copied first. `serve` does the same when it starts.
    Up(UpArgs),
}

/// `fanfare migrate status`.
#[derive(Args, Clone, Debug, Default)]
pub struct StatusArgs {
    /// The settings' flags.
    #[command(flatten)]
    pub settings: Settings,
}

/// `fanfare migrate up`.
#[derive(Args, Clone, Debug, Default)]
pub struct UpArgs {
    /// The settings' flags.
    #[command(flatten)]
    pub settings: Settings,
    /// Only print the steps that would be applied.
    #[arg(long)]
    pub dry_run: bool,
}

impl MigrateArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// The error of the configuration or the store, for standard error and status 2.
    pub async fn run(self) -> Result<ExitCode, ConfigError> {
        match self.action {
            Action::Status(args) => status(args).await,
            Action::Up(args) => up(args).await,
        }
    }
}

async fn status(args: StatusArgs) -> Result<ExitCode, ConfigError> {
    let config = Config::load(&args.settings.sources())?.config;
    let steps = migrate::status(&storage::options(&config)).await.map_err(|e| storage::wrong(&e))?;
    let mut out = std::io::stdout().lock();
    for step in &steps {
        let _best_effort = writeln!(out, "{}", line(step));
    }
    Ok(ExitCode::SUCCESS)
}

async fn up(args: UpArgs) -> Result<ExitCode, ConfigError> {
    let config = Config::load(&args.settings.sources())?.config;
    if !args.dry_run {
        storage::make_folder(&config)?;
    }
    let steps =
        migrate::up(&storage::options(&config), args.dry_run).await.map_err(|e| storage::wrong(&e))?;
    let mut out = std::io::stdout().lock();
    let verb = if args.dry_run { "would apply" } else { "applied" };
    for step in &steps {
        let _best_effort = writeln!(out, "{verb} {} {}", step.version, step.name);
    }
    if steps.is_empty() {
        let _best_effort = writeln!(out, "the store is up to date");
    }
    Ok(ExitCode::SUCCESS)
}

fn line(step: &MigrationState) -> String {
    let when = step.applied_at.map_or("pending".into(), |at| rfc3339_ms(at.max(0) as u64));
    format!("{:4} {:24} {when}", step.version, step.name)
}
