//! Backup and restore of a store.
//!
//! Both are safe in parallel to a running server: a backup is one consistent state, taken without stopping the server;
//! a restore never touches an existing store. Files appear complete under their name, or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};
use crate::migrate::{self, blocking};
use crate::options::{StoreOptions, Target};
use crate::postgres::{dump, schema};
use crate::sqlite::{self, Access};

/// The result of a backup or restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// The file that was written by a backup, or read for a restore.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// `sqlite` or `postgres`.
    pub engine: &'static str,
    /// Migration version of the data.
    pub version: i64,
}

/// Copies the store into a new file: SQLite as a SQLite file, PostgreSQL as a dump of the store's tables in one
/// snapshot.
///
/// # Errors
/// `Misconfigured` when the file exists already or there is no store; of the engine.
pub async fn backup(options: &StoreOptions, to: &Path) -> Result<BackupReport> {
    let to = to.to_owned();
    absent(&to, "the backup")?;
    match options.target()? {
        Target::Sqlite(path) => blocking(options, move |options| backup_sqlite(&path, options, &to)).await,
        Target::Postgres(url) => backup_postgres(&url, &to).await,
    }
}

/// Restores a backup where no store exists: SQLite into a new file, PostgreSQL into a database without the store's
/// tables.
///
/// # Errors
/// `Misconfigured` when a store exists already or the file is not a backup for this engine; `TooNew`; `Corrupt`.
pub async fn restore(options: &StoreOptions, from: &Path) -> Result<BackupReport> {
    let from = from.to_owned();
    match options.target()? {
        Target::Sqlite(path) => blocking(options, move |_| restore_sqlite(&path, &from)).await,
        Target::Postgres(url) => restore_postgres(&url, from).await,
    }
}

fn backup_sqlite(path: &Path, options: &StoreOptions, to: &Path) -> Result<BackupReport> {
    if !path.exists() {
        return Err(StoreError::Misconfigured(format!("store.url: there is no {}", path.display())));
    }
    let connection = sqlite::connect(path, options.durability, Access::Read)?;
    let version = migrate::sqlite_version(&connection)?;
    let bytes = whole(to, |partial| sqlite::backup_to(&connection, partial))?;
    Ok(BackupReport { path: to.to_owned(), bytes, engine: "sqlite", version })
}

async fn backup_postgres(url: &str, to: &Path) -> Result<BackupReport> {
    let client = schema::connect(url).await?;
    let partial = partial(to);
    let written = dump::write(&client, &partial).await;
    let bytes = place(&partial, to, written.as_ref().map(drop).map_err(Clone::clone))?;
    Ok(BackupReport { path: to.to_owned(), bytes, engine: "postgres", version: written? })
}

async fn restore_postgres(url: &str, from: PathBuf) -> Result<BackupReport> {
    let client = schema::connect(url).await?;
    let version = dump::read(&client, &from).await?;
    let bytes = fs::metadata(&from).map_or(0, |file| file.len());
    Ok(BackupReport { path: from, bytes, engine: "postgres", version })
}

fn restore_sqlite(path: &Path, from: &Path) -> Result<BackupReport> {
    // A write-ahead log without its file would be replayed into the restored one.
    for suffix in ["", "-wal", "-shm", "-journal"] {
        absent(&beside(path, suffix), "the store")?;
    }
    if !from.is_file() {
        return Err(StoreError::Misconfigured(format!("there is no file {}", from.display())));
    }
    let source = sqlite::open_backup(from).map_err(no_backup)?;
    sqlite::check(&source).map_err(no_backup)?;
    let version = migrate::sqlite_version(&source).map_err(no_backup)?;
    let bytes = whole(path, |partial| sqlite::backup_to(&source, partial))?;
    Ok(BackupReport { path: from.to_owned(), bytes, engine: "sqlite", version })
}

fn no_backup(error: StoreError) -> StoreError {
    match error {
        StoreError::Misconfigured(text) => {
            StoreError::Misconfigured(format!("not a backup of a store: {text}"))
        }
        StoreError::Corrupt(text) => StoreError::Misconfigured(format!("not a backup of a store: {text}")),
        other => other,
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn absent(path: &Path, what: &str) -> Result<()> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let path = path.display();
    Err(StoreError::Misconfigured(format!(
        "{what} {path} is there already: move it away first (never overwritten)"
    )))
}

/// Writes a file under a temporary name beside it, then renames it; returns its size in bytes.
fn whole(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<u64> {
    let partial = partial(path);
    let written = write(&partial);
    place(&partial, path, written)
}

fn partial(path: &Path) -> PathBuf {
    beside(path, &format!(".{}.partial", std::process::id()))
}

/// Gives a written file its final name, unless that was taken meanwhile, and removes the temporary name.
fn place(partial: &Path, path: &Path, written: Result<()>) -> Result<u64> {
    let failed =
        |error: io::Error| StoreError::Unavailable(format!("{} cannot be written: {error}", path.display()));
    let placed = written.and_then(|()| {
        let bytes = fs::metadata(partial).map_err(failed)?.len();
        // A hard link fails where a rename would replace.
        fs::hard_link(partial, path).map_err(failed)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(bytes)
    });
    for suffix in ["", "-journal", "-wal", "-shm"] {
        // Absent unless a step failed; a left-over temporary file does no harm.
        drop(fs::remove_file(beside(partial, suffix)));
    }
    placed
}
