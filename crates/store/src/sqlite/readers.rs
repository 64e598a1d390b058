//! Read-only connections, lent to tokio's blocking threads one unit at a time.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connection::{Access, connect};
use crate::closed;
use crate::engine::{Health, Unit};
use crate::error::Result;
use crate::options::Durability;

/// The pool: as many permits as connections, so a holder of a permit finds one.
pub(crate) struct Readers {
    free: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn open(path: &Path, durability: Durability, count: usize) -> Result<Self> {
        let free = (0..count).map(|_| connect(path, durability, Access::Read)).collect::<Result<Vec<_>>>()?;
        Ok(Self { free: Arc::new(Mutex::new(free)), permits: Arc::new(Semaphore::new(count)) })
    }

    /// Runs the unit when a connection is free, in one read transaction, so that its statements see one state.
    pub(crate) async fn run(&self, mut unit: Box<dyn Unit>, health: Arc<Health>) {
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
            return unit.done(Err(closed()));
        };
        let free = Arc::clone(&self.free);
        let task = tokio::task::spawn_blocking(move || {
            let taken = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut connection) = taken else { return unit.done(Err(closed())) };
            let begun = connection.execute_batch("BEGIN").map_err(super::from_sqlite);
            if begun.is_ok() {
                unit.run(&mut connection);
                // Nothing was written; the next BEGIN reports any state that a failed end of a read left.
                drop(connection.execute_batch("ROLLBACK"));
            }
            free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(permit);
            if let Some(error) = unit.error().or(begun.as_ref().err()) {
                health.note(error);
            }
            unit.done(begun);
        });
        // A panicking unit drops its result's sender, which the caller sees as a closed store.
        drop(task.await);
    }

    /// Closes free connections; lent ones close when they are returned.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
