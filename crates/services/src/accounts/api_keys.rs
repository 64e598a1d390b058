//! Keys of an app's own backend, made by command and known to the running server at once, because it asks the store.

use fanfare_auth::api_key;
use fanfare_config::Config;
use fanfare_core::model::Scope;
use fanfare_store::{ApiKeyRow, Store, StoreError};

/// Longest name of a key.
const MAX_NAME: usize = 64;

/// Why a key cannot be made or deleted.
#[derive(Debug, thiserror::Error)]
pub enum KeyTrouble {
    /// The name's form.
    #[error("NAME: 1 to {MAX_NAME} characters of a-z, A-Z, 0-9, `_`, `.` and `-`")]
    Name,
    /// The name is taken.
    #[error("NAME: there is an API key named `{0}` already; delete it first or choose another name")]
    Taken(String),
    /// Made by configuration.
    #[error("NAME: `{0}` stands in auth.api_keys; take it out there")]
    Configured(String),
    /// There is none.
    #[error("NAME: there is no API key named `{0}`")]
    Unknown(String),
    /// No scope.
    #[error("--scope: name at least one of publish, topics, sessions, admin")]
    Scope,
    /// The store.
    #[error("store.url: {0}")]
    Store(#[from] StoreError),
}

/// Makes a key; its text is answered once and kept nowhere.
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

/// All keys: name, scopes, when made in milliseconds since 1970 (`None`: by configuration).
///
/// # Errors
/// The store.
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

/// Deletes a key; whoever has it is refused from then on.
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
