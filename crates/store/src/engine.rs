//! The interface of an engine for the models, and the units of work they pass to it.
//!
//! A unit is a closure over [`Sql`], run on a thread that may block. The engine decides what a transaction is: SQLite's
//! writer puts many units into one, each in a savepoint; PostgreSQL gives each its own. Invariants of both: the caller
//! learns of success only after the commit that holds the unit, and a failed unit changes nothing and does not undo
//! other units.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::error::{Result, StoreError};
use crate::logs::{Append, LogsShared};
use crate::sql::Sql;

/// Called after each commit with its duration and the number of writes in it.
pub type OnCommit = Arc<dyn Fn(Duration, usize) + Send + Sync>;
/// Called once with the reason when the store has failed permanently; the process has to end.
pub type OnFatal = Arc<dyn Fn(&StoreError) + Send + Sync>;

/// Whether the store works, for `/health` and the gauge `store_up`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStatus {
    /// Whether the last attempt succeeded.
    pub up: bool,
    /// `sqlite` or `postgres`.
    pub engine: &'static str,
    /// The reason if it failed.
    pub detail: Option<String>,
}

/// A unit of work, queued in an engine.
pub(crate) trait Unit: Send {
    /// Runs the work; called again when the engine had to undo it for another reason. Returns true to keep the result.
    fn run(&mut self, sql: &mut dyn Sql) -> bool;
    /// Returns the result to the caller: that of the work if its commit succeeded.
    fn done(self: Box<Self>, commit: Result<()>);
    /// The error of the last run.
    fn error(&self) -> Option<&StoreError>;
    /// The number of entries, messages or other writes of callers in it, for [`OnCommit`].
    fn count(&self) -> usize {
        1
    }
    /// Whether this error means that the unit lost against another transaction, and may be run again.
    fn loses_with(&self, _error: &StoreError) -> bool {
        false
    }
}

/// A closure as a unit.
pub(crate) struct Work<T, F> {
    work: F,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Work<T, F>
where
    T: Send + 'static,
    F: Fn(&mut dyn Sql) -> Result<T> + Send + 'static,
{
    pub(crate) fn new(work: F) -> (Box<Self>, oneshot::Receiver<Result<T>>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Self { work, result: None, reply }), answer)
    }
}

impl<T, F> Unit for Work<T, F>
where
    T: Send + 'static,
    F: Fn(&mut dyn Sql) -> Result<T> + Send + 'static,
{
    fn run(&mut self, sql: &mut dyn Sql) -> bool {
        // A panic in a model fails its caller only; the engine's threads and connections survive it.
        let ran = catch_unwind(AssertUnwindSafe(|| (self.work)(sql)));
        let result =
            ran.unwrap_or_else(|_| Err(StoreError::Unavailable("a fault within the store".to_owned())));
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn done(self: Box<Self>, commit: Result<()>) {
        let answer = match (self.result, commit) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(StoreError::Unknown(text))) => Err(StoreError::Unavailable(text)),
            (_, Err(commit)) => Err(commit),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Unavailable("the unit was not run".to_owned())),
        };
        // If the caller was dropped, the commit stays.
        drop(self.reply.send(answer));
    }

    fn error(&self) -> Option<&StoreError> {
        self.result.as_ref().and_then(|result| result.as_ref().err())
    }
}

/// An open engine.
pub(crate) trait Engine: Send + Sync {
    /// Runs a unit that only reads.
    fn read(&self, unit: Box<dyn Unit>) -> BoxFuture<'_, ()>;
    /// Runs a unit that writes, and commits it.
    fn write(&self, unit: Box<dyn Unit>) -> BoxFuture<'_, ()>;
    /// Appends an entry in the next batch, in the order of the calls for each log; replies if it is refused.
    fn append(&self, append: Append);
    /// The shared state through which appends are completed.
    fn logs(&self) -> &LogsShared;
    /// Commits queued units and closes the files or connections.
    fn close(&self) -> BoxFuture<'_, ()>;
    /// Whether it works.
    fn status(&self) -> StoreStatus;
}

/// The health shared by an engine's parts.
pub(crate) struct Health {
    engine: &'static str,
    dead: AtomicBool,
    trouble: Mutex<Option<StoreError>>,
    on_fatal: Option<OnFatal>,
}

impl Health {
    pub(crate) fn new(engine: &'static str, on_fatal: Option<OnFatal>) -> Self {
        Self { engine, dead: AtomicBool::new(false), trouble: Mutex::new(None), on_fatal }
    }

    /// Records an error of the engine: a fatal one ends everything, another is reported until the next success.
    pub(crate) fn note(&self, error: &StoreError) {
        let away = matches!(error, StoreError::Unavailable(_) | StoreError::Unknown(_));
        if !error.is_fatal() && !away || self.is_dead() {
            return;
        }
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        if error.is_fatal() && !self.dead.swap(true, Ordering::SeqCst) {
            tracing::error!(engine = self.engine, %error, "the store failed permanently");
            if let Some(notify) = &self.on_fatal {
                notify(error);
            }
        }
    }

    /// Records that the engine works.
    pub(crate) fn well(&self) {
        if !self.is_dead() {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Returns the fatal error, once there is one.
    pub(crate) fn alive(&self) -> Result<()> {
        if !self.is_dead() {
            return Ok(());
        }
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        Err(trouble.clone().unwrap_or_else(|| StoreError::Fatal("the store has failed".to_owned())))
    }

    pub(crate) fn status(&self) -> StoreStatus {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        StoreStatus {
            up: trouble.is_none(),
            engine: self.engine,
            detail: trouble.as_ref().map(ToString::to_string),
        }
    }
}
