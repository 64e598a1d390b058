//! The format of a backup: a folder that only its owner can read, with the store, the keys of the data folder and a
//! manifest.
//!
//! ```text
//! BACKUP/manifest.json   what is in it, with sizes and SHA-256
//! BACKUP/store           the store: a SQLite file, or a dump of PostgreSQL's tables
//! BACKUP/keys/…          the keys of the data folder
//! ```
//!
//! Source: `configuration.md` "Commands"; `docs/operations.md` says how it is used.

use fanfare_config::ConfigError;
use fanfare_core::time::rfc3339_ms;
use fanfare_services::clock::unix_ms;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The store's file in a backup.
pub(super) const STORE: &str = "store";
/// The keys' folder in a backup, and in a data folder.
pub(super) const KEYS: &str = "keys";
const MANIFEST: &str = "manifest.json";
/// The format's number.
const FORMAT: u64 = 1;

/// An error of a backup's files, as one line.
pub(super) fn failed(path: &Path, error: &io::Error) -> ConfigError {
    ConfigError::key("backup", format!("{}: {error}", path.display()))
}

fn no_backup(folder: &Path, why: impl std::fmt::Display) -> ConfigError {
    ConfigError::key("backup", format!("{} is not a valid backup: {why}", folder.display()))
}

/// Creates a folder that only its owner can read; it must not exist.
pub(super) fn make_private(folder: &Path) -> Result<(), ConfigError> {
    std::fs::DirBuilder::new().mode(0o700).create(folder).map_err(|e| failed(folder, &e))
}

/// Copies the keys of one folder into another that does not exist yet. Incomplete ones are left out.
pub(super) fn copy_keys(from: &Path, to: &Path) -> Result<(), ConfigError> {
    make_private(to)?;
    for name in names(from)? {
        if name.ends_with(".new") {
            continue;
        }
        let (from, to) = (from.join(&name), to.join(&name));
        let bytes = std::fs::read(&from).map_err(|e| failed(&from, &e))?;
        let open = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&to);
        open.and_then(|mut out| out.write_all(&bytes).and_then(|()| out.sync_all()))
            .map_err(|e| failed(&to, &e))?;
    }
    sync(to)
}

/// The names of the plain files of a folder, in order; none if the folder does not exist.
fn names(folder: &Path) -> Result<Vec<String>, ConfigError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(folder, &e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| failed(folder, &e))?;
        let is_file = entry.file_type().map_err(|e| failed(folder, &e))?.is_file();
        names.extend(entry.file_name().into_string().ok().filter(|_| is_file));
    }
    names.sort();
    Ok(names)
}

/// Syncs a folder, so that its entries survive a crash.
pub(super) fn sync(folder: &Path) -> Result<(), ConfigError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| failed(folder, &e))
}

/// The files of a backup, as paths in it.
fn files(folder: &Path) -> Result<Vec<String>, ConfigError> {
    let keys = names(&folder.join(KEYS))?;
    Ok(std::iter::once(STORE.to_owned()).chain(keys.iter().map(|name| format!("{KEYS}/{name}"))).collect())
}

/// Writes the manifest of an otherwise complete backup.
pub(super) fn write_manifest(folder: &Path, engine: &str, version: i64) -> Result<(), ConfigError> {
    let mut listed = Vec::new();
    for name in files(folder)? {
        let (bytes, sha256) = digest(&folder.join(&name))?;
        listed.push(json!({ "path": name, "bytes": bytes, "sha256": sha256 }));
    }
    let manifest = json!({
        "format": FORMAT, "fanfare": crate::VERSION, "created_at": rfc3339_ms(unix_ms()),
        "engine": engine, "migration": version, "files": listed,
    });
    let path = folder.join(MANIFEST);
    let open = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
    open.and_then(|mut out| writeln!(out, "{manifest:#}").and_then(|()| out.sync_all()))
        .map_err(|e| failed(&path, &e))?;
    sync(folder)
}

/// Reads a backup's manifest and compares every file with it. Returns the backup's engine.
pub(super) fn check(folder: &Path) -> Result<String, ConfigError> {
    let path = folder.join(MANIFEST);
    let text = std::fs::read_to_string(&path).map_err(|e| no_backup(folder, format!("{MANIFEST}: {e}")))?;
    let manifest: Value = serde_json::from_str(&text).map_err(|e| no_backup(folder, e))?;
    if manifest["format"] != FORMAT {
        return Err(no_backup(folder, "its format is unknown to this version"));
    }
    let there = files(folder)?;
    let listed = manifest["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |file: &Value| file["path"].as_str().unwrap_or_default().to_owned();
    if listed.iter().map(name).ne(there.iter().cloned()) {
        return Err(no_backup(folder, "its files are not those of its manifest"));
    }
    for (file, name) in listed.iter().zip(&there) {
        let (bytes, sha256) = digest(&folder.join(name))?;
        if file["bytes"] != bytes || file["sha256"] != sha256.as_str() {
            return Err(no_backup(folder, format!("{name} is not what was backed up")));
        }
    }
    Ok(manifest["engine"].as_str().unwrap_or_default().to_owned())
}

/// A file's size and the SHA-256 of its bytes in hexadecimal digits.
fn digest(path: &Path) -> Result<(u64, String), ConfigError> {
    let mut file = File::open(path).map_err(|e| failed(path, &e))?;
    let (mut hash, mut total, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let n = file.read(&mut buffer).map_err(|e| failed(path, &e))?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        total += n as u64;
    }
    Ok((total, hash.finalize().iter().map(|b| format!("{b:02x}")).collect()))
}

/// The same path with a suffix on its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Removes all permissions of other users on a file.
pub(super) fn make_readable_by_owner_only(path: &Path) -> Result<(), ConfigError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|e| failed(path, &e))
}
