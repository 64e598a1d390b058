//! PostgreSQL: a pool of connections for units of work, and another for batches of appends.
//!
//! PostgreSQL has its own group commit, so each unit is its own transaction; only appends are gathered here (`lanes`).
//! A lost server is reported in the status and retried indefinitely, with growing pauses; meanwhile callers get
//! `Unavailable`. A connection made stale by a failover, a migration or a restart is discarded with the idle ones of
//! its pool, and the unit of work is run again on a new one.

mod address;
mod connect;
pub(crate) mod dump;
mod errors;
mod lanes;
pub(crate) mod schema;
mod session;
mod values;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::closed;
use crate::engine::{Engine, Health, OnCommit, StoreStatus, Unit};
use crate::error::{Result, StoreError};
use crate::logs::{Append, LogsShared};
use crate::options::StoreOptions;
use lanes::Lanes;
use session::Kind;

pub(crate) use address::Address;
pub(crate) use connect::first;
pub(crate) use errors::from_postgres;

/// How often a working server is checked, and the longest pause between retries for a lost one.
const LOOK: Duration = Duration::from_secs(5);
/// The first pause for a lost server.
const SOON: Duration = Duration::from_millis(100);

/// An open database.
pub(crate) struct Postgres {
    units: Runner,
    lanes: Lanes,
    logs: Arc<LogsShared>,
    watch: JoinHandle<()>,
}

impl Postgres {
    pub(crate) async fn open(url: &str, options: &StoreOptions) -> Result<Self> {
        let address = Address::parse(url)?;
        let pool = address.pool(options.pool.max(1), options.durability)?;
        let mut client = first(&address, &pool).await?;
        schema::up(&mut client).await?;
        drop(client);
        let batches = address.pool(Lanes::CONNECTIONS, options.durability)?;
        let health = Arc::new(Health::new("postgres", options.on_fatal.clone()));
        let logs = Arc::new(LogsShared::new());
        let units = Runner { pool, health, on_commit: options.on_commit.clone() };
        let lanes = Lanes::start(&Runner { pool: batches, ..units.clone() }, &logs);
        let watching = watch(units.pool.clone(), Arc::clone(&units.health));
        let watch = tokio::spawn(vital("the watch", Arc::clone(&units.health), watching));
        Ok(Self { units, lanes, logs, watch })
    }
}

/// Runs units on the connections of a pool.
#[derive(Clone)]
struct Runner {
    pool: Pool,
    health: Arc<Health>,
    on_commit: Option<OnCommit>,
}

impl Runner {
    /// Runs a unit on a blocking thread, where it may wait for each of its statements, and returns its result.
    async fn run(&self, mut unit: Box<dyn Unit>, kind: Kind) {
        if let Err(error) = self.health.alive() {
            return unit.done(Err(error));
        }
        let (this, handle) = (self.clone(), Handle::current());
        let task = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let result = session::run(&handle, &this.pool, unit.as_mut(), kind);
            match (&result, unit.error()) {
                (Err(error), _) | (Ok(()), Some(error)) => this.health.note(error),
                (Ok(()), None) => this.health.well(),
            }
            if kind == Kind::Write
                && result.is_ok()
                && let Some(notify) = &this.on_commit
            {
                notify(begun.elapsed(), unit.count());
            }
            unit.done(result);
        });
        // A panicking unit drops its result's sender, which the caller sees as a closed store.
        drop(task.await);
    }
}

/// Runs a task that the engine depends on: a panic in it fails the store permanently.
async fn vital(name: &'static str, health: Arc<Health>, task: impl Future<Output = ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        health.note(&StoreError::Fatal(format!("{name} panicked")));
    }
}

impl Engine for Postgres {
    fn read(&self, unit: Box<dyn Unit>) -> BoxFuture<'_, ()> {
        self.units.run(unit, Kind::Read).boxed()
    }

    fn write(&self, unit: Box<dyn Unit>) -> BoxFuture<'_, ()> {
        self.units.run(unit, Kind::Write).boxed()
    }

    fn append(&self, append: Append) {
        self.lanes.append(append);
    }

    fn logs(&self) -> &LogsShared {
        &self.logs
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.watch.abort();
            self.lanes.close().await;
            self.units.pool.close();
            self.units.health.note(&closed());
        }
        .boxed()
    }

    fn status(&self) -> StoreStatus {
        self.units.health.status()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Checks the server now and then, and often while it is lost, so that its return is detected without a caller's
/// failure.
async fn watch(pool: Pool, health: Arc<Health>) {
    let mut pause = LOOK;
    loop {
        tokio::time::sleep(pause).await;
        match connect::look(&pool).await {
            Ok(()) => {
                health.well();
                pause = LOOK;
            }
            Err(error) => {
                health.note(&error);
                pause = if pause == LOOK { SOON } else { (pause * 2).min(LOOK / 2) };
            }
        }
    }
}
