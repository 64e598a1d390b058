//! The writer: one thread, one connection, group commit without a timer.
//!
//! While a commit runs, units gather in the queue and appends in the backlog; the next commit takes both, up to
//! [`BATCH_UNITS`] and one batch of appends, which is a unit as well. There is no timer: an idle store commits a lone
//! unit at once, a busy one commits as much as fits. Each unit has its savepoint, so a failed one does not undo the
//! others. Results are returned after COMMIT, in the order of the units.
//!
//! Only this thread checkpoints: when its queue is empty and the log is over [`WAL_SOFT`], or in any case at
//! [`WAL_HARD`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::from_sqlite;
use crate::closed;
use crate::engine::{Health, OnCommit, Unit};
use crate::error::{Result, StoreError};
use crate::logs::{AppendBatch, Backlog, LogsShared};

/// Units in one commit, beside a batch of appends.
const BATCH_UNITS: usize = 1024;
/// Log size from which an idle writer checkpoints, bytes.
const WAL_SOFT: i64 = 4 << 20;
/// Log size at which even a busy writer checkpoints, bytes.
const WAL_HARD: i64 = 64 << 20;

/// A task for the writer.
pub(crate) enum Task {
    /// Commit this unit.
    Unit(Box<dyn Unit>),
    /// Check the backlog.
    Wake,
    /// Commit the earlier units, checkpoint, and end.
    Close(oneshot::Sender<()>),
}

/// The source of appends.
pub(crate) struct Appends {
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) logs: Arc<LogsShared>,
}

impl Appends {
    /// The next batch of queued appends, if there are any.
    fn next(&self) -> Option<Box<dyn Unit>> {
        let appends = self.backlog.take();
        if appends.is_empty() { None } else { Some(Box::new(AppendBatch::new(appends, &self.logs))) }
    }
}

/// The writer's thread.
pub(crate) struct Writer {
    connection: Connection,
    appends: Appends,
    on_commit: Option<OnCommit>,
    health: Arc<Health>,
    page: i64,
    /// Pages in the log after the last commit.
    log: Arc<AtomicI64>,
}

impl Writer {
    pub(crate) fn new(
        mut connection: Connection,
        appends: Appends,
        on_commit: Option<OnCommit>,
        health: Arc<Health>,
    ) -> Result<Self> {
        let page = connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(from_sqlite)?;
        let log = Arc::new(AtomicI64::new(0));
        let pages = Arc::clone(&log);
        // The hook replaces SQLite's own checkpoints, which would run within a commit.
        connection
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count| {
                pages.store(i64::from(count), Ordering::Relaxed);
                Ok(())
            }))
            .map_err(from_sqlite)?;
        Ok(Self { connection, appends, on_commit, health, page, log })
    }

    /// Runs until a close task arrives or all senders are dropped.
    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Task>) {
        let mut batch = Vec::with_capacity(BATCH_UNITS);
        let mut end = None;
        while end.is_none() {
            let waits = self.appends.backlog.is_empty();
            let first = if waits { queue.blocking_recv() } else { queue.try_recv().ok() };
            if waits && first.is_none() {
                break;
            }
            end = gather(first, &mut queue, &mut batch);
            batch.extend(self.appends.next());
            self.commit(&mut batch);
            self.checkpoint(queue.is_empty() && self.appends.backlog.is_empty());
        }
        self.appends.backlog.close();
        while let Some(appends) = self.appends.next() {
            batch.push(appends);
            self.commit(&mut batch);
        }
        queue.close();
        while let Ok(task) = queue.try_recv() {
            if let Task::Unit(unit) = task {
                unit.done(Err(closed()));
            }
        }
        self.finish();
        drop(end);
    }

    /// Runs the units in one transaction and returns their results after its commit.
    fn commit(&mut self, batch: &mut Vec<Box<dyn Unit>>) {
        if batch.is_empty() {
            return;
        }
        let begun = Instant::now();
        let count = batch.iter().map(|unit| unit.count()).sum();
        let result = self.transaction(batch);
        // A full disk may fail single units of a batch whose commit succeeds without them.
        let trouble =
            batch.iter().find_map(|unit| unit.error().filter(|e| matches!(e, StoreError::Unavailable(_))));
        match (&result, trouble) {
            (Err(error), _) | (Ok(()), Some(error)) => self.health.note(error),
            (Ok(()), None) => self.health.well(),
        }
        if result.is_ok()
            && let Some(notify) = &self.on_commit
        {
            notify(begun.elapsed(), count);
        }
        for unit in batch.drain(..) {
            unit.done(result.clone());
        }
    }

    fn transaction(&mut self, batch: &mut [Box<dyn Unit>]) -> Result<()> {
        self.health.alive()?;
        self.step("BEGIN IMMEDIATE")?;
        for unit in batch {
            if let Err(error) = self.unit(unit.as_mut()) {
                // The transaction must not commit in any state; it may already have rolled itself back.
                drop(self.connection.execute_batch("ROLLBACK"));
                return Err(error);
            }
        }
        self.step("COMMIT").inspect_err(|_| drop(self.connection.execute_batch("ROLLBACK")))
    }

    /// Runs one unit. The error returned here is the whole transaction's; a unit's own failure is not returned.
    fn unit(&mut self, unit: &mut dyn Unit) -> Result<()> {
        self.step("SAVEPOINT unit")?;
        let kept = unit.run(&mut self.connection);
        if !kept && let Some(error) = unit.error() {
            // SQLite rolls back the whole transaction by itself when the disk is full or broken.
            if error.is_fatal() || self.connection.is_autocommit() {
                return Err(error.clone());
            }
        }
        if !kept {
            self.step("ROLLBACK TO unit")?;
        }
        self.step("RELEASE unit")
    }

    fn step(&self, sql: &str) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).map_err(from_sqlite)?;
        statement.execute([]).map(drop).map_err(from_sqlite)
    }

    fn checkpoint(&self, idle: bool) {
        let bytes = self.log.load(Ordering::Relaxed).saturating_mul(self.page);
        let sql = match bytes {
            _ if self.health.is_dead() => return,
            WAL_HARD.. => "PRAGMA wal_checkpoint(RESTART)",
            WAL_SOFT.. if idle => "PRAGMA wal_checkpoint(PASSIVE)",
            _ => return,
        };
        self.log.store(0, Ordering::Relaxed);
        if let Err(error) = self.pragma(sql) {
            self.health.note(&error);
        }
    }

    fn pragma(&self, sql: &str) -> Result<()> {
        self.connection.query_row(sql, [], |_| Ok(())).map_err(from_sqlite)
    }

    fn finish(self) {
        if self.health.is_dead() {
            return;
        }
        let checkpointed = self.pragma("PRAGMA wal_checkpoint(TRUNCATE)");
        let closed = self.connection.close().map_err(|(_, error)| from_sqlite(error));
        if let Err(error) = checkpointed.and(closed) {
            tracing::warn!(%error, "the store was not closed cleanly; its log is read again at the next start");
        }
    }
}

/// Takes queued units, in order, until the batch is full; returns the task that ends the writer, if it arrived.
fn gather(
    first: Option<Task>,
    queue: &mut mpsc::Receiver<Task>,
    batch: &mut Vec<Box<dyn Unit>>,
) -> Option<oneshot::Sender<()>> {
    let mut next = first;
    while let Some(task) = next {
        match task {
            Task::Close(done) => return Some(done),
            Task::Wake => {}
            Task::Unit(unit) => batch.push(unit),
        }
        next = if batch.len() >= BATCH_UNITS { None } else { queue.try_recv().ok() };
    }
    None
}
