//! The store in this process: its options, opening, and failure.
//!
//! A start without its store ends with status 2 and one line that names `store.url`, within a minute. While the server
//! runs, an unavailable store is reported as `degraded` in `/health` and as `fanfare_store_up` 0, and is retried with
//! every request; a permanent failure (a failed fsync, a corrupt file) ends the process, because later acknowledged
//! writes could be lost.

use crate::telemetry::histogram::{Histogram, LATENCY_NS};
use crate::telemetry::metrics::Metrics;
use fanfare_config::{Config, ConfigError, Durability as Configured};
use fanfare_services::fatal;
use fanfare_store::{Durability, Store, StoreError, StoreOptions};
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::time::Duration;

/// Upper bounds of the units in a commit.
const BATCH_ROWS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
/// Maximum time a start waits for its store.
const START: Duration = Duration::from_secs(55);

/// Metrics of commits.
#[derive(Debug)]
pub struct Commits {
    /// Time of a commit in nanoseconds.
    pub took: Histogram,
    /// Units in it.
    pub rows: Histogram,
}

impl Default for Commits {
    fn default() -> Self {
        Self { took: Histogram::new(LATENCY_NS), rows: Histogram::new(BATCH_ROWS) }
    }
}

/// The options of the configured store.
pub fn options(config: &Config) -> StoreOptions {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    StoreOptions {
        durability: match config.store.durability {
            Configured::PowerSafe => Durability::PowerSafe,
            Configured::ProcessSafe => Durability::ProcessSafe,
            Configured::Memory => Durability::Memory,
        },
        pool: threads.clamp(2, 16),
        ..StoreOptions::new(config.store.url.0.expose(), &config.data_dir)
    }
}

/// Opens the store for `fanfare serve`: measures its commits, and ends the process when it has failed permanently.
///
/// # Errors
/// One line that names `store.url`.
pub async fn open_to_serve(config: &Config, commits: Arc<Commits>) -> Result<Store, ConfigError> {
    let mut options = options(config);
    options.on_commit = Some(Arc::new(move |took, rows| {
        commits.took.observe(took.as_nanos() as u64);
        commits.rows.observe(rows as u64);
    }));
    options.on_fatal = Some(Arc::new(end_at_once));
    within(START, Store::open(options)).await
}

/// Opens the store for a command, beside a running server if there is one.
///
/// # Errors
/// One line that names `store.url`.
pub async fn open(config: &Config) -> Result<Store, ConfigError> {
    within(START, Store::open(StoreOptions { pool: 1, ..options(config) })).await
}

/// Opens the store for a command that only reads. Nothing is created or migrated.
///
/// # Errors
/// One line that names `store.url`.
pub async fn open_to_read(config: &Config) -> Result<Store, ConfigError> {
    let steps = within(START, fanfare_store::migrate::status(&options(config))).await?;
    if steps.iter().all(|step| step.applied_at.is_none()) {
        return Err(ConfigError::key("store.url", "there is no store yet; a server makes it when it starts"));
    }
    if let Some(step) = steps.iter().find(|step| step.applied_at.is_none()) {
        let why =
            format!("migration {} is not applied to the store yet; run: fanfare migrate up", step.version);
        return Err(ConfigError::key("store.url", why));
    }
    open(config).await
}

/// Creates the data folder, private if it is new.
///
/// # Errors
/// One line that names `data_dir`.
pub fn make_folder(config: &Config) -> Result<(), ConfigError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir);
    let failed = |e: std::io::Error| {
        ConfigError::key("data_dir", format!("{} cannot be created: {e}", config.data_dir.display()))
    };
    made.map_err(failed)
}

async fn within<T>(
    time: Duration,
    opening: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, ConfigError> {
    match tokio::time::timeout(time, opening).await {
        Ok(opened) => opened.map_err(|error| wrong(&error)),
        Err(_) => Err(ConfigError::key("store.url", format!("the store did not respond within {time:?}"))),
    }
}

/// An error of the store as the one line of a command.
pub fn wrong(error: &StoreError) -> ConfigError {
    let text = error.to_string();
    ConfigError::key("store.url", text.strip_prefix("store.url: ").unwrap_or(&text))
}

/// Registers the store's state and commits as metrics.
pub fn watch(metrics: &Metrics, store: &Store, commits: Arc<Commits>) {
    let store = store.clone();
    metrics.watch("fanfare_store_up", "Whether the store responds", move || u64::from(store.status().up));
    metrics.watch_commits(commits);
}

/// Ends the process after a permanent failure of the store. Nothing is stopped in order: later writes could only be
/// lost.
fn end_at_once(error: &StoreError) {
    tracing::error!(%error, "store.url: nothing more is acknowledged; the process ends so that its supervisor restarts it");
    fatal::fail()
}
