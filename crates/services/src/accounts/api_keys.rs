//! API keys of an app's own backend, created by a command and valid in the running server at once, because it queries
//! the store.

use fanfare_auth::api_key;
use fanfare_config::Config;
use fanfare_core::model::Scope;
use fanfare_store::{ApiKeyRow, Store, StoreError};

/// Longest name of a key.
const MAX_NAME: usize = 64;

/// Why a key cannot be created or deleted.
#[derive(Debug, thiserror::Error)]
pub enum KeyTrouble {
    /// The name is malformed.
    #[error("NAME: 1 to {MAX_NAME} characters of a-z, A-Z, 0-9, `_`, `.` and `-`")]
    Name,
    /// The name is taken.
    #[error("NAME: there is an API key named `{0}` already; delete it first or choose another name")]
    Taken(String),
    /// The key is defined in the configuration.
    #[error("NAME: `{0}` is defined in auth.api_keys; remove it there")]
    Configured(String),
    /// There is no key of this name.
    #[error("NAME: there is no API key named `{0}`")]
    Unknown(String),
    /// No scope was given.
    #[error("--scope: name at least one of publish, topics, sessions, admin")]
    Scope,
    /// The store failed.
    #[error("store.url: {0}")]
    Store(#[from] StoreError),
}

/// Creates a key; its text is returned once and not stored.
///
/// # Errors
/// See [`KeyTrouble`].
pub async fn make_api_key(
    config: &Config,
    store: &Store,
    name: &str,
    scopes: &[Scope],
) -> Result<String, KeyTrouble> {
    let form = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(form) {
        return Err(KeyTrouble::Name);
    }
    if scopes.is_empty() {
        return Err(KeyTrouble::Scope);
    }
    if is_configured(config, name) {
        return Err(KeyTrouble::Taken(name.to_owned()));
    }
    let mut words: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    let (text, hash) = api_key::new();
    let row = ApiKeyRow {
        name: name.to_owned(),
        hash,
        scopes: words.join(" "),
        created_at: crate::clock::unix_ms() as i64,
    };
    match store.create_api_key(row).await {
        Ok(()) => Ok(text),
        Err(StoreError::Conflict(_)) => Err(KeyTrouble::Taken(name.to_owned())),
        Err(error) => Err(error.into()),
    }
}

/// All keys: name, scopes, creation time in milliseconds since 1970 (`None`: from the configuration).
///
/// # Errors
/// Of the store.
pub async fn list_api_keys(
    config: &Config,
    store: &Store,
) -> Result<Vec<(String, String, Option<i64>)>, KeyTrouble> {
    let configured = config.auth.api_keys.iter().map(|key| {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        (key.name.clone(), scopes.join(" "), None)
    });
    let stored = store.api_keys().await?;
    let stored = stored.into_iter().map(|key| (key.name, key.scopes, Some(key.created_at)));
    Ok(configured.chain(stored).collect())
}

/// Deletes a key, which is invalid from then on.
///
/// # Errors
/// See [`KeyTrouble`].
pub async fn delete_api_key(config: &Config, store: &Store, name: &str) -> Result<(), KeyTrouble> {
    if store.delete_api_key(name).await? {
        return Ok(());
    }
    match is_configured(config, name) {
        true => Err(KeyTrouble::Configured(name.to_owned())),
        false => Err(KeyTrouble::Unknown(name.to_owned())),
    }
}

fn is_configured(config: &Config, name: &str) -> bool {
    config.auth.api_keys.iter().any(|key| key.name == name)
}
