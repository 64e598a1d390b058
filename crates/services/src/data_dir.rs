//! The server's data folder: creation, locking, and the small files in it.

use fanfare_config::ConfigError;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file that exists while a restore is running.
pub const HALF_RESTORED: &str = "restore.incomplete";

/// The data folder, locked for the lifetime of this value.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

fn wrong(what: String) -> ConfigError {
    ConfigError::key("data_dir", what)
}

impl DataDir {
    /// Creates the folder if it does not exist and locks it.
    ///
    /// # Errors
    /// One line that names `data_dir`: it cannot be created or written, or another server uses it.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        // A new folder is private: it will hold password hashes and ciphertexts.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|e| wrong(format!("{} cannot be created: {e}", path.display())))?;
        let file = path.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&file);
        let lock = lock.map_err(|e| wrong(format!("{} cannot be written: {e}", file.display())))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| match e {
            rustix::io::Errno::WOULDBLOCK => {
                wrong(format!("another server uses {}; stop it or set another data_dir", path.display()))
            }
            e => wrong(format!("{} cannot be locked: {e}", file.display())),
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Rejects a folder in which a restore was interrupted.
    ///
    /// # Errors
    /// One line that names `data_dir`.
    pub fn must_be_whole(&self) -> Result<(), ConfigError> {
        match self.path.join(HALF_RESTORED).exists() {
            false => Ok(()),
            true => Err(wrong(format!(
                "a restore into {} was cut short; run it again: fanfare restore --force BACKUP",
                self.path.display()
            ))),
        }
    }

    /// Writes `address`, whole or not at all.
    ///
    /// # Errors
    /// One line that names `data_dir`.
    pub fn write_address(&self, url: &str) -> Result<(), ConfigError> {
        let (new, file) = (self.path.join("address.new"), self.path.join("address"));
        std::fs::write(&new, format!("{url}\n"))
            .and_then(|()| std::fs::rename(&new, &file))
            .map_err(|e| wrong(format!("{} cannot be written: {e}", file.display())))
    }

    /// Removes `address` when the server stops.
    pub fn remove_address(&self) {
        let _gone = std::fs::remove_file(self.path.join("address"));
    }

    /// A 32-byte key of the server, generated at the first start and readable by its user alone.
    ///
    /// # Errors
    /// One line that names `data_dir`.
    pub fn key(&self, name: &str) -> Result<[u8; 32], ConfigError> {
        key_in(&self.path, name)
    }
}

/// A 32-byte key of a data folder, generated if there is none. Safe beside a running server: if two processes generate
/// it, both get the first one's.
///
/// # Errors
/// One line that names `data_dir`.
pub fn key_in(data_dir: &Path, name: &str) -> Result<[u8; 32], ConfigError> {
    if let Some(key) = existing_key_in(data_dir, name)? {
        return Ok(key);
    }
    let folder = data_dir.join("keys");
    let file = folder.join(name);
    let failed = |e: std::io::Error| wrong(format!("{} cannot be used: {e}", file.display()));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|e| wrong(format!("the system returns no random bytes: {e}")))?;
    let new = folder.join(format!("{name}.{}.new", std::process::id()));
    write_private(&new, &key).map_err(failed)?;
    let linked = std::fs::hard_link(&new, &file);
    let _gone = std::fs::remove_file(&new);
    match linked {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(failed(e)),
        _ => existing_key_in(data_dir, name)?.ok_or_else(|| failed(ErrorKind::NotFound.into())),
    }
}

/// A 32-byte key of a data folder, if it exists.
///
/// # Errors
/// One line that names `data_dir`.
pub fn existing_key_in(data_dir: &Path, name: &str) -> Result<Option<[u8; 32]>, ConfigError> {
    let file = data_dir.join("keys").join(name);
    let failed = |e: std::io::Error| wrong(format!("{} cannot be used: {e}", file.display()));
    match File::open(&file) {
        Ok(mut found) => {
            let mut key = [0; 32];
            found.read_exact(&mut key).map_err(failed)?;
            Ok(Some(key))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(e)),
    }
}

/// Writes a file of a data folder, whole or not at all, readable by the server's user alone.
///
/// # Errors
/// One line that names `data_dir`.
pub fn write_in(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), ConfigError> {
    let (new, file) = (folder.join(format!("{name}.{}.new", std::process::id())), folder.join(name));
    write_private(&new, bytes)
        .and_then(|()| std::fs::rename(&new, &file))
        .map_err(|e| wrong(format!("{} cannot be written: {e}", file.display())))
}

fn write_private(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut out = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(file)?;
    out.write_all(bytes).and_then(|()| out.sync_all())
}

#[cfg(test)]
mod tests {
    use super::DataDir;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_generated_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        let data = DataDir::open(&path).unwrap();
        let key = data.key("k").unwrap();
        assert_eq!(data.key("k").unwrap(), key);
        assert_ne!(key, [0; 32]);
        let mode = std::fs::metadata(path.join("keys/k")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_second_server_gets_an_error_that_names_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        assert!(DataDir::open(dir.path()).unwrap_err().to_string().contains("data_dir"));
        drop(first);
        assert!(DataDir::open(dir.path()).is_ok());
    }
}
