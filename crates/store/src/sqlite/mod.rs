//! SQLite: one file, one writer thread, a few readers.
//!
//! Writes go through a bounded queue to the writer's thread (`writer`), which puts all queued units into one commit.
//! Reads run on tokio's blocking threads with connections of a small pool (`readers`); WAL allows them during a commit,
//! and a read that starts after an acknowledgement sees the acknowledged write.

mod connection;
mod errors;
mod readers;
#[cfg(test)]
mod tests;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;

use crate::engine::{Engine, Health, StoreStatus, Unit};
use crate::error::{Result, StoreError};
use crate::logs::{Append, Backlog, LogsShared};
use crate::options::StoreOptions;
use crate::{closed, migrate};

pub(crate) use connection::{Access, backup_to, check, connect, open_backup};
pub(crate) use errors::from_sqlite;
use readers::Readers;
use writer::{Appends, Task, Writer};

/// Maximum units that wait for the writer. A few batches: more would only add latency.
const QUEUE: usize = 8192;
/// How long a caller waits for room in the queue before the store counts as unavailable.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open SQLite file.
pub(crate) struct Sqlite {
    tasks: mpsc::Sender<Task>,
    backlog: Arc<Backlog>,
    logs: Arc<LogsShared>,
    readers: Readers,
    health: Arc<Health>,
}

impl Sqlite {
    pub(crate) async fn open(path: PathBuf, options: &StoreOptions) -> Result<Self> {
        let options = options.clone();
        let (tasks, queue) = mpsc::channel(QUEUE);
        let health = Arc::new(Health::new("sqlite", options.on_fatal.clone()));
        let (backlog, logs) = (Arc::new(Backlog::default()), Arc::new(LogsShared::new()));
        let opened = {
            let (health, backlog, logs) = (Arc::clone(&health), Arc::clone(&backlog), Arc::clone(&logs));
            tokio::task::spawn_blocking(move || {
                let mut connection = connect(&path, options.durability, Access::Write)?;
                migrate::sqlite_up(&mut connection, &path)?;
                let readers = Readers::open(&path, options.durability, options.pool.max(1))?;
                let appends = Appends { backlog: Arc::clone(&backlog), logs };
                let writer = Writer::new(connection, appends, options.on_commit, Arc::clone(&health))?;
                std::thread::Builder::new()
                    .name("store-writer".to_owned())
                    .spawn(move || {
                        if catch_unwind(AssertUnwindSafe(|| writer.run(queue))).is_err() {
                            health.note(&StoreError::Fatal("the writer panicked".to_owned()));
                        }
                        backlog.abandon();
                    })
                    .map_err(|error| StoreError::Unavailable(format!("no thread for the writer: {error}")))?;
                Ok(readers)
            })
        };
        let readers = opened.await.unwrap_or_else(|_| Err(closed()))?;
        Ok(Self { tasks, backlog, logs, readers, health })
    }

    async fn submit(&self, unit: Box<dyn Unit>) {
        if let Err(error) = self.health.alive() {
            return unit.done(Err(error));
        }
        match self.tasks.send_timeout(Task::Unit(unit), PATIENCE).await {
            Ok(()) => {}
            Err(SendTimeoutError::Timeout(Task::Unit(unit))) => {
                unit.done(Err(StoreError::Unavailable("the writer is too far behind".to_owned())));
            }
            Err(SendTimeoutError::Closed(Task::Unit(unit))) => unit.done(Err(closed())),
            Err(_) => {}
        }
    }
}

impl Engine for Sqlite {
    fn read(&self, unit: Box<dyn Unit>) -> BoxFuture<'_, ()> {
        async move {
            match self.health.alive() {
                Err(error) => unit.done(Err(error)),
                Ok(()) => self.readers.run(unit, Arc::clone(&self.health)).await,
            }
        }
        .boxed()
    }

    fn write(&self, unit: Box<dyn Unit>) -> BoxFuture<'_, ()> {
        self.submit(unit).boxed()
    }

    fn append(&self, append: Append) {
        if self.backlog.push(append) {
            // A full queue needs no wake-up: the writer checks the backlog after each commit.
            drop(self.tasks.try_send(Task::Wake));
        }
    }

    fn logs(&self) -> &LogsShared {
        &self.logs
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            let (done, closed) = tokio::sync::oneshot::channel();
            if self.tasks.send(Task::Close(done)).await.is_ok() {
                // The writer drops the sender when it cannot reply; the store is closed either way.
                drop(closed.await);
            }
            self.readers.close();
        }
        .boxed()
    }

    fn status(&self) -> StoreStatus {
        self.health.status()
    }
}
