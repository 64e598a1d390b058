//! `fanfare restore`: replaces a store and its keys with a backup.
//!
//! Everything is checked before anything is changed, existing files are moved aside and never deleted, and a folder in
//! which a restore was interrupted is marked: no server starts on it until the restore has been run again.

use super::{Settings, archive};
use crate::storage;
use clap::Args;
use fanfare_config::{Config, ConfigError};
use fanfare_services::audit::seal::node_name;
use fanfare_services::audit::{AUDIT_HEAD, AuditEvent, Mark, Outcome, Sealer, append_now};
use fanfare_services::clock::unix_ms;
use fanfare_services::data_dir::{DataDir, HALF_RESTORED};
use fanfare_store::{StoreOptions, backup};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `fanfare restore`.
#[derive(Args, Clone, Debug, Default)]
pub struct RestoreArgs {
    /// The settings' flags.
    #[command(flatten)]
    pub settings: Settings,
    /// A folder created by `fanfare backup`.
    #[arg(value_name = "BACKUP")]
    pub from: PathBuf,
    /// Move an existing store and keys aside.
    #[arg(long)]
    pub force: bool,
}

impl RestoreArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// The error of the configuration, the backup, the store or the folder, for standard error and status 2.
    pub async fn run(self) -> Result<ExitCode, ConfigError> {
        let config = Config::load(&self.settings.sources())?.config;
        let engine = archive::check(&self.from)?;
        let wanted = if config.store.url.0.scheme().starts_with("sqlite") { "sqlite" } else { "postgres" };
        if engine != wanted {
            let why = format!("is of {wanted}, the backup of {engine}");
            return Err(ConfigError::key("store.url", why));
        }
        // Held to the end: no server starts meanwhile.
        let folder = DataDir::open(&config.data_dir)?;
        let plan = Plan::new(&config);
        if !self.force && !plan.there().is_empty() && folder.must_be_whole().is_ok() {
            let there: Vec<_> = plan.there().iter().map(|p| p.display().to_string()).collect();
            let why = format!("{} would be overwritten; --force moves it aside", there.join(" and "));
            return Err(ConfigError::key("data_dir", why));
        }
        plan.carry_out(&self.from).await?;
        note(&config).await?;
        let _best_effort = writeln!(
            std::io::stdout().lock(),
            "restored {} into {}",
            self.from.display(),
            config.data_dir.display()
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// The paths of a restore.
struct Plan {
    options: StoreOptions,
    data_dir: PathBuf,
    /// The SQLite file; PostgreSQL itself checks whether it is empty.
    file: Option<PathBuf>,
    /// The suffix of files that are moved aside.
    aside: String,
}

impl Plan {
    fn new(config: &Config) -> Self {
        let url = config.store.url.0.expose();
        let file = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).map(PathBuf::from);
        let aside = format!(".before-restore-{}", unix_ms());
        Self { options: storage::options(config), data_dir: config.data_dir.clone(), file, aside }
    }

    fn keys(&self) -> PathBuf {
        self.data_dir.join(archive::KEYS)
    }

    /// The existing files that would be overwritten.
    fn there(&self) -> Vec<PathBuf> {
        let keys = Some(self.keys());
        self.file.iter().cloned().chain(keys).filter(|path| path.exists()).collect()
    }

    async fn carry_out(&self, from: &Path) -> Result<(), ConfigError> {
        let mark = self.data_dir.join(HALF_RESTORED);
        let new_keys = self.data_dir.join(format!("{}.new", archive::KEYS));
        if new_keys.exists() {
            std::fs::remove_dir_all(&new_keys).map_err(|e| archive::failed(&new_keys, &e))?;
        }
        archive::copy_keys(&from.join(archive::KEYS), &new_keys)?;
        std::fs::write(&mark, b"").map_err(|e| archive::failed(&mark, &e))?;
        archive::sync(&self.data_dir)?;
        let moved = self.move_aside()?;
        if let Err(error) = backup::restore(&self.options, &from.join(archive::STORE)).await {
            // No new file is in place yet: the old ones are moved back.
            for (was, is) in &moved {
                std::fs::rename(is, was).map_err(|e| archive::failed(was, &e))?;
            }
            let _left_over = std::fs::remove_dir_all(&new_keys);
            std::fs::remove_file(&mark).map_err(|e| archive::failed(&mark, &e))?;
            return Err(storage::wrong(&error));
        }
        std::fs::rename(&new_keys, self.keys()).map_err(|e| archive::failed(&new_keys, &e))?;
        // The mark of the last run and the newest head of its audit chain belong to another store.
        let _absent = std::fs::remove_file(self.data_dir.join("running"));
        let _absent = std::fs::remove_file(self.data_dir.join(AUDIT_HEAD));
        archive::sync(&self.data_dir)?;
        std::fs::remove_file(&mark).map_err(|e| archive::failed(&mark, &e))
    }

    /// Renames the store's files and the keys; returns the old and new path of each.
    fn move_aside(&self) -> Result<Vec<(PathBuf, PathBuf)>, ConfigError> {
        let store = self.file.iter().flat_map(|file| {
            ["", "-wal", "-shm", "-journal"].map(|suffix| {
                (archive::beside(file, suffix), archive::beside(file, &format!("{}{suffix}", self.aside)))
            })
        });
        let keys = (self.keys(), archive::beside(&self.keys(), &self.aside));
        let mut moved = Vec::new();
        for (was, is) in store.chain([keys]) {
            if was.exists() {
                std::fs::rename(&was, &is).map_err(|e| archive::failed(&was, &e))?;
                moved.push((was, is));
            }
        }
        Ok(moved)
    }
}

/// Records the restore in the restored audit log.
async fn note(config: &Config) -> Result<(), ConfigError> {
    let store = storage::open(config).await?;
    let node = node_name(config.cluster.node_id.as_deref(), &config.data_dir)?;
    let event =
        AuditEvent::new("admin_action", Outcome::Success).detail("action", "restore").detail("by", "command");
    let sealer = Sealer::load_or_create(&config.data_dir)?;
    let noted = append_now(&store, node, sealer, Mark::of_folder(&config.data_dir), event).await;
    store.close().await;
    noted.map_err(|e| storage::wrong(&e))
}
