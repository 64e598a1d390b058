//! `fanfare backup`: one consistent copy of the store with the keys, beside a running server or without one.

use super::{Settings, archive};
use crate::storage;
use clap::Args;
use fanfare_config::{Config, ConfigError};
use fanfare_services::audit::seal::node_name;
use fanfare_services::audit::{AuditEvent, Mark, Outcome, Sealer, append_now};
use fanfare_store::backup;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `fanfare backup`.
#[derive(Args, Clone, Debug, Default)]
pub struct BackupArgs {
    /// The settings' flags.
    #[command(flatten)]
    pub settings: Settings,
    /// The folder to create; it must not exist.
    #[arg(value_name = "BACKUP")]
    pub to: PathBuf,
}

impl BackupArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// The error of the configuration, the store or the folder, for standard error and status 2.
    pub async fn run(self) -> Result<ExitCode, ConfigError> {
        let config = Config::load(&self.settings.sources())?.config;
        if self.to.symlink_metadata().is_ok() {
            let why = format!("{} exists already; a backup overwrites nothing", self.to.display());
            return Err(ConfigError::key("backup", why));
        }
        // Written under a temporary name, so that a folder of this name is always complete.
        let partial = archive::beside(&self.to, &format!(".{}.partial", std::process::id()));
        archive::make_private(&partial)?;
        let taken = take(&config, &partial).await.and_then(|bytes| {
            std::fs::rename(&partial, &self.to).map_err(|e| archive::failed(&self.to, &e))?;
            Ok(bytes)
        });
        let bytes = match taken {
            Ok(bytes) => bytes,
            Err(error) => {
                let _left_over = std::fs::remove_dir_all(&partial);
                return Err(error);
            }
        };
        note(&config).await?;
        let _best_effort =
            writeln!(std::io::stdout().lock(), "backed up {bytes} bytes to {}", self.to.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// The store first: the keys of everything in it are older than it.
async fn take(config: &Config, folder: &Path) -> Result<u64, ConfigError> {
    let options = storage::options(config);
    let report = backup::backup(&options, &folder.join(archive::STORE)).await;
    let report = report.map_err(|e| storage::wrong(&e))?;
    archive::make_readable_by_owner_only(&folder.join(archive::STORE))?;
    archive::copy_keys(&config.data_dir.join(archive::KEYS), &folder.join(archive::KEYS))?;
    archive::write_manifest(folder, report.engine, report.version)?;
    Ok(report.bytes)
}

/// Records the backup in the audit log of the copied store.
async fn note(config: &Config) -> Result<(), ConfigError> {
    let store = storage::open_to_read(config).await?;
    let node = node_name(config.cluster.node_id.as_deref(), &config.data_dir)?;
    let event =
        AuditEvent::new("admin_action", Outcome::Success).detail("action", "backup").detail("by", "command");
    let sealer = Sealer::load_or_create(&config.data_dir)?;
    let noted = append_now(&store, node, sealer, Mark::of_folder(&config.data_dir), event).await;
    store.close().await;
    noted.map_err(|e| storage::wrong(&e))
}
